"""Quotas counted in memory: `memquota`, a window that slides by tenths of a second.

Given calls and the time, gives verdicts. Each combination of dimensions counts by itself; the first override whose
dimensions all agree gives the limit. A request that asks again (the same deduplication id) is charged once. What is
kept is bounded: cells that are empty go, and beyond `CELLS_MAX` the one that was not asked for longest.
Source: Istio 1.4's memquota.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from argosy.api.mixer_adapters import MemQuota, MemQuotaParams
from argosy.mixer.port import Call, Verdict
from argosy.mixer.values import text_of

TICK_S = 0.1
CELLS_MAX = 100_000
REMEMBERED_MAX = 100_000


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


def overriding(overrides: Iterable[Any], dimensions: Mapping[str, str]) -> Any | None:
    """The first override whose dimensions all have the values that they have here."""
    for one in overrides:
        if all(dimensions.get(name) == value for name, value in one.dimensions.items()):
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

    def expire(self, before: int) -> None:
        while self.given and self.given[0][0] <= before:
            self.total -= self.given.popleft()[1]

    def give(self, tick: int, amount: int) -> None:
        if self.given and self.given[-1][0] == tick:
            self.given[-1] = (tick, self.given[-1][1] + amount)
        else:
            self.given.append((tick, amount))
        self.total += amount


class MemQuotas:
    """One `memquota` handler."""

    def __init__(self, params: MemQuotaParams) -> None:
        self._quotas: dict[str, MemQuota] = {quota.name: quota for quota in params.quotas}
        self._remember_s = params.min_deduplication_duration
        self._cells: OrderedDict[CellKey, _Cell] = OrderedDict()
        self._answers: OrderedDict[str, tuple[float, Verdict]] = OrderedDict()

    def check(self, call: Call, now: float) -> Verdict:
        """Give as much as is left; a quota that the handler does not know is not limited."""
        asked = call.quota
        quota = self._quotas.get(str(call.instance))
        if asked is None or quota is None:
            return Verdict(granted=asked.amount if asked is not None else 0)
        known = self._remembered(asked.deduplication_id, str(call.instance), now)
        if known is not None:
            return known
        dimensions = dimensions_of(call)
        limit = _limit(quota, dimensions)
        cell = self._cell(CellKey(quota.name, tuple(dimensions.items())))
        tick = int(now / TICK_S)
        if limit.window_s > 0:
            cell.expire(tick - max(1, round(limit.window_s / TICK_S)))
        granted = granted_of(asked.amount, limit.amount - cell.total, best_effort=asked.best_effort)
        if granted:
            cell.give(tick, granted)
        verdict = Verdict(granted=granted, valid_duration_s=limit.window_s)
        self._remember(asked.deduplication_id, str(call.instance), now, verdict)
        return verdict

    def dump(self) -> list[dict[str, Any]]:
        """What is counted now, for people."""
        return [
            {"quota": key.quota, "dimensions": dict(key.dimensions), "used": cell.total}
            for key, cell in self._cells.items()
        ]

    def _cell(self, key: CellKey) -> _Cell:
        found = self._cells.get(key)
        if found is None:
            found = self._cells[key] = _Cell()
            if len(self._cells) > CELLS_MAX:
                self._cells.popitem(last=False)
        self._cells.move_to_end(key)
        return found

    def _remembered(self, request: str, quota: str, now: float) -> Verdict | None:
        found = self._answers.get(f"{quota}/{request}") if request else None
        return found[1] if found is not None and found[0] > now else None

    def _remember(self, request: str, quota: str, now: float, verdict: Verdict) -> None:
        while self._answers and (next(iter(self._answers.values()))[0] <= now or len(self._answers) > REMEMBERED_MAX):
            self._answers.popitem(last=False)
        if request:
            self._answers[f"{quota}/{request}"] = (now + self._remember_s, verdict)


def _limit(quota: MemQuota, dimensions: Mapping[str, str]) -> Limit:
    override = overriding(quota.overrides, dimensions)
    if override is None:
        return Limit(quota.max_amount, quota.valid_duration)
    return Limit(override.max_amount, override.valid_duration)
