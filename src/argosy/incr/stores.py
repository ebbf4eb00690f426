"""The collections: inputs, derived collections, and indexes over inputs.

Given: edits of input keys (from `engine`). Gives: values, sorted buckets and key sets (to `evaluate.Reader`), and for
each edit the cells that it touched. Users hold these objects as typed handles and use nothing of them but `name`;
everything else is the engine's own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from argosy.incr.cells import Cell, Node

if TYPE_CHECKING:
    from argosy.incr.evaluate import Reader

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
X = TypeVar("X", bound=Hashable)


class Input(Generic[K, V]):
    """A collection that only commits edit. Values are never None, and must not be mutated once they are in."""

    __slots__ = ("cells", "indexes", "key_set_cells", "name", "sorted_keys", "values")

    def __init__(self, name: str) -> None:
        """Make an empty input."""
        self.name = name
        self.values: dict[K, V] = {}
        self.cells: dict[K, Cell] = {}
        self.key_set_cells: dict[None, Cell] = {}
        self.indexes: list[Index[Any, K, V]] = []
        self.sorted_keys: tuple[K, ...] | None = None

    def __repr__(self) -> str:
        """Return kind and name: contents may be large."""
        return f"Input({self.name!r})"

    def put(self, key: K, value: V | None, touched: list[Cell]) -> None:
        """Set or (None) remove a key and append the touched cells; its indexes are not told."""
        is_new_key_set = (key in self.values) is (value is None)
        if value is None:
            self.values.pop(key, None)
        else:
            self.values[key] = value
        if is_new_key_set:
            self.sorted_keys = None
            touched.extend(self.key_set_cells.values())
        cell = self.cells.get(key)
        if cell is not None:
            touched.append(cell)

    def all_keys(self) -> tuple[K, ...]:
        """Return all keys, sorted; the tuple is shared until the key set changes."""
        if self.sorted_keys is None:
            self.sorted_keys = _sorted(self.values)
        return self.sorted_keys


class Derived(Generic[K, V]):
    """A collection whose values are computed by a pure function of a reader and a key."""

    __slots__ = ("fn", "name", "nodes", "runs")

    def __init__(self, name: str, fn: Callable[[Reader, K], V | None]) -> None:
        """Make a collection in which nothing was computed yet."""
        self.name = name
        self.fn = fn
        self.nodes: dict[K, Node] = {}
        self.runs = 0

    def __repr__(self) -> str:
        """Return kind and name: contents may be large."""
        return f"Derived({self.name!r})"


class Bucket(Generic[K, V]):
    """The entries that an index files under one value, with their sorted forms made once and shared."""

    __slots__ = ("entries", "sorted_keys", "sorted_pairs")

    def __init__(self) -> None:
        """Make an empty bucket."""
        self.entries: dict[K, V] = {}
        self.sorted_keys: tuple[K, ...] | None = None
        self.sorted_pairs: tuple[tuple[K, V], ...] | None = None

    def keys(self) -> tuple[K, ...]:
        """Return the keys, sorted."""
        if self.sorted_keys is None:
            self.sorted_keys = _sorted(self.entries)
        return self.sorted_keys

    def pairs(self) -> tuple[tuple[K, V], ...]:
        """Return (key, value) pairs sorted by key; values need no order."""
        if self.sorted_pairs is None:
            entries = self.entries
            self.sorted_pairs = tuple((key, entries[key]) for key in self.keys())
        return self.sorted_pairs


class Index(Generic[X, K, V]):
    """Files every entry of an input under any number of values, computed by `key_fn(key, value)`."""

    __slots__ = ("buckets", "filed_under", "input", "key_cells", "key_fn", "name", "pair_cells")

    def __init__(self, name: str, source: Input[K, V], key_fn: Callable[[K, V], Iterable[X]]) -> None:
        """Make an index with nothing filed; the engine files what the input already holds."""
        self.name = name
        self.input = source
        self.key_fn = key_fn
        self.buckets: dict[X, Bucket[K, V]] = {}
        self.filed_under: dict[K, dict[X, None]] = {}
        self.pair_cells: dict[X, Cell] = {}
        self.key_cells: dict[X, Cell] = {}

    def __repr__(self) -> str:
        """Return kind and name: contents may be large."""
        return f"Index({self.name!r})"

    def put(self, key: K, value: V | None, touched: list[Cell]) -> Exception | None:
        """File an entry anew, or (None) take it out, and append the touched cells.

        Errors: what `key_fn` raises is returned. The entry then stays where it was last filed, with its new value:
        a bucket is not emptied because one function failed.
        """
        before = self.filed_under.get(key, {})
        after: dict[X, None] = {}
        error: Exception | None = None
        if value is not None:
            try:
                after = dict.fromkeys(self.key_fn(key, value))
            except Exception as raised:
                error, after = raised, before
        for at in before:
            if value is None or at not in after:
                self._take(at, key, touched)
        if value is not None:
            for at in after:
                self._file(at, key, value, touched)
        if after:
            self.filed_under[key] = after
        else:
            self.filed_under.pop(key, None)
        return error

    def _take(self, at: X, key: K, touched: list[Cell]) -> None:
        bucket = self.buckets[at]
        del bucket.entries[key]
        bucket.sorted_keys = bucket.sorted_pairs = None
        if not bucket.entries:
            del self.buckets[at]
        self._touch(at, touched, is_new_key_set=True)

    def _file(self, at: X, key: K, value: V, touched: list[Cell]) -> None:
        bucket = self.buckets.get(at)
        if bucket is None:
            bucket = self.buckets[at] = Bucket()
        is_new_key = key not in bucket.entries
        if is_new_key:
            bucket.sorted_keys = None
        bucket.entries[key] = value
        bucket.sorted_pairs = None
        self._touch(at, touched, is_new_key_set=is_new_key)

    def _touch(self, at: X, touched: list[Cell], *, is_new_key_set: bool) -> None:
        cell = self.pair_cells.get(at)
        if cell is not None:
            touched.append(cell)
        if is_new_key_set:
            cell = self.key_cells.get(at)
            if cell is not None:
                touched.append(cell)


def _sorted(keys: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(keys))
