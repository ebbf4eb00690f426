"""EnvoyFilters that are left out of every proxy, because a proxy refused what they make.

A refused resource is not only without its newest patch: a proxy that starts afresh would not have the resource at all.
So the guilty patch is taken out. Given which resource was refused and whose patches it carries, says which filter to
leave out (the one that came last) or, where a resource is refused without patches too, which to take back. Where it
took several until a resource was accepted, those before the last get another chance, one by one; so does a filter that
is edited. Holds no clock and no I/O; the owner carries the verdicts into the mesh's inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from argosy.api.meta import Object
from argosy.core.names import ObjectKey
from argosy.xds.messages import ResourceRef


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a filter is left out: who refused which resource of it, in Envoy's words."""

    filter: Object[Any]
    ref: ResourceRef
    pod: ObjectKey
    text: str


class Quarantine:
    """The filters that are left out, and what is known of the others."""

    def __init__(self) -> None:
        self.held: dict[ObjectKey, Refused] = {}
        self._filters: dict[ObjectKey, Object[Any]] = {}
        self._arrivals: dict[ObjectKey, int] = {}
        self._arrived = 0
        self._innocent: set[tuple[ObjectKey, ResourceRef]] = set()
        self._tried: set[ObjectKey] = set()

    def note(self, key: ObjectKey, value: Object[Any] | None) -> bool:
        """Take in a filter as it is now (None: gone). True if that ends its quarantine."""
        known = self._filters.get(key)
        if known is not None and value is not None and known.spec == value.spec:
            return False
        self._innocent = {one for one in self._innocent if one[0] != key}
        self._tried.discard(key)
        self._arrived += 1
        if value is None:
            self._filters.pop(key, None)
            self._arrivals.pop(key, None)
        else:
            self._filters[key] = value
            self._arrivals[key] = self._arrived
        return self.held.pop(key, None) is not None

    def judge(self, ref: ResourceRef, suspects: Sequence[ObjectKey], pod: ObjectKey, text: str) -> list[ObjectKey]:
        """Draw the consequence of one refusal; `suspects`: whose patches the refused resource carries.

        Gives the filters whose state changed: one more is left out, or those that were, for this resource, are back,
        since it is refused without them too.
        """
        open_to_doubt = [
            one
            for one in suspects
            if one in self._filters and one not in self.held and (one, ref) not in self._innocent
        ]
        if open_to_doubt:
            guilty = max(open_to_doubt, key=lambda one: self._arrivals[one])
            self.held[guilty] = Refused(self._filters[guilty], ref, pod, text)
            return [guilty]
        if suspects:
            return []
        cleared = [key for key, refused in self.held.items() if refused.ref == ref]
        for key in cleared:
            del self.held[key]
            self._innocent.add((key, ref))
        return cleared

    def accepted(self, ref: ResourceRef) -> list[ObjectKey]:
        """Draw the consequence of a resource being accepted: one filter that was left out before it, perhaps wrongly,
        gets another chance. Gives the filters whose state changed."""
        about = [key for key, refused in self.held.items() if refused.ref == ref]
        again = next((key for key in about[:-1] if key not in self._tried), None)
        if again is None:
            return []
        self._tried.add(again)
        self._arrived += 1
        self._arrivals[again] = self._arrived  # if the resource is refused now, this one is to blame
        del self.held[again]
        return [again]
