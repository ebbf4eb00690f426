"""The vertices of the read graph: whatever can be read, and who read it.

Given: nothing. Gives: `Cell` (a key of an input, a bucket of an index, a set of keys) and `Node` (a key of a derived
collection, itself readable). They are bare records: the rules live in `evaluate`, `sweep` and `engine`.

Edges are kept in dicts, not sets: their order is the order of registration, which makes every run of the engine
repeatable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from argosy.incr.report import Failure, Outcome, Read, ReadKind

if TYPE_CHECKING:
    from argosy.incr.evaluate import Frame
    from argosy.incr.stores import Derived


class Cell:
    """Something that was read: who depends on it, and the commit in which it last changed.

    `home[key]` is where it is registered for as long as it is in use. `dirty` is only ever true of nodes.
    """

    __slots__ = ("changed_at", "dependents", "dirty", "home", "key", "kind", "name")

    def __init__(self, home: dict[Any, Any], name: str, kind: ReadKind, key: Any) -> None:
        """Make an unread cell and register it at `home[key]`."""
        self.home = home
        self.name = name
        self.kind: ReadKind = kind
        self.key = key
        self.dependents: dict[Node, None] = {}
        self.changed_at = 0  # a reader runs after the cell was made, so that any older commit will do
        self.dirty = False
        home[key] = self

    def read(self) -> Read:
        """Return the read of this cell, for reports."""
        return Read(self.kind, self.name, self.key)


class Node(Cell):
    """One key of a derived collection.

    value:       the last good result, None if there never was one.
    reads:       what the last run read, in order.
    verified_at: the commit up to which the value is known to follow from its reads.
    dirty:       something it may depend on changed; the value must be verified before use.
    frame:       its place on the evaluation path, while it is being brought up to date.
    ran_at, cause, outcome: what `explain` tells about the last run; ran_at is -1 before the first.
    """

    __slots__ = (
        "cause",
        "derived",
        "failure",
        "frame",
        "observers",
        "outcome",
        "ran_at",
        "reads",
        "value",
        "verified_at",
    )

    def __init__(self, derived: Derived[Any, Any], key: Any) -> None:
        """Make a node that was never computed, and register it with its collection."""
        super().__init__(derived.nodes, derived.name, "get", key)
        self.derived = derived
        self.value: Any = None
        self.reads: tuple[Cell, ...] = ()
        self.failure: Failure | None = None
        self.observers = 0
        self.verified_at = -1
        self.frame: Frame | None = None
        self.ran_at = -1
        self.cause: Read | None = None
        self.outcome: Outcome = "equal"
        self.dirty = True
