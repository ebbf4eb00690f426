"""Durations, percentages, frozen maps."""

from typing import Any

import pytest

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
