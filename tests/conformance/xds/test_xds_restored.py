"""Types whose clients build anew from what came last, refused or not: what follows a refusal (`Rules.restored`)."""

import dataclasses

from argosy.xds.server import DeltaStream


def restoring(kit):
    """A client of which clusters are such a type."""
    return kit.Rig(DeltaStream, dataclasses.replace(kit.RULES, restored=frozenset((kit.C,))))


def test_x06_the_client_is_sent_what_it_had(kit) -> None:
    """A client may build anew from what came last, refused or not: the last good version follows, once."""
    rig = restoring(kit)
    rig.offer(kit.cluster("a"))
    rig.ask(kit.C, "a")
    rig.settle()
    rig.offer(kit.cluster("a", "2"))
    assert rig.sent() == [(kit.C, ["a@2"], [])]
    rig.answer(rig.responses[0], "a is bad")
    assert rig.sent() == [(kit.C, ["a@1"], [])]
    rig.answer(rig.responses[0])
    assert rig.sent() == []
    assert rig.stream.dump()["types"][kit.C]["refused"] == {"a": "2"}
    rig.offer(kit.cluster("a"))
    assert rig.sent() == [], "it has that"
    rig.offer(kit.cluster("a", "3"))
    assert rig.sent() == [(kit.C, ["a@3"], [])]


def test_x06_the_last_good_version_is_not_sent_for_ever(kit) -> None:
    """A client that refuses what it had, too, is left alone."""
    rig = restoring(kit)
    rig.offer(kit.cluster("a"))
    rig.ask(kit.C, "a")
    rig.settle()
    rig.offer(kit.cluster("a", "2"))
    rig.sent()
    rig.answer(rig.responses[0], "a is bad")
    assert rig.sent() == [(kit.C, ["a@1"], [])]
    rig.answer(rig.responses[0], "a is bad")
    assert rig.sent() == []


def test_x06_a_client_that_had_nothing_is_told_so(kit) -> None:
    """The first version is refused: its absence follows."""
    rig = restoring(kit)
    rig.offer(kit.cluster("a"))
    rig.ask(kit.C, "a")
    rig.sent()
    rig.answer(rig.responses[0], "a is bad")
    assert rig.sent() == [(kit.C, [], ["a"])]
    rig.answer(rig.responses[0])
    assert rig.sent() == []
    rig.offer(kit.cluster("a", "2"))
    assert rig.sent() == [(kit.C, ["a@2"], [])]
