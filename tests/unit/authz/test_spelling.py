"""Spellings of paths: which are equal, and which only most programs take for equal."""

from __future__ import annotations

import pytest

from argosy.authz.spelling import canonical, path_bytes


@pytest.mark.parametrize(
    "one,other,equal,folded",
    [
        ("/a", "/%61", True, True),
        ("/%c3%a9", "/%C3%A9", True, True),
        ("/é", "/%c3%A9", True, True),
        ("/a b", "/a%20b", True, True),
        ("/a:b", "/a%3ab", False, True),
        ("/a(b", "/a%28b", False, True),
        ("/a%3Ab", "/a%3ab", True, True),
        ("/a/b", "/a%2Fb", False, False),
        ("/a%2Fb", "/a%2fb", True, True),
        ("/a%b", "/a%25b", False, False),
        ("/a", "/A", False, False),
    ],
)
def test_spellings_are_equal_or_taken_for_it(one: str, other: str, equal: bool, folded: bool) -> None:
    assert (canonical(one, folded=False) == canonical(other, folded=False)) is equal
    assert (canonical(one, folded=True) == canonical(other, folded=True)) is folded


def test_a_lone_percent_sign_is_itself() -> None:
    assert list(path_bytes("%zz%4")) == [(ord(char), False) for char in "%zz%4"]
