"""Fields of a template: what types the descriptor gives them, and the attribute types that they take.

Given the descriptor of a message; gives `Leaf`, `MapOf` and `Nested` by name. Source: Istio 1.4's template language
(scalars, maps of string to them, the types of `istio.policy.v1beta1`, messages of the template's own).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from argosy.mixer.adapters.descriptors import DescriptorError
from argosy.mixer.attributes import ValueType

POLICY = "istio.policy.v1beta1."
ANY = "Value"
INSTANCE_NAME = "name"
_T = ValueType
_MESSAGES: Mapping[str, ValueType] = {
    "IPAddress": _T.IP_ADDRESS,
    "TimeStamp": _T.TIMESTAMP,
    "Duration": _T.DURATION,
    "EmailAddress": _T.EMAIL_ADDRESS,
    "DNSName": _T.DNS_NAME,
    "Uri": _T.URI,
    "StringMap": _T.STRING_MAP,
}
_TYPE_DOUBLE, _TYPE_INT64, _TYPE_BOOL, _TYPE_STRING, _TYPE_MESSAGE = 1, 3, 8, 9, 11


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value; `type` None takes any (`istio.policy.v1beta1.Value`). `wrapped`: it stands in a message of policy."""

    type: ValueType | None
    wrapped: bool = False


@dataclass(frozen=True, slots=True)
class MapOf:
    """A map of string to values of one kind."""

    value: Leaf


@dataclass(frozen=True, slots=True)
class Nested:
    """A message of the template's own."""

    fields: Mapping[str, FieldKind]


FieldKind = Leaf | MapOf | Nested


def fields_of(descriptor: Any, depth: int = 0) -> dict[str, FieldKind]:
    """The fields of a message by name. Errors: `DescriptorError` for types that templates cannot have."""
    if depth > 8:
        raise DescriptorError(f"message {descriptor.full_name} is nested too deeply")
    return {one.name: _kind(one, depth) for one in descriptor.fields}


def by_any_name(descriptor: Any, name: str) -> str | None:
    """The field that `name` means, in snake case or in camel case."""
    for one in descriptor.fields:
        if name in (one.name, one.camelcase_name):
            return str(one.name)
    return None


def is_map(field: Any) -> bool:
    """True for `map<k, v>`."""
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _kind(field: Any, depth: int) -> FieldKind:
    if is_map(field):
        entry = field.message_type.fields_by_name
        if entry["key"].type != _TYPE_STRING:
            raise DescriptorError(f"the keys of {field.full_name} must be strings")
        value = _kind(entry["value"], depth + 1)
        if not isinstance(value, Leaf):
            raise DescriptorError(f"the values of {field.full_name} must be single values")
        return MapOf(value)
    if field.is_repeated:
        raise DescriptorError(f"{field.full_name} is a list; templates have none")
    scalar = {_TYPE_STRING: _T.STRING, _TYPE_INT64: _T.INT64, _TYPE_DOUBLE: _T.DOUBLE, _TYPE_BOOL: _T.BOOL}
    if field.type in scalar:
        return Leaf(scalar[field.type])
    if field.type != _TYPE_MESSAGE:
        raise DescriptorError(f"{field.full_name} has a type that templates cannot have")
    name = field.message_type.full_name
    if name == f"{POLICY}{ANY}":
        return Leaf(None, wrapped=True)
    if name.startswith(POLICY):
        known = _MESSAGES.get(name.removeprefix(POLICY))
        if known is None:
            raise DescriptorError(f"{field.full_name} has a type that templates cannot have: {name}")
        return Leaf(known, wrapped=True)
    return Nested(fields_of(field.message_type, depth + 1))
