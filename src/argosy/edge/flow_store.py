"""Flows by the minute in one SQLite file: Mixer writes them, the graph of the past reads them.

Bounded by minutes, by bytes and by age. What is the oldest is told by the order of writing, not by the clock: a clock
that was wrong for a while must not cost what was written before. Minutes beyond the age go some at a time for the same
reason. A file that is damaged is put aside under another name; one of a newer Argosy is left alone. Mode 0600.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from argosy.core.errors import ArgosyError
from argosy.flow.minutes import MINUTE_S, Minute, MinuteError, decode_flows, encode_flows

FLOWS_FILE = "flows.db"
"""Its name in a mesh's state folder."""
UNUSABLE = "ARG0941"
SCHEMA_VERSION = 1
AGED_PER_SAVE = 10
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE minutes (
  written INTEGER PRIMARY KEY AUTOINCREMENT, start INTEGER NOT NULL UNIQUE, seconds REAL NOT NULL, revision INTEGER,
  body BLOB NOT NULL
);
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept: whichever is reached first."""

    days: float
    bytes: int

    @property
    def minutes(self) -> int:
        """As many as the days have."""
        return max(int(self.days * 86_400 // MINUTE_S), 1)


class FlowStore:
    """One file. May be called from several threads; they take turns."""

    def __init__(self, path: Path, bounds: Bounds) -> None:
        """Open or make the file. Errors: `ArgosyError` ARG0941 if it can be neither used nor put aside."""
        self.put_aside: Path | None = None
        """Where a damaged file went when it was opened."""
        self._bounds = bounds
        self._lock = threading.Lock()
        try:
            self._db = self._open(path)
        except (OSError, sqlite3.Error) as error:
            hint = f"see that {path} can be written, and that there is room; flows are kept in memory only until then"
            raise ArgosyError.of(UNUSABLE, f"the history of flows cannot be used: {error}", hint=hint) from None

    def _open(self, path: Path) -> sqlite3.Connection:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connect(path)
        except sqlite3.DatabaseError as error:
            # Busy, full or read-only is no damage.
            if isinstance(error, sqlite3.OperationalError):
                raise
            self.put_aside = _put_aside(path)
            return _connect(path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def save(self, minutes: Iterable[Minute], now: float) -> None:
        """Keep closed minutes, all or none; one that is there already is added to. Errors: sqlite3.Error."""
        with self._lock, self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for minute in minutes:
                self._save(minute)
            self._drop(now)

    def _save(self, minute: Minute) -> None:
        row = self._db.execute(
            "SELECT start, seconds, revision, body FROM minutes WHERE start = ?", (minute.start,)
        ).fetchone()
        if row is None:
            self._db.execute(
                "INSERT INTO minutes (start, seconds, revision, body) VALUES (?, ?, ?, ?)",
                (minute.start, minute.seconds, minute.revision, encode_flows(minute.flows)),
            )
            return
        whole = _minute(row) or Minute(minute.start)
        whole.merge(minute)
        self._db.execute(
            "UPDATE minutes SET seconds = ?, revision = ?, body = ? WHERE start = ?",
            (whole.seconds, whole.revision, encode_flows(whole.flows), whole.start),
        )

    def _drop(self, now: float) -> None:
        (count,) = self._db.execute("SELECT count(*) FROM minutes").fetchone()
        self._drop_first(count - self._bounds.minutes)
        aged = "SELECT written FROM minutes WHERE start < ? ORDER BY written LIMIT ?"
        before = now - self._bounds.days * 86_400
        self._db.execute(f"DELETE FROM minutes WHERE written IN ({aged})", (before, AGED_PER_SAVE))
        (total,) = self._db.execute("SELECT coalesce(sum(length(body)), 0) FROM minutes").fetchone()
        while total > self._bounds.bytes:
            row = self._db.execute("SELECT length(body) FROM minutes ORDER BY written LIMIT 1").fetchone()
            total -= row[0]
            self._drop_first(1)

    def _drop_first(self, count: int) -> None:
        if count > 0:
            first = "SELECT written FROM minutes ORDER BY written LIMIT ?"
            self._db.execute(f"DELETE FROM minutes WHERE written IN ({first})", (count,))

    def load(self, first: int, last: int) -> list[Minute]:
        """The minutes that start from `first` to `last`; one that is damaged is left out. Errors: sqlite3.Error."""
        query = "SELECT start, seconds, revision, body FROM minutes WHERE start BETWEEN ? AND ? ORDER BY start"
        with self._lock:
            rows = self._db.execute(query, (first, last)).fetchall()
        return [minute for row in rows if (minute := _minute(row)) is not None]

    def span(self) -> tuple[int, int] | None:
        """The starts of the first and the last minute, None for an empty file. Errors: sqlite3.Error."""
        with self._lock:
            first, last = self._db.execute("SELECT min(start), max(start) FROM minutes").fetchone()
        return None if first is None else (first, last)

    def nearest(self, start: int) -> tuple[int | None, int | None]:
        """The last minute before `start` and the first one after it, where there are such. Errors: sqlite3.Error."""
        with self._lock:
            (before,) = self._db.execute("SELECT max(start) FROM minutes WHERE start < ?", (start,)).fetchone()
            (after,) = self._db.execute("SELECT min(start) FROM minutes WHERE start > ?", (start,)).fetchone()
        return before, after

    def dump(self) -> dict[str, int]:
        """How much is kept. Errors: sqlite3.Error."""
        query = "SELECT count(*), coalesce(sum(length(body)), 0) FROM minutes"
        with self._lock:
            count, total = self._db.execute(query).fetchone()
        return {"minutes": count, "bytes": total}


def _minute(row: tuple[int, float, int | None, bytes]) -> Minute | None:
    start, seconds, revision, body = row
    try:
        return Minute(start, seconds, revision, decode_flows(body))
    except MinuteError:
        return None


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA busy_timeout = 2000")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise sqlite3.OperationalError(f"{path} was written by a newer Argosy (schema {version})")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        if not version:
            db.executescript(_SCHEMA)
        (state,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)
    except BaseException:
        db.close()
        raise
    return db


def _put_aside(path: Path) -> Path:
    """Rename a damaged file, with what belongs to it, over what was put aside before."""
    aside = path.with_name(path.name + ".damaged")
    for end in ("", "-wal", "-shm"):
        source = path.with_name(path.name + end)
        if source.exists():
            os.replace(source, aside.with_name(aside.name + end))
    return aside


__all__ = ["FLOWS_FILE", "UNUSABLE", "Bounds", "FlowStore"]
