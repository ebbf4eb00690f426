"""All faults in the shape of a value, after fast decoding refused it.

Given a type and plain data, gives `Problem`s with paths; the types themselves tell what is known and what Istio has
but Argosy has not (`not_yet`). Slow on purpose: it only runs for input that is refused anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from argosy.api.meta import NO_NAMES, BothSpellings, Percent, Seconds, StringMatch
from argosy.api.paths import FieldPath
from argosy.api.scalars import DurationError, decode_custom
from argosy.api.spelling import unspell
from argosy.core.frozen import FrozenMap

_JSON_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: where, which code, what, and how to mend it."""

    path: FieldPath
    code: str
    message: str
    hint: str = ""


def problems_of(type_: Any, value: Any, path: FieldPath) -> Iterator[Problem]:
    """Every fault of `value` as a `type_`, depth first, in the document's order."""
    type_ = _without_none(type_)
    origin = get_origin(type_)
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        yield from _struct_problems(type_, value, path)
    elif type_ is Percent and isinstance(value, dict):
        yield from _percent_problems(value, path)
    elif origin is tuple:
        if not isinstance(value, list):
            yield _wrong_type(path, "a list", value)
            return
        for index, item in enumerate(value):
            yield from problems_of(get_args(type_)[0], item, (*path, index))
    elif origin is FrozenMap:
        yield from _map_problems(get_args(type_), value, path)
    elif origin is Literal:
        yield from _literal_problems(get_args(type_), value, path)
    else:
        yield from _leaf_problems(type_, value, path)


def null_problems(type_: Any, where: FieldPath, path: FieldPath = ()) -> Iterator[Problem]:
    """The fault of a member that was written as `null` at `where` within a `type_`, if there is one: its name is not
    known. `path`: where the value itself stands. What is known and null is simply not there."""
    type_ = _without_none(type_)
    origin = get_origin(type_)
    if not where:
        return
    step, rest = where[0], where[1:]
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        fields = _fields(type_)
        name = unspell(type_, str(step)) if issubclass(type_, BothSpellings) else str(step)
        if name in fields:
            yield from null_problems(fields[name].type, rest, (*path, step))
        elif type_.__struct_config__.forbid_unknown_fields and not rest:
            yield _unknown_field(type_, str(step), fields, (*path, step))
    elif type_ is Percent and not rest and step != "value":
        yield from _percent_problems({str(step): None}, path)
    elif origin is tuple:
        yield from null_problems(get_args(type_)[0], rest, (*path, step))
    elif origin is FrozenMap and get_args(type_)[1] is StringMatch and not rest:
        # Nothing to compare with would be a condition less, and the rule one about more requests.
        yield _wrong_type((*path, step), "an object", None)
    elif origin is FrozenMap:
        yield from null_problems(get_args(type_)[1], rest, (*path, step))


@lru_cache(maxsize=256)
def _fields(type_: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(type_)}


def _struct_problems(type_: type[msgspec.Struct], value: Any, path: FieldPath) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield _wrong_type(path, "an object", value)
        return
    fields = _fields(type_)
    both = issubclass(type_, BothSpellings)
    if both:
        value = {key: item for key, item in value.items() if item is not None}
    written = {unspell(type_, key) for key in value} if both else set(value)
    missing = [name for name, field in fields.items() if field.required and name not in written]
    for key, item in value.items():
        if both and (name := unspell(type_, key)) != key:
            if name in value:
                yield Problem((*path, key), "ARG0010", f"field {name!r} is written twice", f"remove {key}")
                continue
            yield from _member_problems(type_, fields[name], item, (*path, key))
        elif key in fields:
            yield from _member_problems(type_, fields[key], item, (*path, key))
        elif type_.__struct_config__.forbid_unknown_fields:
            yield _unknown_field(type_, key, fields, (*path, key))
    for name in missing:
        yield Problem((*path, name), "ARG0013", "required field is missing", f"add {name}")


def _member_problems(
    type_: type[msgspec.Struct], field: msgspec.structs.FieldInfo, value: Any, path: FieldPath
) -> Iterator[Problem]:
    not_yet: dict[str, frozenset[str]] = getattr(type_, "not_yet_values", {})
    if isinstance(value, str) and value in not_yet.get(field.encode_name, NO_NAMES):
        yield Problem(path, "ARG0015", f"{value} is valid Istio, but not supported yet")
        return
    yield from problems_of(field.type, value, path)


def _unknown_field(
    type_: type[msgspec.Struct], key: str, fields: dict[str, msgspec.structs.FieldInfo], path: FieldPath
) -> Problem:
    not_yet: frozenset[str] = getattr(type_, "not_yet", NO_NAMES)
    if key in not_yet:
        return Problem(path, "ARG0011", f"field {key!r} is valid Istio, but not supported yet", f"remove {key}")
    lowered = {name.lower(): name for name in fields}
    close = get_close_matches(key.lower().replace("_", ""), lowered, n=1, cutoff=0.6)
    hint = f"did you mean {lowered[close[0]]}?" if close else f"known fields: {', '.join(sorted(fields)) or 'none'}"
    return Problem(path, "ARG0010", f"unknown field {key!r}", hint)


def _percent_problems(value: dict[str, Any], path: FieldPath) -> Iterator[Problem]:
    for key, item in value.items():
        if key != "value":
            yield Problem((*path, key), "ARG0010", f"unknown field {key!r}", "did you mean value?")
        elif isinstance(item, bool) or not isinstance(item, (int, float)):
            yield _wrong_type((*path, key), "a number", item)


def _map_problems(types: tuple[Any, ...], value: Any, path: FieldPath) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield _wrong_type(path, "an object", value)
        return
    key_type, item_type = types
    for key, item in value.items():
        if key_type is int and not key.isdecimal():
            yield _wrong_type((*path, key), "an integer as the key", key)
        yield from problems_of(item_type, item, (*path, key))


def _literal_problems(allowed: tuple[Any, ...], value: Any, path: FieldPath) -> Iterator[Problem]:
    if any(value == one and type(value) is type(one) for one in allowed):
        return
    close = get_close_matches(str(value).upper(), [str(a).upper() for a in allowed], n=1, cutoff=0.6)
    named = next((a for a in allowed if close and str(a).upper() == close[0]), None)
    hint = f"did you mean {named}?" if named else f"one of: {', '.join(str(a) for a in allowed if a != '')}"
    yield Problem(path, "ARG0014", f"{value!r} is not a possible value", hint)


def _leaf_problems(type_: Any, value: Any, path: FieldPath) -> Iterator[Problem]:
    try:
        msgspec.convert(value, type_, dec_hook=decode_custom)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, DurationError):
            yield Problem(path, "ARG0016", str(error.__cause__), "write a number and a unit: 10s, 250ms, 1m30s")
            return
        yield _wrong_type(path, _expected(type_), value)


def _expected(type_: Any) -> str:
    if type_ is Seconds:
        return "a duration such as 10s"
    if type_ is Percent:
        return "an object with a value, {value: 50}"
    if get_origin(type_) in (Union, UnionType):
        return " or ".join(_JSON_NAMES.get(t, str(t)) for t in get_args(type_) if t is not NoneType)
    return _JSON_NAMES.get(type_, getattr(type_, "__name__", str(type_)))


def _wrong_type(path: FieldPath, expected: str, value: Any) -> Problem:
    got = "null" if value is None else _JSON_NAMES.get(type(value), type(value).__name__)
    hint = ""
    if expected == "a string" and isinstance(value, (int, float, bool)):
        # YAML also has `no`, `on` and the like for these.
        hint = (
            f"quote it: unquoted it means {str(value).lower()}" if isinstance(value, bool) else f'quote it: "{value}"'
        )
    elif isinstance(value, str) and _is_quoted(value, expected):
        hint = "remove the quotes"
    elif isinstance(value, str) and value and expected == "a list":
        hint = f"write a list: [{value}]"
    return Problem(path, "ARG0012", f"must be {expected}, not {got}", hint)


def _is_quoted(text: str, expected: str) -> bool:
    """Whether a text would be what is expected without its quotes."""
    if expected == "a boolean":
        return text in ("true", "false")
    digits = text.removeprefix("-")
    if expected == "a number":
        digits = digits.replace(".", "", 1)
    return expected in ("an integer", "a number") and digits.isascii() and digits.isdecimal()


def _without_none(type_: Any) -> Any:
    if get_origin(type_) in (Union, UnionType):
        rest = tuple(t for t in get_args(type_) if t is not NoneType)
        return rest[0] if len(rest) == 1 else Union[rest]  # noqa: UP007  # built at run time
    return type_
