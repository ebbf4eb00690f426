"""One client's account of one type: what it asks for, what it holds, what is on its way, what it refused.

Given:   subscription changes, new targets, and answers to responses.
Gives:   for each name, what the client should hold (`goal`), what it has acknowledged (`held`), and what it will
         hold when it has handled everything sent so far (`expected`).
Must not decide what to send or when (`session.py`, `gate.py`), and not keep a list of everything that is held: the
target map is shared by all clients of a class, and only differences from it are stored here. So a client that is
up to date costs a few empty dicts, however many resources it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from argosy.xds.messages import WILDCARD, ErrorDetail, Resource
from argosy.xds.server.interner import Interner

UNKNOWN = ""
Holding = Resource | str | None
"""A resource; or the version of one whose content the server lacks (UNKNOWN: maybe held); or None, not held."""

Canonical = Callable[[str], str]
"""From a name or alias to the name of the resource that it means."""

_NO_NAMES: frozenset[str] = frozenset()


class Flight:
    """One response that waits for its answer: what it brought and what it took away."""

    __slots__ = ("_by_name", "nonce", "overtaken", "removed", "repeated", "resources")

    def __init__(
        self,
        nonce: str,
        resources: tuple[Resource, ...],
        removed: tuple[str, ...],
        repeated: tuple[Resource, ...] = (),
    ) -> None:
        """Keep the response's content by reference. `repeated`: what only a full set carries along, unchanged."""
        self.nonce = nonce
        self.repeated = repeated
        self.resources = resources
        self.removed = removed
        self.overtaken: set[str] = set()  # names that a later response, answered before this one, has settled
        self._by_name: dict[str, Resource] | None = None

    def brings(self, name: str) -> Resource | None:
        """Give what this response brought for a name; None if it took it away."""
        if self._by_name is None:
            self._by_name = {r.name: r for r in self.resources}
        return self._by_name.get(name)

    def names(self) -> list[str]:
        """List all names, those brought first."""
        return [*(r.name for r in self.resources), *self.removed]

    def versions(self) -> dict[str, str | None]:
        """Give the versions brought, None for names taken away."""
        versions: dict[str, str | None] = {r.name: r.version for r in self.resources}
        versions.update(dict.fromkeys(self.removed))
        return versions


def is_same(goal: Resource | None, holding: Holding) -> bool:
    """Tell whether holding `holding` is as good as holding `goal`."""
    if goal is holding:
        return True
    if goal is None or holding is None:
        return False
    return goal.version == (holding if isinstance(holding, str) else holding.version)


class Ledger:
    """One client's account of one type. Names in its dicts are the snapshot's own strings wherever it has them."""

    __slots__ = (
        "answer_due",
        "differs",
        "doubtful",
        "flights",
        "flying",
        "forced",
        "last_error",
        "last_nonce",
        "named",
        "names",
        "pending",
        "rank",
        "rejected",
        "reported",
        "restores",
        "target",
        "type_url",
        "waiting",
        "wildcard",
    )

    def __init__(self, type_url: str, rank: int, target: Mapping[str, Resource], *, restores: bool = False) -> None:
        """Start with a client that asks for nothing and holds nothing.

        restores: a refused version is followed by what the client had, see `Rules.restored`.
        """
        self.type_url = type_url
        self.rank = rank
        self.restores = restores
        self.target = target
        self.wildcard = False
        self.names = _NO_NAMES
        self.named = False  # a name was ever given: requests without names stop meaning everything
        self.differs: dict[str, Holding] = {}  # what is held, where that is not the goal
        self.doubtful: dict[str, tuple[Resource | None, ...]] = {}  # what may be held instead of what `held` says
        self.pending: dict[str, None] = {}  # names to look at when something may be sent
        self.forced: dict[str, None] = {}  # names to send even if nothing changed
        self.rejected: dict[str, str] = {}  # refused version by name; UNKNOWN for a refused removal
        self.flights: dict[str, Flight] = {}  # by nonce, oldest first
        self.flying: dict[str, Flight] = {}  # the latest response that carries a name
        self.waiting: dict[str, float] = {}  # held back since
        self.reported: dict[str, None] = {}  # held back, and said so
        self.answer_due = False
        self.last_error: ErrorDetail | None = None
        self.last_nonce = ""

    # -- what is wanted, held, expected

    def wants(self, resource: Resource) -> bool:
        """Tell whether the client asks for a resource, by name, by alias or by asking for all."""
        if self.wildcard or resource.name in self.names:
            return True
        return bool(resource.aliases) and any(alias in self.names for alias in resource.aliases)

    def asks_for(self, name: str) -> bool:
        """Tell whether the client asks for a name, whether or not such a resource exists."""
        return self.wildcard or name in self.names or self.goal(name) is not None

    def goal(self, name: str) -> Resource | None:
        """Give what the client should hold; None if it is not wanted or does not exist."""
        resource = self.target.get(name)
        return resource if resource is not None and self.wants(resource) else None

    def held(self, name: str) -> Holding:
        """Give what the client has acknowledged."""
        return self.differs[name] if name in self.differs else self.goal(name)

    def expected(self, name: str) -> Holding:
        """Give what the client will hold once it has accepted everything that is on its way."""
        flight = self.flying.get(name)
        return self.held(name) if flight is None else flight.brings(name)

    def is_doubtful(self, name: str) -> bool:
        """Tell whether the client may hold something else than it acknowledged, and nothing on its way settles that."""
        return name in self.doubtful and name not in self.flying

    def unknown(self) -> Iterator[str]:
        """Names that the client holds, or may hold, in a version whose content the server lacks."""
        return (n for n, holding in self.differs.items() if isinstance(holding, str) and n not in self.doubtful)

    def is_usable(self, name: str) -> bool:
        """Tell whether the client surely holds some version of a name, and no removal is on its way."""
        if not self.held(name) or None in self.doubtful.get(name, ()):
            return False
        return name not in self.flying or not any(name in flight.removed for flight in self.flights.values())

    def is_refused(self, name: str) -> bool:
        """Tell whether the client refused the very version that it should hold."""
        goal = self.goal(name)
        return goal is not None and self.rejected.get(name) == goal.version

    def deliverable(self, goal: Resource) -> Resource | None:
        """Give what to send for a goal: itself; if it was refused, the last good one if awaited or in doubt."""
        if self.rejected.get(goal.name) != goal.version:
            return goal
        held = self.held(goal.name)
        if self.is_doubtful(goal.name):
            held = self.doubtful[goal.name][-1] or held
        elif goal.name not in self.forced:
            return None
        return held if isinstance(held, Resource) and held.version != goal.version else None

    def set_held(self, name: str, holding: Holding) -> None:
        """Note what the client holds."""
        if is_same(self.goal(name), holding):
            self.differs.pop(name, None)
        else:
            self.differs[name] = holding

    # -- subscriptions

    def subscribe(self, names: Collection[str], canonical: Canonical, interner: Interner) -> None:
        """Add names. A name asked for again is sent again; an absent one is answered as absent."""
        if WILDCARD in names:
            self._subscribe_all()
        meant = {name: canonical(name) for name in names if name != WILDCARD}
        known = {name for name in meant.values() if self.goal(name) is not None}
        self._set_names(self.names.union(meant), interner)
        for name in meant.values():
            if name not in known and self.goal(name) is not None:
                self.differs.setdefault(name, None)
            self._doubt_overtaken(name)
            self.force(name)

    def _doubt_overtaken(self, name: str) -> None:
        """A client that dropped a name and asks again before a response with it came will take that one, too."""
        for flight in self.flights.values():
            if name in flight.overtaken and (brought := flight.brings(name)) is not None:
                self._doubt(name, brought)

    def _subscribe_all(self) -> None:
        if self.wildcard:
            return
        # Most clients begin with this; then nothing was asked for, and nothing need be looked at.
        asked = bool(self.names)
        fresh = [n for n, r in self.target.items() if not self.wants(r)] if asked else list(self.target)
        self.wildcard = True
        for name in fresh:
            self.differs.setdefault(name, None)
            self.pending[name] = None

    def restate(self, versions: Mapping[str, str], canonical: Canonical) -> None:
        """Take the versions that a reconnecting client says it holds, right after its first subscription.

        A name that it asks for and does not list may be held all the same: after a response of which it refused a
        part, a client applies the rest and counts none of it.
        """
        asked = set(self.target) if self.wildcard else {canonical(name) for name in self.names}
        for name in asked:
            self.set_held(name, versions.get(name, UNKNOWN))
        for name in versions.keys() - asked:
            self.set_held(name, versions[name])
        awaited = (name for name in self.names if name not in versions and self.goal(canonical(name)) is None)
        self.forced = dict.fromkeys(awaited)
        self.pending = dict.fromkeys(self.differs)

    def unsubscribe(self, names: Collection[str], canonical: Canonical, interner: Interner) -> None:
        """Drop names; unknown ones are ignored. A name that is still asked for by `*` is sent again."""
        gone = self.names.intersection(names)
        if WILDCARD in names:
            self.wildcard = False
        self._set_names(self.names - gone, interner)
        for name in gone:
            if self.wildcard:
                self.force(canonical(name))
        self._drop_unwanted()

    def _set_names(self, names: frozenset[str], interner: Interner) -> None:
        if names != self.names:
            self.names = interner.share(names, self.target)

    def _drop_unwanted(self) -> None:
        """Forget what the client forgets when it unsubscribes; answers still to come do not bring it back."""
        for flight in self.flights.values():
            flight.overtaken.update(name for name in flight.names() if not self.asks_for(name))
        tables: list[dict[str, Any]] = [self.differs, self.pending, self.forced, self.rejected, self.flying]
        for table in [*tables, self.waiting, self.reported, self.doubtful]:
            for name in [n for n in table if not self.asks_for(n)]:
                del table[name]

    def force(self, name: str) -> None:
        """Have a name sent, or reported absent, even if nothing changed."""
        self.forced[name] = None
        self.pending[name] = None

    # -- the world moves on

    def retarget(self, target: Mapping[str, Resource], changed: Iterable[str] | None) -> None:
        """Take a new target. `changed` names at least all that differ from the old one; None: compare everything."""
        if changed is None:
            changed = () if target is self.target else self.target.keys() | target.keys()
        before = []
        for name in changed:
            old, new = self.target.get(name), target.get(name)
            if old != new and ((old is not None and self.wants(old)) or (new is not None and self.wants(new))):
                before.append((new.name if new is not None else name, self.held(name)))
        self.target = target
        for name, holding in before:
            self.set_held(name, holding)
            self.pending[name] = None
        if before and self.rejected:
            self._reconsider_refusals()

    def _reconsider_refusals(self) -> None:
        """Forget refusals of versions that are no longer the goal, and try refused removals again."""
        for name, version in list(self.rejected.items()):
            goal = self.goal(name)
            if goal is None or goal.version != version:
                del self.rejected[name]
                self.pending[name] = None

    # -- responses and answers

    def depart(self, flight: Flight) -> None:
        """Note that a response was sent."""
        self.flights[flight.nonce] = flight
        self.last_nonce = flight.nonce
        self.answer_due = False
        for name in flight.names():
            self.flying[name] = flight
            self.done_with(name)

    def done_with(self, name: str) -> None:
        """Stop looking at a name until something happens to it."""
        for table in (self.pending, self.forced, self.waiting, self.reported):
            table.pop(name, None)

    def accept(self, flight: Flight, refused: frozenset[str] = _NO_NAMES) -> None:
        """Note the answer to a response: all of it was applied, or these names were `refused`.

        What shared a response with a refused name may be applied or not: a client checks some things for each
        resource and others for the whole response, and does not say which it was. So it is sent again.
        """
        for earlier in self.flights.values():
            if earlier is flight:
                break
            earlier.overtaken.update(flight.names())
        del self.flights[flight.nonce]
        for resource in flight.resources:
            self._land(flight, resource.name, resource, refused)
        for name in flight.removed:
            self._land(flight, name, None, refused)
        for resource in flight.repeated if self.doubtful and not refused else ():
            if self.doubtful.pop(resource.name, None) and resource.name not in flight.overtaken:
                self.set_held(resource.name, resource)
        self._give_back_memory()

    def _land(self, flight: Flight, name: str, brought: Resource | None, refused: frozenset[str]) -> None:
        if self.flying.get(name) is flight:
            del self.flying[name]
        if name in flight.overtaken:
            return
        if name in refused:
            self._note_refused(name, brought)
        elif not (name in self.differs or self.asks_for(name)):
            pass
        elif refused:
            self._doubt(name, brought)
        else:
            self.doubtful.pop(name, None)
            self.set_held(name, brought)
        if name in self.differs and name not in self.flying:
            self.pending[name] = None

    def _doubt(self, name: str, brought: Resource | None) -> None:
        """Note that a name's part of a refused response may have been applied or not, and have it sent again."""
        held = self.held(name)
        if (held or brought) and (held != UNKNOWN or name in self.doubtful):
            self.doubtful[name] = (*self.doubtful.get(name, ()), brought)
            if held is None:
                self.differs[name] = UNKNOWN
        self.pending[name] = None

    def _note_refused(self, name: str, refused: Resource | None) -> None:
        """Remember a refused version. It was not applied when it was in doubt, either."""
        goal = self.goal(name)
        if goal is None or self.rejected.get(name) != goal.version:  # else an older one, sent only to end a doubt
            self.rejected[name] = UNKNOWN if refused is None else refused.version
            if self.restores and self.held(name) != UNKNOWN:
                self.force(name)
        doubts = self.doubtful.get(name)
        if doubts is None:
            return
        left = tuple(doubt for doubt in doubts if doubt != refused)
        if left:
            self.doubtful[name] = left
            return
        del self.doubtful[name]
        if self.held(name) == UNKNOWN:
            self.set_held(name, None)

    def _give_back_memory(self) -> None:
        """Emptied dicts keep their tables; clearing them frees those."""
        tables: list[dict[str, Any]] = [
            self.differs,
            self.pending,
            self.forced,
            self.rejected,
            self.flights,
            self.flying,
        ]
        for table in [*tables, self.waiting, self.reported, self.doubtful]:
            if not table:
                table.clear()
