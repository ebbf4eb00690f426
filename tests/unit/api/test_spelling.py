"""Two spellings of one field, to the one that types know."""

from argosy.api.meta import BothSpellings, Strict
from argosy.api.spelling import unspell, unspelled
from argosy.core.frozen import EMPTY, FrozenMap


class Inner(BothSpellings, frozen=True, kw_only=True):
    max_amount: int = 0


class Outer(BothSpellings, frozen=True, kw_only=True):
    inner_one: Inner | None = None
    many: tuple[Inner, ...] = ()
    by_name: FrozenMap[str, Inner] = FrozenMap()
    label_names: FrozenMap[str, str] = EMPTY


class Other(Strict, frozen=True, kw_only=True):
    max_amount: int = 0


def test_fields_are_renamed_at_every_depth_and_nulls_go() -> None:
    given = {"inner_one": {"max_amount": 1}, "many": [{"max_amount": 2}], "by_name": {"a_b": {"max_amount": None}}}
    assert unspelled(Outer, given) == {"innerOne": {"maxAmount": 1}, "many": [{"maxAmount": 2}], "byName": {"a_b": {}}}


def test_keys_of_maps_and_what_does_not_fit_stay() -> None:
    assert unspelled(Outer, {"label_names": {"a_b": "x"}}) == {"labelNames": {"a_b": "x"}}
    assert unspelled(Outer, ["max_amount"]) == ["max_amount"]
    assert unspelled(Other, {"max_amount": 1}) == {"max_amount": 1}


def test_a_field_that_is_written_twice_stays_twice() -> None:
    assert unspelled(Inner, {"max_amount": 1, "maxAmount": 2}) == {"max_amount": 1, "maxAmount": 2}


def test_unspell() -> None:
    assert [unspell(Inner, key) for key in ("max_amount", "maxAmount", "else")] == ["maxAmount", "maxAmount", "else"]
