"""What proxies count: Envoy's stats access logger, with one tag that says everything.

What costs in the proxy is the number of tags, more than their length: each is formatted, hashed and stored by itself,
for each of a request's statistics. So all that the proxy alone knows stands in one tag, `call`, as `name=value|...`, in
the form that it finds fastest; Mixer takes it apart, once for each series, and joins the rest
(`docs/decisions/0005-telemetry-in-envoy.md`).
The number of statistics costs as well: requests have no counter of their own, since the histogram of their answers'
sizes has one (`counts=`, as long as no Telemetry object tells the two apart); and a GET that has no body is not in the
histogram of request sizes, because Mixer knows of it from the other (`bodies=`); nor is a quick request in that of
durations, because the one of sizes says how long it took (`ms=`).
Tags of Telemetry objects may have values that clients choose, so statistics with such tags are few; beside them is one
without, of which Mixer makes what the others had no room for.

TCP is counted when a connection opens and when it ends; of those that live longer than `report.TCP_PERIOD_S`, a gauge
says how many bytes they have carried so far. Byte counts of access logs are cumulative: periodic ones cannot be added.
Source: envoy.extensions.access_loggers.stats.v3.Config; Istio standard metrics.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.build import report
from argosy.pilot.build.metric_tags import metric_tags
from argosy.pilot.counted import STANDARD, Counted, Counting

CALL = "call"
ALL, SOME = "all", "some"
"""Of which requests a histogram is: those whose bodies are in another one are among `all`, the others are empty."""
CLUSTER = "cluster"
"""The last one in `call`, because a cluster's name may hold what parts them."""
CONNECTION = "conn"
MESSAGES = "messages"
REST = "rest"
"""On a statistic that counts everything: the tags by which others count the same, as far as they have room."""
# Requests that took no longer have a series for each millisecond: few, and to whom the proxy's own time matters.
_QUICK_MS = 1
_STATS = "envoy.extensions.access_loggers.stats.v3.Config"
_CONDITION = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
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
# What has tags that clients may choose. Mixer tells no more of a workload apart either (`budget.WORKLOAD_SETS_MAX`).
_CHOSEN_SCOPE: Mapping[str, Any] = {
    "sharing_name": "istio-chosen",
    "prefix": "",
    "max_counters": v.wrap(2000),
    "max_histograms": v.wrap(1000),
}
# What comes and goes must be forgotten: gauges of open connections (those that do not fit are counted at their end),
# and how many messages streams had.
_LIVE_SCOPE: Mapping[str, Any] = {
    "sharing_name": "istio-live",
    "prefix": "",
    "max_gauges": v.wrap(512),
    "max_counters": v.wrap(2000),
    "enable_eviction": True,
}


def source_tags(protocol: str, *, refused: bool = False) -> dict[str, str]:
    """What a client's side says: what was called, who answered. `refused`: some requests the proxy answers itself,
    because nobody declares their hosts."""
    return {
        "reporter": "source",
        "protocol": protocol,
        # Its certificate says who it is, and faster than the endpoint's metadata.
        "peer": _first_of(("UPSTREAM_PEER_DNS_SAN", ""), ("UPSTREAM_METADATA", "argosy:workload")),
        "peer_id": "%UPSTREAM_PEER_URI_SAN%",
        **_result_tags(protocol),
        # The cluster's name has the service in it; to look into its metadata costs the proxy five times as much.
        CLUSTER: _CALLED_OR_REFUSED if refused else "%UPSTREAM_CLUSTER_RAW%",
    }


def destination_tags(protocol: str, *, service: str, mtls: bool) -> dict[str, str]:
    """What a server's side says, for one service and one kind of connection."""
    # A connection that ended before its client showed a certificate is known by its address alone.
    certified = ("DOWNSTREAM_PEER_DNS_SAN", ""), ("DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", "")
    known = _first_of(*certified) if protocol == "tcp" else "%DOWNSTREAM_PEER_DNS_SAN%"
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


# What the proxy refuses by itself goes to no cluster.
_CALLED_OR_REFUSED = _first_of(("UPSTREAM_CLUSTER_RAW", ""), ("METADATA", "ROUTE:argosy:service"))


def _result_tags(protocol: str) -> dict[str, str]:
    if protocol == "tcp":
        return {"flags": "%RESPONSE_FLAGS%"}
    return {"code": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%"}


def stats_loggers(tags: Mapping[str, str], counting: Counting = STANDARD, *, grpc: bool = True) -> list[Any]:
    """The loggers that count for one connection manager or TCP proxy, with the exceptions of Telemetry objects.

    `grpc`: requests may be gRPC, which is counted by itself.
    """
    stats = _Stats(tags, counting)
    if tags["protocol"] != "http":
        return _tcp_stats(stats)
    return [*_http_stats(stats, apart=grpc), *(_grpc_stats(stats) if grpc else ())]


@dataclass(frozen=True, slots=True)
class _Stats:
    """What all statistics of some loggers say, and the exceptions."""

    tags: Mapping[str, str]
    counting: Counting

    def saying(self, **tags: str) -> _Stats:
        """The same, with some of it said otherwise."""
        return _Stats({**self.tags, **tags}, self.counting)

    def each(self, *names: str, of: Mapping[str, str] | None = None) -> Iterator[tuple[str, list[Any]]]:
        """Names and tags of those statistics that are wanted; `of`: by another statistic's exceptions."""
        for name in names:
            counted = self.counting.of(of[name] if of else name)
            if not counted.disabled:
                yield name, self._tags(counted)

    def alike(self, one: str, other: str) -> bool:
        """Whether two statistics are wanted with the same tags."""
        return self.counting.of(one) == self.counting.of(other) and not self.counting.of(one).disabled

    def chosen(self, name: str) -> bool:
        """Whether a statistic has tags of which clients may choose the values."""
        _said, apart = metric_tags(self.counting.of(name), source=self.tags["reporter"] == "source")
        return any("%" in value for value in apart.values())

    def _tags(self, counted: Counted) -> list[Any]:
        said, apart = metric_tags(counted, source=self.tags["reporter"] == "source")
        all_said = {**self.tags, **said}
        if CLUSTER in all_said:
            all_said[CLUSTER] = all_said.pop(CLUSTER)
        text = "|".join(f"{name}={value}" for name, value in all_said.items())
        return [_tag(CALL, text), *(_tag(name, value) for name, value in apart.items())]


def _tag(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value_format": value}


def _http_stats(stats: _Stats, *, apart: bool) -> list[Any]:
    """Requests, without those of gRPC where these are counted `apart`."""
    condition = _NO_GRPC if apart else None
    if not stats.alike(_REQUEST_BYTES, _RESPONSE_BYTES) or stats.chosen(_REQUEST_BYTES):
        # What has no room in one histogram would look like requests without a body.
        return _logger(condition, counters=_requests(stats), histograms=[*_sizes(stats), *_duration(stats)])
    all_of_them, bodies = stats.saying(bodies=ALL), stats.saying(bodies=SOME)
    return [
        *_answered(stats, all_of_them, condition),
        *_logger(_all(_MAYBE_BODY, condition), histograms=_bodies(bodies)),
    ]


def _answered(stats: _Stats, all_of_them: _Stats, condition: Mapping[str, Any] | None) -> list[Any]:
    """Requests by their answers: the quick ones in one histogram, the others in that of durations too."""
    requests, answers = _requests(stats), _answers(all_of_them)
    if not stats.alike(_DURATION, _RESPONSE_BYTES):
        return _logger(condition, counters=requests, histograms=[*answers, *_duration(stats)])
    quick = _answers(all_of_them.saying(ms="%DURATION%"))
    return [
        *_logger(_all(_took("LE", _QUICK_MS), condition), counters=requests, histograms=quick),
        *_logger(
            _all(_took("GE", _QUICK_MS + 1), condition), counters=requests, histograms=[*answers, *_duration(stats)]
        ),
    ]


def _grpc_stats(plain: _Stats) -> list[Any]:
    grpc = plain.saying(protocol="grpc", grpc="%GRPC_STATUS_NUMBER%")
    return [
        *_logger(_GRPC, counters=_requests(grpc), histograms=[*_sizes(grpc), *_duration(grpc)]),
        *_logger(_all(_MAYBE_GRPC, _if(_UNARY)), counters=_unary(grpc)),
        *_plain_logger(_all(_MAYBE_GRPC, _if(_STREAM)), _LIVE_SCOPE, counters=_streams(grpc)),
    ]


_REQUESTS, _REQUEST_BYTES, _RESPONSE_BYTES = "istio_requests_total", "istio_request_bytes", "istio_response_bytes"
_DURATION = "istio_request_duration_milliseconds"


def _requests(stats: _Stats) -> list[Any]:
    """The counter of requests, unless the histogram of their answers' sizes counts them."""
    if stats.alike(_REQUESTS, _RESPONSE_BYTES):
        return []
    return [_one(name, tags) for name, tags in stats.each(_REQUESTS)]


def _sizes(stats: _Stats) -> list[Any]:
    return [*_bodies(stats), *_answers(stats)]


def _bodies(stats: _Stats) -> list[Any]:
    return [{**_value(name, tags, "%BYTES_RECEIVED%"), "unit": "Bytes"} for name, tags in stats.each(_REQUEST_BYTES)]


def _answers(stats: _Stats) -> list[Any]:
    sent = stats.saying(counts=_REQUESTS) if stats.alike(_REQUESTS, _RESPONSE_BYTES) else stats
    return [{**_value(name, tags, "%BYTES_SENT%"), "unit": "Bytes"} for name, tags in sent.each(_RESPONSE_BYTES)]


def _duration(stats: _Stats) -> list[Any]:
    names = stats.each(_DURATION)
    return [{**_value(name, tags, "%DURATION%"), "unit": "Milliseconds"} for name, tags in names]


_MESSAGES = ("istio_request_messages_total", "istio_response_messages_total")
_COUNTED = "envoy.filters.http.grpc_stats"
_UNARY, _STREAM = (f"filter_state['{_COUNTED}'] {sign} b'1,1'" for sign in ("==", "!="))
# No format gives one of the two numbers alone; Mixer takes them apart. The minute makes that a series is never made
# anew after the proxy has forgotten it.
_NUMBERS = f"%FILTER_STATE({_COUNTED}:PLAIN)%@%EMIT_TIME(%H%M)%"


def _unary(stats: _Stats) -> list[Any]:
    return [_one(name, tags) for name, tags in stats.each(*_MESSAGES)]


def _streams(stats: _Stats) -> list[Any]:
    """Calls by how many messages they had."""
    return [_one(name, [*tags, _tag(MESSAGES, _NUMBERS)]) for name, tags in stats.each(*_MESSAGES)]


_CARRIED = {"istio_tcp_sent_bytes_total": "%BYTES_SENT%", "istio_tcp_received_bytes_total": "%BYTES_RECEIVED%"}
_OPEN = {
    "istio_tcp_open_sent_bytes": "istio_tcp_sent_bytes_total",
    "istio_tcp_open_received_bytes": "istio_tcp_received_bytes_total",
}


def _tcp_stats(stats: _Stats) -> list[Any]:
    # Bytes are told while nobody knows yet how the connection will end.
    carried = stats.saying(flags="-") if "%" in stats.tags["flags"] else stats
    opened = [_one(name, tags) for name, tags in stats.each("istio_tcp_connections_opened_total")]
    closed = [_one(name, tags) for name, tags in stats.each("istio_tcp_connections_closed_total")]
    sizes = [_value(name, tags, _CARRIED[name]) for name, tags in carried.each(*_CARRIED)]
    return [
        *_logger(_at("TcpUpstreamConnected"), counters=opened),
        *_logger(_all(_at("TcpConnectionEnd"), _if(_NEVER_CONNECTED)), counters=opened),
        # Before the counters, so that nobody finds a connection's bytes in both.
        *_live_stats(carried),
        *_logger(_at("TcpConnectionEnd"), counters=[*closed, *sizes]),
    ]


def _live_stats(stats: _Stats) -> list[Any]:
    """What each open connection has carried so far, from its first report on; zero when it has ended."""
    periodic, end = {"log_type": "TcpPeriodic"}, {"log_type": "TcpConnectionEnd"}
    gauges, zeros, begun = [], [], []
    for name, tags in stats.each(*_OPEN, of=_OPEN):
        # Nothing is added yet, but Mixer sees which of the counters has room: there these bytes will be at the end.
        counter = _value(_OPEN[name], tags, _ZERO)
        begun += [counter] if _chosen(counter) else []
        each = [*tags, _tag(CONNECTION, "%CONNECTION_ID%")]
        gauges.append({**_value(name, each, _CARRIED[_OPEN[name]]), "set": periodic})
        zeros.append({**_value(name, each, _ZERO), "set": end})
    period_s = stats.counting.period_s or report.TCP_PERIOD_S
    ended = _all(_at("TcpConnectionEnd"), _took("GE", int(period_s * 1000)))
    return [
        *_logger(_at("TcpPeriodic"), counters=begun),
        *_plain_logger(_at("TcpPeriodic"), _LIVE_SCOPE, gauges=gauges),
        *_plain_logger(ended, _LIVE_SCOPE, gauges=zeros),
    ]


def _one(name: str, tags: list[Any]) -> dict[str, Any]:
    return {"stat": {"name": name, "tags": tags}, "value_fixed": v.wrap(1)}


def _value(name: str, tags: list[Any], value: str) -> dict[str, Any]:
    return {"stat": {"name": name, "tags": tags}, "value_format": value}


def _logger(condition: Mapping[str, Any] | None, **stats: list[Any]) -> list[Any]:
    """The loggers of some statistics that stay, if there are any."""
    chosen = {kind: [stat for stat in each if _chosen(stat)] for kind, each in stats.items()}
    plain = {kind: [_all_of(stat) if _chosen(stat) else stat for stat in each] for kind, each in stats.items()}
    return [*_plain_logger(condition, _CHOSEN_SCOPE, **chosen), *_plain_logger(condition, _SCOPE, **plain)]


def _chosen(stat: Mapping[str, Any]) -> list[str]:
    """The statistic's tags of which clients may choose the values."""
    return [tag["name"] for tag in stat["stat"]["tags"] if tag["name"] != CALL and "%" in tag["value_format"]]


def _all_of(stat: Mapping[str, Any]) -> dict[str, Any]:
    """The same without those tags."""
    names = _chosen(stat)
    kept = [tag for tag in stat["stat"]["tags"] if tag["name"] not in names]
    return {**stat, "stat": {**stat["stat"], "tags": [*kept, _tag(REST, ",".join(names))]}}


def _plain_logger(condition: Mapping[str, Any] | None, scope: Mapping[str, Any], **stats: list[Any]) -> list[Any]:
    """The logger of some statistics, if there are any."""
    if not any(stats.values()):
        return []
    config = message(_STATS)(stats_scope=scope, **stats)
    made = message("envoy.config.accesslog.v3.AccessLog")
    return [made(name="envoy.access_loggers.stats", typed_config=pack(config), filter=condition)]


# --- when ------------------------------------------------------------------------------------------------------------


def _all(*conditions: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Those that are there, of which one at least is; the cheapest stands first."""
    filters = [one for one in conditions if one is not None]
    return {"and_filter": {"filters": filters}} if len(filters) > 1 else filters[0]


def _at(log_type: str) -> dict[str, Any]:
    return {"log_type_filter": {"types": [log_type]}}


def _if(expression: str) -> dict[str, Any]:
    config = pack(message(_CONDITION)(expression=expression))
    return {"extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": config}}


def _comparison(op: str, value: int) -> dict[str, Any]:
    return {"comparison": {"op": op, "value": {"default_value": value, "runtime_key": "argosy.unset"}}}


def _took(op: str, milliseconds: int) -> dict[str, Any]:
    """By how long it was: `LE` or `GE` so many."""
    return {"duration_filter": _comparison(op, milliseconds)}


def _any(*conditions: Mapping[str, Any]) -> dict[str, Any]:
    return {"or_filter": {"filters": list(conditions)}}


def _content_type(match: Mapping[str, str], *, wanted: bool = True) -> dict[str, Any]:
    # A request without a content type is no gRPC; without the last setting no condition would hold for it.
    header = {
        "name": "content-type",
        "string_match": match,
        "invert_match": not wanted,
        "treat_missing_header_as_empty": True,
    }
    return {"header_filter": {"header": header}}


# Almost no request is gRPC: what tells so at once is asked first. A regular expression would cost more than both.
_LIKE_GRPC = {"prefix": "application/grpc"}
_FORMS_OF_GRPC = ({"exact": "application/grpc"}, {"prefix": "application/grpc+"})
_MAYBE_GRPC = _content_type(_LIKE_GRPC)
_GRPC = _all(_MAYBE_GRPC, _any(*(_content_type(one) for one in _FORMS_OF_GRPC)))
_NO_GRPC = _any(
    _content_type(_LIKE_GRPC, wanted=False),
    _all(*(_content_type(one, wanted=False) for one in _FORMS_OF_GRPC)),
)


def _has(name: str) -> dict[str, Any]:
    return {"header_filter": {"header": {"name": name, "present_match": True}}}


# A request of HTTP/1 that says nothing of a body has none (RFC 9112, 6.3), unless its connection is upgraded. HTTP/2
# need not say it, but nobody gives a GET a body of unknown length.
_NO_GET = {"name": ":method", "string_match": {"exact": "GET"}, "invert_match": True}
_MAYBE_BODY = _any(
    {"header_filter": {"header": _NO_GET}},
    *(_has(name) for name in ("content-length", "transfer-encoding", "upgrade")),
)
