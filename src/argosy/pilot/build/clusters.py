"""Outbound clusters: how a class of proxies calls one port (and one subset) of one host.

Automatic mutual TLS is decided for each endpoint: its metadata says whether it speaks mesh mTLS, and the cluster picks
the transport socket by it; a DestinationRule's `tls` overrides.
Source: envoy.config.cluster.v3.Cluster; Istio DestinationRule.
"""

from __future__ import annotations

from typing import Any

from argosy.api.destination_rule import DestinationRule, TrafficPolicy
from argosy.api.meta import Object
from argosy.core.names import (
    BLACKHOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    INBOUND_SOURCE_ADDRESS,
    PASSTHROUGH_CLUSTER,
    inbound_cluster,
    outbound_cluster,
)
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build import tls
from argosy.pilot.build.resource import ENDPOINT, origin_fields, resource
from argosy.pilot.registry import Endpoint, HostPort, HostRecord
from argosy.xds.messages import Resource, ResourceRef

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": {}}
_UNLIMITED = 4294967295
_SOL_SOCKET, _SO_MARK = 1, 36
_LB = {
    "UNSPECIFIED": "LEAST_REQUEST",
    "LEAST_CONN": "LEAST_REQUEST",
    "LEAST_REQUEST": "LEAST_REQUEST",
    "RANDOM": "RANDOM",
    "ROUND_ROBIN": "ROUND_ROBIN",
}


def build_cluster(
    *,
    record: HostRecord,
    port: HostPort,
    subset: str,
    rule: Object[DestinationRule] | None,
    policy: TrafficPolicy,
    assignment: str,
    identities: tuple[str, ...],
    endpoints: tuple[Endpoint, ...],
    connect_timeout_s: float,
) -> Resource:
    """One outbound cluster.

    Shape:   EDS for pods and STATIC entries, STRICT_DNS for DNS entries, ORIGINAL_DST for the rest; `assignment` names
             the endpoints. `identities` are the SPIFFE ids that may answer; `endpoints` are used for DNS only.
    Errors:  none; galley has refused what cannot be built.
    """
    name = outbound_cluster(record.host, port.number, subset)
    fields: dict[str, Any] = {
        "name": name,
        "connect_timeout": v.duration(connect_timeout_s),
        "circuit_breakers": {"thresholds": [_thresholds(policy)]},
        "metadata": v.metadata(argosy={"service": record.host, "subset": subset, **_origin(record, rule)}),
    }
    discovery = _discovery(record, port, policy, assignment, endpoints)
    fields.update(discovery)
    if discovery["lb_policy"] not in ("CLUSTER_PROVIDED",):
        fields.update(_load_balancing(policy))
    _connections(fields, policy, port)
    _outliers(fields, policy)
    _transport(fields, record, port, subset, policy, identities, endpoints)
    eds = ResourceRef(ENDPOINT, assignment) if discovery["type"] == "EDS" else None
    return resource(name, message("envoy.config.cluster.v3.Cluster")(**fields), companion=eds)


def _origin(record: HostRecord, rule: Object[DestinationRule] | None) -> dict[str, str]:
    if rule is not None:
        return origin_fields("DestinationRule", rule.namespace, rule.name, rule.origin)
    return origin_fields(record.kind, record.key.namespace, record.key.name, record.origin)


def is_eds(record: HostRecord, policy: TrafficPolicy) -> bool:
    """True if the host's endpoints are a resource of their own."""
    return record.resolution in ("EDS", "STATIC") and not _is_passthrough(policy)


def _is_passthrough(policy: TrafficPolicy) -> bool:
    return policy.load_balancer is not None and policy.load_balancer.simple == "PASSTHROUGH"


def _discovery(
    record: HostRecord, port: HostPort, policy: TrafficPolicy, assignment: str, endpoints: tuple[Endpoint, ...]
) -> dict[str, Any]:
    if is_eds(record, policy):
        return {
            "type": "EDS",
            "eds_cluster_config": {"eds_config": _ADS, "service_name": assignment},
            "lb_policy": "LEAST_REQUEST",
        }
    if record.resolution == "DNS" and not _is_passthrough(policy):
        hosts = [
            {
                "endpoint": {"address": v.socket_address(one.address, one.port_for(port) or port.number)},
                "load_balancing_weight": v.wrap(one.weight),
            }
            for one in endpoints
        ]
        return {
            "type": "STRICT_DNS",
            "dns_refresh_rate": v.duration(60),
            "respect_dns_ttl": True,
            "dns_lookup_family": "V4_PREFERRED",
            "load_assignment": {"cluster_name": assignment, "endpoints": [{"lb_endpoints": hosts}]},
            "lb_policy": "LEAST_REQUEST",
        }
    return {"type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED"}


def _load_balancing(policy: TrafficPolicy) -> dict[str, Any]:
    balancer = policy.load_balancer
    if balancer is None:
        return {"lb_policy": "LEAST_REQUEST"}
    hashing = balancer.consistent_hash
    if hashing is None:
        return {"lb_policy": _LB[balancer.simple or "UNSPECIFIED"]}
    if hashing.maglev is not None:
        size = hashing.maglev.table_size
        return {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": v.wrap(size)} if size else {}}
    ring = hashing.ring_hash.minimum_ring_size if hashing.ring_hash else hashing.minimum_ring_size
    return {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": v.wrap(ring or 1024)}}


def _thresholds(policy: TrafficPolicy) -> dict[str, Any]:
    pool = policy.connection_pool
    tcp, http = (pool.tcp, pool.http) if pool else (None, None)

    def limit(value: int | None) -> dict[str, int]:
        # Envoy's own defaults (1,024) would be hidden limits; unset means no limit.
        return {"value": value or _UNLIMITED}

    return {
        "max_connections": limit(tcp.max_connections if tcp else None),
        "max_pending_requests": limit(http.http1_max_pending_requests if http else None),
        "max_requests": limit(http.http2_max_requests if http else None),
        "max_retries": limit(http.max_retries if http else None),
        "track_remaining": True,
    }


def _connections(fields: dict[str, Any], policy: TrafficPolicy, port: HostPort) -> None:
    pool = policy.connection_pool
    tcp, http = (pool.tcp, pool.http) if pool else (None, None)
    if tcp is not None:
        if tcp.connect_timeout_s:
            fields["connect_timeout"] = v.duration(tcp.connect_timeout_s)
        alive = tcp.tcp_keepalive
        if alive is not None:
            given = {
                "keepalive_probes": alive.probes,
                "keepalive_time": None if alive.time_s is None else round(alive.time_s),
                "keepalive_interval": None if alive.interval_s is None else round(alive.interval_s),
            }
            keepalive = {name: v.wrap(value) for name, value in given.items() if value is not None}
            fields["upstream_connection_options"] = {"tcp_keepalive": keepalive}
    common: dict[str, Any] = {}
    if http is not None and http.idle_timeout_s is not None:
        common["idle_timeout"] = v.duration(http.idle_timeout_s)
    if http is not None and http.max_requests_per_connection:
        common["max_requests_per_connection"] = v.wrap(http.max_requests_per_connection)
    if tcp is not None and tcp.max_connection_duration_s is not None:
        common["max_connection_duration"] = v.duration(tcp.max_connection_duration_s)
    upgrade = http is not None and http.h2_upgrade_policy == "UPGRADE"
    http2 = port.protocol.is_http2 or (upgrade and port.protocol.is_http)
    client = http is not None and http.use_client_protocol
    if not (common or http2 or client):
        return
    options: dict[str, Any] = {"common_http_protocol_options": common}
    if client:
        options["use_downstream_protocol_config"] = {"http_protocol_options": {}, "http2_protocol_options": {}}
    else:
        version = "http2_protocol_options" if http2 else "http_protocol_options"
        options["explicit_http_config"] = {version: {}}
    fields["typed_extension_protocol_options"] = {_HTTP_KEY: pack(message(_HTTP_OPTIONS)(**options))}


_HTTP_KEY = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def _outliers(fields: dict[str, Any], policy: TrafficPolicy) -> None:
    outlier = policy.outlier_detection
    if outlier is None:
        return
    five_xx = (
        outlier.consecutive_5xx_errors if outlier.consecutive_5xx_errors is not None else outlier.consecutive_errors
    )
    gateway = outlier.consecutive_gateway_errors
    made: dict[str, Any] = {"enforcing_success_rate": v.wrap(0)}
    if five_xx is not None:
        made |= {"consecutive_5xx": v.wrap(five_xx), "enforcing_consecutive_5xx": v.wrap(100 if five_xx else 0)}
    if gateway is not None:
        made["consecutive_gateway_failure"] = v.wrap(gateway)
        made["enforcing_consecutive_gateway_failure"] = v.wrap(100 if gateway else 0)
    if outlier.split_external_local_origin_errors:
        made["split_external_local_origin_errors"] = True
        if outlier.consecutive_local_origin_failures:
            made["consecutive_local_origin_failure"] = v.wrap(outlier.consecutive_local_origin_failures)
    if outlier.interval_s is not None:
        made["interval"] = v.duration(outlier.interval_s)
    if outlier.base_ejection_time_s is not None:
        made["base_ejection_time"] = v.duration(outlier.base_ejection_time_s)
    if outlier.max_ejection_percent is not None:
        made["max_ejection_percent"] = v.wrap(outlier.max_ejection_percent)
    fields["outlier_detection"] = made
    if outlier.min_health_percent is not None:
        fields["common_lb_config"] = {"healthy_panic_threshold": {"value": outlier.min_health_percent}}


def _transport(
    fields: dict[str, Any],
    record: HostRecord,
    port: HostPort,
    subset: str,
    policy: TrafficPolicy,
    identities: tuple[str, ...],
    endpoints: tuple[Endpoint, ...],
) -> None:
    chosen = policy.tls
    sni = f"outbound_.{port.number}_.{subset}_.{record.host}"
    if chosen is not None and chosen.mode in ("SIMPLE", "MUTUAL"):
        fields["transport_socket"] = tls.originate(chosen, sni=chosen.sni, http2=port.protocol.is_http2)
        return
    if chosen is not None and chosen.mode == "DISABLE":
        return
    names = chosen.subject_alt_names if chosen is not None and chosen.subject_alt_names else identities
    socket = tls.mesh_client(identities=names, sni=(chosen.sni if chosen else "") or sni)
    if chosen is not None:
        fields["transport_socket"] = socket
    elif record.resolution == "NONE":
        # Original destinations carry no metadata, so all or none of the pods decide for the cluster.
        if endpoints and all(one.sidecar for one in endpoints):
            fields["transport_socket"] = socket
    elif record.selector:
        fields["transport_socket_matches"] = [
            {"name": "mesh-mtls", "match": v.struct({"tlsMode": "istio"}), "transport_socket": socket},
            {"name": "plaintext", "match": v.struct({}), "transport_socket": _plaintext()},
        ]


def _plaintext() -> dict[str, Any]:
    raw = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    return v.extension("envoy.transport_sockets.raw_buffer", raw)


def build_builtin_clusters(socket_mark: int) -> tuple[Resource, ...]:
    """The clusters that every proxy has: traffic to unknown addresses, refused traffic, and a sidecar's own pod."""
    cluster = message("envoy.config.cluster.v3.Cluster")
    return (
        resource(BLACKHOLE_CLUSTER, cluster(name=BLACKHOLE_CLUSTER, type="STATIC", connect_timeout=v.duration(1))),
        resource(PASSTHROUGH_CLUSTER, cluster(**_original_destination(PASSTHROUGH_CLUSTER))),
        resource(INBOUND_PASSTHROUGH_CLUSTER, cluster(**_own_pod(INBOUND_PASSTHROUGH_CLUSTER, socket_mark))),
    )


def build_inbound_cluster(port: int, socket_mark: int) -> Resource:
    """The cluster by which a sidecar reaches its application on `port`, in the protocol that the client spoke."""
    name = inbound_cluster(port)
    return resource(name, message("envoy.config.cluster.v3.Cluster")(**_own_pod(name, socket_mark)))


def _original_destination(name: str) -> dict[str, Any]:
    options = message(_HTTP_OPTIONS)(
        use_downstream_protocol_config={"http_protocol_options": {}, "http2_protocol_options": {}}
    )
    return {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": v.duration(10),
        "circuit_breakers": {"thresholds": [_thresholds(TrafficPolicy())]},
        "metadata": v.metadata(argosy={"service": name}),
        "typed_extension_protocol_options": {_HTTP_KEY: pack(options)},
    }


def _own_pod(name: str, socket_mark: int) -> dict[str, Any]:
    # Without this source address the connection to the own pod would be captured again, for ever. The bootstrap's
    # socket options (the mark, where users cannot be told apart) do not apply to a cluster that binds by itself.
    binding: dict[str, Any] = {"source_address": {"address": INBOUND_SOURCE_ADDRESS, "port_value": 0}}
    if socket_mark:
        binding["socket_options"] = [
            {"level": _SOL_SOCKET, "name": _SO_MARK, "int_value": socket_mark, "state": "STATE_PREBIND"}
        ]
    return {**_original_destination(name), "upstream_bind_config": binding}
