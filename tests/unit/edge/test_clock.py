"""The system's clocks."""

from argosy.core.clock import Clock
from argosy.edge.clock import SystemClock


def test_both_clocks_go_forward_and_are_two() -> None:
    clock: Clock = SystemClock()
    wall, ticks = clock.now(), clock.monotonic()
    assert clock.now() >= wall > 1_700_000_000
    assert clock.monotonic() >= ticks
    assert wall != ticks
