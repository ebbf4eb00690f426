"""SkyWalking's segments, read as spans: what the stand-in for collectors takes on SkyWalking's port.

Given the bytes of one `SegmentObject`, gives spans. A segment is what one program did of a trace; its spans are counted
within it, so a span's id here is `segment/number`. Source: SkyWalking's data collect protocol 3.1, Tracing.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from argosy.mixer.spans import Span

SERVICE, METHOD = "skywalking.v3.TraceSegmentReportService", "collect"
_FIELD = descriptor_pb2.FieldDescriptorProto
_STRING, _INT32, _INT64, _BOOL = _FIELD.TYPE_STRING, _FIELD.TYPE_INT32, _FIELD.TYPE_INT64, _FIELD.TYPE_BOOL
_KINDS = ("SERVER", "CLIENT", "")
# By message: each field's name, number and type; the name of a message stands for many of it. Enumerations are numbers.
_MESSAGES: dict[str, tuple[tuple[str, int, int | str], ...]] = {
    "Tag": (("key", 1, _STRING), ("value", 2, _STRING)),
    "Reference": (("trace_id", 2, _STRING), ("parent_segment_id", 3, _STRING), ("parent_span_id", 4, _INT32)),
    "Span": (
        ("span_id", 1, _INT32),
        ("parent_span_id", 2, _INT32),
        ("start_ms", 3, _INT64),
        ("end_ms", 4, _INT64),
        ("refs", 5, "Reference"),
        ("operation_name", 6, _STRING),
        ("peer", 7, _STRING),
        ("span_type", 8, _INT32),
        ("is_error", 11, _BOOL),
        ("tags", 12, "Tag"),
    ),
    "Segment": (
        ("trace_id", 1, _STRING),
        ("segment_id", 2, _STRING),
        ("spans", 3, "Span"),
        ("service", 4, _STRING),
        ("service_instance", 5, _STRING),
    ),
}


@cache
def segment_type() -> Any:
    """The message of a segment."""
    file = descriptor_pb2.FileDescriptorProto(name="segments.proto", package="argosy.skywalking", syntax="proto3")
    for message, fields in _MESSAGES.items():
        made = file.message_type.add(name=message)
        for name, number, kind in fields:
            if isinstance(kind, str):
                inner = f".argosy.skywalking.{kind}"
                many = _FIELD.LABEL_REPEATED
                made.field.add(name=name, number=number, type=_FIELD.TYPE_MESSAGE, label=many, type_name=inner)
            else:
                made.field.add(name=name, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("argosy.skywalking.Segment"))


def spans_of_segment(data: bytes) -> Iterator[Span]:
    """The spans of a segment. Errors: google.protobuf's DecodeError."""
    segment = segment_type().FromString(data)
    for one in segment.spans:
        tags = {tag.key: tag.value for tag in one.tags}
        yield Span(
            trace_id=segment.trace_id,
            span_id=f"{segment.segment_id}/{one.span_id}",
            parent_id=_parent(segment.segment_id, one),
            name=one.operation_name,
            service=segment.service,
            kind=_KINDS[one.span_type] if 0 <= one.span_type < len(_KINDS) else "",
            start_us=one.start_ms * 1000,
            duration_us=max(0, one.end_ms - one.start_ms) * 1000,
            error=one.is_error,
            tags=tuple(sorted({**tags, "instance": segment.service_instance, "peer": one.peer}.items())),
        )


def _parent(segment_id: str, span: Any) -> str:
    """A span of another segment where it says one, else the one above in its own."""
    for one in span.refs:
        return f"{one.parent_segment_id}/{one.parent_span_id}"
    return f"{segment_id}/{span.parent_span_id}" if span.parent_span_id >= 0 else ""
