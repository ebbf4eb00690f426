"""The store's port: what Galley needs of a place that keeps every accepted revision.

Values and a Protocol; no I/O. Implementations: SQLite on one machine (`edge.store_sqlite`), memory in tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from argosy.core.names import ObjectKey


@dataclass(frozen=True, slots=True)
class Revision:
    """One accepted change of the configuration. `when` is seconds since the epoch; `number` counts from 1."""

    number: int
    when: float
    who: str
    summary: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as it is kept: its document as JSON bytes, and the source that it belongs to (empty: none).

    The bytes never show in `repr`: they may hold a secret.
    """

    kind: str
    key: ObjectKey
    body: bytes = field(repr=False)
    source: str = ""


class Store(Protocol):
    """Keeps objects by revision, and what each node reports (which belongs to no revision)."""

    def load(self, revision: int | None = None) -> Sequence[StoredObject]:
        """All objects as of `revision` (None: the newest). Raises `ArgosyError` ARG0303 if it is not kept."""
        ...

    def history(self, limit: int = 100) -> Sequence[Revision]:
        """The newest revisions first."""
        ...

    def commit(
        self, revision: Revision, changed: Sequence[StoredObject], removed: Sequence[tuple[str, ObjectKey]]
    ) -> None:
        """Keep one revision, all of it or nothing, durably before it returns."""
        ...

    def load_reports(self) -> Sequence[tuple[str, StoredObject]]:
        """(node, object) of all that was last reported."""
        ...

    def save_reports(self, node: str, kind: str, objects: Sequence[StoredObject]) -> None:
        """Replace all objects of a kind that one node reports."""
        ...
