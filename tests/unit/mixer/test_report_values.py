"""Values as text: Go's forms."""

from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address

import pytest

from argosy.mixer.report_values import format_duration, format_time, format_value, number_of, plain_value


@pytest.mark.parametrize(
    "duration, text",
    [
        (timedelta(), "0s"),
        (timedelta(microseconds=1), "1µs"),
        (timedelta(microseconds=919_400), "919.4ms"),
        (timedelta(milliseconds=20), "20ms"),
        (timedelta(seconds=1), "1s"),
        (timedelta(seconds=90, milliseconds=500), "1m30.5s"),
        (timedelta(hours=1), "1h0m0s"),
        (timedelta(hours=25, seconds=1), "25h0m1s"),
        (timedelta(milliseconds=-20), "-20ms"),
    ],
)
def test_durations_are_written_as_go_does(duration: timedelta, text: str) -> None:
    assert format_duration(duration) == text


def test_times_are_utc_with_microseconds() -> None:
    moment = datetime(2018, 9, 15, 22, 46, 36, 9801, timezone(timedelta(hours=2)))
    assert format_time(moment) == "2018-09-15T20:46:36.009801Z"


@pytest.mark.parametrize(
    "value, text, plain, number",
    [
        ("a", "a", "a", None),
        (True, "true", True, None),
        (7, "7", 7, 7.0),
        (0.5, "0.5", 0.5, 0.5),
        (timedelta(milliseconds=20), "20ms", "20ms", 0.02),
        (ip_address("::1"), "::1", "::1", None),
        ({"b": "2", "a": "1"}, "a=1&b=2", {"a": "1", "b": "2"}, None),
        (1234567.25, "1234567.25", 1234567.25, 1234567.25),
        (3e21, "3000000000000000000000", 3e21, 3e21),
        (2.0, "2", 2.0, 2.0),
        ("8.25", "8.25", "8.25", 8.25),
        ("1_0", "1_0", "1_0", None),
        ("nan", "nan", "nan", None),
        (datetime(2020, 1, 1, tzinfo=UTC), "2020-01-01T00:00:00.000000Z", "2020-01-01T00:00:00.000000Z", None),
    ],
)
def test_each_type_has_a_text_a_plain_form_and_perhaps_a_number(
    value: object, text: str, plain: object, number: float | None
) -> None:
    assert format_value(value) == text  # type: ignore[arg-type]
    assert plain_value(value) == plain  # type: ignore[arg-type]
    assert number_of(value) == number  # type: ignore[arg-type]
