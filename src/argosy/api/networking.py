"""`networking.istio.io`: DestinationRule, Gateway, ServiceEntry, and what VirtualService shares with them.

Typed, frozen, strict shapes; no defaults from settings and no meaning. VirtualService lives in `routing`.
Source: Istio's API, networking v1.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import field

from argosy.api.meta import Object, Seconds, Strict
from argosy.core.frozen import EMPTY, FrozenMap

NO_PORTS: FrozenMap[str, int] = FrozenMap()


class HTTPCookie(Strict, frozen=True, kw_only=True):
    """Hash by a cookie; it is generated for `ttl_s` seconds when the request has none (None: never)."""

    not_yet = frozenset({"attributes"})
    name: str
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


class LoadBalancer(Strict, frozen=True, kw_only=True):
    """`simple` or `consistent_hash`, not both."""

    not_yet = frozenset({"localityLbSetting", "warmup", "warmupDurationSecs", "zoneAwareLbSetting"})
    simple: Literal["UNSPECIFIED", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "ROUND_ROBIN", "LEAST_REQUEST"] | None = None
    consistent_hash: ConsistentHash | None = None


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


class HTTPPool(Strict, frozen=True, kw_only=True):
    """Limits of requests to one destination."""

    not_yet = frozenset({"http2KeepAlive", "maxConcurrentStreams"})
    http1_max_pending_requests: int | None = field(default=None, name="http1MaxPendingRequests")
    http2_max_requests: int | None = field(default=None, name="http2MaxRequests")
    max_requests_per_connection: int | None = None
    max_retries: int | None = None
    idle_timeout_s: Seconds | None = field(default=None, name="idleTimeout")
    h2_upgrade_policy: Literal["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"] | None = field(
        default=None, name="h2UpgradePolicy"
    )
    use_client_protocol: bool | None = None


class ConnectionPool(Strict, frozen=True, kw_only=True):
    """Connection limits by protocol."""

    tcp: TCPPool | None = None
    http: HTTPPool | None = None


class OutlierDetection(Strict, frozen=True, kw_only=True):
    """When an endpoint is ejected and for how long."""

    not_yet = frozenset({"outlierDetectionHttpErrorCodes"})
    consecutive_5xx_errors: int | None = field(default=None, name="consecutive5xxErrors")
    consecutive_errors: int | None = None
    consecutive_gateway_errors: int | None = None
    consecutive_local_origin_failures: int | None = None
    split_external_local_origin_errors: bool = False
    interval_s: Seconds | None = field(default=None, name="interval")
    base_ejection_time_s: Seconds | None = field(default=None, name="baseEjectionTime")
    max_ejection_percent: int | None = None
    min_health_percent: int | None = None


class ClientTLS(Strict, frozen=True, kw_only=True):
    """TLS towards an upstream. Files are paths in the proxy."""

    not_yet = frozenset({"caCrl", "credentialName"})
    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] = "DISABLE"
    client_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    subject_alt_names: tuple[str, ...] = ()
    sni: str = ""
    insecure_skip_verify: bool | None = None


class PortSelector(Strict, frozen=True, kw_only=True):
    """A port of a service, by number."""

    number: int


class PortTrafficPolicy(Strict, frozen=True, kw_only=True):
    """A traffic policy for one port; it replaces the policy above it as a whole."""

    port: PortSelector
    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None


class TrafficPolicy(Strict, frozen=True, kw_only=True):
    """How a destination is called."""

    not_yet = frozenset({"proxyProtocol", "retryBudget", "tunnel"})
    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None
    port_level_settings: tuple[PortTrafficPolicy, ...] = ()


class Subset(Strict, frozen=True, kw_only=True):
    """A named part of a host's endpoints: those that carry `labels`."""

    name: str
    labels: FrozenMap[str, str] = EMPTY
    traffic_policy: TrafficPolicy | None = None


class DestinationRule(Strict, frozen=True, kw_only=True):
    """How clients call `host`, and its subsets."""

    not_yet = frozenset({"workloadSelector"})
    host: str
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ()


class Port(Strict, frozen=True, kw_only=True):
    """A port of a gateway's server or of a service entry."""

    number: int
    name: str
    protocol: str = ""
    target_port: int | None = None


class ServerTLS(Strict, frozen=True, kw_only=True):
    """TLS towards a gateway's clients. Files are paths in the gateway; `credential_name` is a Secret beside it."""

    not_yet = frozenset(
        {
            "caCertCredentialName",
            "caCrl",
            "credentialNames",
            "insecureSkipVerify",
            "subjectAltNames",
            "tlsCertificates",
            "verifyCertificateHash",
            "verifyCertificateSpki",
        }
    )
    not_yet_values: ClassVar[dict[str, frozenset[str]]] = {"mode": frozenset({"AUTO_PASSTHROUGH"})}
    mode: Literal["PASSTHROUGH", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"] = "PASSTHROUGH"
    https_redirect: bool = False
    credential_name: str = ""
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    min_protocol_version: Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"] = "TLS_AUTO"
    max_protocol_version: Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"] = "TLS_AUTO"
    cipher_suites: tuple[str, ...] = ()


class Server(Strict, frozen=True, kw_only=True):
    """One listening port of a gateway and the hosts that it serves (`[namespace/]host`)."""

    not_yet = frozenset({"bind", "defaultEndpoint"})
    port: Port
    hosts: tuple[str, ...]
    tls: ServerTLS | None = None
    name: str = ""


class Gateway(Strict, frozen=True, kw_only=True):
    """Servers on the gateway pods that `selector` selects."""

    selector: FrozenMap[str, str] = EMPTY
    servers: tuple[Server, ...] = ()


class WorkloadEndpoint(Strict, frozen=True, kw_only=True):
    """One address of a service entry."""

    not_yet = frozenset({"network"})
    address: str = ""
    ports: FrozenMap[str, int] = NO_PORTS
    labels: FrozenMap[str, str] = EMPTY
    service_account: str = ""
    locality: str = ""
    weight: int | None = None


class LabelSelector(Strict, frozen=True, kw_only=True):
    """A service entry's selector of pods (its field is `labels`, not `matchLabels`)."""

    labels: FrozenMap[str, str] = EMPTY


class ServiceEntry(Strict, frozen=True, kw_only=True):
    """Hosts that the platform does not know, and where they are."""

    not_yet = frozenset({"exportTo", "subjectAltNames"})
    not_yet_values: ClassVar[dict[str, frozenset[str]]] = {"resolution": frozenset({"DNS_ROUND_ROBIN", "DYNAMIC_DNS"})}
    hosts: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Literal["NONE", "STATIC", "DNS"] = "NONE"
    endpoints: tuple[WorkloadEndpoint, ...] = ()
    workload_selector: LabelSelector | None = None


def allocated_addresses(entry: Object[ServiceEntry]) -> FrozenMap[str, str]:
    """Host -> address that Galley chose for hosts of a service entry without addresses (`status.addresses`)."""
    chosen = entry.status.get("addresses", ())
    return FrozenMap({item["host"]: item["value"] for item in chosen})
