"""Spans in Zipkin's second form."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from argosy.mixer.report_handlers.zipkin import encode_batch, encode_span, sampled
from argosy.mixer.report_values import TraceSpanValue

MOMENT = datetime(2020, 1, 1, tzinfo=UTC)


def span(**changes: Any) -> TraceSpanValue:
    given: dict[str, Any] = {
        "instance": "s", "trace_id": "0af7651916cd43dd8448eb21ffffffff", "span_id": "b7ad6b7169203331",
        "parent_span_id": "", "name": "reviews", "start": MOMENT, "end": MOMENT + timedelta(milliseconds=5),
        "tags": {"size": 3}, "status_code": 200, "source_name": "productpage", "source_ip": "10.0.0.1",
        "destination_name": "reviews", "destination_ip": "::2",
    }  # fmt: skip
    return TraceSpanValue(**{**given, **changes})


def test_the_server_and_the_client_have_their_own_ends() -> None:
    server, client = msgspec.json.decode(encode_batch([encode_span(span()), encode_span(span(client=True))]))
    assert server == {
        "traceId": "0af7651916cd43dd8448eb21ffffffff",
        "id": "b7ad6b7169203331",
        "kind": "SERVER",
        "shared": True,
        "name": "reviews",
        "timestamp": 1577836800000000,
        "duration": 5000,
        "localEndpoint": {"serviceName": "reviews", "ipv6": "::2"},
        "remoteEndpoint": {"serviceName": "productpage", "ipv4": "10.0.0.1"},
        "tags": {"size": "3", "http.status_code": "200"},
    }
    assert client["kind"] == "CLIENT"
    assert client["localEndpoint"]["serviceName"] == "productpage"
    assert "shared" not in client
    assert msgspec.json.decode(encode_span(span(parent_span_id="aa")))["parentId"] == "aa"


def test_a_trace_is_sampled_as_a_whole() -> None:
    assert sampled(span(), 1.0)
    assert not sampled(span(), 0.99)
    assert sampled(span(trace_id="0" * 32), 0.01)
    assert not sampled(span(trace_id=""), 1.0)
    assert not sampled(span(span_id=""), 1.0)
