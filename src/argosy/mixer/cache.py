"""Decisions kept for requests that are alike in all that the decision depended on.

Given a decision with what was looked at (`References`), gives it again for every bag that has the same there, as long
and as often as the handlers said. Decisions that charged a quota, or could not be made, are for one request only and
are not kept. Bounded: `SHAPES_MAX` sets of references, `DECISIONS_MAX` decisions, the longest unused go first.
Source: the check cache of Istio 1.4's mixer client, which stood in each proxy; Envoy has none, so it stands here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, replace

from argosy.mixer.attributes import Attributes
from argosy.mixer.check import Decision
from argosy.mixer.references import Reference, References, signature

SHAPES_MAX = 64
DECISIONS_MAX = 10_000

_Shape = tuple[str, tuple[Reference, ...]]
_Key = tuple[_Shape, Hashable]


@dataclass(slots=True)
class _Kept:
    decision: Decision
    until: float
    uses: int


class CheckCache:
    """The decisions of one policy; make another for another policy."""

    def __init__(self) -> None:
        self.hits = 0
        self._shapes: OrderedDict[_Shape, None] = OrderedDict()
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()

    def find(self, namespace: str, attributes: Attributes, now: float) -> Decision | None:
        """A decision that holds for this request of a proxy of `namespace`, and one use less of it."""
        for shape in self._shapes:
            if shape[0] != namespace:
                continue
            given = signature(shape[1], attributes)
            kept = self._kept.get((shape, given)) if given is not None else None
            if kept is None:
                continue
            if kept.until <= now or kept.uses <= 0:
                del self._kept[shape, given]
                continue
            kept.uses -= 1
            self.hits += 1
            self._kept.move_to_end((shape, given))
            return kept.decision
        return None

    def keep(
        self, namespace: str, attributes: Attributes, references: References, decision: Decision, now: float
    ) -> None:
        """Keep a decision that was just made; it has been used once."""
        if decision.charged or decision.undecided or decision.valid_duration_s <= 0 or decision.valid_use_count <= 1:
            return
        ordered = tuple(sorted(references, key=lambda one: (one.name, one.key or "", one.present)))
        shape = (namespace, ordered)
        given = signature(ordered, attributes)
        if given is None:
            return
        self._shapes[shape] = None
        if len(self._shapes) > SHAPES_MAX:
            self._forget(self._shapes.popitem(last=False)[0])
        self._kept[shape, given] = _Kept(
            replace(decision, kept=True), now + decision.valid_duration_s, decision.valid_use_count - 1
        )
        if len(self._kept) > DECISIONS_MAX:
            self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)

    def _forget(self, shape: _Shape) -> None:
        for key in [key for key in self._kept if key[0] == shape]:
            del self._kept[key]
