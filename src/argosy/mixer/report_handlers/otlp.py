"""`otlp`: log entries, metrics and spans as OpenTelemetry's messages.

Each value is one record of one export request; records of one batch are put together by type. A metric is a gauge of
the value observed or, of whole numbers, a monotonic delta sum, so that a collector may add it up.
Source: OpenTelemetry's protocol (logs, metrics, trace v1), whose messages Envoy's binary carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from argosy.envoy.api import message
from argosy.mixer.attributes import Value
from argosy.mixer.report_handlers.stdio import ERROR, INFO, SEVERITIES, WARNING
from argosy.mixer.report_handlers.zipkin import micros
from argosy.mixer.report_values import LogEntryValue, MetricValue, TraceSpanValue, format_value, number_of

_COLLECTOR = "opentelemetry.proto.collector"
_SCOPE = {"name": "argosy.mixer"}
_SERVICE = "service.name"
_MIXER = "argosy-mixer"
# opentelemetry.proto.logs.v1.SeverityNumber
_SEVERITY_NUMBERS = {INFO: 9, WARNING: 13, ERROR: 17}
_DELTA = 1
_SERVER, _CLIENT, _STATUS_ERROR = 2, 3, 2

LOGS, METRICS, TRACES = "logs", "metrics", "traces"
_REQUESTS = {
    LOGS: f"{_COLLECTOR}.logs.v1.ExportLogsServiceRequest",
    METRICS: f"{_COLLECTOR}.metrics.v1.ExportMetricsServiceRequest",
    TRACES: f"{_COLLECTOR}.trace.v1.ExportTraceServiceRequest",
}
METHODS: Mapping[str, str] = {
    LOGS: f"/{_COLLECTOR}.logs.v1.LogsService/Export",
    METRICS: f"/{_COLLECTOR}.metrics.v1.MetricsService/Export",
    TRACES: f"/{_COLLECTOR}.trace.v1.TraceService/Export",
}
"""Where a collector takes each kind."""
_FIELDS = {
    LOGS: ("resource_logs", "scope_logs", "log_records"),
    METRICS: ("resource_metrics", "scope_metrics", "metrics"),
    TRACES: ("resource_spans", "scope_spans", "spans"),
}
_KINDS = {b"L": LOGS, b"M": METRICS, b"T": TRACES}


def encode_log(entry: LogEntryValue) -> bytes:
    """One log entry: the instance's name is its body, variables are attributes."""
    nanos = micros(entry.timestamp) * 1000
    record = {
        "time_unix_nano": nanos,
        "observed_time_unix_nano": nanos,
        "severity_number": _SEVERITY_NUMBERS[SEVERITIES.get(entry.severity, INFO)],
        "severity_text": entry.severity,
        "body": {"string_value": entry.instance},
        "attributes": [*_attributes(entry.variables), *_attributes({"mixer.instance": entry.instance})],
    }
    return b"L" + _encode(LOGS, _MIXER, record)


def encode_metric(metric: MetricValue, moment: datetime) -> bytes:
    """One observation, as what a sum grew by."""
    number = number_of(metric.value)
    point: dict[str, Any] = {
        "time_unix_nano": micros(moment) * 1000,
        "start_time_unix_nano": micros(moment) * 1000,
        "attributes": _attributes(metric.dimensions),
        "as_double": number if number is not None else 0.0,
    }
    monotonic = number is not None and number >= 0
    total = {"data_points": [point], "aggregation_temporality": _DELTA, "is_monotonic": monotonic}
    return b"M" + _encode(METRICS, _MIXER, {"name": metric.instance, "sum": total})


def encode_span(span: TraceSpanValue) -> bytes:
    """One span. Identifiers that are no hexadecimal numbers are left out, and the collector will refuse them."""
    local, remote = (span.source_name, span.destination_name)
    if not span.client:
        local, remote = remote, local
    peer = {"peer.service": remote} if remote else {}
    code = {"http.status_code": span.status_code} if span.status_code else {}
    made = {
        "trace_id": _identifier(span.trace_id, 16),
        "span_id": _identifier(span.span_id, 8),
        "parent_span_id": _identifier(span.parent_span_id, 8),
        "name": span.name,
        "kind": _CLIENT if span.client else _SERVER,
        "start_time_unix_nano": micros(span.start) * 1000,
        "end_time_unix_nano": micros(span.end) * 1000,
        "attributes": _attributes({**span.tags, **peer, **code}),
        "status": {"code": _STATUS_ERROR} if span.status_code >= 500 else {},
    }
    return b"T" + _encode(TRACES, local or _MIXER, made)


def encode_batch(records: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """Export requests of what was encoded one by one: for each kind one, records of one resource together."""
    found: dict[str, Any] = {}
    groups: dict[tuple[str, bytes], Any] = {}
    for data in records:
        kind = _KINDS[data[:1]]
        outer, middle, inner = _FIELDS[kind]
        one = getattr(message(_REQUESTS[kind]).FromString(data[1:]), outer)[0]
        request = found.setdefault(kind, message(_REQUESTS[kind])())
        key = (kind, one.resource.SerializeToString(deterministic=True))
        if key not in groups:
            groups[key] = getattr(request, outer).add()
            groups[key].CopyFrom(one)
        else:
            getattr(getattr(groups[key], middle)[0], inner).extend(getattr(getattr(one, middle)[0], inner))
    return [(kind, request.SerializeToString(deterministic=True)) for kind, request in sorted(found.items())]


def _encode(kind: str, service: str, record: dict[str, Any]) -> bytes:
    outer, middle, inner = _FIELDS[kind]
    resource = {"attributes": _attributes({_SERVICE: service})}
    request = message(_REQUESTS[kind])(
        **{outer: [{"resource": resource, middle: [{"scope": _SCOPE, inner: [record]}]}]}
    )
    encoded: bytes = request.SerializeToString(deterministic=True)
    return encoded


def _attributes(values: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(values[name])} for name in sorted(values)]


def _value(value: Value) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, int):
        return {"int_value": value}
    if isinstance(value, float):
        return {"double_value": value}
    if isinstance(value, Mapping):
        return {"kvlist_value": {"values": _attributes(value)}}
    return {"string_value": format_value(value)}


def _identifier(text: str, size: int) -> bytes:
    try:
        return bytes.fromhex(text.rjust(size * 2, "0"))[-size:] if text else b""
    except ValueError:
        return b""
