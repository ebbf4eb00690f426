"""`networking.istio.io` DestinationRule: how destinations are called; Sidecar shares its connection pools.

Typed, frozen, strict shapes; no defaults from settings and no meaning. Source: Istio's API, networking v1.
"""

from __future__ import annotations

from typing import Literal

from msgspec import field

from argosy.api.locality import LocalityLB, ZoneAware
from argosy.api.meta import Object, Seconds, Strict, WorkloadSelector, without_final_dots
from argosy.api.ports import PortSelector
from argosy.core.frozen import EMPTY, FrozenMap


class CookieAttribute(Strict, frozen=True, kw_only=True):
    """One attribute of a generated cookie, such as `SameSite`."""

    name: str = ""
    value: str = ""


class HTTPCookie(Strict, frozen=True, kw_only=True):
    """Hash by a cookie; it is generated for `ttl_s` seconds when the request has none (None: never)."""

    name: str
    attributes: tuple[CookieAttribute, ...] = ()
    path: str = ""
    ttl_s: Seconds | None = field(default=None, name="ttl")


class RingHash(Strict, frozen=True, kw_only=True):
    """Ring hash: smallest number of points on the ring."""

    minimum_ring_size: int | None = None


class Maglev(Strict, frozen=True, kw_only=True):
    """Maglev: the table's size, a prime."""

    table_size: int | None = None


class ConsistentHash(Strict, frozen=True, kw_only=True):
    """What is hashed (exactly one key) and by which algorithm (ring hash unless `maglev`)."""

    http_header_name: str | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: Maglev | None = None
    minimum_ring_size: int | None = None


class Warmup(Strict, frozen=True, kw_only=True):
    """A new endpoint's share grows from `minimum_percent` to its full weight over the duration."""

    duration_s: Seconds = field(name="duration")
    aggression: float | None = None
    minimum_percent: float | None = None


class LoadBalancer(Strict, frozen=True, kw_only=True):
    """`simple` or `consistent_hash`, not both."""

    simple: Literal["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"] | None = None
    consistent_hash: ConsistentHash | None = None
    locality_lb_setting: LocalityLB | None = None
    zone_aware_lb_setting: ZoneAware | None = None
    warmup: Warmup | None = None
    warmup_duration_s: Seconds | None = field(default=None, name="warmupDurationSecs")

    @property
    def slow_start(self) -> Warmup | None:
        """How new endpoints are warmed up, in the newer or the older form."""
        old = self.warmup_duration_s
        return self.warmup or (Warmup(duration_s=old) if old is not None else None)


class TCPKeepalive(Strict, frozen=True, kw_only=True):
    """Keep-alive probes on connections to the upstream."""

    probes: int | None = None
    time_s: Seconds | None = field(default=None, name="time")
    interval_s: Seconds | None = field(default=None, name="interval")


class TCPPool(Strict, frozen=True, kw_only=True):
    """Limits of connections to one destination."""

    max_connections: int | None = None
    connect_timeout_s: Seconds | None = field(default=None, name="connectTimeout")
    tcp_keepalive: TCPKeepalive | None = None
    idle_timeout_s: Seconds | None = field(default=None, name="idleTimeout")
    max_connection_duration_s: Seconds | None = field(default=None, name="maxConnectionDuration")


class HTTP2KeepAlive(Strict, frozen=True, kw_only=True):
    """HTTP/2 PING frames: one each `interval`; no answer within `timeout` closes the connection."""

    interval_s: Seconds | None = field(default=None, name="interval")
    timeout_s: Seconds | None = field(default=None, name="timeout")


class HTTPPool(Strict, frozen=True, kw_only=True):
    """Limits of requests to one destination."""

    http1_max_pending_requests: int | None = field(default=None, name="http1MaxPendingRequests")
    http2_max_requests: int | None = field(default=None, name="http2MaxRequests")
    max_requests_per_connection: int | None = None
    max_retries: int | None = None
    idle_timeout_s: Seconds | None = field(default=None, name="idleTimeout")
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] | None = field(
        default=None, name="h2UpgradePolicy"
    )
    use_client_protocol: bool | None = None
    max_concurrent_streams: int | None = None
    http2_keep_alive: HTTP2KeepAlive | None = field(default=None, name="http2KeepAlive")


class ConnectionPool(Strict, frozen=True, kw_only=True):
    """Connection limits by protocol."""

    tcp: TCPPool | None = None
    http: HTTPPool | None = None


class OutlierDetection(Strict, frozen=True, kw_only=True):
    """When an endpoint is ejected and for how long."""

    consecutive_5xx_errors: int | None = field(default=None, name="consecutive5xxErrors")
    consecutive_errors: int | None = None
    consecutive_gateway_errors: int | None = None
    consecutive_local_origin_failures: int | None = None
    split_external_local_origin_errors: bool = False
    interval_s: Seconds | None = field(default=None, name="interval")
    base_ejection_time_s: Seconds | None = field(default=None, name="baseEjectionTime")
    max_ejection_percent: int | None = None
    min_health_percent: int | None = None
    http_error_codes: tuple[int, ...] = field(default=(), name="outlierDetectionHttpErrorCodes")


class ClientTLS(Strict, frozen=True, kw_only=True):
    """TLS towards an upstream. Files are paths in the proxy."""

    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] = "DISABLE"
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    credential_name: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: bool | None = None


class PortTrafficPolicy(Strict, frozen=True, kw_only=True):
    """A traffic policy for one port; it replaces the policy above it as a whole."""

    port: PortSelector
    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None


class Tunnel(Strict, frozen=True, kw_only=True):
    """Connections go through an HTTP proxy to `target_host:target_port`, by CONNECT or POST."""

    protocol: Literal["CONNECT", "POST"] = "CONNECT"
    target_host: str
    target_port: int


class ProxyProtocol(Strict, frozen=True, kw_only=True):
    """Tell the upstream the client's address by a PROXY protocol header."""

    version: Literal["V1", "V2"] = "V1"


class RetryBudget(Strict, frozen=True, kw_only=True):
    """Retries are at most `percent` of the active requests."""

    percent: float | None = None
    min_retry_concurrency: int | None = None
    budget_interval_s: Seconds | None = field(default=None, name="budgetInterval")


class TrafficPolicy(Strict, frozen=True, kw_only=True):
    """How a destination is called."""

    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None
    port_level_settings: tuple[PortTrafficPolicy, ...] = ()
    tunnel: Tunnel | None = None
    proxy_protocol: ProxyProtocol | None = None
    retry_budget: RetryBudget | None = None


class Subset(Strict, frozen=True, kw_only=True):
    """A named part of a host's endpoints: those that carry `labels`."""

    name: str
    labels: FrozenMap[str, str] = EMPTY
    traffic_policy: TrafficPolicy | None = None


class DestinationRule(Strict, frozen=True, kw_only=True):
    """How clients call `host`, and its subsets."""

    host: str
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()
    workload_selector: WorkloadSelector | None = None

    def __post_init__(self) -> None:
        without_final_dots(self, "host")


def adds_to(rule: Object[DestinationRule], other: Object[DestinationRule], default: tuple[str, ...] = ()) -> bool:
    """Whether what `other` says is for all clients of `rule`, a rule of the same namespace for the same host.

    `default` is who sees rules that do not say so.
    """
    selector = other.spec.workload_selector
    if selector is not None and selector != rule.spec.workload_selector:
        return False
    seeing, others = _clients(rule, default), _clients(other, default)
    return "*" in others or seeing <= others


def _clients(rule: Object[DestinationRule], default: tuple[str, ...]) -> set[str]:
    if rule.spec.workload_selector is not None:
        return {rule.namespace}
    return {rule.namespace if one == "." else one for one in rule.spec.export_to or default or ("*",)}
