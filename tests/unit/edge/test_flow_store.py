"""Flows by the minute on disk."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.core.errors import ArgosyError
from argosy.edge.flow_store import AGED_PER_SAVE, Bounds, FlowStore
from argosy.flow.minutes import Minute
from argosy.flow.record import FlowCounters, FlowKey, Outcome
from argosy.flow.workload import WorkloadRef

OK = Outcome("200", "-", "")
BOUNDS = Bounds(days=7, bytes=1 << 20)


def minute(start: int, requests: float = 1, flows: int = 1, revision: int | None = 1) -> Minute:
    keys = [FlowKey("source", WorkloadRef("ns", f"caller-{n}")) for n in range(flows)]
    return Minute(start, 60.0, revision, {key: FlowCounters({OK: requests}) for key in keys})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flows.db"


@pytest.fixture
def store(path: Path) -> Iterator[FlowStore]:
    made = FlowStore(path, BOUNDS)
    yield made
    made.close()


def starts(store: FlowStore) -> list[int]:
    return [one.start for one in store.load(0, 1 << 40)]


def test_what_was_saved_is_there_after_a_restart(path: Path, store: FlowStore) -> None:
    store.save([minute(60), minute(120, 5, revision=None)], 180.0)
    store.close()
    again = FlowStore(path, BOUNDS)
    assert again.load(0, 200) == [minute(60), minute(120, 5, revision=None)]
    assert again.load(120, 120) == [minute(120, 5, revision=None)]
    assert (again.span(), again.nearest(90), again.nearest(60)) == ((60, 120), (60, 120), (None, 120))
    assert path.stat().st_mode & 0o777 == 0o600
    again.close()


def test_a_minute_that_is_there_is_added_to(store: FlowStore) -> None:
    store.save([minute(60, 2, revision=3)], 120.0)
    store.save([minute(60, 5, revision=4)], 120.0)
    (found,) = store.load(60, 60)
    assert (found.seconds, found.revision) == (120.0, 4)
    assert [one.request_count for one in found.flows.values()] == [7]


def test_an_empty_file_has_no_span(store: FlowStore) -> None:
    assert store.span() is None
    assert store.nearest(60) == (None, None)


def test_no_more_minutes_than_the_days_have(path: Path) -> None:
    store = FlowStore(path, Bounds(days=3 / 1440, bytes=1 << 20))
    for n in range(10):
        store.save([minute(n * 60)], n * 60.0)
    assert starts(store) == [420, 480, 540]
    store.close()


def test_no_more_bytes_than_allowed(path: Path) -> None:
    store = FlowStore(path, Bounds(days=7, bytes=3000))
    for n in range(50):
        store.save([minute(n * 60, flows=40)], n * 60.0)
        assert store.dump()["bytes"] <= 3000
    assert 0 < len(starts(store)) < 50
    assert starts(store)[-1] == 49 * 60, "the newest is the last to go"
    store.close()


def test_a_clock_that_was_wrong_for_a_while_costs_little(path: Path, store: FlowStore) -> None:
    """Ten years ahead for one minute, and back: what was written before is there, but for some of the oldest."""
    store.save([minute(n * 60) for n in range(100)], 6000.0)
    store.save([minute(315_360_000)], 315_360_060.0)
    store.save([minute(6000)], 6060.0)
    assert len(starts(store)) == 102 - AGED_PER_SAVE


def test_minutes_written_by_a_clock_ahead_go_in_the_order_of_writing(path: Path) -> None:
    store = FlowStore(path, Bounds(days=3 / 1440, bytes=1 << 20))
    store.save([minute(600_000)], 60.0)
    for n in range(3):
        store.save([minute(n * 60)], 60.0)
    assert starts(store) == [0, 60, 120]
    store.close()


def test_what_is_older_than_the_days_goes_some_at_a_time(store: FlowStore) -> None:
    store.save([minute(n * 60) for n in range(15)], 900.0)
    later = 8 * 86_400
    store.save([minute(later)], later + 60.0)
    store.save([minute(later + 60)], later + 120.0)
    assert starts(store) == [later, later + 60]


@pytest.mark.parametrize("damage", [b"this is no database, whatever its name says" * 100, b"\0" * 5000])
def test_a_damaged_file_is_put_aside(path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    store = FlowStore(path, BOUNDS)
    assert store.put_aside == path.with_name("flows.db.damaged")
    assert store.put_aside.read_bytes() == damage
    store.save([minute(60)], 120.0)
    assert starts(store) == [60]
    store.close()


def test_a_file_damaged_in_the_middle_is_put_aside(path: Path, store: FlowStore) -> None:
    store.save([minute(n * 60, flows=300) for n in range(200)], 0.0)
    store.close()
    data = bytearray(path.read_bytes())
    assert len(data) > 100_000
    data[4096 : len(data) // 2] = b"\xff" * (len(data) // 2 - 4096)
    path.write_bytes(data)
    again = FlowStore(path, BOUNDS)
    assert again.put_aside is not None
    assert starts(again) == []
    again.close()


def test_a_damaged_minute_is_left_out_and_written_anew(path: Path, store: FlowStore) -> None:
    store.save([minute(60), minute(120)], 180.0)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE minutes SET body = x'00ff' WHERE start = 60")
    db.close()
    assert starts(store) == [120]
    store.save([minute(60, 9)], 180.0)
    assert starts(store) == [60, 120]


def test_a_newer_file_is_left_alone(path: Path, store: FlowStore) -> None:
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(ArgosyError) as caught:
        FlowStore(path, BOUNDS)
    assert caught.value.findings[0].code == "ARG0941"
    assert "newer Argosy (schema 99)" in caught.value.findings[0].message
    assert [one.name for one in path.parent.iterdir() if "damaged" in one.name] == []


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArgosyError) as caught:
        FlowStore(tmp_path / "file" / "flows.db", BOUNDS)
    assert caught.value.findings[0].code == "ARG0941"


def test_a_write_that_fails_leaves_all_as_it_was(path: Path, store: FlowStore) -> None:
    store.save([minute(60)], 120.0)
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    store._db.execute("PRAGMA busy_timeout = 1")
    with pytest.raises(sqlite3.OperationalError):
        store.save([minute(120)], 180.0)
    lock.execute("ROLLBACK")
    lock.close()
    assert starts(store) == [60]
    store.save([minute(120)], 180.0)
    assert starts(store) == [60, 120]
