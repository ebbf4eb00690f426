"""Quotas counted in memory: `memquota`, a window that slides by tenths of a second.

Given calls and the time, gives verdicts. Each combination of dimensions counts by itself; the first override whose
dimensions all agree gives the limit. A request that asks again (the same deduplication id) is charged once, and may
give back what it got. What is kept is bounded: cells in which nothing counts any more go while others come, and beyond
`CELLS_MAX` the one that was not asked for longest.
Source: Istio 1.4's memquota.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import inf
from typing import Any, NamedTuple

from argosy.api.mixer_adapters import MemQuota, MemQuotaParams
from argosy.mixer.port import Call, Verdict
from argosy.mixer.values import means, text_of

TICK_S = 0.1
CELLS_MAX = 100_000
SWEPT = 2
"""Of how many of the cells that were not asked for longest it is seen, with each question, whether they are empty."""
REMEMBERED_MAX = 100_000
RETURNS_S = 3.0
"""For how long a request that was refused after all may give back; a check takes less."""


class Limit(NamedTuple):
    """How much in which time; no time means: for good."""

    amount: int
    window_s: float


class CellKey(NamedTuple):
    """What is counted by itself."""

    quota: str
    dimensions: tuple[tuple[str, str], ...]


def dimensions_of(call: Call) -> dict[str, str]:
    """The dimensions of a quota instance, as text."""
    given: Mapping[str, Any] = call.values.get("dimensions", {})
    return {name: text_of(value) for name, value in sorted(given.items())}


def overriding(overrides: Iterable[Any], call: Call) -> Any | None:
    """The first override whose dimensions all have the values that they have in `call`."""
    given: Mapping[str, Any] = call.values.get("dimensions", {})
    for one in overrides:
        if all(name in given and means(text, given[name]) for name, text in one.dimensions.items()):
            return one
    return None


def granted_of(wanted: int, left: int, *, best_effort: bool) -> int:
    """How much of `wanted` is given where `left` is left."""
    if wanted <= left:
        return wanted
    return max(left, 0) if best_effort else 0


@dataclass(slots=True)
class _Cell:
    """What was given in the window: (tick, amount), oldest first."""

    given: deque[tuple[int, int]] = field(default_factory=deque)
    total: int = 0
    until: float = 0.0
    """The tick from which on nothing of it counts."""

    def expire(self, before: float) -> None:
        while self.given and self.given[0][0] <= before:
            self.total -= self.given.popleft()[1]

    def give(self, tick: int, amount: int) -> None:
        if self.given and self.given[-1][0] == tick:
            self.given[-1] = (tick, self.given[-1][1] + amount)
        else:
            self.given.append((tick, amount))
        self.total += amount

    def take_back(self, tick: int, amount: int) -> None:
        for at in range(len(self.given) - 1, -1, -1):
            if self.given[at][0] == tick:
                self.given[at] = (tick, self.given[at][1] - amount)
                self.total -= amount
                return


class _Answer(NamedTuple):
    """What a request was given, until when it is answered the same, and where that is counted."""

    until: float
    verdict: Verdict
    cell: CellKey
    tick: int


class MemQuotas:
    """One `memquota` handler."""

    def __init__(self, params: MemQuotaParams) -> None:
        self._quotas: dict[str, MemQuota] = {quota.name: quota for quota in params.quotas}
        self._remember_s = params.min_deduplication_duration
        self._cells: OrderedDict[CellKey, _Cell] = OrderedDict()
        self._answers: OrderedDict[str, _Answer] = OrderedDict()

    def check(self, call: Call, now: float) -> Verdict:
        """Give as much as is left; a quota that the handler does not know is not limited."""
        asked = call.quota
        quota = self._quotas.get(str(call.instance))
        if asked is None or quota is None:
            return Verdict(granted=asked.amount if asked is not None else 0)
        known = self._answers.get(_name(call))
        if known is not None and known.until > now:
            return known.verdict
        dimensions = dimensions_of(call)
        limit = _limit(quota, call)
        key = CellKey(quota.name, tuple(dimensions.items()))
        tick = int(now / TICK_S)
        window = max(1, round(limit.window_s / TICK_S)) if limit.window_s > 0 else inf
        cell = self._cell(key, tick)
        cell.expire(tick - window)
        granted = granted_of(asked.amount, limit.amount - cell.total, best_effort=asked.best_effort)
        if granted:
            cell.give(tick, granted)
            cell.until = tick + window
        verdict = Verdict(granted=granted, valid_duration_s=limit.window_s)
        self._remember(_name(call), _Answer(now + self._remember_s, verdict, key, tick), now)
        return verdict

    def give_back(self, call: Call, now: float) -> None:
        """Undo what `call` took, once."""
        answer = self._answers.pop(_name(call), None)
        cell = self._cells.get(answer.cell) if answer is not None else None
        if answer is not None and cell is not None and answer.verdict.granted:
            cell.take_back(answer.tick, answer.verdict.granted)

    def dump(self) -> list[dict[str, Any]]:
        """What is counted now, for people."""
        return [
            {"quota": key.quota, "dimensions": dict(key.dimensions), "used": cell.total}
            for key, cell in self._cells.items()
        ]

    def _cell(self, key: CellKey, tick: int) -> _Cell:
        for oldest in list(islice(self._cells, SWEPT)):
            if self._cells[oldest].until <= tick:
                del self._cells[oldest]
        found = self._cells.get(key)
        if found is None:
            found = self._cells[key] = _Cell()
            if len(self._cells) > CELLS_MAX:
                self._cells.popitem(last=False)
        self._cells.move_to_end(key)
        return found

    def _remember(self, name: str, answer: _Answer, now: float) -> None:
        while self._answers and (self._is_over(now) or len(self._answers) > REMEMBERED_MAX):
            self._answers.popitem(last=False)
        if name:
            self._answers[name] = answer
            self._answers.move_to_end(name)

    def _is_over(self, now: float) -> bool:
        """True if the oldest answer is neither given again nor given back any more."""
        return next(iter(self._answers.values())).until + RETURNS_S <= now


def _name(call: Call) -> str:
    """Tells what a request asked of one quota; empty for requests that cannot be told apart."""
    request = call.quota.deduplication_id if call.quota is not None else ""
    return f"{call.instance}/{request}" if request else ""


def _limit(quota: MemQuota, call: Call) -> Limit:
    override = overriding(quota.overrides, call)
    if override is None:
        return Limit(quota.max_amount, quota.valid_duration)
    return Limit(override.max_amount, override.valid_duration)
