"""Who watches which workloads just now: leases that end by themselves, so that nothing stays switched on for nobody.

Given leases and the time, gives what has changed of what is watched. A watcher that lives renews its lease; one that
has died, or whose Pilot was started anew, has none. Monotonic seconds. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from argosy.pilot.reporting import QUIET, Switches, Watched

LEASE_S_MAX = 60.0
LEASES_MAX = 100
"""People who watch at one time; one more than that is refused."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What one watcher wants, until when."""

    places: frozenset[Watched]
    switches: Switches
    until: float


class Watchers:
    """All leases."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}
        self._told: dict[Watched, Switches] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def hold(self, name: str, places: Collection[Watched], switches: Switches, *, now: float, lease_s: float) -> bool:
        """Take or renew the lease `name`; no places, no sides or no time end it. False: there are too many."""
        self.expire(now)
        lease_s = min(lease_s, LEASE_S_MAX)
        if not places or not switches or lease_s <= 0:
            self._leases.pop(name, None)
            return True
        if name not in self._leases and len(self._leases) >= LEASES_MAX:
            return False
        self._leases[name] = Lease(frozenset(places), switches, now + lease_s)
        return True

    def expire(self, now: float) -> None:
        """End what was not renewed."""
        self._leases = {name: lease for name, lease in self._leases.items() if lease.until > now}

    def next_due(self) -> float | None:
        """When the next lease ends."""
        return min((lease.until for lease in self._leases.values()), default=None)

    def take_changes(self) -> dict[Watched, Switches | None]:
        """What is watched otherwise than when this was last asked; None: no more."""
        wanted: dict[Watched, Switches] = {}
        for lease in self._leases.values():
            for place in lease.places:
                wanted[place] = wanted.get(place, QUIET) | lease.switches
        places = wanted.keys() | self._told.keys()
        changes = {place: wanted.get(place) for place in places if wanted.get(place) != self._told.get(place)}
        self._told = wanted
        return changes
