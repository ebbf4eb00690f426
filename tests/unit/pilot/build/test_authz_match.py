"""Single matchers: what they take and what they leave, where Envoy's own semantics are easy to get wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from argosy.agent.bootstrap import REGEX_PROGRAM_MAX
from argosy.authz.conditions import wildcard
from argosy.pilot.build import authz_match as m


@given(st.text(st.characters(min_codepoint=1, max_codepoint=0x2FF), max_size=8))
def test_an_escaped_text_matches_itself_and_nothing_else(text: str) -> None:
    pattern = m.escape(text)
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    assert re2.fullmatch(pattern.encode(), text.encode(), options)
    assert not re2.fullmatch(pattern.encode(), (text + "x").encode(), options)


def test_a_dot_is_a_dot() -> None:
    """ISTIO-SECURITY-2026-003: `a.b` let `axb` in."""
    exact = m.authenticated({"exact": "spiffe://td/ns/shop/sa/a.b"})
    assert m.service_account("a.b", ("td",), "shop", broad=False) == [exact]
    [broad] = m.service_account("a.b", ("td",), "shop", broad=True)
    assert not re2.fullmatch(
        broad["authenticated"]["principal_name"]["safe_regex"]["regex"], "spiffe://td/ns/shop/sa/axb"
    )
    assert not re2.fullmatch(m.path_regex("/a.b/{*}"), "/axb/c")


@pytest.mark.parametrize("broad", [False, True])
def test_a_template_has_text_beside_its_operators(broad: bool) -> None:
    pattern = m.path_regex("/shop/t-{*}/{**}.pdf", broad=broad)
    taken = ["/shop/t-1/a/b.pdf", "/shop/t-1/.pdf", "/shop/t-/a.pdf", "/shop/t-1/x/a.pdfs", "/shop/t-1/axpdf"]
    assert [bool(re2.fullmatch(pattern, one)) for one in taken] == [True, True, False, False, False]


_WORDS = st.text("ab.", min_size=1, max_size=4)
_VALUES = st.lists(st.one_of(_WORDS, _WORDS.map(lambda word: word + "*")), min_size=1, max_size=4)


@given(_VALUES, st.text("ab.c", max_size=5))
def test_the_texts_that_are_none_of_some_values_are_written_out(values: list[str], text: str) -> None:
    taken = any(wildcard(value, text) for value in values)
    assert bool(re2.fullmatch(m.other_than(values), text)) is not taken


@given(st.lists(_WORDS.map(lambda word: "*" + word), min_size=1, max_size=4), st.text("ab.c", max_size=5))
def test_so_are_those_with_none_of_some_endings(values: list[str], text: str) -> None:
    taken = any(wildcard(value, text) for value in values)
    assert bool(re2.fullmatch(m.other_than(values), text)) is not taken


def _pairs(value: str, *, broad: bool) -> list[tuple[Any, ...]]:
    made = m.request_principal(value, broad=broad)
    return [
        tuple(part["metadata"]["value"]["or_match"]["value_matchers"][0]["string_match"] for part in ids)
        for ids in (one["and_ids"]["ids"] for one in made.get("or_ids", {"ids": [made]})["ids"])
    ]


def test_a_request_principal_allows_by_its_last_cut_and_refuses_by_every() -> None:
    last = ({"exact": "https://a"}, {"exact": "b"})
    assert _pairs("https://a/b", broad=False) == [last]
    others = [({"exact": "https:"}, {"exact": "/a/b"}), ({"exact": "https:/"}, {"exact": "a/b"})]
    assert _pairs("https://a/b", broad=True) == [last, *others]


@pytest.mark.parametrize("broad", [False, True])
def test_a_request_principal_without_a_slash_is_an_issuer_whose_subject_is_empty(broad: bool) -> None:
    assert _pairs("till", broad=broad) == [({"exact": "till"}, {"exact": ""})]


@pytest.mark.parametrize("action", ["ALLOW", "DENY"])
@pytest.mark.parametrize("shape", ["{}", "*{}", "{}*"])
def test_the_longest_lists_of_header_values_are_programs_that_proxies_take(action: str, shape: str) -> None:
    """Of what Galley accepts; Envoy refuses a whole configuration for one regular expression that is too long."""
    values = [shape.format(f"{number:03}-{'%x' % (number * 7919)}"[:30].ljust(30, "x")) for number in range(130)]
    broad = action == "DENY"
    found = list(_regexes(m.header("x", values, broad=broad)))
    assert found
    assert max(_program_size(one) for one in found) < REGEX_PROGRAM_MAX


def test_many_values_are_several_expressions_where_one_is_enough_to_match() -> None:
    values = [f"value-{number * 7919}-of-a-long-list" for number in range(3000)]
    found = list(_regexes(m.header("x", values, broad=True)))
    assert len(found) > 1
    assert max(_program_size(one) for one in found) < REGEX_PROGRAM_MAX
    assert all(any(re2.fullmatch(one, f"other, {value}") for one in found) for value in values[::500])


def _program_size(pattern: str) -> int:
    options = re2.Options()
    options.encoding, options.max_mem = re2.Options.Encoding.LATIN1, 1 << 28
    return int(re2.compile(pattern.encode(), options).programsize)


def _regexes(found: object) -> Iterator[str]:
    if isinstance(found, dict):
        if isinstance(found.get("regex"), str):
            yield found["regex"]
        for one in found.values():
            yield from _regexes(one)
    elif isinstance(found, list):
        for one in found:
            yield from _regexes(one)


_PATHS = st.text("ab:%3Aé.", max_size=6)


@given(_PATHS, st.booleans())
def test_a_path_has_itself_among_its_spellings(path: str, broad: bool) -> None:
    pattern = m.path_regex(f"/{path}/{{*}}", broad=broad)
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    assert re2.fullmatch(pattern.encode(), f"/{path}/x".encode(), options)
    assert re2.fullmatch(pattern.encode(), f"/{path}/x".replace("é", "%c3%A9").encode(), options)
    assert not re2.fullmatch(pattern.encode(), f"/{path}".encode(), options)
