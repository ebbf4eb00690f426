"""A store that keeps revisions in memory: for checking files without a mesh, and for tests.

Implements `galley.store.Store`; pure. Same conduct as the SQLite store, but nothing survives the process.
"""

from __future__ import annotations

from collections.abc import Sequence

from argosy.core.errors import ArgosyError
from argosy.core.names import ObjectKey
from argosy.galley.store import Revision, StoredObject


class MemoryStore:
    """Every revision as a whole mapping; the mappings share their objects."""

    def __init__(self) -> None:
        self._revisions: list[Revision] = []
        self._objects: list[dict[tuple[str, ObjectKey], StoredObject]] = []
        self._reports: dict[tuple[str, str], tuple[StoredObject, ...]] = {}

    def load(self, revision: int | None = None) -> Sequence[StoredObject]:
        """All objects as of `revision` (None: the newest)."""
        if revision is None:
            return list(self._objects[-1].values()) if self._objects else []
        for kept, objects in zip(self._revisions, self._objects, strict=True):
            if kept.number == revision:
                return list(objects.values())
        raise ArgosyError.of("ARG0303", f"revision {revision} is not kept", hint="see the history")

    def history(self, limit: int = 100) -> Sequence[Revision]:
        """The newest revisions first."""
        return self._revisions[::-1][:limit]

    def commit(
        self, revision: Revision, changed: Sequence[StoredObject], removed: Sequence[tuple[str, ObjectKey]]
    ) -> None:
        """Keep one revision."""
        objects = dict(self._objects[-1]) if self._objects else {}
        for object_id in removed:
            del objects[object_id]
        objects |= {(o.kind, o.key): o for o in changed}
        self._revisions.append(revision)
        self._objects.append(objects)

    def load_reports(self) -> Sequence[tuple[str, StoredObject]]:
        """(node, object) of all that was last reported."""
        return [(node, one) for (node, _kind), objects in self._reports.items() for one in objects]

    def save_reports(self, node: str, kind: str, objects: Sequence[StoredObject]) -> None:
        """Replace all objects of a kind that one node reports."""
        self._reports[node, kind] = tuple(objects)
