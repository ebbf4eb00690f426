"""Attributes that attributegen would make, in the expressions that name them."""

import pytest

from argosy.core.generated_attributes import chain, expand, generated_names, is_name

MADE = {"a_b": chain([("x == 1", "one"), ("y", "two")])}


def test_the_first_condition_that_holds_says_the_value() -> None:
    assert MADE["a_b"] == "(x == 1) ? 'one' : (y) ? 'two' : 'unknown'"
    assert chain([("x", "one"), ("", "else"), ("y", "never")]) == "(x) ? 'one' : 'else'"


@pytest.mark.parametrize(
    "text, wanted",
    [
        (" a_b ", MADE["a_b"]),
        ("filter_state['wasm.a_b']", MADE["a_b"]),
        ('filter_state[ "wasm.a_b" ]', MADE["a_b"]),
        ("filter_state['wasm.a_b'] == 'one'", f"({MADE['a_b']}) == 'one'"),
        ("nobodys", "'unknown'"),
        ("filter_state['wasm.nobodys']", "filter_state['wasm.nobodys']"),
        ("request.host", "request.host"),
        ("cluster_name", "cluster_name"),
        ("'a_b'", "'a_b'"),
    ],
)
def test_names_become_what_they_stand_for(text: str, wanted: str) -> None:
    assert expand(text, MADE) == wanted


def test_names_are_found() -> None:
    assert generated_names(" a_b ") == ("a_b",)
    assert generated_names("filter_state['wasm.x'] + filter_state['wasm.y']") == ("x", "y")
    assert generated_names("request.host") == ()
    assert [is_name(one) for one in ("a_b", "request", "a-b", "'a'")] == [True, False, False, False]
