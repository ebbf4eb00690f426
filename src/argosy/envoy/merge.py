"""Merging one message into another, as patches of generated configuration need it.

Like protobuf's own merge (scalars replaced, lists appended, maps updated, messages merged), with two differences: the
contents of two `Any`s of one type are merged instead of replaced, and lists are replaced if so asked.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from argosy.envoy.api import decode, pack

_ANY = "google.protobuf.Any"
_WRAPPED = ("Bool", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64", "Bytes")
# One value each, though protobuf spells them as messages: a duration of 0 s would otherwise change nothing.
_VALUES = frozenset({"google.protobuf.Duration", *(f"google.protobuf.{name}Value" for name in _WRAPPED)})


def merge(target: Any, value: Message, *, replace_lists: bool = False) -> None:
    """Merge `value` into `target`, in place; both are of one type."""
    if value.DESCRIPTOR.full_name == _ANY:
        _merge_any(target, value, replace_lists=replace_lists)
        return
    for field, given in value.ListFields():
        if _is_map(field):
            _merge_map(getattr(target, field.name), given, field)
        elif field.is_repeated:
            if replace_lists:
                target.ClearField(field.name)
            getattr(target, field.name).extend(given)
        elif field.message_type is not None and field.message_type.full_name in _VALUES:
            getattr(target, field.name).CopyFrom(given)
        elif field.message_type is not None:
            merge(getattr(target, field.name), given, replace_lists=replace_lists)
        else:
            setattr(target, field.name, given)


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _merge_map(target: Any, given: Any, field: FieldDescriptor) -> None:
    entry = field.message_type
    messages = entry is not None and entry.fields_by_name["value"].message_type is not None
    for key in given:
        if messages:
            merge(target[key], given[key])
        else:
            target[key] = given[key]


def _merge_any(target: Any, value: Any, *, replace_lists: bool) -> None:
    if not target.type_url or target.type_url != value.type_url:
        target.CopyFrom(value)
        return
    name = value.type_url.rpartition("/")[2]
    inner = decode(name, target.value)
    merge(inner, decode(name, value.value), replace_lists=replace_lists)
    target.CopyFrom(pack(inner))
