"""`networking.istio.io` VirtualService: HTTP, TCP and TLS routes.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, networking v1, VirtualService.
"""

from __future__ import annotations

from msgspec import field

from argosy.api.meta import Percent, Seconds, Strict, StringMatch
from argosy.api.ports import PortSelector
from argosy.core.frozen import EMPTY, FrozenMap

NO_MATCHES: FrozenMap[str, StringMatch] = FrozenMap()


class Destination(Strict, frozen=True, kw_only=True):
    """Where traffic goes: a host, optionally one subset and port of it."""

    host: str
    subset: str = ""
    port: PortSelector | None = None


class HeaderOperations(Strict, frozen=True, kw_only=True):
    """Changes to headers: `set` overwrites, `add` appends."""

    set: FrozenMap[str, str] = EMPTY
    add: FrozenMap[str, str] = EMPTY
    remove: tuple[str, ...] = ()


class Headers(Strict, frozen=True, kw_only=True):
    """Changes to the headers of the request and of the response."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class HTTPMatch(Strict, frozen=True, kw_only=True):
    """Conditions of one match block; all of them must hold."""

    not_yet = frozenset({"statPrefix"})
    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: FrozenMap[str, StringMatch] = NO_MATCHES
    without_headers: FrozenMap[str, StringMatch] = NO_MATCHES
    query_params: FrozenMap[str, StringMatch] = NO_MATCHES
    ignore_uri_case: bool = False
    port: int | None = None
    source_labels: FrozenMap[str, str] = EMPTY
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


class HTTPRouteDestination(Strict, frozen=True, kw_only=True):
    """One weighted destination; weights are relative, and one destination alone needs none."""

    destination: Destination
    weight: int = 0
    headers: Headers | None = None


class HTTPRedirect(Strict, frozen=True, kw_only=True):
    """Answer with a redirect instead of forwarding."""

    not_yet = frozenset({"derivePort", "prefixRewrite"})
    uri: str = ""
    authority: str = ""
    port: int | None = None
    scheme: str = ""
    redirect_code: int = 301


class DirectResponseBody(Strict, frozen=True, kw_only=True):
    """The text of a direct response."""

    not_yet = frozenset({"bytes"})
    string: str = ""


class DirectResponse(Strict, frozen=True, kw_only=True):
    """Answer in the proxy instead of forwarding."""

    status: int
    body: DirectResponseBody | None = None


class HTTPRewrite(Strict, frozen=True, kw_only=True):
    """Change path (the matched prefix is replaced) or authority before forwarding."""

    not_yet = frozenset({"uriRegexRewrite"})
    uri: str = ""
    authority: str = ""


class HTTPRetry(Strict, frozen=True, kw_only=True):
    """Retries: how often, how long each try may take, and on what."""

    not_yet = frozenset({"backoff", "retryIgnorePreviousHosts", "retryRemoteLocalities"})
    attempts: int = 0
    per_try_timeout_s: Seconds | None = field(default=None, name="perTryTimeout")
    retry_on: str = ""


class FaultDelay(Strict, frozen=True, kw_only=True):
    """Delay a share of the requests."""

    not_yet = frozenset({"exponentialDelay"})
    fixed_delay_s: Seconds | None = field(default=None, name="fixedDelay")
    percentage: Percent | None = None
    percent: int | None = None

    @property
    def share_percent(self) -> float:
        """How many percent of the requests are delayed: `percentage`, else the old `percent`, else all."""
        return _share(self.percentage, self.percent)


class FaultAbort(Strict, frozen=True, kw_only=True):
    """Answer a share of the requests with an error."""

    not_yet = frozenset({"grpcStatus", "http2Error"})
    http_status: int | None = None
    percentage: Percent | None = None
    percent: int | None = None

    @property
    def share_percent(self) -> float:
        """How many percent of the requests are aborted: `percentage`, else the old `percent`, else all."""
        return _share(self.percentage, self.percent)


class HTTPFault(Strict, frozen=True, kw_only=True):
    """Faults to inject on the client's side."""

    delay: FaultDelay | None = None
    abort: FaultAbort | None = None


class HTTPRoute(Strict, frozen=True, kw_only=True):
    """One HTTP rule: the first whose match holds is taken; no match block means always."""

    not_yet = frozenset({"corsPolicy", "delegate", "mirrors"})
    name: str = ""
    match: tuple[HTTPMatch, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    direct_response: DirectResponse | None = None
    rewrite: HTTPRewrite | None = None
    timeout_s: Seconds | None = field(default=None, name="timeout")
    retries: HTTPRetry | None = None
    fault: HTTPFault | None = None
    mirror: Destination | None = None
    mirror_percentage: Percent | None = None
    mirror_percent: int | None = None
    mirror_percent_v1alpha3: int | None = field(default=None, name="mirror_percent")
    headers: Headers | None = None

    @property
    def mirror_share_percent(self) -> float:
        """How many percent of the requests are mirrored; all when nothing is said."""
        old = self.mirror_percent_v1alpha3 if self.mirror_percent is None else self.mirror_percent
        return _share(self.mirror_percentage, old)


class L4Match(Strict, frozen=True, kw_only=True):
    """Conditions on a TCP connection; all of them must hold."""

    not_yet = frozenset({"destinationSubnets", "sourceSubnet"})
    port: int | None = None
    source_labels: FrozenMap[str, str] = EMPTY
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


class TLSMatch(Strict, frozen=True, kw_only=True):
    """Conditions on a TLS connection that is not terminated; all of them must hold."""

    not_yet = frozenset({"destinationSubnets"})
    sni_hosts: tuple[str, ...]
    port: int | None = None
    source_labels: FrozenMap[str, str] = EMPTY
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


class RouteDestination(Strict, frozen=True, kw_only=True):
    """One weighted destination of connections."""

    destination: Destination
    weight: int = 0


class TCPRoute(Strict, frozen=True, kw_only=True):
    """One rule for opaque TCP."""

    match: tuple[L4Match, ...] = ()
    route: tuple[RouteDestination, ...] = ()


class TLSRoute(Strict, frozen=True, kw_only=True):
    """One rule for TLS routed by server name."""

    match: tuple[TLSMatch, ...]
    route: tuple[RouteDestination, ...] = ()


class VirtualService(Strict, frozen=True, kw_only=True):
    """Routing of traffic to `hosts`, in sidecars (`mesh`, the default) and at the named gateways."""

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HTTPRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    export_to: tuple[str, ...] = ()


def _share(percentage: float | None, percent: float | None) -> float:
    if percentage is not None:
        return float(percentage)
    return 100.0 if percent is None else float(percent)
