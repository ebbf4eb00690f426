"""Names that Envoy's filters had before: EnvoyFilters of many years still match by them.

Given such a name, gives the one that is used now; any other name stays what it is. Pure.
Source: Envoy 1.14's list of deprecated extension names.
"""

from __future__ import annotations

_HTTP = "envoy.filters.http."
_NETWORK = "envoy.filters.network."
_LISTENER = "envoy.filters.listener."

_HTTP_NAMES = {
    f"envoy.{old}": _HTTP + (new or old)
    for old, new in {
        "buffer": "",
        "cors": "",
        "csrf": "",
        "ext_authz": "",
        "fault": "",
        "grpc_http1_bridge": "",
        "grpc_json_transcoder": "",
        "grpc_web": "",
        "gzip": "",
        "health_check": "",
        "ip_tagging": "",
        "lua": "",
        "rate_limit": "ratelimit",
        "router": "",
    }.items()
}
_NETWORK_NAMES = {
    f"envoy.{name}": _NETWORK + name
    for name in ("echo", "ext_authz", "http_connection_manager", "mongo_proxy", "ratelimit", "redis_proxy", "tcp_proxy")
}
_LISTENER_NAMES = {
    f"envoy.listener.{name}": _LISTENER + name
    for name in ("http_inspector", "original_dst", "original_src", "proxy_protocol", "tls_inspector")
}


def http_filter_name(name: str) -> str:
    """The name of an HTTP filter now."""
    return _HTTP_NAMES.get(name, name)


def network_filter_name(name: str) -> str:
    """The name of a network filter now."""
    return _NETWORK_NAMES.get(name, name)


def listener_filter_name(name: str) -> str:
    """The name of a listener filter now."""
    return _LISTENER_NAMES.get(name, name)
