"""Stores keep revisions: one suite for memory and SQLite; and what only a file can show."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.core.errors import ArgosyError
from argosy.core.names import ObjectKey
from argosy.edge.store_sqlite import SQLiteStore
from argosy.galley.memory import MemoryStore
from argosy.galley.store import Revision, Store, StoredObject


def _object(name: str, body: bytes = b"{}", kind: str = "Service") -> StoredObject:
    return StoredObject(kind, ObjectKey("default", name), body, "dir")


def _revision(number: int) -> Revision:
    return Revision(number, float(number), "t", f"change {number}")


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "home" / "config.db", revisions_max=3)
    yield store
    store.close()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, sqlite_store: SQLiteStore) -> Store:
    return sqlite_store if request.param == "sqlite" else MemoryStore()


def test_an_empty_store_has_nothing(store: Store) -> None:
    assert (list(store.load()), list(store.history()), list(store.load_reports())) == ([], [], [])


def test_each_revision_is_kept_as_it_was(store: Store) -> None:
    store.commit(_revision(1), [_object("a"), _object("b")], [])
    store.commit(_revision(2), [_object("a", b"{2}"), _object("c")], [("Service", ObjectKey("default", "b"))])
    store.commit(_revision(3), [_object("b", b"{3}")], [])
    assert sorted((o.key.name, o.body) for o in store.load(1)) == [("a", b"{}"), ("b", b"{}")]
    assert sorted((o.key.name, o.body) for o in store.load(2)) == [("a", b"{2}"), ("c", b"{}")]
    assert sorted(o.key.name for o in store.load()) == ["a", "b", "c"]
    assert {o.source for o in store.load()} == {"dir"}
    assert [r.number for r in store.history(2)] == [3, 2]
    assert store.history(1)[0] == _revision(3)


def test_an_unknown_revision_is_refused(store: Store) -> None:
    with pytest.raises(ArgosyError, match="ARG0303"):
        store.load(9)


def test_pods_are_replaced_per_node(store: Store) -> None:
    store.save_reports("one", "Pod", [_object("a", kind="Pod"), _object("b", kind="Pod")])
    store.save_reports("two", "Pod", [_object("c", kind="Pod")])
    store.save_reports("one", "Pod", [_object("b", b"{2}", kind="Pod")])
    assert sorted((n, p.key.name, p.body) for n, p in store.load_reports()) == [
        ("one", "b", b"{2}"),
        ("two", "c", b"{}"),
    ]


def test_reports_of_one_kind_leave_those_of_others(store: Store) -> None:
    store.save_reports("one", "Pod", [_object("a", kind="Pod")])
    store.save_reports("one", "WorkloadHealth", [_object("a", kind="WorkloadHealth")])
    store.save_reports("one", "Pod", [])
    assert [(p.kind, p.key.name) for _node, p in store.load_reports()] == [("WorkloadHealth", "a")]


def test_a_file_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "config.db"
    SQLiteStore(path).close()
    old = sqlite3.connect(path)
    old.executescript(
        """
        DROP TABLE reports; PRAGMA user_version = 1;
        CREATE TABLE pods (node TEXT, namespace TEXT, name TEXT, body BLOB, PRIMARY KEY (namespace, name));
        INSERT INTO pods VALUES ('one', 'default', 'a', '{}');
        """
    )
    old.close()
    store = SQLiteStore(path)
    assert [(node, p.kind, p.key.name) for node, p in store.load_reports()] == [("one", "Pod", "a")]
    store.close()


def test_the_file_survives_and_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "config.db"
    store = SQLiteStore(path)
    store.commit(_revision(1), [_object("a")], [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store.close()
    again = SQLiteStore(path)
    assert [o.key.name for o in again.load()] == ["a"]
    again.close()


def test_old_revisions_are_forgotten_and_the_newest_stay_whole(sqlite_store: SQLiteStore) -> None:
    for number in range(1, 7):
        sqlite_store.commit(_revision(number), [_object("a", str(number).encode()), _object(f"b{number}")], [])
    assert [r.number for r in sqlite_store.history()] == [6, 5, 4]
    assert [o.body for o in sqlite_store.load(4) if o.key.name == "a"] == [b"4"]
    assert len(sqlite_store.load(4)) == 5
    with pytest.raises(ArgosyError, match="ARG0303"):
        sqlite_store.load(3)


def test_a_failed_commit_keeps_nothing_of_it(sqlite_store: SQLiteStore) -> None:
    sqlite_store.commit(_revision(1), [_object("a")], [])
    with pytest.raises(sqlite3.IntegrityError):
        sqlite_store.commit(_revision(2), [_object("b"), _object("b")], [])
    assert [o.key.name for o in sqlite_store.load()] == ["a"]
    assert [r.number for r in sqlite_store.history()] == [1]
    sqlite_store.commit(_revision(2), [_object("b")], [])
    assert len(sqlite_store.load()) == 2


def test_a_file_that_is_not_ours_or_newer_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "config.db"
    path.write_text("this is no database, but a long text that somebody wrote" * 20)
    with pytest.raises(ArgosyError, match="ARG0306"):
        SQLiteStore(path)
    assert path.read_text().startswith("this is no database")
    newer = tmp_path / "newer.db"
    db = sqlite3.connect(newer)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ArgosyError, match="newer Argosy"):
        SQLiteStore(newer)


WRITER = """
import sys
from pathlib import Path
from argosy.core.names import ObjectKey
from argosy.edge.store_sqlite import SQLiteStore
from argosy.galley.store import Revision, StoredObject
store = SQLiteStore(Path(sys.argv[1]))
for number in range(1, 100_000):
    body = str(number).encode()
    objects = [StoredObject("Service", ObjectKey("default", name), body) for name in ("a", "b", "c")]
    store.commit(Revision(number, 0.0, "t", ""), objects, [])
    print(number, flush=True)
"""


def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "config.db"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = 0
        while told < 20:
            told = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
        told = max([told, *(int(line) for line in writer.stdout.read().split())])
    store = SQLiteStore(path)
    newest = store.history(1)[0].number
    assert newest >= told
    assert {(o.key.name, o.body) for o in store.load()} == {(n, str(newest).encode()) for n in "abc"}
    store.close()


def test_a_full_disk_keeps_nothing_and_is_told(sqlite_store: SQLiteStore) -> None:
    """It was an unnamed fault of the control plane; and a rollback after SQLite's own one hid the reason."""
    sqlite_store.commit(_revision(1), [_object("a")], [])
    (pages,) = sqlite_store._db.execute("PRAGMA page_count").fetchone()
    sqlite_store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ArgosyError, match=r"ARG0306.*nothing was kept: database or disk is full"):
        sqlite_store.commit(_revision(2), [_object("b", b"x" * 100_000)], [])
    sqlite_store._db.execute("PRAGMA max_page_count = 1000000")
    sqlite_store.commit(_revision(2), [_object("b", b"x" * 100_000)], [])
    assert [one.key.name for one in sqlite_store.load()] == ["a", "b"]
