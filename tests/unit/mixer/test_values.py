"""Values as text."""

from ipaddress import ip_address

import pytest

from argosy.mixer.values import text_of


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
    ],
)
def test_values_read_as_people_write_them(value: object, text: str) -> None:
    assert text_of(value) == text  # type: ignore[arg-type]
