"""Absolute counters to increments."""

from argosy.flow.counters import CounterMemory


def test_increments_are_differences() -> None:
    memory: CounterMemory[str] = CounterMemory()
    assert [memory.advance("a", value) for value in (3, 3, 10)] == [3, 0, 7]


def test_a_counter_that_fell_began_again_at_zero() -> None:
    memory: CounterMemory[str] = CounterMemory()
    memory.advance("a", 10)
    assert memory.fell("a", 4)
    assert memory.advance("a", 4) == 4


def test_a_restart_forgets_all_values() -> None:
    memory: CounterMemory[str] = CounterMemory()
    memory.advance("a", 10)
    memory.restart()
    assert "a" not in memory
    assert len(memory) == 0
    assert memory.advance("a", 12) == 12
