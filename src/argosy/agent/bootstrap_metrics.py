"""The part of a proxy's bootstrap that tells what it counts: listeners for those who scrape, and who answers them.

Given a pod's plan. The agent answers, on a socket in the proxy's own directory: it puts together what Envoy says of
itself, what Mixer makes of its counts, and the application's page, which it asks for through Envoy on another socket.
Source: Istio's ports 15020, 15090, 15091, 15092; envoy.config.listener.v3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argosy.agent.pod import Metrics
from argosy.core.names import ENVOY_METRICS_PORT, MERGED_METRICS_PORT, SCRAPE_TARGETS_PORT

METRICS_SOCKET = "metrics.sock"
"""Where the agent answers."""
APPLICATION_SOCKET = "application.sock"
"""Where Envoy passes on what the agent asks of the application."""
PAGE = "/stats/prometheus"
MERGED_PAGE = "/merged"
TARGETS_PAGE = "/prometheus/targets"
_CLUSTER, _APPLICATION = "argosy-metrics", "argosy-application"
_TYPES = "type.googleapis.com/envoy"
_MANAGER = f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TLS = f"{_TYPES}.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_EVERYWHERE, _HERE = "0.0.0.0", "127.0.0.1"


def metrics_clusters(metrics: Metrics, directory: str) -> list[dict[str, Any]]:
    """The agent, and the application where it tells something."""
    agent = {"pipe": {"path": f"{directory}/{METRICS_SOCKET}"}}
    application = {"socket_address": {"address": _HERE, "port_value": metrics.port}}
    return [_cluster(_CLUSTER, agent), *([_cluster(_APPLICATION, application)] if metrics.merges else [])]


def metrics_listeners(
    metrics: Metrics, directory: str, health: Mapping[str, Any], tls: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """All listeners. `health`: the route that tells whether the proxy is ready; `tls`: the pod's own context."""
    where = _HERE if metrics.local_only else _EVERYWHERE
    own = [_route(PAGE, _CLUSTER, PAGE)]
    merged = [_route(PAGE, _CLUSTER, MERGED_PAGE)]
    made = [
        _listener("argosy-metrics", _address(where, ENVOY_METRICS_PORT), own),
        _listener("argosy-merged-metrics", _address(where, MERGED_METRICS_PORT), [*merged, dict(health)]),
    ]
    for name, port, routes in (("", metrics.secure_port, own), ("-merged", metrics.secure_merged_port, merged)):
        if port:
            made.append(_listener(f"argosy-secure{name}-metrics", _address(_EVERYWHERE, port), routes, tls))
    if metrics.merges:
        pipe = {"pipe": {"path": f"{directory}/{APPLICATION_SOCKET}", "mode": 0o600}}
        made.append(_listener(_APPLICATION, pipe, [_route(PAGE, _APPLICATION, metrics.path)]))
    if metrics.targets:
        routes = [_route(TARGETS_PAGE, _CLUSTER, TARGETS_PAGE)]
        made.append(_listener("argosy-scrape-targets", _address(_HERE, SCRAPE_TARGETS_PORT), routes))
    return made


def _cluster(name: str, address: Mapping[str, Any]) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": dict(address)}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def _address(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


def _route(path: str, cluster: str, becomes: str) -> dict[str, Any]:
    get = {"name": ":method", "string_match": {"exact": "GET"}}
    action = {"cluster": cluster, "timeout": "15s", "prefix_rewrite": becomes}
    return {"match": {"path": path, "headers": [get]}, "route": action}


def _listener(
    name: str, address: Mapping[str, Any], routes: list[Any], tls: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    manager = {
        "@type": _MANAGER,
        "stat_prefix": name,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "strip_trailing_host_dot": True,
        "request_headers_timeout": "5s",
        "common_http_protocol_options": {"idle_timeout": "120s", "headers_with_underscores_action": "REJECT_REQUEST"},
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    chain: dict[str, Any] = {
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    }
    if tls is not None:
        context = {"@type": _TLS, "common_tls_context": dict(tls), "require_client_certificate": True}
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    return {"name": name, "address": dict(address), "filter_chains": [chain]}
