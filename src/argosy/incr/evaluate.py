"""Bringing derived keys up to date: verify, run, record the reads, find cycles.

Given: nodes marked dirty and cells stamped with the commit of their last change (by `engine`). Gives: clean nodes,
and a record of what ran, changed and failed. Must not free anything (`sweep` does, at the end), nor touch inputs.

The algorithm is salsa's red-green one. A dirty node is *verified*: its former reads are settled one by one, in order;
if none of them changed since the node was last verified, the function does not run. At the first one that did, it
runs, and reads what it needs on demand. A read is settled only after all earlier ones turned out equal, that is, only
when a deterministic function would do this read again; so nothing runs whose result nobody asks for.

All nodes in progress are on one explicit path. Verification walks it in a loop; only running functions nest as Python
calls. When more than `NESTED_MAX` of them do, all are given up, the innermost node is settled from an empty stack,
and then those that wait for it begin again: chains may be of any depth, and no function ends more than once per
commit.

A cycle is a read of a node that is on the path. Every node from there to the end of the path fails with `CycleError`,
at this read: each then behaves the same wherever evaluation entered the cycle.
"""

from __future__ import annotations

import traceback
from typing import Any, overload

from argosy.incr.cells import Cell, Node
from argosy.incr.report import CycleError, Failure, KeyName, Outcome
from argosy.incr.stores import Derived, Index, Input, K, V, X

NESTED_MAX = 32
"""Functions that may wait for each other as Python calls; with 10 frames each, a third of Python's default limit."""


class _TooDeepError(BaseException):
    """Unwinds nested runs; not an Exception, so that functions that catch everything let it pass."""


class Frame:
    """A node on the path: how far verification came, or what its run has read so far."""

    __slots__ = ("cause", "cycle", "index", "must_run", "node", "reads", "verified")

    def __init__(self, node: Node, index: int) -> None:
        """Begin at the first read of the last run; a node that never ran has nothing to verify."""
        self.node = node
        self.index = index
        self.verified = 0
        self.must_run = node.ran_at < 0
        self.reads: dict[Cell, None] = {}
        self.cause: Cell | None = None
        self.cycle: tuple[KeyName, ...] | None = None


class Reader:
    """The only thing that a derived function may read with. It is good inside that one call and records every read."""

    __slots__ = ("_evaluator", "_frame")

    def __init__(self, evaluator: Evaluator, frame: Frame) -> None:
        """Serve the run of one frame."""
        self._evaluator = evaluator
        self._frame = frame

    @overload
    def get(self, collection: Input[K, V], key: K) -> V | None: ...
    @overload
    def get(self, collection: Derived[K, V], key: K) -> V | None: ...
    def get(self, collection: Input[K, V] | Derived[K, V], key: K) -> V | None:
        """Return the value of a key, None if it has none. A derived value is computed on demand.

        Errors: CycleError if the key needs the value that is being computed; let it pass.
        """
        if isinstance(collection, Derived):
            node = collection.nodes.get(key) or Node(collection, key)
            self._record(node)
            if node.dirty:
                self._evaluator.settle_read(self._frame, node)
            value: V | None = node.value
            return value
        self._record(collection.cells.get(key) or Cell(collection.cells, collection.name, "get", key))
        return collection.values.get(key)

    def select(self, index: Index[X, K, V], at: X) -> tuple[tuple[K, V], ...]:
        """Return the (key, value) pairs filed under `at`, sorted by key."""
        self._record(index.pair_cells.get(at) or Cell(index.pair_cells, index.name, "select", at))
        bucket = index.buckets.get(at)
        return bucket.pairs() if bucket is not None else ()

    def keys(self, index: Index[X, K, V], at: X) -> tuple[K, ...]:
        """Return the keys filed under `at`, sorted; a changed value under an old key is no change of this read."""
        self._record(index.key_cells.get(at) or Cell(index.key_cells, index.name, "keys", at))
        bucket = index.buckets.get(at)
        return bucket.keys() if bucket is not None else ()

    def all_keys(self, collection: Input[K, Any]) -> tuple[K, ...]:
        """Return all keys of an input, sorted; a changed value under an old key is no change of this read."""
        cells = collection.key_set_cells
        self._record(cells.get(None) or Cell(cells, collection.name, "all_keys", None))
        return collection.all_keys()

    def _record(self, cell: Cell) -> None:
        frame = self._frame
        # Not an assert statement: a late read would break the path, and with it other keys than the guilty one.
        if not self._evaluator.is_innermost(frame):
            raise AssertionError(f"a Reader was used outside its own call of {frame.node.name}[{frame.node.key!r}]")
        if frame.cycle is not None:
            raise CycleError(frame.cycle)
        frame.reads[cell] = None


class Evaluator:
    """Settles dirty nodes, and keeps the record of one commit (or one observation).

    now:      the number of the commit whose state is evaluated.
    findings: the failing keys; owned by the engine, entered and removed here as functions fail and succeed.
    loose:    cells that may have lost their last reader, for `sweep`.
    given_up: runs begun and given up because they nested too deep; for `dump`.
    """

    def __init__(self, findings: dict[KeyName, Failure]) -> None:
        """Start with an empty path."""
        self.now = 0
        self.findings = findings
        self.loose: list[Cell] = []
        self.given_up = 0
        self.ran_keys: list[KeyName] = []
        self.changed: dict[Derived[Any, Any], dict[Any, tuple[Any, Any]]] = {}
        self.failures: list[Failure] = []
        self._path: list[Frame] = []
        self._nested = 0
        self._unwinding = False

    def begin(self) -> None:
        """Start an empty record."""
        self.ran_keys = []
        self.changed = {}
        self.failures = []

    def note_failure(self, name: str, key: Any, error: Exception) -> Failure:
        """Leave a finding, and enter it into the record."""
        failure = Failure(name, key, error, self.now)
        self.findings[name, key] = failure
        self.failures.append(failure)
        return failure

    def abandon(self) -> None:
        """Forget what is in progress, after an interrupt: the nodes stay dirty and are settled another time."""
        for frame in self._path:
            frame.node.frame = None
            self.loose.append(frame.node)
            self.loose.extend(frame.reads)
        self._path.clear()
        self._nested = 0
        self._unwinding = False

    def is_innermost(self, frame: Frame) -> bool:
        """Tell whether this frame is the one that runs now."""
        return bool(self._path) and self._path[-1] is frame

    def settle(self, node: Node) -> None:
        """Bring a dirty node up to date."""
        base = len(self._path)
        self._push(node)
        if self._nested == NESTED_MAX:
            self._unwinding = True
            raise _TooDeepError
        self._nested += 1
        try:
            while len(self._path) > base:
                try:
                    self._step(self._path[-1])
                except _TooDeepError:
                    if base:
                        raise
                    self._unwinding = False  # nothing nests any more: go on with the innermost node
        finally:
            self._nested -= 1

    def settle_read(self, frame: Frame, node: Node) -> None:
        """Bring a dirty node up to date that the run of `frame` reads. Errors: CycleError, to end that run."""
        if node.frame is not None:
            self._close_cycle(node.frame)
        else:
            self.settle(node)
        if frame.cycle is not None:
            raise CycleError(frame.cycle)

    def _push(self, node: Node) -> None:
        node.frame = Frame(node, len(self._path))
        self._path.append(node.frame)

    def _close_cycle(self, first: Frame) -> None:
        members = self._path[first.index :]
        keys = tuple((frame.node.name, frame.node.key) for frame in members)
        for frame in members:
            frame.cycle = keys

    def _step(self, frame: Frame) -> None:
        """Take the innermost frame one step on: end it, run it, or put the read on the path that it waits for."""
        if frame.cycle is not None:
            self._end_in_cycle(frame)
        elif frame.must_run:
            self._run(frame)
        else:
            self._verify(frame)

    def _verify(self, frame: Frame) -> None:
        node = frame.node
        reads = node.reads
        for position in range(frame.verified, len(reads)):
            cell = reads[position]
            if cell.dirty:
                frame.verified = position
                assert isinstance(cell, Node), "only nodes are ever dirty"
                if cell.frame is not None:
                    self._close_cycle(cell.frame)
                else:
                    self._push(cell)
                return
            if cell.changed_at > node.verified_at:
                frame.cause = cell
                frame.must_run = True
                return
        if node.failure is not None and isinstance(node.failure.exception, CycleError):
            # Its last read came back without closing the cycle: whatever the value, the run can go further now.
            frame.cause = reads[-1]
            frame.must_run = True
            return
        self._pop(frame)

    def _run(self, frame: Frame) -> None:
        node = frame.node
        frame.reads = {}
        value: Any = None
        is_changed = False
        error: Exception | None = None
        try:
            value = node.derived.fn(Reader(self, frame), node.key)
            is_changed = not (value is node.value or value == node.value)
        except _TooDeepError:
            pass
        except Exception as raised:
            error = raised
        if self._unwinding:  # asked of the flag, because a function may have swallowed the exception
            self.given_up += 1
            self.loose.extend(frame.reads)
            raise _TooDeepError
        if frame.cycle is not None:
            self._end_in_cycle(frame)
            return
        self._count_run(frame)
        if error is not None:
            traceback.clear_frames(error.__traceback__)  # a finding may live long; the values it saw need not
            node.failure = self.note_failure(node.name, node.key, error)
            self._end(frame, tuple(frame.reads), "failed")
        else:
            self._succeed(node, value, is_changed=is_changed)
            self._end(frame, tuple(frame.reads), "changed" if is_changed else "equal")

    def _count_run(self, frame: Frame) -> None:
        node = frame.node
        node.derived.runs += 1
        node.ran_at = self.now
        node.cause = frame.cause.read() if frame.cause is not None else None
        self.ran_keys.append((node.name, node.key))

    def _succeed(self, node: Node, value: Any, *, is_changed: bool) -> None:
        if node.failure is not None:
            node.failure = None
            del self.findings[node.name, node.key]
        if is_changed:
            if node.observers:
                self.changed.setdefault(node.derived, {})[node.key] = (node.value, value)
            node.value = value
            node.changed_at = self.now

    def _end_in_cycle(self, frame: Frame) -> None:
        """Fail a member of a cycle. Its reads end with the one that closed the cycle, run or only verified."""
        node = frame.node
        assert frame.cycle is not None
        if frame.must_run:  # it ran up to this read (or was given up there, which comes to the same)
            self._count_run(frame)
            node.failure = self.note_failure(node.name, node.key, CycleError(frame.cycle))
            self._end(frame, tuple(frame.reads), "failed")
            return
        if node.failure is None or not isinstance(node.failure.exception, CycleError):
            node.failure = self.note_failure(node.name, node.key, CycleError(frame.cycle))
        self._end(frame, node.reads[: frame.verified + 1], "failed")

    def _end(self, frame: Frame, reads: tuple[Cell, ...], outcome: Outcome) -> None:
        """Replace the recorded reads and take the node off the path."""
        node = frame.node
        before = node.reads
        node.outcome = outcome
        if reads != before:
            node.reads = reads
            for cell in reads:
                cell.dependents[node] = None
            if before:
                kept = set(reads)
                for cell in before:
                    if cell not in kept:
                        del cell.dependents[node]
                        self.loose.append(cell)
        self._pop(frame)

    def _pop(self, frame: Frame) -> None:
        node = frame.node
        node.verified_at = self.now
        node.dirty = False
        node.frame = None
        self._path.pop()
