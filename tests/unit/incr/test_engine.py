"""Commits, observations and peeks: which functions run, and what a commit reports."""

from typing import Any

import pytest

from argosy.incr import Change, Derived, Engine, Index, Input, Reader


class Shop:
    """Prices of goods, rounded to tens, and totals of baskets: three layers, with a cut-off in the middle."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.prices: Input[str, int] = self.engine.input("prices")
        self.baskets: Input[str, tuple[str, ...]] = self.engine.input("baskets")
        self.rounded: Derived[str, int] = self.engine.derived("rounded", self._round)
        self.total: Derived[str, int] = self.engine.derived("total", self._total)

    def _round(self, read: Reader, good: str) -> int | None:
        price = read.get(self.prices, good)
        return None if price is None else price // 10 * 10

    def _total(self, read: Reader, basket: str) -> int:
        return sum(read.get(self.rounded, good) or 0 for good in read.get(self.baskets, basket) or ())

    def price(self, **prices: int | None) -> Any:
        return self.engine.commit(Change(self.prices, good, price) for good, price in prices.items())

    def basket(self, name: str, *goods: str) -> Any:
        return self.engine.commit([Change(self.baskets, name, goods)])


@pytest.fixture
def shop() -> Shop:
    """A basket of tea and jam, observed; milk is in no basket."""
    shop = Shop()
    shop.price(tea=31, jam=42, milk=12)
    shop.basket("mine", "tea", "jam")
    assert shop.engine.observe(shop.total, "mine") == 70
    return shop


def test_a_change_runs_only_the_path_that_reads_it(shop: Shop) -> None:
    commit = shop.price(tea=55)
    assert commit.ran_keys == [("rounded", "tea"), ("total", "mine")]
    assert commit.ran == {"rounded": 1, "total": 1}
    assert commit.changed == {shop.total: {"mine": (70, 90)}}


def test_an_equal_result_stops_the_change_there(shop: Shop) -> None:
    commit = shop.price(tea=39)
    assert commit.ran_keys == [("rounded", "tea")]
    assert commit.changed == {}


def test_a_change_that_was_cut_off_does_not_come_back_with_the_next_one(shop: Shop) -> None:
    shop.price(tea=39)
    assert shop.price(milk=99).ran_keys == []
    assert shop.price(jam=41).ran_keys == [("rounded", "jam")]


def test_setting_an_equal_value_is_no_change(shop: Shop) -> None:
    commit = shop.price(tea=31)
    assert (commit.number, commit.ran_keys, commit.changed) == (3, [], {})


def test_a_change_that_nobody_reads_runs_nothing(shop: Shop) -> None:
    assert shop.price(milk=500, bread=3).ran_keys == []


def test_the_last_of_several_changes_to_a_key_counts(shop: Shop) -> None:
    engine, prices = shop.engine, shop.prices
    assert engine.commit([Change(prices, "tea", 99), Change(prices, "tea", 31)]).ran_keys == []
    assert engine.commit([Change(prices, "tea", 31), Change(prices, "tea", 99)]).changed == {
        shop.total: {"mine": (70, 130)}
    }
    assert engine.commit([Change(prices, "tea", None), Change(prices, "tea", 99)]).ran_keys == []


def test_several_changes_in_one_commit_run_each_function_once(shop: Shop) -> None:
    commit = shop.price(tea=51, jam=62)
    assert commit.ran_keys == [("rounded", "tea"), ("rounded", "jam"), ("total", "mine")]
    assert commit.changed == {shop.total: {"mine": (70, 110)}}


def test_removing_a_key_is_a_change_to_none(shop: Shop) -> None:
    commit = shop.price(tea=None)
    assert commit.changed == {shop.total: {"mine": (70, 40)}}
    assert shop.engine.get(shop.prices, "tea") is None
    assert shop.price(tea=None).ran_keys == []


def test_a_key_that_was_absent_when_read_is_noticed_when_it_comes(shop: Shop) -> None:
    assert shop.basket("mine", "bread").changed == {shop.total: {"mine": (70, 0)}}
    assert shop.price(bread=20).changed == {shop.total: {"mine": (0, 20)}}


def test_reads_follow_the_latest_run(shop: Shop) -> None:
    shop.basket("mine", "tea", "milk")
    assert shop.price(jam=1000).ran_keys == []
    assert shop.price(milk=20).ran_keys == [("rounded", "milk"), ("total", "mine")]


def test_a_read_that_the_new_run_no_longer_does_is_not_brought_up_to_date(shop: Shop) -> None:
    engine = shop.engine
    commit = engine.commit([Change(shop.baskets, "mine", ("tea",)), Change(shop.prices, "jam", 90)])
    assert commit.ran_keys == [("total", "mine")]


def test_keys_that_are_equal_are_one_key() -> None:
    engine = Engine()
    numbers: Input[float, str] = engine.input("numbers")
    named: Derived[float, str] = engine.derived("named", lambda read, key: read.get(numbers, key))
    engine.observe(named, 1)
    engine.observe(named, 1.0)
    assert engine.commit([Change(numbers, 1.0, "one")]).ran_keys == [("named", 1)]
    assert engine.get(named, 1) == engine.get(named, 1.0) == "one"


def test_a_function_never_sees_old_and_new_values_together() -> None:
    engine = Engine()
    number: Input[str, int] = engine.input("number")
    double: Derived[str, int] = engine.derived("double", lambda read, key: 2 * (read.get(number, key) or 0))
    seen: list[tuple[int, int]] = []

    def compare(read: Reader, key: str) -> bool:
        pair = (read.get(number, key) or 0, read.get(double, key) or 0)
        seen.append(pair)
        return pair[1] == 2 * pair[0]

    agrees: Derived[str, bool] = engine.derived("agrees", compare)
    engine.observe(agrees, "n")
    for value in (1, 5, 3):
        assert engine.commit([Change(number, "n", value)]).ran == {"double": 1, "agrees": 1}
    assert seen == [(0, 0), (1, 2), (5, 10), (3, 6)]


def test_only_observed_keys_are_reported_as_changed(shop: Shop) -> None:
    shop.engine.observe(shop.rounded, "tea")
    assert shop.price(tea=80, jam=80).changed == {shop.rounded: {"tea": (30, 80)}, shop.total: {"mine": (70, 160)}}


def test_observations_are_counted(shop: Shop) -> None:
    engine = shop.engine
    assert engine.observe(shop.total, "mine") == 70
    engine.release(shop.total, "mine")
    assert shop.price(tea=90).ran == {"rounded": 1, "total": 1}
    engine.release(shop.total, "mine")
    assert shop.price(tea=10).ran_keys == []


def test_observing_a_computed_key_runs_nothing(shop: Shop) -> None:
    before = shop.engine.dump()["derived"]["rounded"]["runs"]
    assert shop.engine.observe(shop.rounded, "tea") == 30
    assert shop.engine.dump()["derived"]["rounded"]["runs"] == before


def test_what_an_observation_runs_is_not_part_of_the_next_commit(shop: Shop) -> None:
    shop.engine.observe(shop.rounded, "milk")
    assert shop.price(bread=3).ran_keys == []


def test_releasing_what_is_not_observed_is_a_programmer_error(shop: Shop) -> None:
    with pytest.raises(AssertionError, match=r"total\['yours'\] is not observed"):
        shop.engine.release(shop.total, "yours")
    with pytest.raises(AssertionError, match=r"rounded\['tea'\] is not observed"):
        shop.engine.release(shop.rounded, "tea")


def test_peeking_gives_values_in_use_and_computes_nothing(shop: Shop) -> None:
    engine = shop.engine
    assert engine.get(shop.prices, "milk") == 12
    assert engine.get(shop.rounded, "tea") == 30
    assert engine.get(shop.rounded, "milk") is None
    assert engine.dump()["derived"]["rounded"]["computed"] == 2


def test_a_commit_inside_a_function_is_refused() -> None:
    engine = Engine()
    inputs: Input[str, int] = engine.input("inputs")

    def meddle(read: Reader, key: str) -> int:
        return engine.commit([Change(inputs, key, 1)]).number

    meddling: Derived[str, int] = engine.derived("meddling", meddle)
    assert engine.observe(meddling, "k") is None
    assert "one at a time" in str(engine.findings["meddling", "k"].exception)
    assert engine.get(inputs, "k") is None
    assert engine.commit([]).number == 1


def test_a_peek_inside_a_function_is_refused() -> None:
    engine = Engine()
    inputs: Input[str, int] = engine.input("inputs")
    peeking: Derived[str, int] = engine.derived("peeking", lambda read, key: engine.get(inputs, key))
    engine.observe(peeking, "k")
    assert isinstance(engine.findings["peeking", "k"].exception, AssertionError)


def test_a_commit_inside_the_changes_of_another_is_refused(shop: Shop) -> None:
    def changes() -> Any:
        yield Change(shop.prices, "tea", 99)
        shop.engine.commit([])

    with pytest.raises(AssertionError, match="one at a time"):
        shop.engine.commit(changes())
    assert shop.engine.get(shop.prices, "tea") == 31


def test_a_change_that_cannot_be_applied_leaves_everything_as_it_was(shop: Shop) -> None:
    with pytest.raises(TypeError, match="unhashable"):
        shop.engine.commit([Change(shop.prices, "tea", 99), Change(shop.prices, [], 1)])  # type: ignore[arg-type]
    assert shop.engine.get(shop.prices, "tea") == 31
    assert shop.price(tea=40).number == 3


def test_collections_of_another_engine_are_refused(shop: Shop) -> None:
    other = Shop()
    with pytest.raises(AssertionError, match="prices is not an input of this engine"):
        shop.engine.commit([Change(other.prices, "tea", 1)])
    with pytest.raises(AssertionError, match="total is not derived in this engine"):
        shop.engine.observe(other.total, "mine")
    with pytest.raises(AssertionError, match="prices is not an input of this engine"):
        shop.engine.index("by_price", other.prices, lambda key, value: [value])


def test_a_name_is_given_only_once(shop: Shop) -> None:
    with pytest.raises(AssertionError, match="named prices"):
        shop.engine.input("prices")
    with pytest.raises(AssertionError, match="named prices"):
        shop.engine.derived("prices", lambda read, key: None)
    with pytest.raises(AssertionError, match="named total"):
        shop.engine.index("total", shop.prices, lambda key, value: [])


def test_an_interrupted_commit_is_completed_by_the_next_one() -> None:
    engine = Engine()
    number: Input[str, int] = engine.input("number")
    interrupts = [KeyboardInterrupt]

    def inner(read: Reader, key: str) -> int:
        value = read.get(number, key) or 0
        if value == 2 and interrupts:
            raise interrupts.pop()
        return value

    low: Derived[str, int] = engine.derived("low", inner)
    high: Derived[str, int] = engine.derived("high", lambda read, key: (read.get(low, key) or 0) + 1)
    assert engine.observe(high, "n") == 1
    with pytest.raises(KeyboardInterrupt):
        engine.commit([Change(number, "n", 2)])
    commit = engine.commit([])
    assert commit.ran_keys == [("low", "n"), ("high", "n")]
    assert engine.get(high, "n") == 3
    assert commit.changed == {high: {"n": (1, 3)}}


def test_an_interrupted_observation_leaves_nothing_when_released() -> None:
    engine = Engine()

    def interrupted(read: Reader, key: int) -> int:
        if key:
            read.get(keys, key - 1)
        raise KeyboardInterrupt

    keys: Derived[int, int] = engine.derived("keys", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.observe(keys, 3)
    engine.release(keys, 3)
    assert engine.dump()["derived"]["keys"]["computed"] == 0


def test_explain_tells_the_changed_read_and_the_outcome(shop: Shop) -> None:
    engine = shop.engine
    first = engine.explain(shop.total, "mine")
    assert (first.commit, first.cause, first.outcome, first.observers) == (2, None, "changed", 1)
    shop.price(jam=66)
    now = engine.explain(shop.total, "mine")
    assert (now.commit, str(now.cause), now.outcome) == (3, "rounded.get('jam')", "changed")
    assert [str(read) for read in now.reads] == ["baskets.get('mine')", "rounded.get('tea')", "rounded.get('jam')"]
    shop.price(jam=67)
    cut_off = engine.explain(shop.rounded, "jam")
    assert (cut_off.commit, str(cut_off.cause), cut_off.outcome) == (4, "prices.get('jam')", "equal")
    assert engine.explain(shop.total, "mine") == now


def test_explain_of_a_key_that_is_not_in_use_says_so(shop: Shop) -> None:
    with pytest.raises(KeyError, match="milk"):
        shop.engine.explain(shop.rounded, "milk")


@pytest.mark.parametrize("services", [100, 3000])
def test_one_of_many_inputs_costs_one_path_however_many_there_are(services: int) -> None:
    engine = Engine()
    endpoints: Input[int, tuple[str, ...]] = engine.input("endpoints")
    by_zone: Index[str, int, tuple[str, ...]] = engine.index("by_zone", endpoints, lambda key, value: value)
    cluster: Derived[int, int] = engine.derived("cluster", lambda read, key: len(read.get(endpoints, key) or ()))
    route: Derived[int, tuple[int, int]] = engine.derived("route", lambda read, key: (key, read.get(cluster, key) or 0))
    zone: Derived[str, int] = engine.derived("zone", lambda read, at: len(read.keys(by_zone, at)))
    engine.commit(Change(endpoints, number, ("a", "b")) for number in range(services))
    for number in range(services):
        engine.observe(route, number)
    engine.observe(zone, "a")
    commit = engine.commit([Change(endpoints, 77, ("a", "b", "c"))])
    assert commit.ran_keys == [("cluster", 77), ("route", 77)]
    assert commit.changed == {route: {77: ((77, 2), (77, 3))}}
