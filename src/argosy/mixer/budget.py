"""`LabelBudget`: how many label sets there may be, of one workload's proxies and of all together.

Given the label sets that proxies' series come to and the time; gives the label set under which each is counted. Beyond
a workload's budget the other end of its traffic is collapsed (`overflow` instead of names), beyond twice of it all else
but the workload; beyond the mesh's budget, everything. Sums stay right, whatever is collapsed. Label sets that nothing
was counted under for long are given back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from argosy.flow.record import SOURCE
from argosy.mixer.join import END_LABELS, STANDARD_LABELS, Labels
from argosy.mixer.telemetry import OVERFLOW

SETS_MAX = 12_500
WORKLOAD_SETS_MAX = 500
IDLE_S = 3600.0
GONE_IDLE_S = 300.0
"""For label sets that name a workload which is no more: as long as Prometheus looks back."""

Owner = tuple[str, str]
"""Namespace and name of the workload whose proxies report."""


@dataclass(slots=True)
class _Held:
    owner: Owner
    moved: float


class LabelBudget:
    """The label sets in use, mutable; one writer."""

    def __init__(self, *, sets_max: int = SETS_MAX, workload_sets_max: int = WORKLOAD_SETS_MAX) -> None:
        self._sets_max = sets_max
        self._workload_sets_max = workload_sets_max
        self._held: dict[Labels, _Held] = {}
        self._of_owner: dict[Owner, int] = {}
        self.collapsed = 0
        """Updates that were counted under a collapsed label set."""
        self.expired = 0
        """Label sets that were given back."""
        self.over: set[Owner] = set()
        """Workloads that have been over their budget."""
        self.mesh_over = False
        """The mesh has been over its budget."""

    def __len__(self) -> int:
        return len(self._held)

    @property
    def limits(self) -> tuple[int, int]:
        """The budget of the mesh and of a workload."""
        return self._sets_max, self._workload_sets_max

    def admit(self, owner: Owner, labels: Labels, now: float) -> Labels:
        """The label set to count under, now in use."""
        held = self._held.get(labels)
        if held is not None:
            held.moved = now
            return labels
        if self._fits(owner, 1):
            return self._take(owner, labels, now)
        self.collapsed += 1
        for chosen, budgets in ((collapse_peer(labels), 2), (collapse_all_but_own(labels), 3)):
            held = self._held.get(chosen)
            if held is not None:
                held.moved = now
                return chosen
            if self._fits(owner, budgets):
                return self._take(owner, chosen, now)
        chosen = tuple((name, OVERFLOW) for name, _ in labels)
        return self._take(owner, chosen, now) if chosen not in self._held else chosen

    def dump(self) -> list[tuple[Labels, Owner, float]]:
        """The label sets in use, whose they are, and when something was last counted under each."""
        return [(labels, held.owner, held.moved) for labels, held in self._held.items()]

    def load(self, held: Iterable[tuple[Labels, Owner, float]]) -> None:
        """Go on with label sets of before."""
        for labels, owner, moved in held:
            self._take(owner, labels, moved)

    def sweep(self, now: float, gone: Callable[[Labels], bool]) -> list[Labels]:
        """Give back what has been idle; `gone`: the label set names a workload that is no more."""
        found = []
        for labels, held in self._held.items():
            idle = now - held.moved
            if idle > IDLE_S or (idle > GONE_IDLE_S and gone(labels)):
                found.append(labels)
        for labels in found:
            owner = self._held.pop(labels).owner
            self._of_owner[owner] -= 1
            if not self._of_owner[owner]:
                del self._of_owner[owner]
        self.expired += len(found)
        return found

    def _fits(self, owner: Owner, budgets: int) -> bool:
        if len(self._held) >= self._sets_max:
            self.mesh_over = True
            return False
        if self._of_owner.get(owner, 0) < self._workload_sets_max * budgets:
            return True
        self.over.add(owner)
        return False

    def _take(self, owner: Owner, labels: Labels, now: float) -> Labels:
        self._held[labels] = _Held(owner, now)
        self._of_owner[owner] = self._of_owner.get(owner, 0) + 1
        return labels


def collapse_peer(labels: Labels) -> Labels:
    """The other end of the traffic, and all tags that people made, as `overflow`."""
    return tuple(
        (name, OVERFLOW if name in peer_labels(labels) or name not in STANDARD_LABELS else value)
        for name, value in labels
    )


def collapse_all_but_own(labels: Labels) -> Labels:
    """Everything but who reports, as `overflow`."""
    keep = {"reporter", "request_protocol", *own_labels(labels)}
    return tuple((name, value if name in keep else OVERFLOW) for name, value in labels)


def peer_labels(labels: Labels) -> frozenset[str]:
    """The names of the labels of the end that did not report."""
    return _ENDS["destination" if ("reporter", SOURCE) in labels else "source"]


def own_labels(labels: Labels) -> frozenset[str]:
    """The names of the labels of the end that reported."""
    return _ENDS["source" if ("reporter", SOURCE) in labels else "destination"]


_ENDS = {side: frozenset(f"{side}_{name}" for name in END_LABELS) for side in ("source", "destination")}
