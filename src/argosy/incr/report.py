"""What the engine tells its caller: commits, failures, explanations, cycles.

Given: nothing; these are plain frozen records. Gives: `Change` on the way in, `Commit`, `Failure`, `Read`,
`Explanation` and `CycleError` on the way out. Must not hold cells, nodes or anything else of the engine's inside, so
that a caller can keep them for as long as it likes without keeping the graph alive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from argosy.incr.stores import Derived, Input

ReadKind = Literal["get", "select", "keys", "all_keys"]
Outcome = Literal["changed", "equal", "failed"]
KeyName = tuple[str, Any]
"""A key as the outside names it: (collection name, key)."""


CYCLE_KEYS_SHOWN_MAX = 10
"""Keys that the text of a CycleError names; every member of a cycle has its own error, so the text must stay short."""


class CycleError(Exception):
    """Some derived keys need each other's value, so that none of them has one.

    `keys` names all of them in reading order; the last one reads the first one.
    """

    def __init__(self, keys: tuple[KeyName, ...]) -> None:
        """Keep the keys of the cycle, in reading order."""
        self.keys = keys
        shown = [f"{name}[{key!r}]" for name, key in keys[:CYCLE_KEYS_SHOWN_MAX]]
        if len(keys) > len(shown):
            shown.append(f"({len(keys) - len(shown)} more)")
        super().__init__(" -> ".join([*shown, shown[0]]))


@dataclass(frozen=True, slots=True)
class Change:
    """One edit of one input key; a value of None removes the key."""

    collection: Input[Any, Any]
    key: Hashable
    value: object | None


@dataclass(frozen=True, slots=True)
class Failure:
    """A function that raised: which collection and key, what it raised, in which commit.

    The exception keeps its traceback (files and lines); the local variables of its frames are let go.
    """

    name: str
    key: Any
    exception: Exception
    commit: int


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit did.

    number:   counts commits from 1.
    changed:  observed keys whose value differs: derived -> key -> (old, new); None stands for "no value".
    ran:      function executions per derived name.
    ran_keys: the same, one by one, in the order in which they ended.
    failures: keys that failed in this commit and are still in use.
    """

    number: int
    changed: Mapping[Derived[Any, Any], Mapping[Any, tuple[Any, Any]]]
    ran: Counter[str]
    ran_keys: list[KeyName]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """One recorded read: how, of which collection or index, at which key (None for `all_keys`)."""

    kind: ReadKind
    name: str
    key: Any

    def __str__(self) -> str:
        """Return the read as it would be written in a function: `services.get('web')`."""
        return f"{self.name}.{self.kind}({'' if self.kind == 'all_keys' else repr(self.key)})"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a derived key was last recomputed.

    commit:    the commit in whose state it ran last; 0 is the state before the first commit.
    cause:     the first of its former reads that had changed; None when it ran because it was asked for the first time.
    reads:     what it reads now, in order of the first read.
    outcome:   whether that run gave a changed value, an equal one, or failed.
    observers: how many observations hold it; 0 when only other keys do.
    failure:   set while the key is failing (a cycle may be found without running it).
    """

    name: str
    key: Any
    commit: int
    cause: Read | None
    reads: tuple[Read, ...]
    outcome: Outcome
    observers: int
    failure: Failure | None
