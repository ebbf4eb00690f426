"""The incremental engine: inputs in, derived values out, recomputing only what read something that changed.

Given: collections declared once, then commits of input changes and observations of derived keys. Gives: for each
commit what changed, what ran and what failed; on demand, why. Must not know any domain type, thread, await, or look
at a clock.

Each commit has four steps: put the inputs in (and file them in indexes), mark everything dirty that may depend on
what was touched, settle the dirty observed keys (`evaluate`), free what fell out of use (`sweep`). The contract is in
README.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from argosy.incr.cells import Cell, Node
from argosy.incr.dump import dump_collections
from argosy.incr.evaluate import Evaluator, Reader
from argosy.incr.report import Change, Commit, Explanation, Failure, KeyName
from argosy.incr.stores import Derived, Index, Input, K, V, X
from argosy.incr.sweep import sweep


class Engine:
    """Collections, the graph of who read what, and one commit at a time.

    Calls into the engine from a derived function or while a commit runs are programmer errors and raise AssertionError.
    """

    def __init__(self) -> None:
        """Make an engine without collections."""
        self._inputs: dict[str, Input[Any, Any]] = {}
        self._derived: dict[str, Derived[Any, Any]] = {}
        self._indexes: dict[str, Index[Any, Any, Any]] = {}
        self._findings: dict[KeyName, Failure] = {}
        self._evaluator = Evaluator(self._findings)
        self._stale: dict[Node, None] = {}
        self._number = 0
        self._is_busy = False

    @property
    def findings(self) -> Mapping[KeyName, Failure]:
        """The keys that fail now, as a live read-only view; a key leaves when it succeeds or is freed."""
        return MappingProxyType(self._findings)

    def input(self, name: str) -> Input[K, V]:
        """Declare an input. Errors: AssertionError if the name is taken by any collection."""
        self._assert_new(name)
        made: Input[K, V] = Input(name)
        self._inputs[name] = made
        return made

    def derived(self, name: str, fn: Callable[[Reader, K], V | None]) -> Derived[K, V]:
        """Declare a derived collection; `fn` must be deterministic and read with its reader alone.

        Errors: AssertionError if the name is taken by any collection.
        """
        self._assert_new(name)
        made = Derived(name, fn)
        self._derived[name] = made
        return made

    def index(self, name: str, source: Input[K, V], key_fn: Callable[[K, V], Iterable[X]]) -> Index[X, K, V]:
        """Declare an index over an input and file what the input already holds.

        `key_fn` gives the values to file an entry under; repeated ones count once. Where it raises, the entry stays
        where it was filed before (nowhere if new), and a finding is left under (index name, input key).
        Errors: AssertionError if the name is taken by any collection, or the input is not of this engine.
        """
        self._assert_new(name)
        assert self._inputs.get(source.name) is source, f"{source.name} is not an input of this engine"
        made = Index(name, source, key_fn)
        self._indexes[name] = made
        source.indexes.append(made)
        with self._exclusive():
            for key, value in source.values.items():
                self._file(made, key, value, [])
        return made

    def commit(self, changes: Iterable[Change]) -> Commit:
        """Apply changes in one step and bring every observed key up to date.

        Of several changes to one key the last one counts; setting an equal value is no change. A change that cannot be
        applied (unhashable key, a comparison that raises) raises before anything was touched.
        """
        with self._exclusive():
            effective = self._effective(changes)
            self._number += 1
            self._evaluator.now = self._number
            self._evaluator.begin()
            touched: list[Cell] = []
            for (source, key), value in effective.items():
                source.put(key, value, touched)
                for index in source.indexes:
                    self._file(index, key, value, touched)
            self._mark(touched)
            self._settle_stale()
            sweep(self._evaluator.loose, self._findings)
            return self._report()

    def observe(self, derived: Derived[K, V], key: K) -> V | None:
        """Observe a key: compute it, and keep it up to date from now on. Observations are counted; see `release`.

        Returns the value; None if it has none, or if it failed and never had one (see `findings`).
        """
        assert self._derived.get(derived.name) is derived, f"{derived.name} is not derived in this engine"
        with self._exclusive():
            node = derived.nodes.get(key) or Node(derived, key)
            node.observers += 1
            if node.dirty:
                self._stale[node] = None
                self._evaluator.begin()
                self._settle_stale()
                sweep(self._evaluator.loose, self._findings)
            value: V | None = node.value
            return value

    def release(self, derived: Derived[K, V], key: K) -> None:
        """Drop one observation; at the last one, free the key and all that only it used, unless others read it."""
        with self._exclusive():
            node = derived.nodes.get(key)
            assert node is not None, f"{derived.name}[{key!r}] is not observed"
            assert node.observers > 0, f"{derived.name}[{key!r}] is not observed"
            node.observers -= 1
            if not node.observers:
                self._stale.pop(node, None)
                self._evaluator.loose.append(node)
                sweep(self._evaluator.loose, self._findings)

    def get(self, collection: Input[K, V] | Derived[K, V], key: K) -> V | None:
        """Return the current value of an input key, or of a derived key that is in use; None otherwise."""
        assert not self._is_busy, "a derived function reads with its Reader, not from the engine"
        if isinstance(collection, Input):
            return collection.values.get(key)
        node = collection.nodes.get(key)
        return node.value if node is not None else None

    def explain(self, derived: Derived[K, V], key: K) -> Explanation:
        """Tell why a key was last recomputed. Errors: KeyError if it is not in use."""
        node = derived.nodes.get(key)
        if node is None or node.ran_at < 0:
            raise KeyError(f"{derived.name}[{key!r}] is not computed: nothing observes or reads it")
        return Explanation(
            name=node.name,
            key=node.key,
            commit=node.ran_at,
            cause=node.cause,
            reads=tuple(cell.read() for cell in node.reads),
            outcome=node.outcome,
            observers=node.observers,
            failure=node.failure,
        )

    def runs(self) -> Counter[str]:
        """Return how often functions ran since the start, by collection."""
        return Counter({one.name: one.runs for one in self._derived.values() if one.runs})

    def dump(self) -> dict[str, Any]:
        """Return the state as plain data: collections with their counts, who reads whom, and the findings."""
        return {
            "commit": self._number,
            "runs_given_up": self._evaluator.given_up,
            **dump_collections(self._inputs.values(), self._indexes.values(), self._derived.values()),
            "findings": [
                {"name": f.name, "key": repr(f.key), "error": repr(f.exception), "commit": f.commit}
                for f in self._findings.values()
            ],
        }

    def _assert_new(self, name: str) -> None:
        taken = name in self._inputs or name in self._derived or name in self._indexes
        assert not taken, f"there is a collection named {name} already"

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Refuse re-entrance; after an interrupt (not an Exception of a function) leave a state that can go on."""
        assert not self._is_busy, "the engine is in the middle of a commit: one at a time"
        self._is_busy = True
        try:
            yield
        finally:
            self._evaluator.abandon()
            self._is_busy = False

    def _effective(self, changes: Iterable[Change]) -> dict[tuple[Input[Any, Any], Any], Any]:
        """Return the last value of each changed key, without those that equal what is there."""
        wanted: dict[tuple[Input[Any, Any], Any], Any] = {}
        for change in changes:
            known = self._inputs.get(change.collection.name) is change.collection
            assert known, f"{change.collection.name} is not an input of this engine"
            wanted[change.collection, change.key] = change.value
        return {
            (source, key): value
            for (source, key), value in wanted.items()
            if not ((old := source.values.get(key)) is value or old == value)
        }

    def _file(self, index: Index[Any, Any, Any], key: Any, value: Any, touched: list[Cell]) -> None:
        error = index.put(key, value, touched)
        if error is None:
            self._findings.pop((index.name, key), None)
        else:
            self._evaluator.note_failure(index.name, key, error)

    def _mark(self, touched: list[Cell]) -> None:
        """Mark dirty whatever depends on the touched cells, directly or not."""
        rest: list[Cell] = touched
        for cell in touched:
            cell.changed_at = self._number
        while rest:
            for node in rest.pop().dependents:
                if not node.dirty:
                    node.dirty = True
                    if node.observers:
                        self._stale[node] = None
                    rest.append(node)

    def _settle_stale(self) -> None:
        """Settle the dirty observed keys; what they do not need is freed afterwards: nothing stays dirty."""
        for node in list(self._stale):
            if node.dirty:
                self._evaluator.settle(node)
        self._stale.clear()

    def _report(self) -> Commit:
        evaluator = self._evaluator
        return Commit(
            number=self._number,
            changed=evaluator.changed,
            ran=Counter(name for name, _ in evaluator.ran_keys),
            ran_keys=evaluator.ran_keys,
            failures=tuple(f for f in evaluator.failures if self._findings.get((f.name, f.key)) is f),
        )
