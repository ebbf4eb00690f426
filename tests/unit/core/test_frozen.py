"""FrozenMap: equal by its items, hashable, ordered, and never changing."""

import pytest

from argosy.core.frozen import EMPTY, FrozenMap


def test_it_reads_like_any_mapping_in_the_order_of_its_keys() -> None:
    found = FrozenMap({"b": "2", "a": "1"})
    assert list(found) == ["a", "b"]
    assert list(found.items()) == [("a", "1"), ("b", "2")]
    assert len(found) == 2
    assert found["b"] == "2"
    assert found.get("c") is None
    with pytest.raises(KeyError):
        found["c"]


@pytest.mark.parametrize("items", [None, {}])
def test_nothing_makes_an_empty_map(items: dict[str, str] | None) -> None:
    assert FrozenMap(items) == EMPTY == {}
    assert not EMPTY


def test_maps_with_equal_items_are_equal_whatever_the_order_and_hash_alike() -> None:
    one, other = FrozenMap({"a": "1", "b": "2"}), FrozenMap({"b": "2", "a": "1"})
    assert one == other
    assert hash(one) == hash(other)
    assert hash(one) == hash(one)
    assert {one: "x"}[other] == "x"


def test_it_compares_with_plain_mappings_and_with_nothing_else() -> None:
    one = FrozenMap({"a": "1"})
    assert one == {"a": "1"}
    assert one != {"a": "2"}
    assert one != FrozenMap({"a": "2"})
    assert one != [("a", "1")]


def test_maps_are_ordered_by_their_items() -> None:
    maps = [FrozenMap({"b": "1"}), FrozenMap({"a": "2"}), FrozenMap({"a": "1", "b": "1"}), EMPTY]
    assert sorted(maps) == [{}, {"a": "1", "b": "1"}, {"a": "2"}, {"b": "1"}]


def test_it_does_not_follow_the_mapping_it_was_made_from() -> None:
    source = {"a": "1"}
    made = FrozenMap(source)
    source["a"] = "2"
    assert made == {"a": "1"}


def test_it_cannot_be_changed() -> None:
    made = FrozenMap({"a": "1"})
    with pytest.raises(TypeError):
        made["a"] = "2"  # type: ignore[index]
    with pytest.raises(AttributeError):
        made.other = "2"  # type: ignore[attr-defined]


def test_it_shows_its_items() -> None:
    assert repr(FrozenMap({"b": 2, "a": 1})) == "FrozenMap({'a': 1, 'b': 2})"
