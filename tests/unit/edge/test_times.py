"""Points of time as people write them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from argosy.core.errors import ArgosyError
from argosy.edge.times import parse_time

NOW = datetime(2026, 11, 28, 13, 0, tzinfo=UTC).timestamp()


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "text, expected",
    [
        ("now", "2026-11-28T13:00Z"),
        ("-10m", "2026-11-28T12:50Z"),
        ("-90s", "2026-11-28T12:58:30Z"),
        ("-1h30m", "2026-11-28T11:30Z"),
        ("-1.5h", "2026-11-28T11:30Z"),
        ("-2d", "2026-11-26T13:00Z"),
        ("13:05", "2026-11-28T12:05Z"),
        ("13:05:30", "2026-11-28T12:05:30Z"),
        ("14:05", "2026-11-27T13:05Z"),  # has not been today
        ("12:59Z", "2026-11-28T12:59Z"),
        ("12:59 UTC", "2026-11-28T12:59Z"),
        ("13:01Z", "2026-11-27T13:01Z"),
        ("2026-11-28 13:05", "2026-11-28T12:05Z"),
        ("2026-07-28 14:05", "2026-07-28T12:05Z"),  # summer time then
        ("2026-11-28T13:05", "2026-11-28T12:05Z"),
        ("2026-11-28T13:05Z", "2026-11-28T13:05Z"),
        ("2026-11-28 13:05 UTC", "2026-11-28T13:05Z"),
        ("2026-11-28T13:05+02:00", "2026-11-28T11:05Z"),
        ("2026-11-28", "2026-11-27T23:00Z"),
        ("1795870800", "2026-11-28T13:00Z"),
        ("1795870800.5", "2026-11-28T13:00:00.5Z"),
    ],
)
def test_forms(text: str, expected: str) -> None:
    assert parse_time(text, NOW) == datetime.fromisoformat(expected).timestamp()


@pytest.mark.parametrize(
    "text", ["", "yesterday", "10m", "-10", "-10x", "-m", "-", "25:00", "2026-13-01", "7", "14.05", "::"]
)
def test_what_is_no_time_is_told_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(ArgosyError) as caught:
        parse_time(text, NOW)
    (finding,) = caught.value.findings
    assert finding.code == "ARG0943"
    assert repr(text) in finding.message
    assert "`-10m`" in finding.hint
