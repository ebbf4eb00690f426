"""What of a bag was looked at: attributes as one evaluation sees them, and the key under which its answer may be kept.

Given a bag, `RecordedAttributes` is that bag for every reader (a mapping), and notes each attribute and each map key
that was read, present or not. The answer then holds for every bag whose `signature` for these references is equal: it
has the same values where there were values, and nothing where there was nothing. Source: Mixer 1.4's
`referenced_attributes`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple

from argosy.mixer.attributes import Attributes, Value


class Reference(NamedTuple):
    """One thing that was looked at: an attribute, or with `key` one entry of a map. The map itself is there."""

    name: str
    key: str | None
    present: bool


References = frozenset[Reference]


class RecordedAttributes(Mapping[str, Value]):
    """A bag that notes what is read. Looking at all of it (iteration) notes the presence of all of it."""

    __slots__ = ("_attributes", "_references")

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._references: set[Reference] = set()

    @property
    def references(self) -> References:
        """What has been read until now."""
        return frozenset(self._references)

    def __getitem__(self, name: str) -> Value:
        value = self._attributes.get(name)
        if value is None:
            self._references.add(Reference(name, None, False))
            raise KeyError(name)
        if isinstance(value, Mapping):
            return _RecordedMap(name, value, self._references)
        self._references.add(Reference(name, None, True))
        return value

    def __iter__(self) -> Iterator[str]:
        self._references.update(Reference(name, None, True) for name in self._attributes)
        return iter(self._attributes)

    def __len__(self) -> int:
        return len(self._attributes)


class _RecordedMap(Mapping[str, str]):
    """One map of a bag. Single keys are noted by name; whoever looks at all of them depends on the map as a whole."""

    __slots__ = ("_entries", "_name", "_references")

    def __init__(self, name: str, entries: Mapping[str, str], references: set[Reference]) -> None:
        self._name = name
        self._entries = entries
        self._references = references

    def __getitem__(self, key: str) -> str:
        value = self._entries.get(key)
        self._references.add(Reference(self._name, key, value is not None))
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        self._whole()
        return iter(self._entries)

    def __len__(self) -> int:
        self._whole()
        return len(self._entries)

    def __eq__(self, other: object) -> bool:
        self._whole()
        return isinstance(other, Mapping) and dict(self._entries) == dict(other)

    __hash__ = None  # type: ignore[assignment]  # equal by content, as other mappings

    def _whole(self) -> None:
        self._references.add(Reference(self._name, None, True))


def signature(references: Iterable[Reference], attributes: Attributes) -> Hashable | None:
    """What `attributes` hold where `references` looked; None if they differ in what is there.

    Equal references and equal signatures mean equal answers. The order of `references` is that of the signature, so
    whoever keeps answers keeps the references in one order.
    """
    values: list[Hashable] = []
    for reference in references:
        found: object = attributes.get(reference.name)
        if reference.key is not None:
            if not isinstance(found, Mapping):
                return None
            found = found.get(reference.key)
        if (found is not None) is not reference.present:
            return None
        values.append(tuple(sorted(found.items())) if isinstance(found, Mapping) else _hashable(found))
    return tuple(values)


def _hashable(value: object) -> Hashable:
    """Equal only to a value of the same type: 1, 1.0 and true are three values of the language."""
    return (type(value).__name__, value)
