"""`telemetry.istio.io`: Telemetry, what proxies count, log and trace of their workloads' traffic.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, telemetry v1.
"""

from __future__ import annotations

from typing import Literal

from msgspec import field

from argosy.api.meta import Seconds, Strict, WorkloadSelector
from argosy.core.frozen import FrozenMap

Mode = Literal["CLIENT_AND_SERVER", "CLIENT", "SERVER"]
Side = Literal["CLIENT", "SERVER"]
"""One side of calls, as one proxy sees them: what its workload calls (a gateway: all), or what calls its workload."""
Metric = Literal[
    "ALL_METRICS",
    "REQUEST_COUNT",
    "REQUEST_DURATION",
    "REQUEST_SIZE",
    "RESPONSE_SIZE",
    "TCP_OPENED_CONNECTIONS",
    "TCP_CLOSED_CONNECTIONS",
    "TCP_SENT_BYTES",
    "TCP_RECEIVED_BYTES",
    "GRPC_REQUEST_MESSAGES",
    "GRPC_RESPONSE_MESSAGES",
]

METRIC_NAMES = {
    "REQUEST_COUNT": "istio_requests_total",
    "REQUEST_DURATION": "istio_request_duration_milliseconds",
    "REQUEST_SIZE": "istio_request_bytes",
    "RESPONSE_SIZE": "istio_response_bytes",
    "GRPC_REQUEST_MESSAGES": "istio_request_messages_total",
    "GRPC_RESPONSE_MESSAGES": "istio_response_messages_total",
    "TCP_SENT_BYTES": "istio_tcp_sent_bytes_total",
    "TCP_RECEIVED_BYTES": "istio_tcp_received_bytes_total",
    "TCP_OPENED_CONNECTIONS": "istio_tcp_connections_opened_total",
    "TCP_CLOSED_CONNECTIONS": "istio_tcp_connections_closed_total",
}
"""Names of the Telemetry API and of Prometheus."""


class ProviderRef(Strict, frozen=True, kw_only=True):
    """The name of one of the mesh configuration's `extensionProviders`, or of one that is simply there."""

    name: str


class ModeMatch(Strict, frozen=True, kw_only=True):
    """Which side of calls is meant: what the workload calls, what calls it, or both."""

    mode: Mode = "CLIENT_AND_SERVER"

    def takes(self, side: Side) -> bool:
        """Whether one side is meant."""
        return self.mode in ("CLIENT_AND_SERVER", side)


class MetricMatch(ModeMatch, frozen=True, kw_only=True):
    """Which metrics an override is about: a standard one, all of them, or one of a custom name."""

    metric: Metric | None = None
    custom_metric: str | None = None


class TagOverride(Strict, frozen=True, kw_only=True):
    """What becomes of one tag; `value` is an expression (CEL)."""

    operation: Literal["UPSERT", "REMOVE"] = "UPSERT"
    value: str = ""


NO_OVERRIDES: FrozenMap[str, TagOverride] = FrozenMap()


class MetricsOverride(Strict, frozen=True, kw_only=True):
    """A change of some metrics: leave them out, or change their tags."""

    match: MetricMatch | None = None
    disabled: bool | None = None
    tag_overrides: FrozenMap[str, TagOverride] = NO_OVERRIDES


class Metrics(Strict, frozen=True, kw_only=True):
    """Which metrics are given to which providers."""

    providers: tuple[ProviderRef, ...] = ()
    overrides: tuple[MetricsOverride, ...] = ()
    reporting_interval_s: Seconds | None = field(default=None, name="reportingInterval")


class LiteralTag(Strict, frozen=True, kw_only=True):
    """A tag that is always the same."""

    value: str


class EnvironmentTag(Strict, frozen=True, kw_only=True):
    """A tag from the proxy's environment."""

    name: str
    default_value: str = ""


class HeaderTag(Strict, frozen=True, kw_only=True):
    """A tag from a request's header."""

    name: str
    default_value: str = ""


class FormatterTag(Strict, frozen=True, kw_only=True):
    """A tag made by Envoy's format of access logs, such as `%REQ(:METHOD)%`."""

    value: str


class CustomTag(Strict, frozen=True, kw_only=True):
    """Where a span's tag has its value from; exactly one is given."""

    literal: LiteralTag | None = None
    environment: EnvironmentTag | None = None
    header: HeaderTag | None = None
    formatter: FormatterTag | None = None


NO_TAGS: FrozenMap[str, CustomTag] = FrozenMap()


class Tracing(Strict, frozen=True, kw_only=True):
    """Which requests are traced, where their spans go, and what these say. `None`: the next wider object's word."""

    match: ModeMatch | None = None
    providers: tuple[ProviderRef, ...] = ()
    random_sampling_percentage: float | None = None
    disable_span_reporting: bool | None = None
    disable_context_propagation: bool | None = None
    custom_tags: FrozenMap[str, CustomTag] | None = None
    use_request_id_for_trace_sampling: bool | None = None
    enable_istio_tags: bool | None = None


class LogFilter(Strict, frozen=True, kw_only=True):
    """Which requests and connections are logged: an expression (CEL) that the proxy evaluates."""

    expression: str = ""


class AccessLogging(Strict, frozen=True, kw_only=True):
    """Where access logs go, and what of."""

    match: ModeMatch | None = None
    providers: tuple[ProviderRef, ...] = ()
    disabled: bool | None = None
    filter: LogFilter | None = None


class Telemetry(Strict, frozen=True, kw_only=True):
    """What proxies count, log and trace of the selected pods' traffic; without a selector, of a namespace's (of the
    mesh's, in the root namespace)."""

    not_yet = frozenset({"targetRef", "targetRefs"})
    selector: WorkloadSelector | None = None
    metrics: tuple[Metrics, ...] = ()
    tracing: tuple[Tracing, ...] = ()
    access_logging: tuple[AccessLogging, ...] = ()
