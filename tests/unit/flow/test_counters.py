"""Absolute values to increments."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.flow.counters import CarriedMemory, CounterMemory, HistogramMemory, Observed


def advance(memory: CounterMemory[str], value: float) -> float:
    """One report of one series."""
    memory.begin()
    return memory.advance("a", value)


def test_increments_are_differences() -> None:
    memory: CounterMemory[str] = CounterMemory()
    assert [advance(memory, value) for value in (3, 3, 10)] == [3, 0, 7]


def test_a_counter_that_fell_began_again_at_zero() -> None:
    memory: CounterMemory[str] = CounterMemory()
    advance(memory, 10)
    assert memory.fell("a", 4)
    assert advance(memory, 4) == 4


def test_a_counter_that_was_away_began_again_at_zero_even_if_it_is_higher_now() -> None:
    """Envoy forgets statistics, and makes them anew at zero."""
    memory: CounterMemory[str] = CounterMemory()
    advance(memory, 10)
    memory.begin()
    assert list(memory.series()) == []
    assert advance(memory, 12) == 12


def test_a_restart_forgets_all_values() -> None:
    memory: CounterMemory[str] = CounterMemory()
    advance(memory, 10)
    memory.restart()
    assert "a" not in memory
    assert len(memory) == 0
    assert advance(memory, 12) == 12


def observe(memory: HistogramMemory[str], count: float, total: float, counts: tuple[float, ...]) -> Observed | None:
    """One report of one histogram."""
    memory.begin()
    return memory.advance("h", count, total, counts)


def test_histograms_give_what_was_observed_since() -> None:
    memory: HistogramMemory[str] = HistogramMemory()
    assert observe(memory, 0, 0, (0, 0)) is None
    assert observe(memory, 2, 5, (1, 1)) == Observed(2, 5, (1, 1))
    assert observe(memory, 2, 5, (1, 1)) is None
    assert observe(memory, 5, 9, (1, 4)) == Observed(3, 4, (0, 3))
    assert list(memory.series()) == ["h"]


def test_histograms_begin_again_when_they_fall_or_were_away_or_their_process_is_a_new_one() -> None:
    memory: HistogramMemory[str] = HistogramMemory()
    observe(memory, 2, 5, (1, 1))
    assert observe(memory, 1, 1, (1, 0)) == Observed(1, 1, (1, 0))
    memory.begin()
    assert observe(memory, 4, 4, (4, 0)) == Observed(4, 4, (4, 0))
    memory.restart()
    assert observe(memory, 5, 5, (5, 0)) == Observed(5, 5, (5, 0))


def test_without_open_connections_ended_ones_count_at_once() -> None:
    memory: CarriedMemory[str] = CarriedMemory()
    assert memory.advance({"a": 5}, {}) == {"a": 5}


def test_what_an_open_connection_has_carried_is_not_counted_again_at_its_end() -> None:
    memory: CarriedMemory[str] = CarriedMemory()
    assert memory.advance({}, {"a": 40}) == {"a": 40}
    assert memory.advance({}, {"a": 70}) == {"a": 30}
    assert memory.advance({"a": 75}, {}) == {"a": 5}
    assert memory.advance({"a": 1}, {}) == {"a": 1}


def test_a_connection_that_one_report_has_both_as_open_and_as_ended_is_counted_once() -> None:
    """Envoy reads gauges before counters, and the connection may end in between."""
    memory: CarriedMemory[str] = CarriedMemory()
    memory.advance({}, {"a": 40})
    assert memory.advance({"a": 40}, {"a": 40}) == {}
    assert memory.advance({}, {}) == {}
    assert memory.advance({"a": 3}, {}) == {"a": 3}


def test_a_connection_that_ended_beside_an_open_one_is_late_but_not_lost() -> None:
    memory: CarriedMemory[str] = CarriedMemory()
    memory.advance({}, {"a": 40 + 100})
    assert memory.advance({"a": 45}, {"a": 100}) == {}
    assert memory.advance({}, {"a": 100}) == {"a": 5}
    assert memory.advance({}, {"a": 110}) == {"a": 10}


def test_a_restart_keeps_what_was_counted() -> None:
    memory: CarriedMemory[str] = CarriedMemory()
    memory.advance({}, {"a": 40})
    memory.restart()
    assert memory.advance({}, {"a": 7}) == {"a": 7}


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_bytes_of_all_connections_are_counted_exactly_and_never_too_many(seed: int) -> None:
    """Random connections; each report reads its gauges first, and some connections end between that and the rest."""
    dice = random.Random(seed)
    memory: CarriedMemory[str] = CarriedMemory()
    connections: dict[int, float] = {}
    told: dict[int, float] = {}
    counted = closed = reported = 0.0

    def end(number: int) -> None:
        nonlocal closed
        told.pop(number, None)
        closed += connections.pop(number)

    for number in range(60):
        connections[number] = 0.0
        for one in list(connections):
            connections[one] += dice.randrange(100)
            if dice.random() < 0.5:
                told[one] = connections[one]
            if dice.random() < 0.2:
                end(one)
        live = sum(told.values())
        for one in list(connections):
            if dice.random() < 0.1:
                end(one)
        counted += sum(memory.advance({"a": closed - reported} if closed > reported else {}, {"a": live}).values())
        reported = closed
        assert counted <= closed + sum(connections.values())
    for one in list(connections):
        end(one)
    for ended in ({"a": closed - reported}, {}):
        counted += sum(memory.advance(ended, {}).values())
    assert counted == pytest.approx(closed)
