"""Outbound listeners of sidecars: the capturing one, and one for each port (HTTP) or address and port (TCP).

HTTP services of one port share `0.0.0.0:<port>`, because their routes tell them apart by host. What is not HTTP on
such a port goes on to its original destination, and TCP services get a listener on their own address, which Envoy
prefers: so an HTTP service never steals another service's traffic.
Source: envoy.config.listener.v3.Listener; Istio's capture design.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argosy.core.names import BLACKHOLE_CLUSTER, OUTBOUND_PORT, PASSTHROUGH_CLUSTER
from argosy.envoy import values as v
from argosy.envoy.api import message
from argosy.pilot.build import filters, telemetry
from argosy.pilot.build.resource import resource
from argosy.xds.messages import Resource

_LISTENER = "envoy.config.listener.v3.Listener"
_HTTP_INSPECTOR = "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"
_TLS_INSPECTOR = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
_DETECTION_TIMEOUT_S = 5.0


def tls_inspector() -> dict[str, Any]:
    """Reads server name and ALPN of a TLS greeting."""
    return v.extension("envoy.filters.listener.tls_inspector", _TLS_INSPECTOR)


def http_inspector() -> dict[str, Any]:
    """Tells plain HTTP from other protocols by the first bytes."""
    return v.extension("envoy.filters.listener.http_inspector", _HTTP_INSPECTOR)


def build_capture_listener(*, log: bool) -> Resource:
    """`virtualOutbound`: takes all captured connections, hands them to the port's listener, passes on the rest."""
    name = "virtualOutbound"
    blackhole = {
        "filter_chain_match": {"destination_port": v.wrap(OUTBOUND_PORT)},
        "name": "virtualOutbound-blackhole",
        "filters": [_tcp(BLACKHOLE_CLUSTER, {BLACKHOLE_CLUSTER: 1}, log=log)],
    }
    made = message(_LISTENER)(
        name=name,
        address=v.socket_address("0.0.0.0", OUTBOUND_PORT),
        use_original_dst=v.wrap(True),
        traffic_direction="OUTBOUND",
        filter_chains=[blackhole],
        default_filter_chain={"name": "passthrough", "filters": [_passthrough(log=log)]},
    )
    return resource(name, made, clusters=(BLACKHOLE_CLUSTER, PASSTHROUGH_CLUSTER))


def _passthrough(*, log: bool) -> Any:
    return _tcp(PASSTHROUGH_CLUSTER, {PASSTHROUGH_CLUSTER: 1}, log=log)


def _tcp(stat_prefix: str, clusters: Mapping[str, int], *, log: bool, idle_timeout_s: float = 0) -> Any:
    loggers = telemetry.access_loggers(telemetry.source_tags("tcp"), log=log)
    return filters.tcp_proxy(
        stat_prefix=stat_prefix, clusters=clusters, access_log=loggers, idle_timeout_s=idle_timeout_s
    )


def build_http_listener(port: int, *, log: bool) -> Resource:
    """The listener that all HTTP services on `port` share; routes come as the route configuration `<port>`."""
    name = f"0.0.0.0_{port}"
    manager = filters.http_connection_manager(
        stat_prefix=f"outbound_{name}",
        access_log=telemetry.access_loggers(telemetry.source_tags("http"), log=log),
        route_name=str(port),
        http_filters=[filters.fault_filter()],
    )
    made = message(_LISTENER)(
        name=name,
        address=v.socket_address("0.0.0.0", port),
        bind_to_port=v.wrap(False),
        traffic_direction="OUTBOUND",
        listener_filters=[http_inspector()],
        listener_filters_timeout=v.duration(_DETECTION_TIMEOUT_S),
        continue_on_listener_filters_timeout=True,
        filter_chains=[
            {
                "name": "http",
                "filter_chain_match": {"application_protocols": ["http/1.0", "http/1.1", "h2c"]},
                "filters": [manager],
            }
        ],
        default_filter_chain={"name": "not-http", "filters": [_passthrough(log=log)]},
    )
    return resource(name, made, clusters=(PASSTHROUGH_CLUSTER,))


def build_tcp_listener(
    *,
    address: str,
    port: int,
    host: str,
    clusters: Mapping[str, int],
    origin: Mapping[str, str],
    idle_timeout_s: float,
    log: bool,
) -> Resource:
    """The listener of one TCP service on its own address."""
    name = f"{address}_{port}"
    proxy = _tcp(f"outbound|{port}||{host}", clusters, idle_timeout_s=idle_timeout_s, log=log)
    made = message(_LISTENER)(
        name=name,
        address=v.socket_address(address, port),
        bind_to_port=v.wrap(False),
        traffic_direction="OUTBOUND",
        metadata=v.metadata(argosy={"service": host, **origin}),
        filter_chains=[{"name": host, "filters": [proxy]}],
    )
    return resource(name, made, clusters=clusters)
