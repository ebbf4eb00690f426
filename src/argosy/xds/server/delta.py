"""The server's end of one delta stream, without any I/O.

Given:   a client's requests, the newest snapshot, and the time.
Gives:   responses in the order in which they must be written, events, and the next moment at which to look again.
Must not block, read a clock, or copy resources: responses refer to the snapshot's own objects.
Source:  xDS protocol, "Incremental xDS".
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.xds.messages import WILDCARD, Changes, DeltaRequest, DeltaResponse, Resource, Snapshot
from argosy.xds.server.chunks import cut, delta_size, name_size, payload_limit
from argosy.xds.server.events import Event
from argosy.xds.server.interner import Interner
from argosy.xds.server.ledger import Ledger
from argosy.xds.server.rules import Rules
from argosy.xds.server.session import Removal, Session


class DeltaStream:
    """One client's delta stream, aggregated or of one type."""

    __slots__ = ("_session",)

    def __init__(self, rules: Rules, interner: Interner, *, stream_id: str = "") -> None:
        """Start before the first request. `stream_id` makes nonces differ from those of earlier streams."""
        self._session = Session(rules, interner, stream_id, Removal.TOLD)

    def receive(self, request: DeltaRequest, now: float) -> None:
        """Take one request: an answer if it has a nonce, subscription changes in any case, stale nonce or not."""
        session = self._session
        session.open(request.node)
        ledger, first = session.ledger(request.type_url)
        if request.response_nonce:
            flight = ledger.flights.get(request.response_nonce)
            if flight is None:
                session.note_stale(request.type_url, request.response_nonce)
            else:
                session.answer(ledger, flight, request.error_detail)
        added = self._added(request) if first else request.resource_names_subscribe
        session.change_subscription(ledger, added, request.resource_names_unsubscribe, first=first)
        if first:
            session.restate(ledger, request.initial_resource_versions, now)

    def _added(self, request: DeltaRequest) -> tuple[str, ...]:
        """Names that a type's first request asks for: none means all, and what is held is asked for."""
        names = request.resource_names_subscribe
        if WILDCARD in names:
            return names
        if not names and request.type_url not in self._session.rules.named_only:
            return (WILDCARD,)
        return (*names, *(name for name in request.initial_resource_versions if name not in frozenset(names)))

    def offer(self, snapshot: Snapshot, changes: Changes | None) -> None:
        """Take the newest consistent world; `changes` since the one before costs only what changed (None: compare)."""
        self._session.offer(snapshot, changes)

    def outbox(self, now: float, limit_bytes: int = 1 << 20) -> list[DeltaResponse]:
        """Give what may be sent now, in order, about `limit_bytes` in all; call again once it is written.

        Each response stays within `limit_bytes`, except for a single resource that is larger by itself.
        Empty when nothing (more) may be sent.
        """
        responses: list[DeltaResponse] = []
        total = 0
        for response, size in self._parts(now, payload_limit(limit_bytes)):
            responses.append(response)
            total += size
            if total >= limit_bytes:
                break
        return responses

    def _parts(self, now: float, limit: int) -> Iterator[tuple[DeltaResponse, int]]:
        """Additions in order of types, then removals the other way round; each is marked as sent when it is drawn."""
        ledgers = self._session.look(now)
        for ledger in ledgers:
            send, absent = self._session.additions(ledger, now)
            for resources, size in cut(send, delta_size, limit):
                yield self._respond(ledger, resources, ()), size
            for names, size in cut(absent, name_size, limit):
                yield self._respond(ledger, (), names), size
            if self._session.owes_empty_answer(ledger):
                yield self._respond(ledger, (), ()), 0
        for ledger in reversed(ledgers):
            for names, size in cut(self._session.removals(ledger, now), name_size, limit):
                yield self._respond(ledger, (), names), size

    def _respond(self, ledger: Ledger, resources: tuple[Resource, ...], removed: tuple[str, ...]) -> DeltaResponse:
        nonce = self._session.depart(ledger, resources, removed)
        if not resources and not removed:
            marker = self._session.rules.empty_answers.get(ledger.type_url)
            removed = () if marker is None else (marker,)
        snapshot = self._session.snapshot
        system_version = "" if snapshot is None else str(snapshot.number)
        return DeltaResponse(ledger.type_url, nonce, resources, removed, system_version)

    def events(self) -> list[Event]:
        """Hand out what happened since the last call."""
        return self._session.events()

    def next_due(self) -> float | None:
        """Give the time at which to call `outbox` and `events` even without any input; None: never."""
        return self._session.next_due()

    def dump(self) -> dict[str, object]:
        """Give the stream's state as plain data."""
        return {"variant": "delta", **self._session.dump()}
