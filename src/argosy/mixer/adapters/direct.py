"""What an adapter wants the client of a refused request to be told: `DirectHttpResponse` among a status' details.

Given the details, gives a `DirectAnswer`; without one the refusal is told in Mixer's own words. What cannot be sent (a
status that is none, names and values that are no header's) is left out. Source: Istio 1.4's
`istio.policy.v1beta1.DirectHttpResponse`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import re2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from argosy.mixer.port import DirectAnswer

NAME = "istio.policy.v1beta1.DirectHttpResponse"
_FIELD = descriptor_pb2.FieldDescriptorProto
_STATUSES = range(200, 600)
_HEADER = re2.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_COOKIES = "set-cookie"
_OF_HTTP = frozenset({"content-length", "transfer-encoding", "connection", "host"})


@cache
def direct_response() -> Any:
    """The message."""
    file = descriptor_pb2.FileDescriptorProto(name="direct.proto", package="istio.policy.v1beta1", syntax="proto3")
    response = file.message_type.add(name="DirectHttpResponse")
    entry = response.nested_type.add(name="HeadersEntry")
    entry.options.map_entry = True
    for number, name in enumerate(("key", "value"), 1):
        entry.field.add(name=name, number=number, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    response.field.add(name="code", number=1, type=_FIELD.TYPE_INT32, label=_FIELD.LABEL_OPTIONAL)
    response.field.add(name="body", number=2, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_OPTIONAL)
    kind, label = _FIELD.TYPE_MESSAGE, _FIELD.LABEL_REPEATED
    response.field.add(name="headers", number=3, type=kind, label=label, type_name=f".{NAME}.HeadersEntry")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(NAME))


def direct_answer(details: Iterable[Any]) -> DirectAnswer | None:
    """The first among `details` (messages `google.protobuf.Any`), or None."""
    for one in details:
        if one.type_url.rpartition("/")[2] != NAME:
            continue
        try:
            found = direct_response().FromString(one.value)
        except DecodeError:
            continue
        return DirectAnswer(found.code if found.code in _STATUSES else 0, found.body, tuple(_headers(found.headers)))
    return None


def _headers(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """In the order of their names; cookies are several headers, with commas between them."""
    for name in sorted(given):
        value, lower = given[name], name.lower()
        if not _HEADER.fullmatch(name) or lower in _OF_HTTP or not (value + " ").isprintable():
            continue
        if lower == _COOKIES:
            yield from ((lower, cookie.strip()) for cookie in value.split(",") if cookie.strip())
        else:
            yield lower, value
