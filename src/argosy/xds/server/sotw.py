"""The server's end of one state-of-the-world stream, without any I/O.

Given:   a client's requests, the newest snapshot, and the time.
Gives:   responses in the order in which they must be written, events, and the next moment at which to look again.
Must not block, read a clock, or copy resources.
Limits:  the variant names nothing that a client holds from an earlier stream but one version per type. If that is
         not the current one, everything is sent again, and what it held besides is unknown: the full sets replace it.
Source:  xDS protocol, "Basic protocol overview" to "Wildcard subscriptions".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from argosy.xds.messages import WILDCARD, Changes, Resource, Snapshot, SotwRequest, SotwResponse
from argosy.xds.server.chunks import cut, payload_limit, sotw_size
from argosy.xds.server.events import Event
from argosy.xds.server.interner import Interner
from argosy.xds.server.ledger import Ledger
from argosy.xds.server.rules import Rules
from argosy.xds.server.session import Removal, Session


def set_version(resources: Iterable[Resource]) -> str:
    """Give the version of a set of resources in a fixed order: it depends on their names and versions only."""
    digest = hashlib.blake2b(digest_size=8)
    for resource in resources:
        digest.update(f"{resource.name}\0{resource.version}\0".encode())
    return digest.hexdigest()


class SotwStream:
    """One client's state-of-the-world stream, aggregated or of one type."""

    __slots__ = ("_session",)

    def __init__(self, rules: Rules, interner: Interner, *, stream_id: str = "") -> None:
        """Start before the first request. `stream_id` makes nonces differ from those of earlier streams."""
        self._session = Session(rules, interner, stream_id, Removal.LEFT_OUT)

    def receive(self, request: SotwRequest, now: float) -> None:
        """Take one request. Names in a request with an outdated nonce are ignored: a newer request follows it."""
        session = self._session
        session.open(request.node)
        ledger, first = session.ledger(request.type_url)
        if not first:
            self._answer(ledger, request)
            if request.response_nonce != ledger.last_nonce:
                return
        asked = self._asked(ledger, request)
        current = ledger.names | {WILDCARD} if ledger.wildcard else ledger.names
        added, dropped = sorted(asked - current), sorted(current - asked)
        if first or added or dropped:
            session.change_subscription(ledger, added, dropped, first=first)
        if first:
            self._restate(ledger, request.version_info, now)

    def _answer(self, ledger: Ledger, request: SotwRequest) -> None:
        """Apply an answer; responses sent before it were applied too, or they would have been refused."""
        nonce = request.response_nonce
        flight = ledger.flights.get(nonce)
        if flight is None:
            if nonce != ledger.last_nonce:
                self._session.note_stale(request.type_url, nonce)
            return
        for earlier in list(ledger.flights.values()):
            if earlier is flight:
                break
            self._session.answer(ledger, earlier, None)
        self._session.answer(ledger, flight, request.error_detail)

    def _asked(self, ledger: Ledger, request: SotwRequest) -> frozenset[str]:
        """Give the names asked for. None means all until a name has been given once; then it means none."""
        if request.resource_names:
            ledger.named = True
        elif not ledger.named and request.type_url not in self._session.rules.named_only:
            return frozenset((WILDCARD,))
        return frozenset(request.resource_names)

    def _restate(self, ledger: Ledger, version: str, now: float) -> None:
        current = [r for _, r in sorted(ledger.target.items()) if ledger.wants(r)]
        if version and current and version == set_version(current):
            self._session.restate(ledger, {r.name: r.version for r in current}, now)
        else:
            ledger.answer_due = True

    def offer(self, snapshot: Snapshot, changes: Changes | None) -> None:
        """Take the newest consistent world; `changes` since the one before costs only what changed (None: compare)."""
        self._session.offer(snapshot, changes)

    def outbox(self, now: float, limit_bytes: int = 1 << 20) -> list[SotwResponse]:
        """Give what may be sent now, in order, about `limit_bytes` in all; call again once it is written.

        A full set is always one response, whatever its size. Empty when nothing (more) may be sent.
        """
        responses: list[SotwResponse] = []
        total = 0
        for response, size in self._parts(now, payload_limit(limit_bytes)):
            responses.append(response)
            total += size
            if total >= limit_bytes:
                break
        return responses

    def _parts(self, now: float, limit: int) -> Iterator[tuple[SotwResponse, int]]:
        for ledger in self._session.look(now):
            send, _ = self._session.additions(ledger, now)
            removed = self._session.removals(ledger, now)
            if self._session.removal(ledger) is Removal.LEFT_OUT:
                if send or removed or self._session.owes_empty_answer(ledger):
                    full = self._full_set(ledger, send, removed)
                    yield self._respond(ledger, full, tuple(send), tuple(removed)), sum(map(sotw_size, full))
                continue
            if not send and self._session.owes_empty_answer(ledger):
                ledger.answer_due = False  # silence is an answer: the client has a timer for absent names
            for resources, size in cut(send, sotw_size, limit):
                yield self._respond(ledger, resources, resources, ()), size

    def _full_set(self, ledger: Ledger, send: list[Resource], removed: list[str]) -> tuple[Resource, ...]:
        """Give the whole set that the client shall hold: changes where allowed, else what it has."""
        holding = {name: ledger.expected(name) for name in {*ledger.target, *ledger.differs, *ledger.flying}}
        holding.update((resource.name, resource) for resource in send)
        holding.update(dict.fromkeys(removed))
        return tuple(held for _, held in sorted(holding.items()) if isinstance(held, Resource))

    def _respond(
        self, ledger: Ledger, carried: tuple[Resource, ...], changed: tuple[Resource, ...], removed: tuple[str, ...]
    ) -> SotwResponse:
        repeated = () if carried is changed else tuple(sorted({*carried} - {*changed}, key=lambda r: r.name))
        nonce = self._session.depart(ledger, changed, removed, repeated)
        return SotwResponse(ledger.type_url, nonce, set_version(carried), carried)

    def events(self) -> list[Event]:
        """Hand out what happened since the last call."""
        return self._session.events()

    def next_due(self) -> float | None:
        """Give the time at which to call `outbox` and `events` even without any input; None: never."""
        return self._session.next_due()

    def dump(self) -> dict[str, object]:
        """Give the stream's state as plain data."""
        return {"variant": "sotw", **self._session.dump()}
