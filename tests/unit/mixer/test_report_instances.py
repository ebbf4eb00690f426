"""Log entries, spans, and what only says that something was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from argosy.core.frozen import FrozenMap
from argosy.mixer.access_record import AccessRecord, ConnectionEvent
from argosy.mixer.report_values import LogEntryValue, MetricValue, NothingValue, TraceSpanValue, number_of

from .reports import (
    START,
    connection,
    deliveries,
    http_part,
    inbound,
    metric,
    outbound,
    policy,
)

LOG = """
apiVersion: config.istio.io/v1alpha2
kind: logentry
metadata: {name: line, namespace: default}
spec: {severity: '"warning"', timestamp: request.time, variables: {latency: 'response.duration | "0ms"'}}
---
apiVersion: config.istio.io/v1alpha2
kind: noop
metadata: {name: nobody, namespace: default}
spec: {}
---
apiVersion: config.istio.io/v1alpha2
kind: reportnothing
metadata: {name: nothing, namespace: default}
spec: {}
---
apiVersion: config.istio.io/v1alpha2
kind: tracespan
metadata: {name: span, namespace: default}
spec:
  traceId: request.headers["x-b3-traceid"] | "0af7651916cd43dd8448eb211c80319c"
  spanId: '"b7ad6b7169203331"'
  spanName: request.method
  startTime: request.time
  endTime: response.time
  httpStatusCode: response.code
  clientSpan: (context.reporter.kind | "inbound") == "outbound"
  sourceName: source.workload.name
  sourceIp: source.ip
  destinationName: destination.workload.name
  destinationIp: destination.ip
  responseSize: response.size
  apiProtocol: api.protocol
  spanTags: {path: request.path}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: all, namespace: default}
spec: {actions: [{handler: nobody.noop, instances: [line.logentry, nothing.reportnothing, span.tracespan]}]}
"""


def test_log_entries_spans_and_nothing() -> None:
    found = policy(LOG)
    assert found.findings == ()
    line, nothing, span = (one.value for one in deliveries(found, outbound()))
    began = datetime.fromtimestamp(START, UTC)
    assert line == LogEntryValue("line.logentry.default", began, "warning", {"latency": timedelta(milliseconds=920)})
    assert nothing == NothingValue("nothing.reportnothing.default")
    assert span == TraceSpanValue(
        instance="span.tracespan.default",
        trace_id="0af7651916cd43dd8448eb211c80319c",
        span_id="b7ad6b7169203331",
        parent_span_id="",
        name="GET",
        start=began,
        end=began + timedelta(milliseconds=920),
        tags={"path": "/reviews/0?a=1&b", "response.size": 295, "api.protocol": "http"},
        status_code=200,
        client=True,
        source_name="productpage-v1",
        source_ip="10.88.0.2",
        destination_name="reviews-v2",
        destination_ip="10.88.0.4",
    )


def test_a_rewritten_span_of_a_client_is_the_parent_of_its_servers() -> None:
    def reported(span_id: str, record: AccessRecord) -> TraceSpanValue:
        text = LOG.replace("b7ad6b7169203331", span_id).replace("spanTags:", "rewriteClientSpanId: 'true'\n  spanTags:")
        (span,) = (one.value for one in deliveries(policy(text), record) if isinstance(one.value, TraceSpanValue))
        return span

    client, server = (reported("b7ad6b7169203331", record) for record in (outbound(), inbound()))
    assert (client.client, client.parent_span_id, server.client) == (True, "", False)
    assert (server.span_id, server.parent_span_id) == ("b7ad6b7169203331", client.span_id)
    assert client.span_id not in (server.span_id, "")
    assert len(client.span_id) == 16
    assert reported("none", outbound()).span_id == "none"


def test_a_log_entry_whose_time_only_requests_have_is_none_for_connections() -> None:
    values = [one.value for one in deliveries(policy(LOG), connection(ConnectionEvent.CLOSE, 1, 1))]
    assert values == [NothingValue("nothing.reportnothing.default")]


@pytest.mark.parametrize("sent, counted", [("5", 5.0), ("1e3", 1000.0), ("abc", None), ("", None)])
def test_a_metric_may_be_a_text_that_is_a_number(sent: str, counted: float | None) -> None:
    """As of Istio 1.4's prometheus adapter: whether it is one is known of each request only."""
    found = policy(metric(value='request.headers["end-user"]'))
    assert found.findings == ()
    http = http_part(request_headers=FrozenMap({"end-user": sent}))
    (delivery,) = deliveries(found, inbound(http=http))
    assert isinstance(delivery.value, MetricValue)
    assert number_of(delivery.value.value) == counted
