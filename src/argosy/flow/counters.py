"""Absolute values to increments, over calls that break and processes that restart.

Envoy sends each series' absolute value again and again. `CounterMemory` is what is remembered of one process: given
the next absolute value of a series it gives what was added since. A series that is missing from a report was forgotten
by its process; when it appears again it has begun at zero, and so has one that is below its last value. Knows no
names, no time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class CounterMemory(Generic[K]):
    """Last absolute values of one process's series: exactly those of its last report."""

    __slots__ = ("_last", "_now")

    def __init__(self) -> None:
        self._last: dict[K, float] = {}
        self._now: dict[K, float] = {}

    def __len__(self) -> int:
        return len(self._now)

    def __contains__(self, series: K) -> bool:
        return series in self._now

    def begin(self) -> None:
        """A new report begins; each of its series follows, once."""
        self._last, self._now = self._now, {}

    def advance(self, series: K, value: float) -> float:
        """Remember `value` and give the increment since the last report, never negative."""
        last = self._last.get(series, 0.0)
        self._now[series] = value
        return value - last if value >= last else value

    def fell(self, series: K, value: float) -> bool:
        """True if `value` is below the last one: the sign of a restart when no better one is at hand."""
        return value < self._now.get(series, 0.0)

    def get(self, series: K) -> float | None:
        """The value in the last report."""
        return self._now.get(series)

    def series(self) -> Iterable[K]:
        """The series of the last report."""
        return self._now.keys()

    def dump(self) -> dict[K, float]:
        """The last report's values; `load` takes them."""
        return dict(self._now)

    def load(self, values: Mapping[K, float]) -> None:
        """Go on from a report of before."""
        self._now = dict(values)

    def restart(self) -> None:
        """The process began again: every series is at zero."""
        self._now.clear()


class CarriedMemory(Generic[K]):
    """What connections have carried: told while they are open, and again, whole, when they end; counted once.

    Given for each report what ended connections added to their counter, and what the open ones have carried so far.
    Envoy reads its gauges before its counters, so the counter of a report may hold a connection that the same report
    still has as open. Where connections are open, the counter is therefore taken one report later; the sum is then at
    most too small, and never for long.
    """

    __slots__ = ("_debt", "_held", "_live")

    def __init__(self) -> None:
        self._live: dict[K, float] = {}
        self._held: dict[K, float] = {}
        self._debt: dict[K, float] = {}

    def advance(self, ended: Mapping[K, float], live: Mapping[K, float]) -> dict[K, float]:
        """The increments to count now."""
        if not (live or self._live or self._held or self._debt):
            return dict(ended)
        counted: dict[K, float] = {}
        held, debts = {}, {}
        for key in {**ended, **live, **self._live, **self._held, **self._debt}:
            added, now = ended.get(key, 0.0), live.get(key, 0.0)
            applied = self._held.get(key, 0.0)
            if now:
                held[key] = added
            else:
                applied += added
            step = applied + now - self._live.get(key, 0.0) + self._debt.get(key, 0.0)
            if step > 0:
                counted[key] = step
            elif step < 0:
                debts[key] = step
        self._held = {key: value for key, value in held.items() if value}
        self._debt, self._live = debts, {key: value for key, value in live.items() if value}
        return counted

    def dump(self) -> tuple[dict[K, float], dict[K, float], dict[K, float]]:
        """What open connections have carried, what is taken a report later, what was counted too early."""
        return dict(self._live), dict(self._held), dict(self._debt)

    def load(self, live: Mapping[K, float], held: Mapping[K, float], debt: Mapping[K, float]) -> None:
        """Go on from a report of before."""
        self._live, self._held, self._debt = dict(live), dict(held), dict(debt)

    def restart(self) -> None:
        """The process began again; what its connections carried stays counted."""
        self._live, self._held, self._debt = {}, {}, {}


@dataclass(frozen=True, slots=True)
class Observed:
    """What one histogram has observed: how many values, their sum, and how many in each bucket alone."""

    count: float
    total: float
    counts: tuple[float, ...]


class HistogramMemory(Generic[K]):
    """The last absolute state of one process's histograms: exactly those of its last report."""

    __slots__ = ("_last", "_now")

    def __init__(self) -> None:
        self._last: dict[K, Observed] = {}
        self._now: dict[K, Observed] = {}

    def begin(self) -> None:
        """A new report begins; each of its series follows, once."""
        self._last, self._now = self._now, {}

    def advance(self, series: K, count: float, total: float, counts: Iterable[float]) -> Observed | None:
        """Remember the state and give what was observed since the last report; None if nothing was."""
        last = self._last.get(series)
        if last is not None and last.count == count:
            # Most histograms stand still; their buckets are not even read.
            self._now[series] = last
            return None
        found = self._now[series] = Observed(count, total, tuple(counts))
        if not count:
            return None
        if last is None or count < last.count:
            return found
        added = tuple([now - then for now, then in zip(found.counts, last.counts, strict=True)])
        return Observed(count - last.count, total - last.total, added)

    def get(self, series: K) -> Observed | None:
        """The state in the last report."""
        return self._now.get(series)

    def series(self) -> Iterable[K]:
        """The series of the last report."""
        return self._now.keys()

    def dump(self) -> dict[K, Observed]:
        """The last report's states; `load` takes them."""
        return dict(self._now)

    def load(self, states: Mapping[K, Observed]) -> None:
        """Go on from a report of before."""
        self._now = dict(states)

    def restart(self) -> None:
        """The process began again: every series is at zero."""
        self._now.clear()
