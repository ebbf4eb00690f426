"""Durations and globs, which expressions and parameters share."""

import pytest

from argosy.mixer.functions import glob_match, parse_duration


@pytest.mark.parametrize(
    "text, seconds", [("5s", 5), ("1h2m3.5s", 3723.5), ("250ms", 0.25), ("-1m", -60), ("10us", 1e-5)]
)
def test_go_durations_are_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "five", "-", "9000000000000s"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    "text, pattern, found",
    [("abc", "a*", True), ("abc", "*c", True), ("abc", "a*c", False), ("abc", "abc", True), ("", "*", True)],
)
def test_one_star_at_either_end(text: str, pattern: str, found: bool) -> None:
    assert glob_match(text, pattern) is found
