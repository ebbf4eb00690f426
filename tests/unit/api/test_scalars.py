"""Durations, percentages, frozen maps."""

from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest

from argosy.api.kinds import KINDS
from argosy.api.meta import Percent, Seconds
from argosy.api.scalars import DurationError, decode_custom, freeze, parse_duration_s
from argosy.core.frozen import FrozenMap


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("10s", 10),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        ("-3s", -3),
        ("0", 0),
        ("1m0.5s", 60.5),
        ("2us", 2e-6),
    ],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "10", "s", "1.2.3s", "1 s", "10sec", ".s", "--1s", "1s2", "१s", "1d", "-", "1e3s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(DurationError):
        parse_duration_s(text)


def test_percentages_are_objects_with_a_value() -> None:
    assert decode_custom(Percent, {"value": 12.5}) == 12.5
    assert decode_custom(Percent, {}) == 0


@pytest.mark.parametrize("value", [50, "50", {"value": "50"}, {"value": True}, {"valeu": 1}, []])
def test_other_percentages_are_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        decode_custom(Percent, value)


def test_numbers_are_no_durations() -> None:
    with pytest.raises(DurationError):
        decode_custom(Seconds, 10)


def test_frozen_data_is_hashable() -> None:
    frozen = freeze({"a": [1, {"b": "c"}]})
    assert frozen == {"a": (1, {"b": "c"})}
    assert isinstance(hash(frozen), int)
    assert decode_custom(FrozenMap[str, Any], {"a": [1]}) == {"a": (1,)}


def test_integer_keys_are_decoded() -> None:
    assert decode_custom(FrozenMap[int, str], {"8080": "x"}) == {8080: "x"}


def structs(of: type[msgspec.Struct] = msgspec.Struct) -> Iterator[type[msgspec.Struct]]:
    for one in of.__subclasses__():
        if one.__module__.startswith("argosy.api."):
            yield one
        yield from structs(one)


def parts(type_: Any) -> Iterator[Any]:
    """What an annotation is put together from; a map without its types counts as unknown."""
    if get_origin(type_) is Literal:
        return
    if arguments := get_args(type_):
        for one in arguments:
            yield from parts(one)
    else:
        yield type_


def test_every_field_of_every_object_has_a_decoder() -> None:
    """Else a document of a user's would end in `NotImplementedError`."""
    known = {Percent, Seconds, str, int, float, bool, bytes, type(None), Any, ...}
    found = {one for struct in structs() for field in msgspec.structs.fields(struct) for one in parts(field.type)}
    assert {kind.type for kind in KINDS.values()} <= set(structs())
    own = {one for one in found if isinstance(one, type) and issubclass(one, (msgspec.Struct, Enum))}
    assert {one for one in found - own - known if isinstance(one, type)} == set()
    assert {Percent, Seconds} <= found
