"""Clusters that every proxy has, whatever is declared: unknown addresses, refused traffic, the proxy's own pod.

Source: envoy.config.cluster.v3.Cluster; Istio's PassthroughCluster, BlackHoleCluster, inbound clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from argosy.api.destination_rule import ConnectionPool, HTTPPool
from argosy.core.names import (
    BLACKHOLE_CLUSTER,
    DIRECT_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    INBOUND_SOURCE_ADDRESS,
    PASSTHROUGH_CLUSTER,
    inbound_cluster,
)
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build import cluster_policy, tls
from argosy.pilot.build.resource import resource
from argosy.xds.messages import Resource

_CLUSTER = "envoy.config.cluster.v3.Cluster"
_SOL_SOCKET, _SO_MARK = 1, 36
_CONNECT_TIMEOUT_S = 10.0
_DIRECT_NAME = "direct.pod"
_ANY_ADDRESS = "0.0.0.0"
# Servers close idle connections, many after 5 s: the proxy does so before them, so that no request meets the end.
_INBOUND_IDLE_S = 4.0


def build_builtin_clusters(socket_mark: int, *, direct_domains: Sequence[str] = ()) -> tuple[Resource, ...]:
    """The clusters that every proxy has. `direct_domains`: the trust domains of pods that are called by address, if
    those are called under mutual TLS."""
    cluster = message(_CLUSTER)
    own = _own_pod(INBOUND_PASSTHROUGH_CLUSTER, socket_mark)
    return (
        resource(BLACKHOLE_CLUSTER, cluster(**_nowhere())),
        resource(PASSTHROUGH_CLUSTER, cluster(**_original_destination(PASSTHROUGH_CLUSTER, None, None))),
        resource(INBOUND_PASSTHROUGH_CLUSTER, cluster(**own)),
        *([_direct(direct_domains)] if direct_domains else []),
    )


def _nowhere() -> dict[str, Any]:
    """What is refused; it is counted under its own name."""
    return {
        "name": BLACKHOLE_CLUSTER,
        "type": "STATIC",
        "connect_timeout": v.duration(1),
        "metadata": v.metadata(argosy={"service": BLACKHOLE_CLUSTER}),
    }


def _direct(trust_domains: Sequence[str]) -> Resource:
    """Pods of the mesh by their addresses. An address names nobody: any workload of the mesh may answer."""
    fields = _original_destination(DIRECT_CLUSTER, None, None)
    socket = tls.mesh_client(identities=(), sni=_DIRECT_NAME, alpn=tls.MESH_HTTP_ALPN, trust_domains=trust_domains)
    # It is counted as what passes through: nobody declared what is called.
    fields["metadata"] = v.metadata(argosy={"service": PASSTHROUGH_CLUSTER})
    return resource(DIRECT_CLUSTER, message(_CLUSTER)(**fields, transport_socket=socket))


def build_inbound_cluster(
    port: int, socket_mark: int, *, pool: ConnectionPool | None = None, endpoint: str = "", http1: bool = False
) -> Resource:
    """The cluster by which a sidecar reaches its application on `port`, in the protocol that the client spoke.

    `pool`: limits of a Sidecar; `endpoint`: where the application listens instead (`127.0.0.1:8080`, `:8080`, `unix://path`);
    `http1`: the application speaks HTTP/1, even where clients' proxies upgrade to HTTP/2 (unless the pool says so).
    """
    name = inbound_cluster(port)
    return resource(name, message(_CLUSTER)(**_own_pod(name, socket_mark, pool, endpoint, http1=http1)))


def _original_destination(
    name: str, pool: ConnectionPool | None, idle_s: float | None, *, http1: bool = False
) -> dict[str, Any]:
    common: dict[str, Any] = {"idle_timeout": v.duration(idle_s)} if idle_s else {}
    tcp, http = (pool.tcp, pool.http) if pool else (None, None)
    if http is not None and http.idle_timeout_s is not None:
        common["idle_timeout"] = v.duration(http.idle_timeout_s)
    if http is not None and http.max_requests_per_connection:
        common["max_requests_per_connection"] = v.wrap(http.max_requests_per_connection)
    if tcp is not None and tcp.max_connection_duration_s is not None:
        common["max_connection_duration"] = v.duration(tcp.max_connection_duration_s)
    options = message(cluster_policy.HTTP_OPTIONS_KEY)(
        common_http_protocol_options=common, **_application_protocol(http, http1=http1)
    )
    return {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": v.duration(_CONNECT_TIMEOUT_S),
        "circuit_breakers": {"thresholds": [cluster_policy.thresholds(pool)]},
        "metadata": v.metadata(argosy={"service": name}),
        "typed_extension_protocol_options": {cluster_policy.HTTP_OPTIONS_KEY: pack(options)},
        **cluster_policy.tcp_connections(tcp, None),
    }


def _application_protocol(http: HTTPPool | None, *, http1: bool) -> dict[str, Any]:
    """How the application is called: as the client called, where nobody says otherwise."""
    options1, options2 = cluster_policy.http1_options(), cluster_policy.http2_options(http)
    if http is not None and http.h2_upgrade_policy == "UPGRADE":
        return {"explicit_http_config": {"http2_protocol_options": options2}}
    if http1 and not (http is not None and http.use_client_protocol):
        return {"explicit_http_config": {"http_protocol_options": options1}}
    return {"use_downstream_protocol_config": {"http_protocol_options": options1, "http2_protocol_options": options2}}


def _own_pod(
    name: str, socket_mark: int, pool: ConnectionPool | None = None, endpoint: str = "", *, http1: bool = False
) -> dict[str, Any]:
    fields = _original_destination(name, pool, _INBOUND_IDLE_S, http1=http1)
    # Without this source address the connection to the own pod would be captured again, for ever. The bootstrap's
    # socket options (the mark, where users cannot be told apart) do not apply to a cluster that binds by itself.
    binding: dict[str, Any] = {"source_address": {"address": INBOUND_SOURCE_ADDRESS, "port_value": 0}}
    if socket_mark:
        binding["socket_options"] = [
            {"level": _SOL_SOCKET, "name": _SO_MARK, "int_value": socket_mark, "state": "STATE_PREBIND"}
        ]
    if endpoint.startswith("unix://"):
        return {**fields, **_static(name, {"pipe": {"path": endpoint.removeprefix("unix://")}})}
    if endpoint:
        host, _colon, port = endpoint.rpartition(":")
        fields |= _static(name, v.socket_address(host or _ANY_ADDRESS, int(port)))
    return {**fields, "upstream_bind_config": binding}


def _static(name: str, address: dict[str, Any]) -> dict[str, Any]:
    host = {"lb_endpoints": [{"endpoint": {"address": address}}]}
    assignment = {"cluster_name": name, "endpoints": [host]}
    return {"type": "STATIC", "lb_policy": "ROUND_ROBIN", "load_assignment": assignment}
