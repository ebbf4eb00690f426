"""One client's session: the core that decides what to send and when, for both variants of the protocol.

Given:   snapshots, subscription changes and answers (already told apart by `delta.py` or `sotw.py`), and the time.
Gives:   per type, what may be sent now and what may be removed now; events; the next moment at which to look again.
Must not build messages or know either variant's rules about nonces and names.
Source:  xDS protocol, "Eventual consistency considerations", "Resource warming", "ACK/NACK and resource type
         instance version".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from functools import partial

from argosy.xds.messages import NO_RESOURCES, Changes, ErrorDetail, Resource, ResourceRef, Snapshot
from argosy.xds.server.events import Acked, Event, Held, Nacked, Opened, Settled, Stale, Stuck, Subscribed, Unsubscribed
from argosy.xds.server.gate import Pins, missing
from argosy.xds.server.interner import Interner
from argosy.xds.server.ledger import UNKNOWN, Canonical, Flight, Ledger, is_same
from argosy.xds.server.rules import Rules


class Removal(Enum):
    """How a client learns that a resource is gone."""

    TOLD = "told"  # by name, and that a name is absent too
    LEFT_OUT = "left out"  # of the next full set
    NEVER = "never"  # it keeps the resource until it unsubscribes


class Session:
    """The state of one stream. Several offers before a look merge into one pending push."""

    __slots__ = (
        "_events",
        "_nonces",
        "_removals",
        "_restated_until",
        "_restating",
        "_settled",
        "_settled_types",
        "_stream_id",
        "_stuck",
        "interner",
        "ledgers",
        "opened",
        "rules",
        "snapshot",
    )

    def __init__(self, rules: Rules, interner: Interner, stream_id: str, removals: Removal) -> None:
        """Start with a client that has asked for nothing; `removals` holds for types that the rules do not except."""
        self.rules = rules
        self.interner = interner
        self.ledgers: dict[str, Ledger] = {}
        self.snapshot: Snapshot | None = None
        self.opened = False
        self._removals = removals
        self._stream_id = stream_id
        self._nonces = 0
        self._events: list[Event] = []
        self._settled: int | None = None
        self._settled_types = 0
        self._stuck: Stuck | None = None
        self._restated_until: float | None = None
        self._restating = False

    # -- input

    def open(self, node: object | None) -> None:
        """Note the first request; later ones change nothing: a stream's identity is fixed."""
        if not self.opened:
            self.opened = True
            self._events.append(Opened(node))

    def ledger(self, type_url: str) -> tuple[Ledger, bool]:
        """Give a type's ledger, and whether it is new: this is the type's first request."""
        ledger = self.ledgers.get(type_url)
        if ledger is not None:
            return ledger, False
        target = self.snapshot.of(type_url) if self.snapshot else NO_RESOURCES
        restores = type_url in self.rules.restored
        ledger = Ledger(type_url, self.rules.rank(type_url), target, restores=restores)
        self.ledgers[type_url] = ledger
        return ledger, True

    def change_subscription(
        self, ledger: Ledger, added: Collection[str], dropped: Collection[str], *, first: bool
    ) -> None:
        """Apply one request's changes of names; dropping comes before adding."""
        if dropped:
            ledger.unsubscribe(dropped, self._canonical(ledger), self.interner)
            self._events.append(Unsubscribed(ledger.type_url, tuple(dropped)))
        if added:
            ledger.subscribe(added, self._canonical(ledger), self.interner)
        if added or first:
            self._events.append(Subscribed(ledger.type_url, tuple(added), first))

    def restate(self, ledger: Ledger, versions: Mapping[str, str], now: float) -> None:
        """Take what a type's first request says that the client holds from an earlier stream.

        Removals wait a while afterwards, and nobody hears that it has settled: the client states its types one after
        another, and what it has not yet stated may require what would be removed, and may be out of date.
        """
        ledger.answer_due = not versions
        if versions:
            self._restated_until = now + self.rules.restate_s
            self._restating = self._in_grace(now)
        if not self._in_grace(now):
            return
        ledger.restate(versions, self._canonical(ledger))
        for name in self._owed(ledger):
            ledger.force(name)

    def _owed(self, ledger: Ledger) -> set[str]:
        """Names that something in flight made the client wait for, before it restated this type."""
        return {
            ref.name
            for other in self.ledgers.values()
            for flight in other.flights.values()
            for resource in flight.resources
            for ref in resource.companions
            if ref.type_url == ledger.type_url and ledger.asks_for(ref.name)
        }

    def _canonical(self, ledger: Ledger) -> Canonical:
        return str if self.snapshot is None else partial(self.snapshot.canonical, ledger.type_url)

    def answer(self, ledger: Ledger, flight: Flight, detail: ErrorDetail | None) -> None:
        """Apply an ACK (no detail) or a NACK of one response."""
        if detail is None:
            ledger.accept(flight)
            if not ledger.rejected:  # else it was only the good rest of what was refused
                ledger.last_error = None
            self._events.append(Acked(ledger.type_url, flight.nonce, flight.versions()))
            return
        ledger.last_error = detail
        versions = flight.versions() | {resource.name: resource.version for resource in flight.repeated}
        blamed = self.rules.blame(detail, list(versions)) & versions.keys() if versions else frozenset()
        blamed = frozenset(blamed or versions)
        ledger.accept(flight, blamed)
        refused = {name: version for name, version in versions.items() if name in blamed}
        self._events.append(Nacked(ledger.type_url, flight.nonce, tuple(sorted(refused)), refused, detail))

    def note_stale(self, type_url: str, nonce: str) -> None:
        """Note an answer to a response that is not in flight."""
        self._events.append(Stale(type_url, nonce))

    def offer(self, snapshot: Snapshot, changes: Changes | None) -> None:
        """Take the newest world. Changes that start after the snapshot offered last are not trusted."""
        known = self.snapshot
        if known is snapshot:
            return
        if known is None or (changes is not None and changes.since > known.number):
            changes = None
        self.snapshot = snapshot
        self._settled = self._stuck = None  # another world may bear the same number: a client can move to another class
        for ledger in self.ledgers.values():
            named = None if changes is None else changes.names.get(ledger.type_url, ())
            ledger.retarget(snapshot.of(ledger.type_url), named)

    # -- output

    def look(self, now: float) -> list[Ledger]:
        """Begin a look at what can be sent: report what has waited for long, give the types in order of additions."""
        self._restating = self._in_grace(now)
        if self.snapshot is None:
            return []
        for ledger in self.ledgers.values():
            self._report_held(ledger, self.snapshot, now)
        return sorted(self.ledgers.values(), key=lambda ledger: (ledger.rank, ledger.type_url))

    def _report_held(self, ledger: Ledger, snapshot: Snapshot, now: float) -> None:
        overdue = now - self.rules.hold_timeout_s
        for name in [n for n, since in ledger.waiting.items() if since <= overdue and n not in ledger.reported]:
            ledger.reported[name] = None
            waiting_for = self._waits_for(ledger, snapshot, name)
            ref = ResourceRef(ledger.type_url, name)
            self._events.append(Held(ref, removal=ledger.goal(name) is None, waiting_for=waiting_for))

    def _waits_for(self, ledger: Ledger, snapshot: Snapshot, name: str) -> tuple[ResourceRef, ...]:
        goal = ledger.goal(name)
        if goal is None:
            return Pins(self.ledgers.values(), snapshot).holders(ledger, name)
        return missing(ledger.deliverable(goal) or goal, self.ledgers, self.rules.patient)

    def removal(self, ledger: Ledger) -> Removal:
        """Tell how this client learns that a resource of a type is gone."""
        if self._removals is Removal.TOLD:
            return Removal.NEVER if ledger.type_url in self.rules.never_removed else Removal.TOLD
        return Removal.LEFT_OUT if ledger.type_url in self.rules.full_sets else Removal.NEVER

    def _is_kept(self, ledger: Ledger, name: str) -> bool:
        """Tell whether the client keeps what it has of a name that is gone."""
        removal = self.removal(ledger)
        told = removal is Removal.TOLD
        return removal is Removal.NEVER or (told and self.rules.kept(ResourceRef(ledger.type_url, name)))

    def additions(self, ledger: Ledger, now: float) -> tuple[list[Resource], list[str]]:
        """Give what of a type may be sent now, by name, and names asked for that do not exist."""
        send: list[Resource] = []
        absent: list[str] = []
        if len(ledger.flights) >= self.rules.in_flight_max:
            return send, absent
        for name in sorted(ledger.pending):
            goal, expected = ledger.goal(name), ledger.expected(name)
            forced = name in ledger.forced
            if goal is None and expected is not None:
                if forced and not self._may_remove(ledger, name, now):
                    self._answer_awaited(ledger, name, send, absent)
                continue  # else a removal
            if not forced and is_same(goal, expected) and not ledger.is_doubtful(name):
                ledger.done_with(name)
            elif goal is None:
                self._note_absent(ledger, name, absent)
            else:
                self._consider(ledger, name, goal, send, absent, now)
        return send, absent

    def _answer_awaited(self, ledger: Ledger, name: str, send: list[Resource], absent: list[str]) -> None:
        """Answer a client that waits for a name which is gone and may not be removed yet: with what it has.

        Where that is not known, with its absence: not answering could keep it from ever freeing what blocks.
        """
        held = ledger.held(name)
        if isinstance(held, Resource):
            send.append(held)
        else:
            self._note_absent(ledger, name, absent)

    def _note_absent(self, ledger: Ledger, name: str, absent: list[str]) -> None:
        if self.removal(ledger) is Removal.TOLD:
            absent.append(name)
        else:
            ledger.done_with(name)

    def _consider(
        self, ledger: Ledger, name: str, goal: Resource, send: list[Resource], absent: list[str], now: float
    ) -> None:
        """Send a resource unless it must wait. In place of a refused one goes what is held, where that is awaited.

        If nothing is held either, the client learns of an absence; if the server lacks what is held, of nothing.
        """
        resource = ledger.deliverable(goal)
        if resource is None:
            if name in ledger.forced and not ledger.held(name):
                self._note_absent(ledger, name, absent)
            else:
                ledger.done_with(name)
        elif resource.requires and missing(resource, self.ledgers, self.rules.patient):
            ledger.waiting.setdefault(name, now)
        else:
            send.append(resource)

    def removals(self, ledger: Ledger, now: float) -> list[str]:
        """Give what of a type may be removed now."""
        names = [n for n in sorted(ledger.pending) if ledger.goal(n) is None and ledger.expected(n) is not None]
        if not names or self.snapshot is None or len(ledger.flights) >= self.rules.in_flight_max:
            return []
        for name in [name for name in names if self._is_kept(ledger, name)]:
            if self.removal(ledger) is Removal.TOLD:
                # From now on it counts for nothing: what it requires may go, and it is sent anew if it comes back.
                ledger.set_held(name, None)
            ledger.done_with(name)
            names.remove(name)
        if not names:
            return []
        if self._in_grace(now):
            return []
        pins = Pins(self.ledgers.values(), self.snapshot)
        allowed = []
        for name in names:
            if ledger.rejected.get(name) == UNKNOWN:
                ledger.done_with(name)
            elif pins.blocks(ledger, name):
                ledger.waiting.setdefault(name, now)
            else:
                allowed.append(name)
        return allowed

    def _in_grace(self, now: float) -> bool:
        return self._restated_until is not None and now < self._restated_until

    def _may_remove(self, ledger: Ledger, name: str, now: float) -> bool:
        if self.snapshot is None or self._in_grace(now):
            return False
        return not Pins(self.ledgers.values(), self.snapshot).blocks(ledger, name)

    def owes_empty_answer(self, ledger: Ledger) -> bool:
        """Tell whether a type's first request is still without any answer, and there is nothing to wait for."""
        return ledger.answer_due and not ledger.pending

    def depart(
        self,
        ledger: Ledger,
        resources: tuple[Resource, ...],
        removed: tuple[str, ...],
        repeated: tuple[Resource, ...] = (),
    ) -> str:
        """Note that a response is sent and give its nonce. Companions of what is sent become due again.

        repeated: what a full set carries along unchanged; it may be blamed for a refusal, and is not sent anew.
        """
        self._nonces += 1
        nonce = f"{self._stream_id}{self._nonces}"
        ledger.depart(Flight(nonce, resources, removed, repeated))
        for resource in resources:
            for ref in resource.companions:
                other = self.ledgers.get(ref.type_url)
                if other is not None and other.asks_for(ref.name):
                    other.force(ref.name)
            self._force_parts(resource)
        return nonce

    def _force_parts(self, resource: Resource) -> None:
        parts = self.ledgers.get(self.rules.parts.get(resource.type_url, ""))
        if parts is not None:
            prefix = f"{resource.name}/"
            for name in [name for name in parts.target if name.startswith(prefix) and parts.asks_for(name)]:
                parts.force(name)

    # -- timers, events, explanation

    def next_due(self) -> float | None:
        """Give the time at which to look for output and events again without any input; None: never."""
        due = [
            since + self.rules.hold_timeout_s
            for ledger in self.ledgers.values()
            for name, since in ledger.waiting.items()
            if name not in ledger.reported
        ]
        if self._restating and self._restated_until is not None:
            due.append(self._restated_until)
        return min(due, default=None)

    def events(self) -> list[Event]:
        """Hand out what happened since the last call."""
        settled = self._is_settled()
        if not settled:
            self._settled = None
        elif self.snapshot is not None:
            number, types = self.snapshot.number, len(self.ledgers)
            # Said again when the client has asked for another type, and had all of that already.
            if (number, types) != (self._settled, self._settled_types):
                self._settled, self._settled_types = number, types
                self._events.append(Settled(number))
        stuck = None if settled else self._find_stuck()
        if stuck is not None and stuck != self._stuck:
            self._events.append(stuck)
        self._stuck = stuck
        events, self._events = self._events, []
        return events

    def _is_settled(self) -> bool:
        if self.snapshot is None or not self.ledgers or self._restating:
            return False
        return all(map(self._is_clean, self.ledgers.values()))

    def _is_clean(self, ledger: Ledger) -> bool:
        if ledger.pending or ledger.flights or ledger.answer_due:
            return False
        if not ledger.differs:
            return True
        return all(ledger.goal(name) is None and self._is_kept(ledger, name) for name in ledger.differs)

    def _find_stuck(self) -> Stuck | None:
        """What keeps the client from being settled, if nothing else is under way."""
        if self.snapshot is None or not self.ledgers or self._restating:
            return None
        blocked: set[tuple[ResourceRef, str | None]] = set()
        refused: set[ResourceRef] = set()
        for ledger in self.ledgers.values():
            if ledger.flights or ledger.answer_due or not ledger.pending.keys() <= ledger.waiting.keys():
                return None
            for name in ledger.differs.keys() | ledger.waiting.keys():
                goal = ledger.goal(name)
                if goal is None and self._is_kept(ledger, name):
                    continue
                if name not in ledger.waiting and name not in ledger.rejected:
                    return None
                ref = ResourceRef(ledger.type_url, name)
                blocked.add((ref, goal.version if goal is not None else None))
                if ledger.is_refused(name):
                    refused.add(ref)
        return Stuck(self.snapshot.number, frozenset(blocked), frozenset(refused))

    def dump(self) -> dict[str, object]:
        """Give the session's state as plain data: per type what is asked, pending, in flight, held back, refused."""
        return {
            "snapshot": self.snapshot.number if self.snapshot else None,
            "settled": self._settled,
            "types": {type_url: self._dump_type(ledger) for type_url, ledger in self.ledgers.items()},
        }

    def _dump_type(self, ledger: Ledger) -> dict[str, object]:
        error = ledger.last_error
        held_back = {
            name: [f"{ref.type_url} {ref.name}" for ref in self._waits_for(ledger, self.snapshot, name)]
            for name in ledger.waiting
            if self.snapshot is not None
        }
        return {
            "wildcard": ledger.wildcard,
            "names": len(ledger.names),
            "pending": sorted(ledger.pending),
            "in_flight": {nonce: flight.names() for nonce, flight in ledger.flights.items()},
            "held_back": held_back,
            "refused": dict(ledger.rejected),
            "last_error": None if error is None else {"code": error.code, "message": error.message},
        }
