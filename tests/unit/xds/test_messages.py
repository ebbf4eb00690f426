"""Snapshots: aliases, dangling references, and what differs between two."""

from argosy.xds.messages import Changes, Resource, ResourceRef, Snapshot, changes_between


def test_equality_is_by_type_name_and_version() -> None:
    one, same = Resource("t", "a", "1", b"x"), Resource("t", "a", "1", b"y")
    assert one == same
    assert hash(one) == hash(same)
    assert one != Resource("t", "a", "2", b"x")
    assert one != "a"


def test_a_name_wins_over_an_alias_and_an_unknown_name_means_itself() -> None:
    a, b = Resource("t", "a", "1", b"", aliases=("x", "b")), Resource("t", "b", "1", b"")
    snapshot = Snapshot(1, {"t": {"a": a, "b": b}})
    assert [snapshot.canonical("t", name) for name in ("x", "b", "none")] == ["a", "b", "none"]


def test_dangling_references_are_those_to_nothing() -> None:
    a = Resource("t", "a", "1", b"", requires=(ResourceRef("t", "b"), ResourceRef("u", "c")))
    snapshot = Snapshot(1, {"t": {"a": a, "b": Resource("t", "b", "1", b"")}})
    assert snapshot.is_dangling(ResourceRef("u", "c"))
    assert not snapshot.is_dangling(ResourceRef("t", "b"))
    assert not snapshot.is_dangling(ResourceRef("u", "d"))
    assert list(snapshot.requirers(ResourceRef("t", "b"))) == [ResourceRef("t", "a")]


def test_given_referrers_may_name_too_many() -> None:
    a = Resource("t", "a", "1", b"", requires=(ResourceRef("u", "c"),))
    known = {ResourceRef("u", name): [ResourceRef("t", "a"), ResourceRef("t", "gone")] for name in "cd"}
    snapshot = Snapshot(1, {"t": {"a": a}}, (known,))
    assert list(snapshot.requirers(ResourceRef("u", "c"))) == [ResourceRef("t", "a")]
    assert not snapshot.is_dangling(ResourceRef("u", "d"))


def test_changes_name_what_is_new_different_or_gone() -> None:
    same = {"k": Resource("u", "k", "1", b"")}
    old = Snapshot(1, {"u": same, "t": {n: Resource("t", n, "1", b"") for n in "abc"}})
    new = Snapshot(2, {"u": same, "t": {n: Resource("t", n, v, b"") for n, v in (("a", "1"), ("b", "2"), ("d", "1"))}})
    assert changes_between(old, new) == Changes(1, {"t": frozenset("bcd")})


def test_changes_merge_from_the_first_base() -> None:
    merged = Changes(1, {"t": frozenset("a")}).then(Changes(2, {"t": frozenset("b"), "u": frozenset("c")}))
    assert merged == Changes(1, {"t": frozenset("ab"), "u": frozenset("c")})
