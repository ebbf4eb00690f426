"""Scalar types that msgspec does not know: durations, percentages, frozen maps.

`decode_custom` is msgspec's hook: given a type and plain data, gives the value or raises `ValueError`.
Source: protobuf's JSON mapping of Duration, and Go's `time.ParseDuration`, as Istio reads them.
"""

from __future__ import annotations

from typing import Any, get_args, get_origin

import msgspec

from argosy.api.meta import Percent, Seconds
from argosy.core.frozen import FrozenMap

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class DurationError(ValueError):
    """The text is not a duration."""


def parse_duration_s(text: str) -> Seconds:
    """`1h30m` -> 5400.0. Raises `DurationError`; a bare `0` needs no unit."""
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    if rest == "0":
        return Seconds(0.0)
    total, at = 0.0, 0
    while at < len(rest):
        start = at
        while at < len(rest) and (rest[at].isdecimal() or rest[at] == "."):
            at += 1
        number = rest[start:at]
        start = at
        while at < len(rest) and not (rest[at].isdecimal() or rest[at] == "."):
            at += 1
        unit = _UNITS.get(rest[start:at])
        if unit is None or not number or number.count(".") > 1 or number == "." or not number.isascii():
            raise DurationError(f"{text!r} is not a duration")
        total += float(number) * unit
    if not rest:
        raise DurationError("a duration is empty")
    return Seconds(sign * total)


def decode_custom(type_: Any, value: Any) -> Any:
    """msgspec's `dec_hook`. Raises `ValueError` with the reason."""
    if get_origin(type_) is FrozenMap:
        key, item = get_args(type_)
        if not isinstance(value, dict):
            raise ValueError(f"Expected `object`, got `{_json_name(value)}`")
        if item is Any:
            return freeze(value)
        return FrozenMap(msgspec.convert(value, dict[key, item], dec_hook=decode_custom, str_keys=True))  # type: ignore[valid-type]
    if type_ is Seconds:
        if not isinstance(value, str):
            raise DurationError(f"a duration is a string with a unit, not {value!r}")
        return parse_duration_s(value)
    if type_ is Percent:
        return _percent(value)
    raise NotImplementedError(f"no decoder for {type_!r}")


def freeze(value: Any) -> Any:
    """Plain data as immutable, hashable data: dict -> FrozenMap, list -> tuple."""
    if isinstance(value, dict):
        return FrozenMap({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list):
        return tuple(freeze(item) for item in value)
    return value


def _percent(value: Any) -> Percent:
    if not isinstance(value, dict):
        raise ValueError(f"Expected `object` with a value, got `{_json_name(value)}`")
    if unknown := sorted(value.keys() - {"value"}):
        raise ValueError(f"Object contains unknown field `{unknown[0]}`")
    number = value.get("value", 0.0)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise ValueError(f"Expected `number`, got `{_json_name(number)}`")
    return Percent(number)


def _json_name(value: Any) -> str:
    names = {dict: "object", list: "array", str: "str", bool: "bool", int: "int", float: "float", type(None): "null"}
    return names.get(type(value), type(value).__name__)
