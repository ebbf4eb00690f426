"""Single conditions: three answers, and how they are put together."""

from __future__ import annotations

import pytest

from argosy.authz import conditions as c
from argosy.authz.call import Call


@pytest.mark.parametrize(
    "pattern,text,holds",
    [("a", "a", True), ("a", "ab", False), ("a*", "ab", True), ("*b", "ab", True), ("*", "", False), ("*", "x", True)],
)
def test_wildcards_lead_trail_or_stand_alone(pattern: str, text: str, holds: bool) -> None:
    assert c.wildcard(pattern, text) is holds


def test_answers_are_put_together_with_what_is_not_known() -> None:
    assert [c.some([False, None]), c.some([None, True]), c.some([])] == [None, True, False]
    assert [c.every([True, None]), c.every([None, False]), c.every([])] == [None, False, True]
    assert [c.negate(None), c.negate(True)] == [None, False]


def test_a_path_is_compared_without_query_and_parameters() -> None:
    assert c.comparable_path("/a;x=1/b;y?z=/c#d") == "/a/b"


@pytest.mark.parametrize(
    "values,lines,answer",
    [
        (["user"], [], False),
        (["user"], ["user", "user"], True),
        (["user", "*min"], ["user", "admin"], None),
        (["user"], ["guest"], False),
        (["a,b"], ["x, a,b"], None),
        (["*"], [""], True),
    ],
)
def test_a_header_has_a_value_if_every_line_is_one(values: list[str], lines: list[str], answer: bool | None) -> None:
    call = Call(headers=tuple(("x", line) for line in lines))
    assert c.header(call, "x", values) is answer
