"""Spans of OpenTelemetry's and Zipkin's protocols come to the same."""

from __future__ import annotations

import pytest

from argosy.envoy.api import message
from argosy.mixer.spans import TAG_CHARS_MAX, TAGS_MAX, Span, spans_of_otlp, spans_of_zipkin
from argosy.mixer.zipkin_proto import parse_zipkin_proto

REQUEST = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"
TRACE, ID, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "53995c3f42cd8ad8"
WANTED = Span(
    trace_id=TRACE,
    span_id=ID,
    parent_id=PARENT,
    name="get",
    service="a.default",
    kind="SERVER",
    start_us=1_000_000,
    duration_us=250,
    error=True,
    tags=(("error", "true"), ("http.status_code", "503")),
)


def test_opentelemetry() -> None:
    one = {
        "trace_id": bytes.fromhex(TRACE),
        "span_id": bytes.fromhex(ID),
        "parent_span_id": bytes.fromhex(PARENT),
        "name": "get",
        "kind": 2,
        "start_time_unix_nano": 1_000_000_000,
        "end_time_unix_nano": 1_000_250_000,
        "attributes": [
            {"key": "http.status_code", "value": {"int_value": 503}},
            {"key": "error", "value": {"bool_value": True}},
        ],
        "status": {"code": 2},
    }
    resource = {"attributes": [{"key": "service.name", "value": {"string_value": "a.default"}}]}
    request = message(REQUEST)(
        resource_spans=[{"resource": resource, "scope_spans": [{"spans": [one, {"name": "no id"}]}]}]
    )
    assert list(spans_of_otlp(request)) == [WANTED]


@pytest.mark.parametrize(
    "tags, code, error",
    [({}, 2, True), ({"error": "true"}, 0, True), ({"error": "false"}, 1, False), ({}, 0, False)],
)
def test_a_span_of_opentelemetry_failed_by_its_status_or_its_tag(tags: dict[str, str], code: int, error: bool) -> None:
    attributes = [{"key": name, "value": {"string_value": text}} for name, text in tags.items()]
    one = {"trace_id": b"t" * 16, "span_id": b"s" * 8, "attributes": attributes, "status": {"code": code}}
    (found,) = spans_of_otlp(message(REQUEST)(resource_spans=[{"scope_spans": [{"spans": [one]}]}]))
    assert found.error is error


def test_zipkin_in_json_and_what_is_no_span() -> None:
    one = {
        "traceId": TRACE.upper(),
        "id": ID,
        "parentId": PARENT,
        "name": "get",
        "kind": "SERVER",
        "timestamp": 1_000_000,
        "duration": 250,
        "localEndpoint": {"serviceName": "a.default"},
        "tags": {"error": "true", "http.status_code": "503"},
    }
    assert list(spans_of_zipkin([one])) == [WANTED]
    short = next(spans_of_zipkin([{"traceId": "ab", "id": "cd"}]))
    assert (short.trace_id, short.span_id, short.service, short.parent_id) == (
        "ab".rjust(32, "0"),
        "cd".rjust(16, "0"),
        "unknown",
        "",
    )
    assert list(spans_of_zipkin([{"id": "a"}, 3, None, {"traceId": "a"}])) == []
    assert list(spans_of_zipkin({"traceId": "a"})) == []


def test_zipkin_in_protobuf() -> None:
    """Bytes as another encoder writes them: field numbers and wire types by hand."""
    endpoint = b"\x0a\x09a.default"
    tags = b"\x5a\x0d\x0a\x05error\x12\x04true" + b"\x5a\x17\x0a\x10http.status_code\x12\x03503"
    span = (
        b"\x0a\x10" + bytes.fromhex(TRACE)
        + b"\x12\x08" + bytes.fromhex(PARENT)
        + b"\x1a\x08" + bytes.fromhex(ID)
        + b"\x20\x02\x2a\x03get\x31" + (1_000_000).to_bytes(8, "little")
        + b"\x38\xfa\x01\x42" + bytes([len(endpoint)]) + endpoint
        + tags
    )  # fmt: skip
    body = b"\x0a" + bytes([len(span)]) + span
    assert list(spans_of_zipkin(parse_zipkin_proto(body))) == [WANTED]


def test_tags_are_bounded() -> None:
    tags = {f"k{n:04}": "v" * (TAG_CHARS_MAX + 1) for n in range(TAGS_MAX + 5)}
    (one,) = spans_of_zipkin([{"traceId": "a", "id": "b", "tags": tags}])
    assert (len(one.tags), {len(value) for _key, value in one.tags}) == (TAGS_MAX, {TAG_CHARS_MAX})
