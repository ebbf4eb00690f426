"""Make before break, by references alone: what must wait before it is sent, and what may not be removed yet.

Given:   one client's ledgers and the snapshot it is heading for.
Gives:   for a resource, the references that it waits for; for a name, who still needs it.
Must not change anything, and not know what a type means: a resource says itself what it requires.

Sending waits for a required resource that is in the snapshot and that the client asks for, until some version of it
is acknowledged. One that is in the snapshot but not asked for, or not in the snapshot, is not waited for: waiting
could never end. (Of patient types, a resource of which the client has a version waits even then: what it has is better
than what cannot work.) Nor is one that the client refused, by a client that has no version of the waiting resource: it
has nothing better to keep, and a proxy that starts would serve nothing at all.
Removing waits while something that the client holds, or may hold once answers come in, requires the name. Companions
do not count: a client that waits for endpoints must learn at once that there are none.
Holders are found without a list of all that the client holds: what equals the snapshot requires only what is in the
snapshot, so only differences, responses in flight, and the snapshot's own dangling references count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from argosy.xds.messages import Resource, ResourceRef, Snapshot
from argosy.xds.server.ledger import Ledger


def missing(
    resource: Resource, ledgers: Mapping[str, Ledger], patient: frozenset[str] = frozenset()
) -> tuple[ResourceRef, ...]:
    """Give what a resource requires and the client does not surely hold yet. `patient` is of `Rules`."""
    own = ledgers.get(resource.type_url)
    first = own is None or not own.held(resource.name)
    lacking = []
    for ref in resource.requires:
        ledger = ledgers.get(ref.type_url)
        if ledger is None or ledger.is_usable(ref.name):
            continue
        if ledger.goal(ref.name) is None:
            if not first and ledger.wildcard and resource.type_url in patient:
                lacking.append(ref)
            continue
        if not (first and ledger.is_refused(ref.name)):
            lacking.append(ref)
    return tuple(lacking)


class Pins:
    """What may not be removed from one client now; made for one look at all removals."""

    def __init__(self, ledgers: Iterable[Ledger], snapshot: Snapshot) -> None:
        """Collect references from everything that the client holds, or may come to hold, beside the snapshot."""
        self._ledgers = tuple(ledgers)
        self._snapshot = snapshot
        self._required = {ref for resource in self._extras() for ref in resource.requires}
        self._unknown_rank = max(self._unknown_ranks(), default=-1)

    def _extras(self) -> Iterator[Resource]:
        for ledger in self._ledgers:
            yield from (held for held in ledger.differs.values() if isinstance(held, Resource))
            for doubts in ledger.doubtful.values():
                yield from (doubt for doubt in doubts if doubt is not None)
            for flight in ledger.flights.values():
                yield from flight.resources

    def _unknown_ranks(self) -> Iterator[int]:
        return (ledger.rank for ledger in self._ledgers if any(ledger.unknown()))

    def blocks(self, ledger: Ledger, name: str) -> bool:
        """Tell whether something may still need a name.

        A resource of which only the version is known (after a reconnect) may require anything of an earlier type.
        """
        if ledger.rank < self._unknown_rank:
            return True
        ref = ResourceRef(ledger.type_url, name)
        return ref in self._required or self._snapshot.is_dangling(ref)

    def holders(self, ledger: Ledger, name: str) -> tuple[ResourceRef, ...]:
        """Name what blocks a removal: differences and responses in flight, then dangling references."""
        ref = ResourceRef(ledger.type_url, name)
        found = [resource.ref for resource in self._extras() if ref in resource.requires]
        for other in self._ledgers:
            if other.rank > ledger.rank:
                found.extend(ResourceRef(other.type_url, unknown) for unknown in other.unknown())
        if self._snapshot.is_dangling(ref):
            found.extend(self._snapshot.requirers(ref))
        return tuple(dict.fromkeys(found))
