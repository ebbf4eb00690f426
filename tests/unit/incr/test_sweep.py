"""Freeing: what nobody reads or observes leaves nothing behind."""

from typing import Any

from argosy.incr import Change, Derived, Engine, Index, Input, Reader


class Tree:
    """Nodes with children (names in an input); a sum is read top down; roots of a colour are found by an index."""

    def __init__(self, **children: Any) -> None:
        self.engine = Engine()
        self.children: Input[str, str] = self.engine.input("children")
        self.by_child: Index[str, str, str] = self.engine.index("by_child", self.children, lambda key, value: value)
        self.size: Derived[str, int] = self.engine.derived("size", self._size)
        self.parents: Derived[str, int] = self.engine.derived(
            "parents", lambda read, key: len(read.keys(self.by_child, key)) + len(read.select(self.by_child, key))
        )
        self.put(**children)

    def _size(self, read: Reader, name: str) -> int:
        children = read.get(self.children, name) or ""
        if "!" in children:
            raise ValueError(children)
        return 1 + sum(read.get(self.size, child) or 0 for child in children)

    def put(self, **children: Any) -> Any:
        return self.engine.commit(Change(self.children, name, value) for name, value in children.items())

    def computed(self) -> int:
        dump = self.engine.dump()
        assert dump["derived"]["size"]["dirty"] == 0
        assert dump["inputs"]["children"]["read_keys"] == dump["derived"]["size"]["computed"]
        return int(dump["derived"]["size"]["computed"])


def test_releasing_the_last_observation_frees_everything_below() -> None:
    tree = Tree(a="bc", b="d", c="d")
    tree.engine.observe(tree.size, "a")
    assert tree.computed() == 4
    tree.engine.release(tree.size, "a")
    assert tree.computed() == 0


def test_what_another_key_still_reads_stays() -> None:
    tree = Tree(a="bc", b="d", c="d")
    tree.engine.observe(tree.size, "a")
    tree.engine.observe(tree.size, "b")
    tree.engine.release(tree.size, "a")
    assert tree.computed() == 2
    assert tree.engine.get(tree.size, "b") == 2


def test_an_observed_key_that_loses_its_reader_stays() -> None:
    tree = Tree(a="b", b="c")
    tree.engine.observe(tree.size, "a")
    tree.engine.observe(tree.size, "b")
    tree.put(a="")
    assert tree.computed() == 3


def test_a_key_that_loses_its_last_reader_in_a_commit_is_freed_without_running() -> None:
    tree = Tree(a="b", b="c")
    tree.engine.observe(tree.size, "a")
    assert tree.put(a="", b="cd", c="e").ran_keys == [("size", "a")]
    assert tree.computed() == 1


def test_a_key_that_moves_to_another_reader_in_one_commit_is_not_computed_again() -> None:
    tree = Tree(a="c", b="", c="d")
    tree.engine.observe(tree.size, "a")
    tree.engine.observe(tree.size, "b")
    assert sorted(tree.put(a="", b="c").ran_keys) == [("size", "a"), ("size", "b")]
    assert tree.computed() == 4


def test_the_finding_of_a_freed_key_goes_and_is_not_reported() -> None:
    tree = Tree(a="b", b="!")
    tree.engine.observe(tree.size, "a")
    assert list(tree.engine.findings) == [("size", "b")]
    assert tree.put(a="").failures == ()
    assert dict(tree.engine.findings) == {}


def test_a_freed_key_forgets_its_last_good_value() -> None:
    tree = Tree(a="b", b="c")
    tree.engine.observe(tree.size, "a")
    tree.put(a="")
    tree.put(b="!", a="b")
    assert tree.engine.get(tree.size, "b") is None


def test_reads_of_buckets_are_freed_too() -> None:
    tree = Tree(a="bc")
    tree.engine.observe(tree.parents, "b")
    assert tree.engine.dump()["indexes"]["by_child"]["read_buckets"] == 1
    tree.engine.release(tree.parents, "b")
    assert tree.engine.dump()["indexes"]["by_child"]["read_buckets"] == 0
    assert tree.put(z="b").ran_keys == []


def test_a_cycle_is_freed_when_its_last_reader_outside_goes() -> None:
    tree = Tree(a="b", b="c", c="db", d="")
    tree.engine.observe(tree.size, "a")
    assert (tree.computed(), len(tree.engine.findings)) == (4, 2)
    tree.engine.release(tree.size, "a")
    assert (tree.computed(), dict(tree.engine.findings)) == (0, {})


def test_a_cycle_that_is_read_from_elsewhere_stays() -> None:
    tree = Tree(a="b", b="c", c="b", e="c")
    tree.engine.observe(tree.size, "a")
    tree.engine.observe(tree.size, "e")
    tree.engine.release(tree.size, "a")
    assert tree.computed() == 3
    tree.put(e="")
    assert (tree.computed(), dict(tree.engine.findings)) == (1, {})
