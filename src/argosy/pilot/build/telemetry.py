"""What proxies count: Envoy's stats access logger, with one tag that says everything.

What costs in the proxy is the number of tags, not their length: each is formatted, hashed and stored by itself, for
each of a request's statistics. So all that the proxy alone knows stands in one tag, `call`, as `name=value|...`;
Mixer takes it apart, once for each series, and joins the rest (`docs/decisions/0005-telemetry-in-envoy.md`).

TCP is counted when a connection opens and when it ends; of those that live longer than `report.TCP_PERIOD_S`, a gauge
says how many bytes they have carried so far. Byte counts of access logs are cumulative: periodic ones cannot be added.
Source: envoy.extensions.access_loggers.stats.v3.Config; Istio standard metrics.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build import report

CALL = "call"
CONNECTION = "conn"
_STATS = "envoy.extensions.access_loggers.stats.v3.Config"
_CONDITION = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
_GRPC = r"application/grpc(\+.*)?"
# A fixed value of 0 is refused; connections have no response code.
_ZERO = "%RESPONSE_CODE%"
_NEVER_CONNECTED = "!has(upstream.local_address)"
# One scope for all loggers of a proxy: its series outlive the filter chains that made them, and are bounded together.
_SCOPE: Mapping[str, Any] = {
    "sharing_name": "istio",
    "prefix": "",
    "max_counters": v.wrap(20_000),
    "max_histograms": v.wrap(20_000),
}
# Gauges come and go with connections, so they must be forgotten; those that do not fit are counted at their end.
_LIVE_SCOPE: Mapping[str, Any] = {
    "sharing_name": "istio-live",
    "prefix": "",
    "max_gauges": v.wrap(512),
    "enable_eviction": True,
}


def source_tags(protocol: str) -> dict[str, str]:
    """What a client's side says: what was called, who answered."""
    return {
        "reporter": "source",
        "protocol": protocol,
        # A pod that is called by its address has no metadata; its certificate says who it is.
        "peer": _first_of(("UPSTREAM_METADATA", "argosy:workload"), ("UPSTREAM_PEER_DNS_SAN", "")),
        "peer_id": "%UPSTREAM_PEER_URI_SAN%",
        # What the proxy refuses by itself goes to no cluster.
        "service": _first_of(("CLUSTER_METADATA", "argosy:service"), ("METADATA", "ROUTE:argosy:service")),
        **_result_tags(protocol),
    }


def destination_tags(protocol: str, *, service: str, mtls: bool) -> dict[str, str]:
    """What a server's side says, for one service and one kind of connection."""
    # A connection that ended before its client showed a certificate is known by its address alone.
    known = _first_of(("DOWNSTREAM_PEER_DNS_SAN", ""), ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", ""))
    peer = {"peer": known, "peer_id": "%DOWNSTREAM_PEER_URI_SAN%"}
    # Who connected, not whom the caller says it calls for: nobody is to be blamed for another's request.
    unknown = {"peer_ip": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}
    return {
        "reporter": "destination",
        "protocol": protocol,
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
        return {"flags": "%RESPONSE_FLAGS%"}
    return {"code": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%"}


def stats_loggers(tags: Mapping[str, str]) -> list[Any]:
    """The loggers that count for one connection manager or TCP proxy."""
    return _http_stats(tags) if tags["protocol"] == "http" else _tcp_stats(tags)


def _http_stats(tags: Mapping[str, str]) -> list[Any]:
    plain = _tags(tags)
    requests, sizes, duration = _requests(plain), _sizes(plain), _duration(plain)
    grpc = _tags({**tags, "protocol": "grpc", "grpc": "%GRPC_STATUS_NUMBER%"})
    return [
        _logger({"counters": requests, "histograms": sizes}, _is_grpc(False)),
        # How long a WebSocket lived is nobody's latency.
        _logger({"histograms": duration}, _all(_is_grpc(False), _no_upgrade())),
        _logger(
            {
                "counters": [*_requests(grpc), *_messages(grpc)],
                "histograms": [*_sizes(grpc), *_duration(grpc)],
            },
            _is_grpc(True),
        ),
    ]


def _requests(tags: list[Any]) -> list[Any]:
    return [_fixed("istio_requests_total", tags)]


def _sizes(tags: list[Any]) -> list[Any]:
    return [
        _histogram("istio_request_bytes", tags, "Bytes", "%BYTES_RECEIVED%"),
        _histogram("istio_response_bytes", tags, "Bytes", "%BYTES_SENT%"),
    ]


def _duration(tags: list[Any]) -> list[Any]:
    return [_histogram("istio_request_duration_milliseconds", tags, "Milliseconds", "%DURATION%")]


def _messages(tags: list[Any]) -> list[Any]:
    return [
        {
            "stat": _stat(f"istio_{side}_messages_total", tags),
            "value_format": f"%FILTER_STATE(envoy.filters.http.grpc_stats:FIELD:{side}_message_count)%",
        }
        for side in ("request", "response")
    ]


def _tcp_stats(tags: Mapping[str, str]) -> list[Any]:
    ended = _tags(tags)
    # Bytes are told while nobody knows yet how the connection will end.
    flags = tags["flags"] if "%" not in tags["flags"] else "-"
    carried = _tags({**tags, "flags": flags})
    opened = [_fixed("istio_tcp_connections_opened_total", ended)]
    counters = [
        _fixed("istio_tcp_connections_closed_total", ended),
        *(_bytes(f"istio_tcp_{name}_total", carried, value) for name, value in _DIRECTIONS.items()),
    ]
    return [
        _logger({"counters": opened}, _at("TcpUpstreamConnected")),
        _logger({"counters": opened}, _all(_at("TcpConnectionEnd"), _if(_NEVER_CONNECTED))),
        # Before the counters, so that nobody finds a connection's bytes in both.
        *_live_stats(carried),
        _logger({"counters": counters}, _at("TcpConnectionEnd")),
    ]


_DIRECTIONS = {"sent_bytes": "%BYTES_SENT%", "received_bytes": "%BYTES_RECEIVED%"}


def _live_stats(tags: list[Any]) -> list[Any]:
    """What each open connection has carried so far, from its first report on; zero when it has ended."""
    each = [*tags, {"name": CONNECTION, "value_format": "%CONNECTION_ID%"}]
    stats = {name: _stat(f"istio_tcp_open_{name}", each) for name in _DIRECTIONS}
    periodic, end = {"log_type": "TcpPeriodic"}, {"log_type": "TcpConnectionEnd"}
    gauges = [{"stat": stats[name], "value_format": value, "set": periodic} for name, value in _DIRECTIONS.items()]
    zeros = [{"stat": stat, "value_format": _ZERO, "set": end} for stat in stats.values()]
    return [
        _logger({"gauges": gauges}, _at("TcpPeriodic"), scope=_LIVE_SCOPE),
        _logger({"gauges": zeros}, _all(_at("TcpConnectionEnd"), _lived(report.TCP_PERIOD_S)), scope=_LIVE_SCOPE),
    ]


def _tags(tags: Mapping[str, str]) -> list[Any]:
    text = "|".join(f"{name}={value}" for name, value in tags.items())
    return [{"name": CALL, "value_format": text}]


def _stat(name: str, tags: list[Any]) -> dict[str, Any]:
    return {"name": name, "tags": tags}


def _fixed(name: str, tags: list[Any]) -> dict[str, Any]:
    return {"stat": _stat(name, tags), "value_fixed": v.wrap(1)}


def _bytes(name: str, tags: list[Any], value: str) -> dict[str, Any]:
    return {"stat": _stat(name, tags), "value_format": value}


def _histogram(name: str, tags: list[Any], unit: str, value: str) -> dict[str, Any]:
    return {"stat": _stat(name, tags), "unit": unit, "value_format": value}


def _logger(stats: Mapping[str, Any], condition: Mapping[str, Any], *, scope: Mapping[str, Any] = _SCOPE) -> Any:
    config = message(_STATS)(stats_scope=scope, **stats)
    made = message("envoy.config.accesslog.v3.AccessLog")
    return made(name="envoy.access_loggers.stats", typed_config=pack(config), filter=condition)


# --- when ------------------------------------------------------------------------------------------------------------


def _all(*conditions: Mapping[str, Any]) -> dict[str, Any]:
    return {"and_filter": {"filters": list(conditions)}}


def _at(log_type: str) -> dict[str, Any]:
    return {"log_type_filter": {"types": [log_type]}}


def _if(expression: str) -> dict[str, Any]:
    config = pack(message(_CONDITION)(expression=expression))
    return {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": config}}


def _comparison(op: str, value: int) -> dict[str, Any]:
    return {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": "argosy.unset"}}}


def _lived(seconds: float) -> dict[str, Any]:
    return {"duration_filter": _comparison("GE", int(seconds * 1000))}


def _no_upgrade() -> dict[str, Any]:
    return {"or_filter": {"filters": [{"status_code_filter": _comparison(op, at)} for op, at in _NOT_101]}}


_NOT_101 = (("LE", 100), ("GE", 102))


def _is_grpc(wanted: bool) -> dict[str, Any]:
    header = {
        "name": "content-type",
        "string_match": {"safe_regex": {"regex": _GRPC}},
        "invert_match": not wanted,
        # A request without a content type is none; without this neither condition would hold.
        "treat_missing_header_as_empty": True,
    }
    return {"header_filter": {"header": header}}
