"""The layered layout."""

from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.graph.layout import Item, Layout, layout


def place(links: list[tuple[str, str]], names: str = "abcdefgh") -> Layout:
    return layout([Item(name, 100, 40) for name in names], links)


def test_callees_stand_to_the_right_of_their_callers() -> None:
    places = place([("a", "b"), ("b", "c"), ("a", "c")], "abc").places
    assert places["a"].x < places["b"].x < places["c"].x


def test_a_long_link_bends_around_the_columns_between() -> None:
    found = place([("a", "b"), ("b", "c"), ("a", "c")], "abc")
    assert len(found.bends["a", "c"]) == 1
    assert found.bends["a", "c"][0][1] != found.places["b"].y + 20


def test_cycles_are_laid_out_too() -> None:
    places = place([("a", "b"), ("b", "c"), ("c", "a"), ("b", "b")], "abc").places
    assert places["a"].x < places["b"].x < places["c"].x


def test_nothing_is_laid_out_as_nothing() -> None:
    assert layout([], []) == Layout({}, {}, 0.0, 0.0)


def test_a_simple_crossing_is_removed() -> None:
    places = place([("a", "d"), ("b", "c")], "abcd").places
    assert (places["a"].y < places["b"].y) == (places["d"].y < places["c"].y)


_NAMES = st.sampled_from("abcdefgh")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_NAMES, _NAMES), max_size=20))
def test_items_never_overlap_and_the_result_is_repeatable(links: list[tuple[str, str]]) -> None:
    found = place(links)
    assert found == place(list(reversed(links)))
    spots = list(found.places.values())
    for index, one in enumerate(spots):
        assert one.x >= 0
        assert one.y >= 0
        assert one.x + 100 <= found.width + 0.1
        assert one.y + 40 <= found.height + 0.1
        for other in spots[index + 1 :]:
            assert abs(one.x - other.x) >= 100 or abs(one.y - other.y) >= 40
