"""Absolute counters to increments, over streams that break and processes that restart.

Envoy sends each counter's absolute value again and again. `CounterMemory` is what is remembered of one process: given
the next absolute value of a series it gives what was added since. A value below the last one means that the counter
began again at zero (its stat was removed and made anew, or the process restarted). Knows no names, no time.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class CounterMemory(Generic[K]):
    """Last absolute values of one process's series."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self._last)

    def __contains__(self, series: K) -> bool:
        return series in self._last

    def advance(self, series: K, value: float) -> float:
        """Remember `value` and give the increment since the last one, never negative."""
        last = self._last.get(series, 0.0)
        if value == last:
            return 0.0
        self._last[series] = value
        return value - last if value > last else value

    def fell(self, series: K, value: float) -> bool:
        """True if `value` is below the last one: the sign of a restart when no better one is at hand."""
        return value < self._last.get(series, 0.0)

    def restart(self) -> None:
        """The process began again: every series is at zero."""
        self._last.clear()
