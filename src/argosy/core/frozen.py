"""`FrozenMap`: the one immutable, hashable mapping of the project (labels, annotations, headers in typed objects)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class FrozenMap(Mapping[K, V]):
    """A mapping that never changes; equal to any mapping with the same items; iterates in sorted key order."""

    __slots__ = ("_hash", "_items")

    def __init__(self, items: Mapping[K, V] | None = None) -> None:
        source = items or {}
        self._items: dict[K, V] = {key: source[key] for key in sorted(source)}  # type: ignore[type-var]  # keys are str in practice
        self._hash: int | None = None

    def __getitem__(self, key: K) -> V:
        return self._items[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(tuple(self._items.items()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, FrozenMap):
            return self._items == other._items
        return isinstance(other, Mapping) and self._items == dict(other)

    def __lt__(self, other: FrozenMap[K, V]) -> bool:
        return tuple(self._items.items()) < tuple(other._items.items())

    def __repr__(self) -> str:
        return f"FrozenMap({self._items!r})"


EMPTY: FrozenMap[str, str] = FrozenMap()
