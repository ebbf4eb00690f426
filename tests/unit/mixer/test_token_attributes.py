"""Attributes of a verified token."""

import json
from typing import Any

import pytest

from argosy.core.frozen import FrozenMap
from argosy.mixer.attributes import VOCABULARY, Value
from argosy.mixer.token_attributes import claims_of, put_claims


def made(claims: dict[str, Any]) -> dict[str, Value]:
    bag: dict[str, Value] = {}
    put_claims(bag, claims)
    assert set(bag) <= set(VOCABULARY)
    return {name.removeprefix("request.auth."): value for name, value in bag.items()}


def test_claims_stand_in_the_notes_of_the_token_filter_only() -> None:
    claims = FrozenMap({"sub": "kim"})
    notes = {"payload": claims}
    assert claims_of({"envoy.filters.http.jwt_authn": FrozenMap(notes), "other": {"payload": {"sub": "max"}}}) == claims
    for nothing in (
        {},
        {"other": notes},
        {"envoy.filters.http.jwt_authn": {"failed": claims}},
        {"envoy.filters.http.jwt_authn": 1},
    ):
        assert claims_of(nothing) == {}


@pytest.mark.parametrize(
    "claims, principal",
    [
        ({"iss": "shop", "sub": "kim"}, "shop/kim"),
        ({"iss": "shop"}, None),
        ({"sub": "kim"}, None),
    ],
)
def test_a_principal_has_an_issuer_and_a_subject(claims: dict[str, Any], principal: str | None) -> None:
    assert made(claims).get("principal") == principal


def test_texts_and_lists_of_texts_are_claims_and_all_is_raw() -> None:
    claims = {
        "aud": ("b", "a"),
        "azp": "till",
        "level": 3.0,
        "share": 0.5,
        "admin": True,
        "address": {"zip": 1.0, "a": None},
    }
    found = made(claims)
    assert found["claims"] == {"aud": "b,a", "azp": "till"}
    assert (found["audiences"], found["presenter"]) == ("b,a", "till")
    raw = '{"address":{"a":null,"zip":1},"admin":true,"aud":["b","a"],"azp":"till","level":3,"share":0.5}'
    assert (found["raw_claims"], json.loads(raw)["level"]) == (raw, 3)


def test_without_a_token_there_are_none() -> None:
    assert made({}) == {}
