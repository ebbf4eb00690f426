"""`networking.istio.io` VirtualService: HTTP, TCP and TLS routes.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, networking v1, VirtualService.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import field

from argosy.api.meta import Percent, Seconds, Strict, StringMatch, without_final_dots
from argosy.api.ports import PortSelector
from argosy.core.frozen import EMPTY, FrozenMap

NO_MATCHES: FrozenMap[str, StringMatch] = FrozenMap()


class Destination(Strict, frozen=True, kw_only=True):
    """Where traffic goes: a host, optionally one subset and port of it."""

    host: str
    subset: str = ""
    port: PortSelector | None = None

    def __post_init__(self) -> None:
        without_final_dots(self, "host")


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

    name: str = ""
    stat_prefix: str = ""
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

    @property
    def narrowed(self) -> HTTPMatch:
        """The same without `uri: {}` and the like, which ask for nothing: every request has one."""
        names = ("uri", "scheme", "method", "authority")
        nothing: dict[str, None] = {name: None for name in names if getattr(self, name) == StringMatch()}
        return msgspec.structs.replace(self, **nothing) if nothing else self


class HTTPRouteDestination(Strict, frozen=True, kw_only=True):
    """One weighted destination; weights are relative, and one destination alone needs none."""

    destination: Destination
    weight: int = 0
    headers: Headers | None = None


class HTTPRedirect(Strict, frozen=True, kw_only=True):
    """Answer with a redirect instead of forwarding."""

    uri: str = ""
    prefix_rewrite: str | None = None
    authority: str = ""
    port: int | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    scheme: str = ""
    redirect_code: int = 301
    """0 is the default, too."""


class DirectResponseBody(Strict, frozen=True, kw_only=True):
    """The body of a direct response: text, or bytes in base64."""

    string: str | None = None
    bytes: str | None = None


class DirectResponse(Strict, frozen=True, kw_only=True):
    """Answer in the proxy instead of forwarding."""

    status: int
    body: DirectResponseBody | None = None


class RegexRewrite(Strict, frozen=True, kw_only=True):
    """Replace what `match` (RE2) finds in the path by `rewrite`; `\\1` is the first group."""

    match: str = ""
    rewrite: str = ""


class HTTPRewrite(Strict, frozen=True, kw_only=True):
    """Change path (the matched prefix is replaced, or what an expression finds) or authority before forwarding."""

    uri: str = ""
    authority: str = ""
    uri_regex_rewrite: RegexRewrite | None = None


class HTTPRetry(Strict, frozen=True, kw_only=True):
    """Retries: how often, how long each try may take, and on what."""

    attempts: int = 0
    per_try_timeout_s: Seconds | None = field(default=None, name="perTryTimeout")
    retry_on: str = ""
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff_s: Seconds | None = field(default=None, name="backoff")


class FaultDelay(Strict, frozen=True, kw_only=True):
    """Delay a share of the requests."""

    # Envoy delays by a fixed time only.
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

    # Envoy's fault filter cannot reset a stream with a chosen HTTP/2 error.
    not_yet = frozenset({"http2Error"})
    http_status: int | None = None
    grpc_status: str | None = None
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


class CorsPolicy(Strict, frozen=True, kw_only=True):
    """Which other origins' pages may read answers; `allow_origin` is the old form of exact origins."""

    allow_origin: tuple[str, ...] = ()
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_s: Seconds | None = field(default=None, name="maxAge")
    allow_credentials: bool | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] = "UNSPECIFIED"


class Delegate(Strict, frozen=True, kw_only=True):
    """The VirtualService without hosts whose HTTP rules stand in place of this one; by default beside it."""

    name: str = ""
    namespace: str = ""


class HTTPMirror(Strict, frozen=True, kw_only=True):
    """One destination that gets copies of a share of the requests."""

    destination: Destination
    percentage: Percent | None = None


class HTTPRoute(Strict, frozen=True, kw_only=True):
    """One HTTP rule: the first whose match holds is taken; no match block means always."""

    name: str = ""
    match: tuple[HTTPMatch, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    direct_response: DirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout_s: Seconds | None = field(default=None, name="timeout")
    retries: HTTPRetry | None = None
    fault: HTTPFault | None = None
    mirror: Destination | None = None
    mirror_percentage: Percent | None = None
    mirror_percent: int | None = None
    mirror_percent_v1alpha3: int | None = field(default=None, name="mirror_percent")
    mirrors: tuple[HTTPMirror, ...] = ()
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None

    @property
    def mirror_share_percent(self) -> float:
        """How many percent of the requests are mirrored; all when nothing is said."""
        old = self.mirror_percent_v1alpha3 if self.mirror_percent is None else self.mirror_percent
        return _share(self.mirror_percentage, old)


class L4Match(Strict, frozen=True, kw_only=True):
    """Conditions on a TCP connection; all of them must hold."""

    destination_subnets: tuple[str, ...] = ()
    port: int | None = None
    source_subnet: str = ""
    source_labels: FrozenMap[str, str] = EMPTY
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()


class TLSMatch(Strict, frozen=True, kw_only=True):
    """Conditions on a TLS connection that is not terminated; all of them must hold."""

    sni_hosts: tuple[str, ...]
    destination_subnets: tuple[str, ...] = ()
    port: int | None = None
    source_labels: FrozenMap[str, str] = EMPTY
    source_namespace: str = ""
    gateways: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        without_final_dots(self, "sni_hosts")


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

    def __post_init__(self) -> None:
        without_final_dots(self, "hosts")


def _share(percentage: float | None, percent: float | None) -> float:
    if percentage is not None:
        return float(percentage)
    return 100.0 if percent is None else float(percent)
