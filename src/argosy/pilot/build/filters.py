"""The one place that builds HTTP connection managers and TCP proxies, so that hardening holds for every listener.

Source: envoy.extensions.filters.network.http_connection_manager.v3; path normalisation as Istio's BASE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from argosy.envoy import values as v
from argosy.envoy.api import message, pack

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TCP = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_FILTER = "envoy.config.listener.v3.Filter"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_FAULT = "envoy.extensions.filters.http.fault.v3.HTTPFault"
ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": {}}


def http_connection_manager(
    *,
    stat_prefix: str,
    access_log: Sequence[Any],
    route_name: str = "",
    route_config: Any = None,
    http_filters: Sequence[Any] = (),
    edge: bool = False,
    mtls: bool = False,
) -> Any:
    """An HTTP connection manager filter: routes by `route_name` over ADS, or inline by `route_config`.

    `edge` is a gateway facing clients that are not trusted; `mtls` forwards the verified peer to the application.
    """
    fields: dict[str, Any] = {
        "stat_prefix": stat_prefix,
        "http_filters": [*http_filters, _http("envoy.filters.http.router", _ROUTER)],
        "access_log": list(access_log),
        "normalize_path": v.wrap(True),
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "strip_trailing_host_dot": True,
        "generate_request_id": v.wrap(True),
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": v.duration(0),
        "http_protocol_options": {"accept_http_10": True},
        "server_name": "istio-envoy",
        "server_header_transformation": "OVERWRITE" if edge else "PASS_THROUGH",
        "use_remote_address": v.wrap(edge),
    }
    if edge:
        fields["request_headers_timeout"] = v.duration(60)
        fields["common_http_protocol_options"] = {
            "headers_with_underscores_action": "REJECT_REQUEST",
            "idle_timeout": v.duration(3600),
        }
        fields["forward_client_cert_details"] = "SANITIZE_SET"
    elif mtls:
        fields["forward_client_cert_details"] = "APPEND_FORWARD"
        fields["set_current_client_cert_details"] = {"subject": v.wrap(True), "uri": True, "dns": True}
    if route_config is not None:
        fields["route_config"] = route_config
    else:
        fields["rds"] = {"route_config_name": route_name, "config_source": ADS}
    return network_filter("envoy.filters.network.http_connection_manager", message(_HCM)(**fields))


def fault_filter() -> Any:
    """The fault filter without a fault of its own; routes bring theirs."""
    return _http("envoy.filters.http.fault", _FAULT)


def _http(name: str, type_name: str) -> Any:
    return http_filter(name, message(type_name)())


def http_filter(name: str, config: Any, *, disabled: bool = False) -> Any:
    """One HTTP filter; a disabled one works only on routes that have settings for it."""
    made = message("envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter")
    return made(name=name, typed_config=pack(config), disabled=disabled)


def network_filter(name: str, config: Any) -> Any:
    """One network filter."""
    return message(_FILTER)(name=name, typed_config=pack(config))


def tcp_proxy(
    *, stat_prefix: str, clusters: Mapping[str, int], access_log: Sequence[Any], idle_timeout_s: float = 0
) -> Any:
    """A TCP proxy to one cluster, or to several by weight (one choice for each connection)."""
    fields: dict[str, Any] = {"stat_prefix": stat_prefix, "access_log": list(access_log)}
    if idle_timeout_s:
        fields["idle_timeout"] = v.duration(idle_timeout_s)
    if len(clusters) == 1:
        fields["cluster"] = next(iter(clusters))
    else:
        weighted = [{"name": name, "weight": weight} for name, weight in clusters.items() if weight]
        fields["weighted_clusters"] = {"clusters": weighted}
    return network_filter("envoy.filters.network.tcp_proxy", message(_TCP)(**fields))
