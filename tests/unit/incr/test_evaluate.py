"""Failures, cycles, deep chains and the rules of the reader."""

import sys
from typing import Any

import pytest

from argosy.incr import Change, CycleError, Derived, Engine, Input, Reader


class Formulas:
    """Cells of a spreadsheet: a formula is a number, an error text, or names of cells to add up (in order)."""

    def __init__(self, **formulas: Any) -> None:
        self.engine = Engine()
        self.formulas: Input[str, Any] = self.engine.input("formulas")
        self.cells: Derived[str, int] = self.engine.derived("cells", self._compute)
        self.put(**formulas)

    def _compute(self, read: Reader, name: str) -> int | None:
        formula = read.get(self.formulas, name)
        if isinstance(formula, str):
            raise ValueError(formula)
        if isinstance(formula, tuple):
            return sum(read.get(self.cells, other) or 0 for other in formula)
        return formula

    def put(self, **formulas: Any) -> Any:
        return self.engine.commit(Change(self.formulas, name, formula) for name, formula in formulas.items())

    def observe(self, *names: str) -> list[int | None]:
        return [self.engine.observe(self.cells, name) for name in names]

    def values(self, names: str) -> list[int | None]:
        return [self.engine.get(self.cells, name) for name in names]

    def failing(self) -> dict[str, str]:
        return {name: type(f.exception).__name__ for (_, name), f in sorted(self.engine.findings.items())}


def names(commit: Any) -> str:
    return "".join(name for _, name in commit.ran_keys)


def test_a_failing_key_keeps_its_last_good_value_and_its_dependents_go_on() -> None:
    sheet = Formulas(a=1, b=("a", "c"), c=10)
    sheet.observe("b")
    commit = sheet.put(a="broken", c=20)
    assert sheet.values("abc") == [1, 21, 20]
    assert [(f.name, f.key, str(f.exception), f.commit) for f in commit.failures] == [("cells", "a", "broken", 2)]
    assert sheet.engine.findings == {("cells", "a"): commit.failures[0]}


def test_a_failure_that_never_had_a_value_reads_as_none() -> None:
    sheet = Formulas(a="broken", b=("a",))
    assert sheet.observe("a", "b") == [None, 0]
    assert sheet.engine.explain(sheet.cells, "a").outcome == "failed"
    assert sheet.put(x=1).failures == ()


def test_a_failing_key_is_tried_again_only_when_a_read_changes() -> None:
    sheet = Formulas(a=1, b=("a",))
    sheet.observe("b")
    sheet.put(a="broken")
    assert names(sheet.put(z=5)) == ""
    commit = sheet.put(a="still broken")
    assert (names(commit), [str(f.exception) for f in commit.failures]) == ("a", ["still broken"])
    assert sheet.engine.findings["cells", "a"].commit == 4


def test_a_finding_goes_when_the_key_succeeds_and_an_equal_value_is_still_no_change() -> None:
    sheet = Formulas(a=1, b=("a",))
    sheet.observe("b")
    sheet.put(a="broken")
    commit = sheet.put(a=1)
    assert (names(commit), commit.changed, sheet.failing()) == ("a", {}, {})


def test_reads_made_before_the_failure_are_recorded() -> None:
    engine = Engine()
    number: Input[str, int] = engine.input("number")

    def divide(read: Reader, key: str) -> int:
        return 10 // (read.get(number, "divisor") or 0) + (read.get(number, "later") or 0)

    divided: Derived[str, int] = engine.derived("divided", divide)
    engine.observe(divided, "k")
    assert engine.commit([Change(number, "later", 1)]).ran_keys == []
    assert engine.commit([Change(number, "divisor", 5)]).changed == {divided: {"k": (None, 3)}}


def test_a_comparison_that_raises_fails_the_key() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no comparison")

        __hash__ = None  # type: ignore[assignment]

    engine = Engine()
    odd: Derived[str, object] = engine.derived("odd", lambda read, key: Odd())
    engine.observe(odd, "k")
    assert str(engine.findings["odd", "k"].exception) == "no comparison"


def test_a_finding_keeps_its_lines_but_not_the_values_of_its_frames() -> None:
    sheet = Formulas(a="broken")
    sheet.observe("a")
    trace = sheet.engine.findings["cells", "a"].exception.__traceback__
    assert trace is not None
    assert trace.tb_next is not None
    assert trace.tb_next.tb_frame.f_code.co_name == "_compute"
    assert trace.tb_next.tb_frame.f_locals == {}


def test_all_members_of_a_cycle_fail_and_others_go_on() -> None:
    sheet = Formulas(a=("b",), b=("c", "five"), c=("a",), d=("a", "five"), five=5)
    assert sheet.observe("d") == [5]
    assert sheet.failing() == {"a": "CycleError", "b": "CycleError", "c": "CycleError"}
    error = sheet.engine.findings["cells", "a"].exception
    assert isinstance(error, CycleError)
    assert error.keys == (("cells", "a"), ("cells", "b"), ("cells", "c"))
    assert str(error) == "cells['a'] -> cells['b'] -> cells['c'] -> cells['a']"


@pytest.mark.parametrize("order", ["abcd", "dcba", "cadb"])
def test_a_cycle_is_the_same_wherever_it_is_entered(order: str) -> None:
    sheet = Formulas(a=("b", "c"), b=("c", "a"), c=("b",), d=("a", "b"))
    sheet.observe(*order)
    assert sheet.failing() == {"b": "CycleError", "c": "CycleError"}
    assert sheet.values("abcd") == [0, None, None, 0]


def test_a_key_that_reads_itself_is_a_cycle() -> None:
    sheet = Formulas(a=("a",))
    assert sheet.observe("a") == [None]
    assert sheet.failing() == {"a": "CycleError"}


def test_a_cycle_made_by_a_commit_keeps_the_last_good_values() -> None:
    sheet = Formulas(a=("b",), b=("c",), c=7, d=("a",))
    sheet.observe("d")
    commit = sheet.put(c=("a",))
    assert sheet.values("abcd") == [7, 7, 7, 7]
    assert sorted(f.key for f in commit.failures) == ["a", "b", "c"]
    assert names(commit) == "c"  # the others only re-read what closed the cycle


def test_a_broken_cycle_heals_even_if_the_value_that_comes_back_is_equal() -> None:
    sheet = Formulas(a=("b",), b=("c",), c=7)
    sheet.observe("a")
    sheet.put(c=("a",))
    commit = sheet.put(c=7)
    assert (names(commit), commit.changed, sheet.failing()) == ("cba", {}, {})


def test_a_cycle_ends_the_reads_of_its_members_where_it_closes() -> None:
    sheet = Formulas(a=("b", "c"), b=1, c=1)
    sheet.observe("a")
    sheet.put(b=("a",))
    assert [read.key for read in sheet.engine.explain(sheet.cells, "a").reads] == ["a", "b"]
    assert sheet.engine.dump()["derived"]["cells"]["computed"] == 2
    assert names(sheet.put(c=5)) == ""


def test_a_cycle_that_stays_is_verified_without_running_and_is_no_new_failure() -> None:
    sheet = Formulas(a=("z", "b"), b=("a",), z=(), y=1)
    sheet.put(z=("y",))
    sheet.observe("a")
    sheet.put(y=2)
    assert sheet.failing() == {"a": "CycleError", "b": "CycleError"}
    sheet.put(z=("x",), x=2)
    commit = sheet.put(z=2)
    assert (names(commit), commit.failures) == ("z", ())


def test_a_function_that_swallows_the_cycle_error_fails_all_the_same() -> None:
    engine = Engine()

    def stubborn(read: Reader, key: str) -> int:
        for _ in range(2):
            try:
                read.get(keys, key)
            except CycleError:
                continue
        return 1

    keys: Derived[str, int] = engine.derived("keys", stubborn)
    assert engine.observe(keys, "k") is None
    assert isinstance(engine.findings["keys", "k"].exception, CycleError)


def chain() -> tuple[Engine, Input[int, int], Derived[int, int]]:
    engine = Engine()
    number: Input[int, int] = engine.input("number")

    def add(read: Reader, key: int) -> int:
        own = read.get(number, key) or 0
        return own + (read.get(links, key - 1) or 0) if key else own

    links: Derived[int, int] = engine.derived("links", add)
    return engine, number, links


def test_a_chain_of_5000_is_computed_and_updated_within_the_recursion_limit() -> None:
    engine, number, links = chain()
    engine.commit(Change(number, key, 1) for key in range(5000))
    assert sys.getrecursionlimit() <= 1000
    assert engine.observe(links, 4999) == 5000
    assert engine.commit([Change(number, 0, 2)]).ran == {"links": 5000}
    commit = engine.commit(Change(number, key, 3) for key in range(5000))
    assert (commit.ran, engine.get(links, 4999)) == ({"links": 5000}, 15000)
    assert len(set(commit.ran_keys)) == 5000
    assert dict(engine.findings) == {}


def test_a_cycle_of_5000_fails_as_a_whole_and_heals() -> None:
    sheet = Formulas(**{f"c{n}": (f"c{(n + 1) % 5000}",) for n in range(5000)})
    assert sheet.observe("c0") == [None]
    assert len(sheet.engine.findings) == 5000
    sheet.put(c2500=1)
    assert (sheet.failing(), sheet.engine.get(sheet.cells, "c0")) == ({}, 1)
    sheet.put(c2500=("c2501",))
    assert len(sheet.engine.findings) == 5000
    sheet.engine.release(sheet.cells, "c0")
    assert sheet.engine.dump()["derived"]["cells"]["computed"] == 0


def test_functions_that_catch_everything_do_not_disturb_deep_chains() -> None:
    engine = Engine()

    def greedy(read: Reader, key: int) -> int:
        if not key:
            return 0
        try:
            return (read.get(links, key - 1) or 0) + 1
        except BaseException:
            return -1

    links: Derived[int, int] = engine.derived("links", greedy)
    assert engine.observe(links, 500) == 500


def test_runs_that_were_given_up_in_the_deep_leave_nothing_behind() -> None:
    engine, _, links = chain()
    engine.observe(links, 200)
    engine.release(links, 200)
    dump = engine.dump()
    assert dump["runs_given_up"] > 0
    assert dump["derived"]["links"] == {
        "computed": 0, "observed": 0, "failing": 0, "dirty": 0, "runs": 201, "reads": {},
    }  # fmt: skip
    assert dump["inputs"]["number"] == {"entries": 0, "read_keys": 0}


def test_a_reader_is_good_only_inside_its_call() -> None:
    engine = Engine()
    number: Input[str, int] = engine.input("number")
    kept: list[Reader] = []

    def leak(read: Reader, key: str) -> int:
        kept.append(read)
        return 1

    def borrow(read: Reader, key: str) -> int | None:
        read.get(leaking, key)
        return kept[0].get(number, key)

    leaking: Derived[str, int] = engine.derived("leaking", leak)
    borrowing: Derived[str, int] = engine.derived("borrowing", borrow)
    engine.observe(borrowing, "k")
    assert "outside its own call of leaking['k']" in str(engine.findings["borrowing", "k"].exception)
    with pytest.raises(AssertionError, match="outside its own call"):
        kept[0].get(number, "k")
