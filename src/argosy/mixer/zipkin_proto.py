"""Zipkin's spans in protobuf, read as what its JSON says. Pure. Source: Zipkin's API v2, zipkin.proto3."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto
_KINDS = ("", "CLIENT", "SERVER", "PRODUCER", "CONSUMER")


@cache
def _list_of_spans() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="zipkin_spans.proto", package="argosy.zipkin", syntax="proto3")
    endpoint = file.message_type.add(name="Endpoint")
    endpoint.field.add(name="service_name", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    span = file.message_type.add(name="Span")
    for name, number, kind in (
        ("trace_id", 1, _FIELD.TYPE_BYTES),
        ("parent_id", 2, _FIELD.TYPE_BYTES),
        ("id", 3, _FIELD.TYPE_BYTES),
        ("kind", 4, _FIELD.TYPE_INT32),
        ("name", 5, _FIELD.TYPE_STRING),
        ("timestamp", 6, _FIELD.TYPE_FIXED64),
        ("duration", 7, _FIELD.TYPE_UINT64),
    ):
        span.field.add(name=name, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL)
    entry = span.nested_type.add(name="TagsEntry")
    entry.options.map_entry = True
    for number, name in enumerate(("key", "value"), 1):
        entry.field.add(name=name, number=number, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    for name, number, inner, label in (
        ("local_endpoint", 8, "Endpoint", _FIELD.LABEL_OPTIONAL),
        ("tags", 11, "Span.TagsEntry", _FIELD.LABEL_REPEATED),
    ):
        span.field.add(
            name=name, number=number, type=_FIELD.TYPE_MESSAGE, label=label, type_name=f".argosy.zipkin.{inner}"
        )
    spans = file.message_type.add(name="ListOfSpans")
    spans.field.add(
        name="spans",
        number=1,
        type=_FIELD.TYPE_MESSAGE,
        label=_FIELD.LABEL_REPEATED,
        type_name=".argosy.zipkin.Span",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("argosy.zipkin.ListOfSpans"))


def parse_zipkin_proto(data: bytes) -> list[dict[str, Any]]:
    """The spans as decoded JSON has them. Errors: google.protobuf's DecodeError."""
    return [
        {
            "traceId": one.trace_id.hex(),
            "id": one.id.hex(),
            "parentId": one.parent_id.hex(),
            "kind": _KINDS[one.kind] if 0 <= one.kind < len(_KINDS) else "",
            "name": one.name,
            "timestamp": one.timestamp,
            "duration": one.duration,
            "localEndpoint": {"serviceName": one.local_endpoint.service_name},
            "tags": dict(one.tags),
        }
        for one in _list_of_spans().FromString(data).spans
    ]
