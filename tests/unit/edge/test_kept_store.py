"""The file of what proxies ran: it gives back what was put in, stores nothing twice, and stays bounded."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.core.names import ObjectKey
from argosy.edge.kept_store import KEPT_FILE, KeptStore, Ran, has_kept, read_kept
from argosy.xds.keeping import Layer
from argosy.xds.messages import Resource, content_version

TYPE = "type.example/a"
CART, SHELF = ObjectKey("shop", "cart-1"), ObjectKey("shop", "shelf-1")
BOTH = frozenset({CART, SHELF})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / KEPT_FILE


@pytest.fixture
def store(path: Path) -> Iterator[KeptStore]:
    made = KeptStore(path)
    yield made
    made.close()


def layer(**bodies: bytes) -> Layer:
    return Layer(TYPE, {name: Resource(TYPE, name, content_version(body), body) for name, body in bodies.items()})


def bodies(path: Path, pod: ObjectKey) -> dict[str, bytes | None]:
    kept = read_kept(path, pod)
    assert kept is not None
    return {name: one.body for name, one in kept.snapshot.of(TYPE).items()}


def stored(path: Path) -> list[tuple[str, bytes]]:
    db = sqlite3.connect(path)
    found = db.execute("SELECT name, body FROM resources ORDER BY name, body").fetchall()
    db.close()
    return found


def test_a_proxy_gets_back_what_it_ran(store: KeptStore, path: Path) -> None:
    store.save({CART: Ran((layer(own=b"1"), layer(own=b"2", all=b"3")), 7.5)}, BOTH)
    assert bodies(path, CART) == {"own": b"1", "all": b"3"}
    kept = read_kept(path, CART)
    assert kept is not None
    assert kept.at == 7.5
    assert has_kept(path, CART)


def test_of_a_proxy_that_never_ran_anything_nothing_is_kept(store: KeptStore, path: Path) -> None:
    store.save({CART: Ran((layer(a=b"1"),), 1.0)}, BOTH)
    assert not has_kept(path, SHELF)
    assert read_kept(path, SHELF) is None


def test_what_two_proxies_ran_is_stored_once(store: KeptStore, path: Path) -> None:
    shared = layer(a=b"1", b=b"2")
    store.save({CART: Ran((shared,), 1.0), SHELF: Ran((layer(a=b"other"), shared), 1.0)}, BOTH)
    assert stored(path) == [("a", b"1"), ("a", b"other"), ("b", b"2")]
    assert bodies(path, SHELF) == {"a": b"other", "b": b"2"}


def test_a_change_writes_what_changed_and_what_nobody_has_any_more_is_deleted(store: KeptStore, path: Path) -> None:
    store.save({one: Ran((layer(a=b"1", b=b"2"),), 1.0) for one in BOTH}, BOTH)
    store.save({CART: Ran((layer(a=b"1", b=b"3"),), 2.0)}, BOTH)
    assert (bodies(path, CART)["b"], bodies(path, SHELF)["b"]) == (b"3", b"2")
    store.save({SHELF: Ran((layer(a=b"1", b=b"3"),), 3.0)}, BOTH)
    assert stored(path) == [("a", b"1"), ("b", b"3")]


def test_a_pod_that_is_gone_is_forgotten(store: KeptStore, path: Path) -> None:
    store.save({one: Ran((layer(a=str(one).encode()),), 1.0) for one in BOTH}, BOTH)
    store.save({CART: Ran((layer(a=b"new"),), 2.0), SHELF: Ran((layer(a=b"late"),), 2.0)}, frozenset({CART}))
    assert not has_kept(path, SHELF)
    assert stored(path) == [("a", b"new")]


def test_the_next_writer_goes_on_with_the_file(store: KeptStore, path: Path) -> None:
    store.save({one: Ran((layer(a=b"1", b=b"2"),), 1.0) for one in BOTH}, BOTH)
    store.close()
    following = KeptStore(path)
    following.save({CART: Ran((layer(a=b"1"),), 2.0)}, BOTH)
    assert (bodies(path, CART), bodies(path, SHELF)) == ({"a": b"1"}, {"a": b"1", "b": b"2"})
    following.save({SHELF: Ran((layer(a=b"1"),), 3.0)}, BOTH)
    assert stored(path) == [("a", b"1")]
    following.close()


def test_a_write_that_fails_changes_nothing_and_can_be_made_again(store: KeptStore, path: Path) -> None:
    store.save({CART: Ran((layer(a=b"1"),), 1.0)}, BOTH)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TRIGGER full BEFORE INSERT ON layers BEGIN SELECT RAISE(FAIL, 'full'); END")
    with pytest.raises(sqlite3.Error, match="full"):
        store.save({CART: Ran((layer(a=b"2"),), 2.0)}, BOTH)
    assert bodies(path, CART) == {"a": b"1"}
    other.execute("DROP TRIGGER full")
    store.save({CART: Ran((layer(a=b"2"),), 2.0)}, BOTH)
    assert stored(path) == [("a", b"2")]
    other.close()


@pytest.mark.parametrize("content", [b"this is no database" * 100, b""])
def test_a_file_that_cannot_be_used_is_made_anew(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert not has_kept(path, CART)
    made = KeptStore(path)
    made.save({CART: Ran((layer(a=b"1"),), 1.0)}, BOTH)
    assert bodies(path, CART) == {"a": b"1"}
    made.close()


def test_only_its_owner_may_read_the_file(store: KeptStore, path: Path) -> None:
    """It holds the keys of gateways."""
    store.save({CART: Ran((layer(a=b"1"),), 1.0)}, BOTH)
    modes = {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    assert modes == {0o600}


def test_a_reader_makes_no_file(path: Path) -> None:
    assert not has_kept(path, CART)
    assert not path.exists()
