"""The one place that builds HTTP connection managers and TCP proxies, so that hardening holds for every listener.

Source: envoy.extensions.filters.network.http_connection_manager.v3; path normalisation as Istio's BASE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from argosy.api.destination_rule import Tunnel
from argosy.envoy import values as v
from argosy.envoy.api import TYPE_PREFIX, message, pack
from argosy.pilot.build import report
from argosy.pilot.build.cluster_policy import http1_options
from argosy.pilot.build.tls import MESH_ALPN
from argosy.pilot.build.tracing import tracing_fields
from argosy.pilot.mesh import MeshSettings

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TCP = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
_FILTER_STATE = "envoy.extensions.filters.network.set_filter_state.v3.Config"
_FILTER = "envoy.config.listener.v3.Filter"
_HEADERS = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
_EARLY_HEADERS = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
_BY_HEADER = "envoy.extensions.http.original_ip_detection.custom_header.v3.CustomHeaderConfig"
_BY_XFF = "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_CORS = "envoy.extensions.filters.http.cors.v3.Cors"
_FAULT = "envoy.extensions.filters.http.fault.v3.HTTPFault"
_COUNTER = "envoy.filters.http.grpc_stats"
_MESSAGES = "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
_LIMIT = "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit"
CONNECTIONS_MAX = 10_000
"""Connections of one chain of a gateway; all of a proxy's are bounded in its bootstrap."""
_EARLY_BYTES = 64 * 1024
TCP_IDLE_S = 3600.0
"""After how long without a byte a TCP connection is closed, where nobody says otherwise. The client's side does it."""
HTTP10_HOST = "no-host.http10"
"""The host of an HTTP/1.0 request that names none. Nobody declares it, so it goes where it was sent to."""
# A client's side closes an idle connection after an hour; the server's side waits longer, so that it never does so just
# as a request comes.
_SERVER_IDLE_S = 3900.0
ADS: dict[str, Any] = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": {}}
# What an application asks of its own sidecar in headers (`x-envoy-upstream-rq-timeout-ms`) counts. Envoy heeds them of
# "internal" clients only, which it tells by the connection's address. All else stays as it came: no address is added
# to `x-forwarded-for`, and with one trusted hop `x-forwarded-proto` and the request's id are kept.
_ANYWHERE = {"cidr_ranges": [v.cidr("0.0.0.0/0"), v.cidr("::/0")]}
_OWN_CLIENT: dict[str, Any] = {
    "use_remote_address": v.wrap(True),
    "internal_address_config": _ANYWHERE,
    "xff_num_trusted_hops": 1,
    "skip_xff_append": True,
    "preserve_external_request_id": True,
}


CLIENT_ADDRESS = "x-argosy-client-address"
"""The client's address as the gateway determined it, once, at the edge; servers believe it of mesh proxies only."""
_NOBODY = {"cidrs": [v.cidr("255.255.255.255/32")]}


def http_connection_manager(
    *,
    stat_prefix: str,
    access_log: Sequence[Any],
    settings: MeshSettings,
    route_name: str = "",
    route_config: Any = None,
    http_filters: Sequence[Any] = (),
    edge: bool = False,
    mtls: bool = False,
    named: bool = False,
    own: bool = False,
) -> Any:
    """An HTTP connection manager filter: routes by `route_name` over ADS, or inline by `route_config`.

    `edge` is a gateway facing clients that are not trusted; `mtls` forwards the verified peer to the application;
    `named`: answers carry the proxy's name, as those of a gateway do; `own`: the only client is the pod's application.
    """
    fields: dict[str, Any] = {
        "stat_prefix": stat_prefix,
        "http_filters": [
            *(_told_client() if edge else ()),
            *http_filters,
            _message_counter(),
            _http("envoy.filters.http.router", _ROUTER),
        ],
        "access_log": [*access_log, _reports(settings, inbound=not (edge or own))],
        **_normalization(settings.config.path_normalization.normalization, edge=edge),
        "strip_trailing_host_dot": True,
        "generate_request_id": v.wrap(True),
        **tracing_fields(settings, edge=edge, inbound=not own),
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "stream_idle_timeout": v.duration(0),
        "http_protocol_options": {
            "accept_http_10": True,
            "default_host_for_http_10": HTTP10_HOST,
            **http1_options(),
        },
        # A WebSocket inside of HTTP/2 is an extended CONNECT.
        "http2_protocol_options": {"allow_connect": True},
        "server_name": "istio-envoy",
        "server_header_transformation": "OVERWRITE" if edge or named else "PASS_THROUGH",
        "use_remote_address": v.wrap(edge),
        "common_http_protocol_options": {"idle_timeout": v.duration(_SERVER_IDLE_S)},
    }
    if own:
        fields.update(_OWN_CLIENT)
    if not edge:
        fields.update(_client(own=own, mtls=mtls))
    if edge:
        fields |= _edge_profile()
        if hops := settings.config.default_config.trusted_proxies:
            fields["xff_num_trusted_hops"] = hops
    elif mtls:
        # What a caller says of earlier hops nobody vouches for: unless asked to, only this hop's certificate is told.
        chosen = settings.config.default_config.proxy_headers.forwarded_client_cert
        fields["forward_client_cert_details"] = "SANITIZE_SET" if chosen == "UNDEFINED" else chosen
        fields["set_current_client_cert_details"] = {"subject": v.wrap(True), "uri": True, "dns": True}
    if route_config is not None:
        fields["route_config"] = route_config
    else:
        fields["rds"] = {"route_config_name": route_name, "config_source": ADS}
    return network_filter("envoy.filters.network.http_connection_manager", message(_HCM)(**fields))


def _reports(settings: MeshSettings, *, inbound: bool) -> Any:
    return report.report_logger(report.INBOUND if inbound else report.OUTBOUND, settings.reported, http=True)


def _message_counter() -> Any:
    """Counts the messages of gRPC streams, for what is counted when they end. It costs requests of all kinds as much as
    half of the counting does, so it works only where routes ask for it."""
    return http_filter(_COUNTER, message(_MESSAGES)(emit_filter_state=True), disabled=True)


def counted_messages() -> dict[str, Any]:
    """Settings of a virtual host that is called by gRPC, or may be."""
    # The filter takes no settings of routes; those that are optional wake it all the same.
    made = message("envoy.config.route.v3.FilterConfig")
    return {_COUNTER: pack(made(is_optional=True, config=pack(message(_MESSAGES)())))}


def _told_client() -> list[Any]:
    """A gateway tells servers whose request it is, whatever the client says. Before policies, which may log it."""
    header = {"key": CLIENT_ADDRESS, "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}
    change = {"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    made = message(_HEADERS)(mutations={"request_mutations": [change]})
    return [http_filter("envoy.filters.http.header_mutation", made)]


def _client(*, own: bool, mtls: bool) -> dict[str, Any]:
    """Whose request it is, at a sidecar.

    A peer of the mesh is a gateway, which tells it, or a sidecar, which takes from its application whatever looks like
    it. Of anybody else, and of `x-forwarded-for`, which any caller can write, nothing is believed: it is who connects.
    """
    if mtls:
        made = message(_BY_HEADER)(header_name=CLIENT_ADDRESS, allow_extension_to_set_address_as_trusted=True)
        detection = {"name": "envoy.http.original_ip_detection.custom_header", "typed_config": pack(made)}
        return {"original_ip_detection_extensions": [detection]}
    dropped = message(_EARLY_HEADERS)(mutations=[{"remove": CLIENT_ADDRESS}])
    early = {"name": "envoy.http.early_header_mutation.header_mutation", "typed_config": pack(dropped)}
    found: dict[str, Any] = {"early_header_mutation_extensions": [early]}
    if not own:
        # Without an extension it would be the last of `x-forwarded-for`.
        made = message(_BY_XFF)(xff_trusted_cidrs=_NOBODY)
        detection = {"name": "envoy.http.original_ip_detection.xff", "typed_config": pack(made)}
        found["original_ip_detection_extensions"] = [detection]
    return found


def _edge_profile() -> dict[str, Any]:
    """What stands between clients that nobody knows and a gateway. Times in seconds, sizes in bytes.

    There is no `request_timeout`: it would cut uploads and client streams that take longer; what stands still is cut.
    Source: Envoy's best practices for edge proxies.
    """
    return {
        "request_headers_timeout": v.duration(60),
        "stream_idle_timeout": v.duration(300),
        "common_http_protocol_options": {
            "headers_with_underscores_action": "REJECT_REQUEST",
            "idle_timeout": v.duration(3600),
        },
        "http2_protocol_options": {
            "allow_connect": True,
            "max_concurrent_streams": v.wrap(100),
            "initial_stream_window_size": v.wrap(64 * 1024),
            "initial_connection_window_size": v.wrap(1024 * 1024),
        },
        "forward_client_cert_details": "SANITIZE_SET",
        # No address makes a client one of ours: x-envoy-* headers are taken from nobody.
        "internal_address_config": {"unix_sockets": False},
    }


def _normalization(mode: str, *, edge: bool) -> dict[str, Any]:
    """How paths are normalised before routes and policies look at them.

    Where the mesh says nothing (`DEFAULT`), slashes are merged everywhere, and gateways send clients that escape them
    to the plain path.
    """
    if mode == "NONE":
        return {"normalize_path": v.wrap(False)}
    escaped = "KEEP_UNCHANGED"
    if mode == "DECODE_AND_MERGE_SLASHES":
        escaped = "UNESCAPE_AND_FORWARD"
    elif mode == "DEFAULT" and edge:
        escaped = "UNESCAPE_AND_REDIRECT"
    made = {"normalize_path": v.wrap(True), "path_with_escaped_slashes_action": escaped}
    return made if mode == "BASE" else {**made, "merge_slashes": True}


SLEEPING = frozenset({"envoy.filters.http.cors", "envoy.filters.http.fault", _COUNTER})
"""Filters that work only where routes have settings for them, unless an EnvoyFilter configures them."""


def route_filters() -> list[Any]:
    """The filters that routes have settings for. Where they have none, they are not even made for a request."""
    return [
        http_filter("envoy.filters.http.cors", message(_CORS)(), disabled=True),
        http_filter("envoy.filters.http.fault", message(_FAULT)(), disabled=True),
    ]


def _http(name: str, type_name: str) -> Any:
    return http_filter(name, message(type_name)())


def connection_limit(stat_prefix: str) -> Any:
    """A filter that closes connections beyond `CONNECTIONS_MAX` of one chain at once."""
    made = message(_LIMIT)(stat_prefix=stat_prefix, max_connections=v.wrap(CONNECTIONS_MAX))
    return network_filter("envoy.filters.network.connection_limit", made)


def http_filter(name: str, config: Any, *, disabled: bool = False) -> Any:
    """One HTTP filter; a disabled one works only on routes that have settings for it."""
    made = message("envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter")
    return made(name=name, typed_config=pack(config), disabled=disabled)


def discovered_filter(name: str, type_name: str) -> Any:
    """An HTTP filter whose configuration is a resource of its own, of the filter's name: changes need no new chain."""
    source = {"config_source": ADS, "type_urls": [TYPE_PREFIX + type_name]}
    made = message("envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter")
    return made(name=name, config_discovery=source)


def network_filter(name: str, config: Any) -> Any:
    """One network filter."""
    return message(_FILTER)(name=name, typed_config=pack(config))


def not_http() -> Any:
    """Says in mesh TLS that what follows is not HTTP, where the cluster's own word is that it is."""
    value = {
        "object_key": "envoy.network.application_protocols",
        "format_string": {"text_format_source": {"inline_string": MESH_ALPN}},
        "shared_with_upstream": "ONCE",
    }
    return network_filter("envoy.filters.network.set_filter_state", message(_FILTER_STATE)(on_new_connection=[value]))


def tcp_proxy(
    *,
    stat_prefix: str,
    clusters: Mapping[str, int],
    access_log: Sequence[Any],
    idle_timeout_s: float | None = None,
    max_duration_s: float = 0,
    tunnel: Tunnel | None = None,
    by_source: bool = False,
    inbound: bool = False,
    mtls: bool = False,
    period_s: float | None = None,
) -> Any:
    """A TCP proxy to one cluster, or to several by weight (one choice for each connection).

    `access_log`: written when a connection ends, but for loggers that choose among its events themselves.
    `idle_timeout_s`: None is the default, an hour; 0 is never. `by_source`: a client's connections
    go to one server, where the cluster balances by a hash. `inbound`: it leads to the pod's application.
    `mtls`: the client must show a certificate first. `period_s`: how often it reports while it lasts.
    """
    reports = report.report_logger(report.INBOUND if inbound else report.OUTBOUND, http=False)
    fields: dict[str, Any] = {
        "stat_prefix": stat_prefix,
        "access_log": [*map(report.at_end, access_log), reports],
        "access_log_options": report.tcp_log_options(period_s),
    }
    if mtls:
        # The application is not called, nor the connection counted as opened, before it is known who comes.
        fields["upstream_connect_mode"] = "ON_DOWNSTREAM_TLS_HANDSHAKE"
        fields["max_early_data_bytes"] = v.wrap(_EARLY_BYTES)
    fields["idle_timeout"] = v.duration(TCP_IDLE_S if idle_timeout_s is None else idle_timeout_s)
    if max_duration_s:
        fields["max_downstream_connection_duration"] = v.duration(max_duration_s)
    if tunnel is not None:
        target = f"{tunnel.target_host}:{tunnel.target_port}"
        fields["tunneling_config"] = {"hostname": target, "use_post": tunnel.protocol == "POST"}
    if by_source:
        fields["hash_policy"] = [{"source_ip": {}}]
    if len(clusters) == 1:
        fields["cluster"] = next(iter(clusters))
    else:
        weighted = [{"name": name, "weight": weight} for name, weight in clusters.items() if weight]
        fields["weighted_clusters"] = {"clusters": weighted}
    return network_filter("envoy.filters.network.tcp_proxy", message(_TCP)(**fields))
