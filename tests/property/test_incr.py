"""After any sequence of edits the engine agrees with a rebuild, ran nothing in vain, and holds nothing unused.

Every derived key runs a small program out of an input, so that edits change values, reads, failures and cycles alike.
The model below recomputes everything in each commit, by plain recursion; all it remembers are last good values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.incr import Change, Commit, CycleError, Derived, Engine, Index, Input, Reader

KEYS = range(7)
keys = st.integers(min(KEYS), max(KEYS))
key_lists = st.lists(keys, max_size=3).map(tuple)
programs = st.one_of(
    st.tuples(st.just("number"), st.integers(0, 3)),
    st.tuples(st.just("value"), keys),
    st.tuples(st.just("sum"), key_lists),
    st.tuples(st.just("parity"), key_lists),
    st.tuples(st.just("if"), keys, keys, keys),
    st.tuples(st.sampled_from(["bucket", "bucket_keys"]), st.integers(0, 2)),
    st.just(("all_keys",)),
    st.tuples(st.just("fail_if_odd"), keys),
)
plain_programs = programs.filter(lambda program: program[0] != "fail_if_odd")
Program = tuple[Any, ...]
Look = Callable[..., Any]


def interpret(program: Program | None, look: Look) -> int | None:
    """Run one program; `look(kind, key)` is its only way to read."""
    match program:
        case ("number", number):
            return int(number)
        case ("value", key):
            return look("value", key)  # type: ignore[no-any-return]
        case ("sum", parts):
            return sum(look("derived", key) or 0 for key in parts) % 50
        case ("parity", parts):
            return sum(look("derived", key) or 0 for key in parts) % 2
        case ("if", condition, then, otherwise):
            return look("derived", then if look("derived", condition) else otherwise)  # type: ignore[no-any-return]
        case ("bucket", at):
            return sum(key * value for key, value in look("bucket", at))
        case ("bucket_keys", at):
            return len(look("bucket_keys", at))
        case ("all_keys",):
            return sum(look("all_keys", None))
        case ("fail_if_odd", key):
            value = look("derived", key) or 0
            if value % 2:
                raise ValueError(f"{value} is odd")
            return int(value)
    return None


class World:
    """The engine under test, with a trace of (read, value) for every run."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.programs: Input[int, Program] = self.engine.input("programs")
        self.values: Input[int, int] = self.engine.input("values")
        self.buckets: Index[int, int, int] = self.engine.index("buckets", self.values, lambda key, value: [value % 3])
        self.derived: Derived[int, int] = self.engine.derived("derived", self._compute)
        self.traces: dict[int, list[Any]] = {}

    def _compute(self, read: Reader, key: int) -> int | None:
        trace: list[Any] = []
        self.traces[key] = trace

        def look(kind: str, at: Any) -> Any:
            try:
                found = self._read(read, kind, at)
            except CycleError:
                trace.append((kind, at, CycleError))
                raise
            trace.append((kind, at, found))
            return found

        return interpret(look("program", key), look)

    def _read(self, read: Reader, kind: str, at: Any) -> Any:
        match kind:
            case "program":
                return read.get(self.programs, at)
            case "value":
                return read.get(self.values, at)
            case "derived":
                return read.get(self.derived, at)
            case "bucket":
                return read.select(self.buckets, at)
            case "bucket_keys":
                return read.keys(self.buckets, at)
        return read.all_keys(self.values)

    def commit(self, edits: list[tuple[str, int, Any]]) -> Commit:
        return self.engine.commit(
            Change(self.programs if name == "program" else self.values, key, value) for name, key, value in edits
        )


class Model:
    """The same by full recomputation."""

    def __init__(self) -> None:
        self.programs: dict[int, Program] = {}
        self.values: dict[int, int] = {}
        self.good: dict[int, int | None] = {}
        self.failing: dict[int, type[Exception]] = {}

    def edit(self, edits: list[tuple[str, int, Any]]) -> None:
        for name, key, value in edits:
            store: dict[int, Any] = self.programs if name == "program" else self.values
            store.pop(key, None)
            if value is not None:
                store[key] = value

    def rebuild(self, roots: list[int]) -> None:
        before, self.good, self.failing = self.good, {}, {}
        path: list[int] = []
        stuck: set[int] = set()

        def compute(key: int) -> None:
            path.append(key)
            error: type[Exception] | None = None
            value = None
            try:
                value = interpret(self.programs.get(key), lambda kind, at: look(key, kind, at))
            except (ValueError, CycleError) as raised:
                error = type(raised)
            path.pop()
            if error is not None:
                self.failing[key] = error
                value = before.get(key)
            self.good[key] = value

        def look(reader: int, kind: str, at: Any) -> Any:
            if kind != "derived":
                return self.look(kind, at)
            if at in path:
                stuck.update(path[path.index(at) :])
            elif at not in self.good:
                compute(at)
            if reader in stuck:
                raise CycleError((("derived", reader),))
            return self.good[at]

        for root in roots:
            if root not in self.good:
                compute(root)

    def look(self, kind: str, at: Any) -> Any:
        inside = sorted((key, value) for key, value in self.values.items() if value % 3 == at)
        match kind:
            case "value":
                return self.values.get(at)
            case "bucket":
                return tuple(inside)
            case "bucket_keys":
                return tuple(key for key, _ in inside)
        return tuple(sorted(self.values))


edits = st.lists(
    st.one_of(
        st.tuples(st.just("program"), keys, st.none() | programs),
        st.tuples(st.just("value"), keys, st.none() | st.integers(0, 5)),
    ),
    max_size=3,
)
worlds = st.tuples(st.lists(programs, min_size=len(KEYS), max_size=len(KEYS)), st.lists(keys, max_size=2)).map(
    lambda made: [
        ("commit", [("program", key, program) for key, program in zip(KEYS, made[0], strict=True)]),
        ("commit", [("value", key, key % 4) for key in KEYS]),
        *(("observe", key) for key in made[1]),
    ]
)
actions = st.one_of(
    st.tuples(st.just("commit"), edits),
    st.tuples(st.just("commit"), edits),
    st.tuples(st.just("observe"), keys),
    st.tuples(st.just("release"), keys),
)


def failing(world: World) -> dict[int, type[Exception]]:
    return {key: type(failure.exception) for (_, key), failure in world.engine.findings.items()}


def check_state(world: World, model: Model, observed: Counter[int]) -> None:
    assert {key: world.engine.get(world.derived, key) for key in observed} == {key: model.good[key] for key in observed}
    assert failing(world) == model.failing
    dump = world.engine.dump()["derived"]["derived"]
    assert (dump["computed"], dump["observed"], dump["dirty"]) == (len(model.good), len(observed), 0)


def check_runs(commit: Commit, old: dict[int, list[Any]], new: dict[int, list[Any]], must_differ: set[int]) -> None:
    """Each function ran once at most, and of those that had run, only with a read that now gave something else."""
    ran = [key for _, key in commit.ran_keys]
    assert len(ran) == len(set(ran))
    for key in must_differ.intersection(ran):
        assert new[key] != old[key], f"{key} ran in vain"


@settings(max_examples=600, deadline=None)
@given(start=worlds, steps=st.lists(actions, max_size=10))
def test_any_sequence_of_edits_agrees_with_full_recomputation(
    start: list[tuple[str, Any]], steps: list[tuple[str, Any]]
) -> None:
    world, model, observed = World(), Model(), Counter[int]()
    for step, argument in [*start, *steps]:
        if step == "observe":
            observed[argument] += 1
            world.engine.observe(world.derived, argument)
        elif step == "release" and observed[argument]:
            observed[argument] -= 1
            world.engine.release(world.derived, argument)
        elif step == "commit":
            old = dict(world.traces)
            # A member of a cycle runs when the cycle opens, whatever it then reads: it may have been cut short before.
            must_differ = {key for key in model.good if model.failing.get(key) is not CycleError}
            before = {key: model.good[key] for key in +observed}
            commit = world.commit(argument)
            model.edit(argument)
            check_runs(commit, old, world.traces, must_differ)
            model.rebuild(list(+observed))
            changed = {key: (was, model.good[key]) for key, was in before.items() if was != model.good[key]}
            assert commit.changed.get(world.derived, {}) == changed
        observed = +observed
        model.rebuild(list(observed))
        check_state(world, model, observed)


@settings(max_examples=200, deadline=None)
@given(
    layers=st.lists(st.tuples(keys, plain_programs), max_size=10),
    commits=st.lists(edits, max_size=8),
    order=st.permutations(list(KEYS)),
)
def test_after_any_edits_the_state_equals_a_new_engine_observed_in_any_order(
    layers: list[tuple[int, Program]], commits: list[list[tuple[str, int, Any]]], order: list[int]
) -> None:
    """Where no last good value is kept, history leaves no trace: nor does the order of observation, even in cycles."""
    world, final = World(), Model()
    for key in KEYS:
        world.engine.observe(world.derived, key)
    for batch in [[("program", key, program) for key, program in layers], *commits]:
        world.commit(batch)
        final.edit(batch)
    rebuilt = World()
    rebuilt.commit([("program", *item) for item in final.programs.items()])
    rebuilt.commit([("value", *item) for item in final.values.items()])
    for key in order:
        rebuilt.engine.observe(rebuilt.derived, key)
    if not failing(rebuilt):
        assert [world.engine.get(world.derived, key) for key in KEYS] == [
            rebuilt.engine.get(rebuilt.derived, key) for key in KEYS
        ]
        assert not failing(world)
    another = World()
    another.commit([("program", *item) for item in final.programs.items()])
    another.commit([("value", *item) for item in final.values.items()])
    for key in reversed(order):
        another.engine.observe(another.derived, key)
    assert failing(another) == failing(rebuilt)
