"""OpenTelemetry's messages, put together by kind and resource."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from argosy.envoy.api import message
from argosy.mixer.report_handlers.otlp import METHODS, encode_batch, encode_log, encode_metric, encode_span
from argosy.mixer.report_values import LogEntryValue, MetricValue

from .test_zipkin import span

MOMENT = datetime(2020, 1, 1, tzinfo=UTC)
NANOS = 1577836800 * 10**9


def parsed(kind: str, name: str, data: bytes) -> Any:
    return message(f"opentelemetry.proto.collector.{kind}.v1.Export{name}ServiceRequest").FromString(data)


def attributes(pairs: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in pairs}


def test_each_kind_has_one_request_and_each_resource_one_group() -> None:
    entry = LogEntryValue("l.instance.ns", MOMENT, "error", {"b": True, "d": timedelta(seconds=1), "n": 3, "x": 0.5})
    metric = MetricValue("m.instance.ns", timedelta(milliseconds=20), {"code": "200"})
    batch = [encode_log(entry), encode_metric(metric, MOMENT), encode_log(entry), encode_span(span())]
    found = dict(encode_batch([*batch, encode_span(span(client=True, status_code=503))]))
    assert set(found) == set(METHODS)

    logs = parsed("logs", "Logs", found["logs"])
    assert len(logs.resource_logs) == 1
    first, _second = logs.resource_logs[0].scope_logs[0].log_records
    assert (first.severity_text, first.severity_number, first.body.string_value) == ("error", 17, "l.instance.ns")
    assert attributes(first.attributes) == {"mixer.instance": "l.instance.ns", "b": True, "d": "1s", "n": 3, "x": 0.5}

    (grown,) = parsed("metrics", "Metrics", found["metrics"]).resource_metrics[0].scope_metrics[0].metrics
    (point,) = grown.sum.data_points
    assert (grown.name, grown.sum.is_monotonic, point.as_double) == ("m.instance.ns", True, 0.02)
    assert (point.time_unix_nano, attributes(point.attributes)) == (NANOS, {"code": "200"})

    traces = parsed("trace", "Trace", found["traces"])
    services = [attributes(one.resource.attributes)["service.name"] for one in traces.resource_spans]
    assert services == ["reviews", "productpage"]
    server, client = (one.scope_spans[0].spans[0] for one in traces.resource_spans)
    assert server.trace_id.hex() == "0af7651916cd43dd8448eb21ffffffff"
    assert server.kind == 2
    assert client.kind == 3
    assert client.status.code == 2
