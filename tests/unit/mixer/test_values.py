"""Values as text."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from argosy.mixer.values import means, text_of


@pytest.mark.parametrize(
    "value, text",
    [
        ("a", "a"),
        (True, "true"),
        (False, "false"),
        (5, "5"),
        (1.5, "1.5"),
        (2.0, "2"),
        (ip_address("10.0.0.1"), "10.0.0.1"),
        (None, ""),
        (timedelta(seconds=90), "1m30s"),
        (datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC), "2026-05-06T07:08:09.000000Z"),
        ({"b": "2", "a": "1"}, "a=1&b=2"),
    ],
)
def test_values_read_as_people_write_them(value: object, text: str) -> None:
    assert text_of(value) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text, value, same",
    [
        ("a", "a", True),
        ("A", "a", False),
        ("007", 7, True),
        ("7.0", 7, False),
        ("7.50", 7.5, True),
        ("T", True, True),
        ("yes", True, False),
        ("60s", timedelta(minutes=1), True),
        ("a minute", timedelta(minutes=1), False),
        ("2026-05-06T09:08:09+02:00", datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC), True),
        ("::ffff:10.0.0.1", ip_address("10.0.0.1"), True),
        ("10.0.0.2", ip_address("10.0.0.1"), False),
        ("b=2&a=1", {"a": "1", "b": "2"}, True),
        ("a=1", {"a": "1", "b": "2"}, False),
    ],
)
def test_text_means_a_value_of_its_type(text: str, value: object, same: bool) -> None:
    assert means(text, value) is same  # type: ignore[arg-type]
