"""Documents whose fields may be written in two ways, to the one that types know.

Given a type and plain data, gives plain data in which fields are written in camel case: of `BothSpellings` structs,
where nulls are gone too (`unspelled`), or of all (`camel_cased`). Keys of maps are people's own and stay.
Source: protobuf's JSON mapping, which reads both names.
"""

from __future__ import annotations

from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

from argosy.api.meta import NO_NAMES, BothSpellings
from argosy.core.frozen import FrozenMap


def unspell(type_: type[msgspec.Struct], key: str) -> str:
    """The name by which `type_` knows the field that is written `key`; other keys as they are."""
    return _names(type_).get(key, key)


def unspelled(type_: Any, value: Any) -> Any:
    """`value` as `type_` can be decoded from it. A field that is written twice stays twice, to be refused."""
    type_ = _without_none(type_)
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        if not isinstance(value, dict):
            return value
        if not issubclass(type_, BothSpellings):
            return value
        return _members(type_, value)
    origin = get_origin(type_)
    if origin is tuple and isinstance(value, list):
        return [unspelled(get_args(type_)[0], item) for item in value]
    if origin is FrozenMap and isinstance(value, dict):
        return {key: unspelled(get_args(type_)[1], item) for key, item in value.items()}
    return value


def camel_cased(type_: Any, value: Any) -> Any:
    """`value` with every field that a struct knows, or knows to refuse, in camel case; all else stays as it is."""
    type_ = _without_none(type_)
    origin = get_origin(type_)
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct) and isinstance(value, dict):
        types, later = _types(type_), getattr(type_, "not_yet", NO_NAMES)
        found: dict[str, Any] = {}
        for key, item in value.items():
            name = camel_case(key)
            known = (name in types or name in later) and (name == key or name not in value)
            found[name if known else key] = camel_cased(types[name], item) if known and name in types else item
        return found
    if origin is tuple and isinstance(value, list):
        return [camel_cased(get_args(type_)[0], item) for item in value]
    if origin is FrozenMap and isinstance(value, dict):
        return {key: camel_cased(get_args(type_)[1], item) for key, item in value.items()}
    return value


def camel_case(key: str) -> str:
    """`max_amount` as `maxAmount`."""
    first, *rest = key.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def _members(type_: type[msgspec.Struct], value: dict[str, Any]) -> dict[str, Any]:
    types = _types(type_)
    found: dict[str, Any] = {}
    for key, item in value.items():
        if item is None:
            continue
        name = unspell(type_, key)
        if name != key and name in value:
            name = key
        found[name] = unspelled(types[name], item) if name in types else item
    return found


@lru_cache(maxsize=256)
def _names(type_: type[msgspec.Struct]) -> dict[str, str]:
    return {field.name: field.encode_name for field in msgspec.structs.fields(type_)}


@lru_cache(maxsize=256)
def _types(type_: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(type_)}


def _without_none(type_: Any) -> Any:
    if get_origin(type_) in (Union, UnionType):
        rest = [t for t in get_args(type_) if t is not NoneType]
        return rest[0] if len(rest) == 1 else type_
    return type_
