"""The revisioned store in one SQLite file.

Implements `galley.store.Store`. Every revision is one transaction, synced to disk before `commit` returns (WAL,
synchronous=FULL), so a kill at any moment leaves the last accepted revision. An object's row is valid from `rev_from`
to before `rev_to` (NULL: still). The newest `REVISIONS_MAX` revisions are kept. The file holds secrets: mode 0600.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from argosy.core.errors import ArgosyError
from argosy.core.names import ObjectKey
from argosy.galley.store import Revision, StoredObject

DATABASE_FILE = "config.db"
"""Its name in a mesh's state folder."""
SCHEMA_VERSION = 2
REVISIONS_MAX = 1000

_SCHEMA = """
CREATE TABLE revisions (number INTEGER PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, summary TEXT NOT NULL);
CREATE TABLE objects (
  kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  rev_from INTEGER NOT NULL, rev_to INTEGER, source TEXT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (kind, namespace, name, rev_from)
) WITHOUT ROWID;
CREATE INDEX objects_ended ON objects (rev_to) WHERE rev_to IS NOT NULL;
"""
_REPORTS = """
CREATE TABLE reports (
  kind TEXT NOT NULL, node TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (kind, namespace, name)
) WITHOUT ROWID;
"""
_STEPS = (
    _SCHEMA + _REPORTS,
    _REPORTS + "INSERT INTO reports SELECT 'Pod', node, namespace, name, body FROM pods; DROP TABLE pods;",
)
"""What makes a file of version 0 (empty), 1, ... one of the newest version."""


class SQLiteStore:
    """One file, one writer. Not for use from several threads at once."""

    def __init__(self, path: Path, *, revisions_max: int = REVISIONS_MAX) -> None:
        """Open or make the file. Errors: `ArgosyError` ARG0306 if it is not ours or from a newer Argosy."""
        self._revisions_max = revisions_max
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA busy_timeout = 5000")
            self._migrate(path)
        except sqlite3.DatabaseError as error:
            self._db.close()
            hint = "move the file away to start empty"
            raise ArgosyError.of("ARG0306", f"{path} cannot be used: {error}", hint=hint) from None
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _migrate(self, path: Path) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            hint = "use the Argosy that wrote it, or a newer one"
            raise ArgosyError.of("ARG0306", f"{path} was written by a newer Argosy (schema {version})", hint=hint)
        if version < SCHEMA_VERSION:
            # executescript ends an open transaction, so the transaction stands in the script itself.
            script = _STEPS[version]
            self._db.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")

    def load(self, revision: int | None = None) -> Sequence[StoredObject]:
        """All objects as of `revision` (None: the newest). Errors: `ArgosyError` ARG0303 if it is not kept."""
        columns = "SELECT kind, namespace, name, body, source FROM objects"
        if revision is None:
            rows = self._db.execute(f"{columns} WHERE rev_to IS NULL").fetchall()
        else:
            if not self._db.execute("SELECT 1 FROM revisions WHERE number = ?", (revision,)).fetchone():
                hint = "`argosy history` lists the revisions that are kept"
                raise ArgosyError.of("ARG0303", f"revision {revision} is not kept", hint=hint)
            where = "WHERE rev_from <= ?1 AND (rev_to IS NULL OR rev_to > ?1)"
            rows = self._db.execute(f"{columns} {where}", (revision,)).fetchall()
        return [StoredObject(kind, ObjectKey(ns, name), body, source) for kind, ns, name, body, source in rows]

    def history(self, limit: int = 100) -> Sequence[Revision]:
        """The newest revisions first."""
        query = "SELECT number, at, who, summary FROM revisions ORDER BY number DESC LIMIT ?"
        return [Revision(*row) for row in self._db.execute(query, (limit,))]

    def commit(
        self, revision: Revision, changed: Sequence[StoredObject], removed: Sequence[tuple[str, ObjectKey]]
    ) -> None:
        """Keep one revision, durably, all or nothing."""
        ended = [(o.kind, o.key) for o in changed] + list(removed)
        with _Transaction(self._db):
            self._db.execute(
                "INSERT INTO revisions VALUES (?, ?, ?, ?)",
                (revision.number, revision.when, revision.who, revision.summary),
            )
            self._db.executemany(
                "UPDATE objects SET rev_to = ? WHERE kind = ? AND namespace = ? AND name = ? AND rev_to IS NULL",
                [(revision.number, kind, key.namespace, key.name) for kind, key in ended],
            )
            self._db.executemany(
                "INSERT INTO objects VALUES (?, ?, ?, ?, NULL, ?, ?)",
                [(o.kind, o.key.namespace, o.key.name, revision.number, o.source, o.body) for o in changed],
            )
            self._compact(revision.number - self._revisions_max)

    def _compact(self, last_dropped: int) -> None:
        """Forget revisions up to `last_dropped`, and rows that no kept revision shows."""
        if last_dropped > 0:
            self._db.execute("DELETE FROM revisions WHERE number <= ?", (last_dropped,))
            self._db.execute("DELETE FROM objects WHERE rev_to <= ?", (last_dropped + 1,))

    def load_reports(self) -> Sequence[tuple[str, StoredObject]]:
        """(node, object) of all that was last reported."""
        rows = self._db.execute("SELECT kind, node, namespace, name, body FROM reports").fetchall()
        return [(node, StoredObject(kind, ObjectKey(ns, name), body)) for kind, node, ns, name, body in rows]

    def save_reports(self, node: str, kind: str, objects: Sequence[StoredObject]) -> None:
        """Replace all objects of a kind that one node reports."""
        with _Transaction(self._db):
            self._db.execute("DELETE FROM reports WHERE node = ? AND kind = ?", (node, kind))
            self._db.executemany(
                "INSERT OR REPLACE INTO reports VALUES (?, ?, ?, ?, ?)",
                [(kind, node, one.key.namespace, one.key.name, one.body) for one in objects],
            )


class _Transaction:
    """BEGIN IMMEDIATE ... COMMIT; rolled back when the block raises. What SQLite cannot do is ARG0306."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise _not_kept(error) from error

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            try:
                self._db.execute("COMMIT")
            except sqlite3.OperationalError as failed:
                error = failed
        # On a full disk SQLite has rolled back by itself.
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        if isinstance(error, sqlite3.OperationalError):
            raise _not_kept(error) from error


def _not_kept(error: sqlite3.OperationalError) -> ArgosyError:
    hint = "see that there is room where the state lies, and that it can be written"
    return ArgosyError.of("ARG0306", f"nothing was kept: {error}", hint=hint)
