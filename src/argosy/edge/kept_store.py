"""The configuration that each proxy last ran, in one SQLite file: Pilot writes it, the agent reads it.

Each resource is stored once, whoever has it; a layer is a list of (name, version), a proxy a list of layers. What no
proxy has any more is deleted, so the file is bounded by what the mesh's proxies run. It is a copy that can be made
anew: one that cannot be read is replaced. The file holds the keys of gateways: mode 0600, in the mesh's own folder.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from argosy.core.names import ObjectKey
from argosy.xds.keeping import Layer, decode_index, decode_resource, digest, encode_index, encode_links, merge
from argosy.xds.messages import Snapshot

KEPT_FILE = "kept.db"
"""Its name in a mesh's state folder."""
_VERSION = 1
_SCHEMA = f"""
BEGIN;
CREATE TABLE proxies (
  namespace TEXT NOT NULL, name TEXT NOT NULL, layers TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (namespace, name)
) WITHOUT ROWID;
CREATE TABLE layers (digest TEXT PRIMARY KEY, listing BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE resources (
  type_url TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL, links BLOB NOT NULL, body BLOB,
  PRIMARY KEY (type_url, name, version)
);
PRAGMA user_version = {_VERSION};
COMMIT;
"""

_Stored = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a proxy ran: the layers of its snapshot, and when it had acknowledged all of it (seconds since 1970)."""

    layers: tuple[Layer, ...]
    at: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one proxy."""

    snapshot: Snapshot
    at: float


class KeptStore:
    """The writer. One for each file, one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. What cannot be used is made anew. Errors: OSError, sqlite3.Error."""
        self._db = _open(path)
        self._digests: dict[int, str] = {}
        self._ran: dict[ObjectKey, tuple[Layer, ...]] = {}
        self._listed: dict[str, list[_Stored]] = {}
        self._uses: Counter[_Stored] = Counter()
        for name, listing in self._db.execute("SELECT digest, listing FROM layers"):
            self._count(name, listing)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def save(self, ran: Mapping[ObjectKey, Ran], present: Collection[ObjectKey]) -> None:
        """Keep what these proxies ran, forget proxies that are not `present`. All or nothing. Errors: sqlite3.Error."""
        before = self._digests, self._ran, self._listed, self._uses
        self._listed, self._uses = dict(self._listed), self._uses.copy()
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._save(ran, present)
        except BaseException:
            self._digests, self._ran, self._listed, self._uses = before
            raise

    def _save(self, ran: Mapping[ObjectKey, Ran], present: Collection[ObjectKey]) -> None:
        known = {**self._ran, **{key: one.layers for key, one in ran.items()}}
        self._ran = {key: layers for key, layers in known.items() if key in present}
        distinct = {id(one.resources): one for layers in self._ran.values() for one in layers}
        # Maps never change, and those that are held here keep their ids.
        self._digests = {
            place: self._digests.get(place) or self._store(layer) for place, layer in distinct.items()
        }  # fmt: skip
        rows = [
            (key.namespace, key.name, " ".join(self._digests[id(layer.resources)] for layer in one.layers), one.at)
            for key, one in ran.items()
            if key in self._ran
        ]
        self._db.executemany("INSERT OR REPLACE INTO proxies VALUES (?, ?, ?, ?)", rows)
        listed = self._db.execute("SELECT namespace, name FROM proxies").fetchall()
        gone = [row for row in listed if ObjectKey(*row) not in present]
        self._db.executemany("DELETE FROM proxies WHERE namespace = ? AND name = ?", gone)
        self._sweep()

    def _store(self, layer: Layer) -> str:
        """Write a layer and those of its resources that are not there yet."""
        listing = encode_index(layer)
        name = digest((listing,))
        if name in self._listed:
            return name
        new = [one for one in layer.resources.values() if not self._uses[layer.type_url, one.name, one.version]]
        self._db.executemany(
            "INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?)",
            [(one.type_url, one.name, one.version, encode_links(one), one.body) for one in new],
        )
        self._db.execute("INSERT INTO layers VALUES (?, ?)", (name, listing))
        self._count(name, listing)
        return name

    def _count(self, name: str, listing: bytes) -> None:
        type_url, versions = decode_index(listing)
        stored = [(type_url, *one) for one in versions]
        self._listed[name] = stored
        self._uses.update(stored)

    def _sweep(self) -> None:
        """Delete the layers that no proxy has, and the resources that are in no layer."""
        used = {one for (text,) in self._db.execute("SELECT DISTINCT layers FROM proxies") for one in text.split()}
        unused = [name for name in self._listed if name not in used]
        freed = []
        for name in unused:
            stored = self._listed.pop(name)
            self._uses.subtract(stored)
            freed += [one for one in stored if self._uses[one] <= 0]
        for one in freed:
            self._uses.pop(one, None)
        self._db.executemany("DELETE FROM layers WHERE digest = ?", [(name,) for name in unused])
        self._db.executemany("DELETE FROM resources WHERE type_url = ? AND name = ? AND version = ?", freed)


def _open(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600, exist_ok=True)
    try:
        return _connect(path)
    except sqlite3.DatabaseError:
        forget_kept(path)
        path.touch(mode=0o600)
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA busy_timeout = 2000")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"schema {version}")
        if not version:
            db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


def forget_kept(path: Path) -> None:
    """Remove the file: its pods are gone."""
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def has_kept(path: Path, pod: ObjectKey) -> bool:
    """Whether anything is kept for a proxy; False too if the file cannot be read."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_reader(path)) as db:
        return _row(db, pod) is not None
    return False


def read_kept(path: Path, pod: ObjectKey) -> Kept | None:
    """What is kept for a proxy, None for nothing. Errors: sqlite3.Error, ValueError for a file that is damaged."""
    with contextlib.closing(_reader(path)) as db:
        db.execute("BEGIN")  # one view of the file, whatever is written meanwhile
        row = _row(db, pod)
        return Kept(merge([_read_layer(db, name) for name in row[0].split()]), row[1]) if row is not None else None


def _reader(path: Path) -> sqlite3.Connection:
    if not path.exists():
        raise sqlite3.OperationalError(f"{path} is not there")
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA busy_timeout = 2000")
    return db


def _row(db: sqlite3.Connection, pod: ObjectKey) -> tuple[str, float] | None:
    query = "SELECT layers, at FROM proxies WHERE namespace = ? AND name = ?"
    found: tuple[str, float] | None = db.execute(query, (pod.namespace, pod.name)).fetchone()
    return found


def _read_layer(db: sqlite3.Connection, name: str) -> Layer:
    found = db.execute("SELECT listing FROM layers WHERE digest = ?", (name,)).fetchone()
    if found is None:
        raise ValueError(f"layer {name} is missing")
    type_url, versions = decode_index(found[0])
    query = "SELECT links, body FROM resources WHERE type_url = ? AND name = ? AND version = ?"
    resources = {}
    for resource, version in versions:
        row = db.execute(query, (type_url, resource, version)).fetchone()
        if row is None:
            raise ValueError(f"{type_url} {resource} is missing")
        resources[resource] = decode_resource(type_url, resource, version, *row)
    return Layer(type_url, resources)


__all__ = ["KEPT_FILE", "Kept", "KeptStore", "Ran", "forget_kept", "has_kept", "read_kept"]
