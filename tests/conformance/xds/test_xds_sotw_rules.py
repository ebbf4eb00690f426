"""The rules of state-of-the-world xDS, each by its number in the conformance list."""

import pytest

from argosy.xds.server import Acked, Nacked, Settled, SotwStream, Stale
from argosy.xds.server.sotw import set_version


def test_x04_versions_belong_to_a_type_and_survive_a_reconnect(kit, sotw) -> None:
    """A client that restates the current version of the set is not sent it again."""
    resources = (kit.cluster("a"), kit.cluster("b"))
    sotw.offer(*resources)
    sotw.want(kit.C)
    sotw.settle()
    again = kit.Rig(SotwStream)
    again.offer(*resources)
    again.want(kit.C, version=set_version(resources))
    assert again.sent() == []
    again.now = kit.RULES.restate_s
    assert again.sent() == []
    assert again.events(Settled) == [Settled(1)]


def test_x04_another_version_brings_the_whole_set(kit, sotw) -> None:
    """The server cannot know what the difference is."""
    sotw.offer(kit.cluster("a"), kit.cluster("b"))
    sotw.want(kit.C, version="of yesterday")
    assert sotw.sent() == [(kit.C, ["a@1", "b@1"], [])]


def test_x05_only_an_error_detail_makes_a_nack(kit, sotw) -> None:
    """The version in the request decides nothing."""
    sotw.offer(kit.cluster("a"))
    sotw.want(kit.C)
    sotw.sent()
    sotw.want(kit.C, nonce=sotw.responses[0].nonce, version="")
    assert len(sotw.events(Acked)) == 1
    sotw.offer(kit.cluster("a", "2"))
    sotw.sent()
    sotw.answer(sotw.responses[0], "a is bad")
    assert len(sotw.events(Nacked)) == 1


def test_x06_x38_after_a_nack_a_new_set_carries_the_last_good_of_the_refused(kit, sotw) -> None:
    """Silence until something changes; the next full set has the good version of both."""
    sotw.offer(kit.cluster("a"), kit.cluster("b"))
    sotw.want(kit.C)
    sotw.settle()
    sotw.offer(kit.cluster("a", "2"), kit.cluster("b"))
    assert sotw.sent() == [(kit.C, ["a@2", "b@1"], [])]
    sotw.answer(sotw.responses[0], "cluster a: bad")
    assert sotw.sent() == []
    sotw.offer(kit.cluster("a", "2"), kit.cluster("b", "2"))
    assert sotw.sent() == [(kit.C, ["a@1", "b@2"], [])]


def test_x07_a_stale_nonce_gets_no_response(kit, sotw) -> None:
    """Its names are outdated, too: a newer request is on its way."""
    sotw.offer(kit.endpoints("a"), kit.endpoints("b"))
    sotw.want(kit.E, "a")
    sotw.sent()
    sotw.want(kit.E, "a", "b", nonce="long gone")
    assert sotw.sent() == []
    assert sotw.events(Stale) == [Stale(kit.E, "long gone")]


def test_x07_an_answer_to_the_response_before_the_last_counts_without_its_names(kit, sotw) -> None:
    """Two responses in flight: the first is refused, the second accepted."""
    sotw.offer(kit.endpoints("a"), kit.endpoints("b"))
    sotw.want(kit.E, "a", "b")
    sotw.settle(Endpoints=("a", "b"))
    sotw.offer(kit.endpoints("a", "2"), kit.endpoints("b"))
    sotw.sent()
    first = sotw.responses[0]
    sotw.offer(kit.endpoints("a", "2"), kit.endpoints("b", "2"))
    sotw.sent()
    second = sotw.responses[0]
    sotw.answer(first, "a: no", names=("a",))
    sotw.answer(second, names=("a", "b"))
    assert [event.names for event in sotw.events(Nacked)] == [("a",)]
    assert sotw.sent() == []


def test_x08_the_newest_request_of_a_type_replaces_its_names(kit, sotw) -> None:
    """And an answer to the last response answers those before it."""
    sotw.offer(kit.endpoints("a"))
    sotw.want(kit.E, "a", "b")
    sotw.sent()
    sotw.offer(kit.endpoints("a", "2"))
    sotw.sent()
    sotw.answer(sotw.responses[0], names=("a",))
    assert sotw.stream.dump()["types"][kit.E]["in_flight"] == {}
    sotw.offer(kit.endpoints("a", "2"), kit.endpoints("b"))
    assert sotw.sent() == []


def test_x09_an_ack_is_not_answered_and_an_equal_world_is_silent(kit, sotw) -> None:
    """No loop of acknowledgements."""
    sotw.offer(kit.cluster("a"))
    sotw.want(kit.C)
    sotw.settle()
    sotw.offer(kit.cluster("a"))
    assert sotw.sent() == []


def test_x10_a_new_name_is_sent_though_unchanged(kit, sotw) -> None:
    """Only the new one: other types than the full sets may send a part."""
    sotw.offer(kit.endpoints("a"), kit.endpoints("b"))
    sotw.want(kit.E, "a")
    sotw.sent()
    sotw.answer(sotw.responses[0], names=("a", "b"))
    assert sotw.sent() == [(kit.E, ["b@1"], [])]


def test_x10_a_name_dropped_and_asked_for_again_is_sent_again(kit, sotw) -> None:
    """The client forgot it when it dropped it."""
    sotw.offer(kit.endpoints("a"), kit.endpoints("b"))
    sotw.want(kit.E, "a", "b")
    sotw.settle(Endpoints=("a", "b"))
    nonce = sotw.stream._session.ledgers[kit.E].last_nonce
    sotw.want(kit.E, "a", nonce=nonce)
    sotw.want(kit.E, "a", "b", nonce=nonce)
    assert sotw.sent() == [(kit.E, ["b@1"], [])]


def test_x11_full_sets_are_full_and_others_may_be_parts(kit, sotw) -> None:
    """One cluster changes: all clusters are sent, and the endpoints that follow it."""
    sotw.offer(kit.cluster("a"), kit.cluster("b"), kit.endpoints("a"), kit.endpoints("b"))
    sotw.want(kit.C)
    sotw.want(kit.E, "a", "b")
    sotw.settle(Endpoints=("a", "b"))
    sotw.offer(kit.cluster("a", "2"), kit.cluster("b"), kit.endpoints("a"), kit.endpoints("b"))
    assert sotw.sent() == [(kit.C, ["a@2", "b@1"], []), (kit.E, ["a@1"], [])]


def test_x12_nothing_is_sent_before_there_is_a_world(kit, sotw) -> None:
    """An empty set would delete everything; a world that is empty indeed may say so."""
    sotw.want(kit.C)
    assert sotw.sent() == []
    sotw.offer()
    assert sotw.sent() == [(kit.C, [], [])]


def test_x14_sotw_wildcard_in_four_steps(kit, sotw) -> None:
    """Nothing named means all; {*, a} means both; {a} drops all; nothing then means nothing."""
    sotw.offer(kit.listener("a"), kit.listener("b"))
    sotw.want(kit.L)
    assert sotw.sent() == [(kit.L, ["a@1", "b@1"], [])]
    sotw.answer(sotw.responses[0])
    nonce = sotw.responses[0].nonce
    sotw.want(kit.L, "*", "a", nonce=nonce)
    assert sotw.sent() == [(kit.L, ["a@1", "b@1"], [])]
    nonce = sotw.responses[0].nonce
    sotw.answer(sotw.responses[0], names=("*", "a"))
    sotw.want(kit.L, "a", nonce=nonce)
    sotw.offer(kit.listener("a", "2"), kit.listener("b", "2"))
    assert sotw.sent() == [(kit.L, ["a@2"], [])]
    sotw.answer(sotw.responses[0], names=())
    sotw.offer(kit.listener("a", "3"))
    assert sotw.sent() == []


@pytest.mark.parametrize("kind", ["E", "R"])
def test_x16_other_types_have_no_removal(kit, sotw, kind) -> None:
    """An orphan is sent no more, and the stream settles nevertheless."""
    make = {"E": kit.endpoints, "R": kit.route}[kind]
    sotw.offer(make("a"))
    sotw.want(getattr(kit, kind), "a")
    sotw.settle(Endpoints=("a",), Route=("a",))
    sotw.offer()
    assert sotw.sent() == []
    assert sotw.events(Settled)[-1] == Settled(2)


def test_x17_x18_an_absent_name_is_met_with_silence_and_sent_when_it_exists(kit, sotw) -> None:
    """The client has its own timer."""
    sotw.offer()
    sotw.want(kit.E, "a")
    assert sotw.sent() == []
    sotw.offer(kit.endpoints("a"))
    assert sotw.sent() == [(kit.E, ["a@1"], [])]


def test_x22_a_cluster_is_left_out_only_when_no_route_needs_it(kit, sotw) -> None:
    """A swap from a to b: both clusters, the route, then the set without a."""
    sotw.offer(kit.cluster("a"), kit.route("r", "1", "a"))
    sotw.want(kit.C)
    sotw.want(kit.R, "r")
    sotw.settle(Route=("r",))
    sotw.offer(kit.cluster("b"), kit.route("r", "2", "b"))
    steps = []
    while sent := sotw.sent():
        steps += sent
        for response in sotw.responses:
            sotw.answer(response, names=("r",) if response.type_url == kit.R else ())
    assert steps == [(kit.C, ["a@1", "b@1"], []), (kit.R, ["r@2"], []), (kit.C, ["b@1"], [])]


def test_x22_a_cluster_outlives_an_orphaned_route_until_it_is_dropped(kit, sotw) -> None:
    """The route cannot be removed; while the client asks for it, it may use its cluster."""
    sotw.offer(kit.cluster("a"), kit.route("r", "1", "a"))
    sotw.want(kit.C)
    sotw.want(kit.R, "r", "s")
    sotw.settle(Route=("r", "s"))
    nonce = sotw.stream._session.ledgers[kit.R].last_nonce
    sotw.offer()
    assert sotw.sent() == []
    sotw.want(kit.R, "s", nonce=nonce)
    assert sotw.sent() == [(kit.C, [], [])]


def test_a_set_version_depends_on_names_and_versions_only(kit) -> None:
    """So it survives a restart of the server."""
    assert set_version([kit.cluster("a")]) == set_version([kit.cluster("a")])
    assert set_version([kit.cluster("a")]) != set_version([kit.cluster("a", "2")]) != set_version([kit.cluster("b")])


def test_x38_a_full_set_refused_for_what_it_repeats_is_sent_again_without_it(kit, sotw) -> None:
    """Two sets in flight carry the bad cluster; the second one's new cluster is not refused with it."""
    sotw.want(kit.C)
    sotw.offer(kit.cluster("bad"))
    sotw.sent()
    first = sotw.responses[0]
    sotw.offer(kit.cluster("bad"), kit.cluster("new"))
    sotw.sent()
    second = sotw.responses[0]
    sotw.answer(first, "cluster bad: no")
    sotw.answer(second, "cluster bad: no")
    assert sotw.stream.dump()["types"][kit.C]["refused"] == {"bad": "1"}
    assert sotw.sent() == [(kit.C, ["new@1"], [])]
    sotw.answer(sotw.responses[0])
    sotw.want(kit.R, "r")
    sotw.offer(kit.cluster("bad"), kit.cluster("new"), kit.route("r", "1", "new"))
    assert sotw.sent() == [(kit.R, ["r@1"], [])]
