"""One object per distinct subscription: clients that ask for the same names share the set.

Given:   sets of names, and the snapshot whose name strings they should borrow.
Gives:   the one shared frozenset equal to it.
Must not keep a set alive that no stream uses: it holds weak references only.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping

from argosy.xds.messages import Resource


class Interner:
    """Shared by all streams of a server."""

    def __init__(self) -> None:
        """Start empty."""
        self._sets: weakref.WeakKeyDictionary[frozenset[str], weakref.ref[frozenset[str]]] = weakref.WeakKeyDictionary()

    def share(self, names: frozenset[str], resources: Mapping[str, Resource]) -> frozenset[str]:
        """Give the shared set equal to `names`, made of the resources' own name strings where there are any."""
        known = self._sets.get(names)
        shared = known() if known is not None else None
        if shared is None:
            shared = frozenset(found.name if (found := resources.get(name)) else name for name in names)
            self._sets[shared] = weakref.ref(shared)
        return shared

    def __len__(self) -> int:
        """Count the distinct sets in use."""
        return len(self._sets)
