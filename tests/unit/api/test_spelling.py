"""Two spellings of one field, to the one that types know."""

from argosy.api.meta import BothSpellings, Strict
from argosy.api.spelling import camel_cased, unspell, unspelled
from argosy.core.frozen import EMPTY, FrozenMap


class Inner(BothSpellings, frozen=True, kw_only=True):
    max_amount: int = 0


class Outer(BothSpellings, frozen=True, kw_only=True):
    inner_one: Inner | None = None
    many: tuple[Inner, ...] = ()
    by_name: FrozenMap[str, Inner] = FrozenMap()
    label_names: FrozenMap[str, str] = EMPTY


class Other(Strict, frozen=True, kw_only=True):
    not_yet = frozenset({"notHere"})
    max_amount: int = 0


class Whole(Strict, frozen=True, kw_only=True):
    other_one: Other | None = None
    many: tuple[Other, ...] = ()
    by_name: FrozenMap[str, Other] = FrozenMap()


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


def test_camel_case_at_every_depth_of_what_is_known_or_refused_by_name() -> None:
    given = {"other_one": {"max_amount": 1, "not_here": 2, "a_b": 3}, "many": [{"max_amount": 2}]}
    assert camel_cased(Whole, given) == {
        "otherOne": {"maxAmount": 1, "notHere": 2, "a_b": 3},
        "many": [{"maxAmount": 2}],
    }
    assert camel_cased(Whole, {"by_name": {"max_amount": {"max_amount": 1}}}) == {
        "byName": {"max_amount": {"maxAmount": 1}}
    }


def test_camel_case_leaves_what_does_not_fit_and_what_is_written_twice() -> None:
    assert camel_cased(Whole, {"many": {"max_amount": 1}, "other_one": "max_amount"}) == {
        "many": {"max_amount": 1},
        "otherOne": "max_amount",
    }
    assert camel_cased(Other, {"max_amount": 1, "maxAmount": 2}) == {"max_amount": 1, "maxAmount": 2}
