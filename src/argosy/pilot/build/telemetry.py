"""What proxies count: Envoy's stats access logger with few tags.

Tags are what costs in the proxy, so only what the proxy alone knows is tagged; Mixer joins the rest
(`docs/decisions/0005-telemetry-in-envoy.md`).
Source: envoy.extensions.access_loggers.stats.v3.Config; Istio standard metrics.
"""

from __future__ import annotations

import json
from typing import Any

from argosy.envoy import values as v
from argosy.envoy.api import message, pack

_STATS = "envoy.extensions.access_loggers.stats.v3.Config"


def _status(op: str, value: int) -> dict[str, Any]:
    comparison = {"op": op, "value": {"default_value": value, "runtime_key": "argosy.unset"}}
    return {"status_code_filter": {"comparison": comparison}}


# How long a WebSocket lived is nobody's latency.
_NO_UPGRADE = {"or_filter": {"filters": [_status("LE", 100), _status("GE", 102)]}}


def source_tags(protocol: str) -> dict[str, str]:
    """Tags of a client's side: what was called, who answered."""
    return {
        "reporter": "source",
        # A pod that is called by its address has no metadata; its certificate says who it is.
        "peer": _first_of(("UPSTREAM_METADATA", "argosy:workload"), ("UPSTREAM_PEER_DNS_SAN", "")),
        "peer_id": "%UPSTREAM_PEER_URI_SAN%",
        # What the proxy refuses by itself goes to no cluster.
        "service": _first_of(("CLUSTER_METADATA", "argosy:service"), ("METADATA", "ROUTE:argosy:service")),
        **_result_tags(protocol),
    }


def destination_tags(protocol: str, *, service: str, mtls: bool) -> dict[str, str]:
    """Tags of a server's side, for one service and one kind of connection."""
    # A connection that ended before its client showed a certificate is known by its address alone.
    known = _first_of(("DOWNSTREAM_PEER_DNS_SAN", ""), ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", ""))
    peer = {"peer": known, "peer_id": "%DOWNSTREAM_PEER_URI_SAN%"}
    # Who connected, not whom the caller says it calls for: nobody is to be blamed for another's request.
    unknown = {"peer_ip": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}
    return {
        "reporter": "destination",
        **(peer if mtls else unknown),
        "service": service or "unknown",
        "security": "mutual_tls" if mtls else "none",
        **_result_tags(protocol),
    }


def _first_of(*operators: tuple[str, str]) -> str:
    """The first of these (name, argument) that says anything."""
    made = [{"command": name, "param": argument} if argument else name for name, argument in operators]
    return f"%COALESCE({json.dumps({'operators': made})})%"


def _result_tags(protocol: str) -> dict[str, str]:
    if protocol == "tcp":
        return {"flags": "%RESPONSE_FLAGS%", "protocol": "tcp"}
    return {
        "code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "grpc": "%GRPC_STATUS_NUMBER%",
        "protocol": "http",
    }


def stats_loggers(tags: dict[str, str]) -> list[Any]:
    """The loggers that count for one connection manager or TCP proxy."""
    made = _http_stats if tags["protocol"] == "http" else _tcp_stats
    return made(tuple(tags.items()))


def _stat(name: str, tags: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    return {"name": name, "tags": [{"name": key, "value_format": value} for key, value in tags]}


def _histogram(name: str, tags: tuple[tuple[str, str], ...], unit: str, value: str) -> dict[str, Any]:
    return {"stat": _stat(name, tags), "unit": unit, "value_format": value}


def _logger(config: Any, **fields: Any) -> Any:
    return message("envoy.config.accesslog.v3.AccessLog")(
        name="envoy.access_loggers.stats", typed_config=pack(config), **fields
    )


def _http_stats(tags: tuple[tuple[str, str], ...]) -> list[Any]:
    counted = message(_STATS)(
        stats_scope={"prefix": ""},
        counters=[{"stat": _stat("istio_requests_total", tags), "value_fixed": v.wrap(1)}],
        histograms=[
            _histogram("istio_request_bytes", tags, "Bytes", "%BYTES_RECEIVED%"),
            _histogram("istio_response_bytes", tags, "Bytes", "%BYTES_SENT%"),
        ],
    )
    timed = message(_STATS)(
        stats_scope={"prefix": ""},
        histograms=[_histogram("istio_request_duration_milliseconds", tags, "Milliseconds", "%DURATION%")],
    )
    return [_logger(counted), _logger(timed, filter=_NO_UPGRADE)]


def _tcp_stats(tags: tuple[tuple[str, str], ...]) -> list[Any]:
    # At a connection's end only: the byte counts are cumulative, so any earlier report would count twice.
    end = [
        {"stat": _stat("istio_tcp_connections_opened_total", tags), "value_fixed": v.wrap(1)},
        {"stat": _stat("istio_tcp_connections_closed_total", tags), "value_fixed": v.wrap(1)},
        {"stat": _stat("istio_tcp_sent_bytes_total", tags), "value_format": "%BYTES_SENT%"},
        {"stat": _stat("istio_tcp_received_bytes_total", tags), "value_format": "%BYTES_RECEIVED%"},
    ]
    return [_logger(message(_STATS)(stats_scope={"prefix": ""}, counters=end))]
