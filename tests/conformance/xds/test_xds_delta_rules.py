"""The rules of delta xDS, each by its number in the conformance list."""

import dataclasses

import pytest

from argosy.xds.messages import ErrorDetail
from argosy.xds.server import Acked, DeltaStream, Nacked, Opened, Settled, Stale


def test_x01_an_unknown_type_is_answered_once_and_breaks_nothing(kit, delta) -> None:
    """A type nobody serves gets one empty answer, and its ACK gets none."""
    delta.offer(kit.cluster("a"))
    delta.ask("type.googleapis.com/none")
    assert delta.sent() == [("type.googleapis.com/none", [], [])]
    delta.answer(delta.responses[0])
    assert delta.sent() == []


def test_x02_the_node_comes_once_and_stays(kit, delta) -> None:
    """Only the first request needs a node; a later one does not change who this is."""
    delta.ask(kit.C, node=b"first")
    delta.ask(kit.E, "a")
    delta.ask(kit.L, node=b"other")
    assert delta.events(Opened) == [Opened(b"first")]


def test_x03_every_nonce_is_new_on_the_stream_and_names_the_stream(kit, delta) -> None:
    """Nonces differ on a stream, and from those of other streams by the stream's id."""
    delta.ask(kit.C)
    nonces = []
    for version in "123":
        delta.offer(kit.cluster("a", version))
        delta.sent()
        nonces += [response.nonce for response in delta.responses]
    assert nonces == ["s-1", "s-2", "s-3"]


def test_x06_a_refused_version_is_never_sent_again_and_a_new_one_is(kit, delta) -> None:
    """After a NACK nothing is sent until the resource changes; then the new version is; the error is kept till then."""
    delta.offer(kit.cluster("a"))
    delta.ask(kit.C)
    delta.sent()
    delta.answer(delta.responses[0], "cluster a: bad")
    assert delta.events(Nacked) == [Nacked(kit.C, "s-1", ("a",), {"a": "1"}, ErrorDetail(13, "cluster a: bad"))]
    assert delta.sent() == []
    delta.offer(kit.cluster("a"), kit.cluster("b"))
    assert delta.sent() == [(kit.C, ["b@1"], [])]
    assert delta.stream.dump()["types"][kit.C]["last_error"] == {"code": 13, "message": "cluster a: bad"}
    delta.answer(delta.responses[0])
    assert delta.stream.dump()["types"][kit.C]["last_error"] is not None, "a is as bad as before"
    delta.offer(kit.cluster("a", "2"), kit.cluster("b"))
    assert delta.sent() == [(kit.C, ["a@2"], [])]
    delta.answer(delta.responses[0])
    assert delta.stream.dump()["types"][kit.C]["last_error"] is None


def test_x06_a_refusal_that_comes_late_still_counts(kit, delta) -> None:
    """2 is refused after 3 was sent; when the world returns to 2, it is not sent again."""
    delta.ask(kit.C)
    sent = []
    for version in "123":
        delta.offer(kit.cluster("a", version))
        delta.sent()
        sent += delta.responses
    delta.answer(sent[0])
    delta.answer(sent[1], "a is bad")
    delta.answer(sent[2])
    delta.offer(kit.cluster("a", "2"))
    assert delta.sent() == []


def test_x09_an_ack_is_not_answered_and_an_equal_world_is_silent(kit, delta) -> None:
    """No response for an ACK, none for a snapshot that equals the last."""
    delta.offer(kit.cluster("a"))
    delta.ask(kit.C)
    delta.sent()
    delta.answer(delta.responses[0])
    assert delta.sent() == []
    delta.offer(kit.cluster("a"))
    assert delta.sent() == []


def test_x12_nothing_is_sent_before_there_is_a_world(kit, delta) -> None:
    """A cold server is silent: an empty answer could delete what the client has."""
    delta.ask(kit.C, held={"a": "1"})
    delta.ask(kit.L)
    assert delta.sent() == []
    assert delta.events(Settled) == []
    delta.offer(kit.cluster("a"), kit.listener("l"))
    assert delta.sent() == [(kit.L, ["l@1"], [])]


def test_x15_delta_wildcard_in_four_steps(kit, delta) -> None:
    """Nothing named means all; naming A keeps all; dropping * keeps A; dropping A keeps nothing."""
    delta.offer(kit.cluster("a"), kit.cluster("b"))
    delta.ask(kit.C)
    assert delta.sent() == [(kit.C, ["a@1", "b@1"], [])]
    delta.answer(delta.responses[0])
    delta.ask(kit.C, "a")
    assert delta.sent() == [(kit.C, ["a@1"], [])]
    delta.answer(delta.responses[0])
    delta.ask(kit.C, drop=("*",))
    delta.offer(kit.cluster("a", "2"), kit.cluster("b", "2"))
    assert delta.sent() == [(kit.C, ["a@2"], [])]
    delta.answer(delta.responses[0])
    delta.ask(kit.C, drop=("a",))
    delta.offer(kit.cluster("a", "3"), kit.cluster("b", "3"))
    assert delta.sent() == []


def test_x15_a_first_request_with_names_never_becomes_a_wildcard(kit, delta) -> None:
    """Later requests without names change nothing."""
    delta.offer(kit.cluster("a"), kit.cluster("b"))
    delta.ask(kit.C, "a")
    delta.settle()
    delta.ask(kit.C)
    assert delta.sent() == []


def test_x17_a_name_asked_for_early_is_sent_when_it_comes_to_exist(kit, delta) -> None:
    """The subscription is remembered, after the absence has been told."""
    delta.offer(kit.cluster("a"))
    delta.ask(kit.E, "a")
    assert delta.sent() == [(kit.E, [], ["a"])]
    delta.answer(delta.responses[0])
    delta.offer(kit.cluster("a"), kit.endpoints("a"), precise=True)
    assert delta.sent() == [(kit.E, ["a@1"], [])]


def test_x20_types_have_nonces_and_answers_of_their_own(kit, delta) -> None:
    """An answer to one type says nothing about another."""
    delta.offer(kit.cluster("a"), kit.listener("l"))
    delta.ask(kit.C)
    delta.ask(kit.L)
    assert delta.sent() == [(kit.C, ["a@1"], []), (kit.L, ["l@1"], [])]
    delta.answer(delta.responses[1])
    assert [event.type_url for event in delta.events(Acked)] == [kit.L]


def test_x21_x23_a_route_waits_for_its_cluster_and_nothing_else_waits(kit, delta) -> None:
    """Clusters and endpoints go first; the route that needs the new cluster comes after its ACK, others at once."""
    delta.offer()
    delta.ask(kit.C)
    delta.ask(kit.R, "r", "free")
    delta.settle()
    delta.offer(kit.cluster("a"), kit.route("r", "1", "a"), kit.route("free"))
    assert delta.sent() == [(kit.C, ["a@1"], []), (kit.R, ["free@1"], [])]
    for_cluster, for_route = delta.responses
    delta.answer(for_route)
    assert delta.sent() == []
    delta.answer(for_cluster)
    assert delta.sent() == [(kit.R, ["r@1"], [])]


def test_x22_a_cluster_goes_after_the_route_that_used_it_is_gone(kit, delta) -> None:
    """Removals run against the order: the route, its ACK, then the cluster."""
    delta.offer(kit.cluster("a"), kit.route("r", "1", "a"))
    delta.ask(kit.C)
    delta.ask(kit.R, "r")
    delta.settle()
    delta.offer()
    assert delta.sent() == [(kit.R, [], ["r"])]
    delta.answer(delta.responses[0])
    assert delta.sent() == [(kit.C, [], ["a"])]


def test_x22_a_swap_adds_moves_and_only_then_removes(kit, delta) -> None:
    """A route that moves from a to b: b, then the route, then a's end, each after the ACK of the one before."""
    delta.offer(kit.cluster("a"), kit.route("r", "1", "a"))
    delta.ask(kit.C)
    delta.ask(kit.R, "r")
    delta.settle()
    delta.offer(kit.cluster("b"), kit.route("r", "2", "b"))
    steps = []
    while sent := delta.sent():
        steps += sent
        for response in delta.responses:
            delta.answer(response)
    assert steps == [(kit.C, ["b@1"], []), (kit.R, ["r@2"], []), (kit.C, [], ["a"])]


def test_x23_a_refused_cluster_keeps_the_old_routes_alive(kit, delta) -> None:
    """The new cluster is refused: the new route is never sent, and the old cluster is never removed."""
    delta.offer(kit.cluster("a"), kit.route("r", "1", "a"))
    delta.ask(kit.C)
    delta.ask(kit.R, "r")
    delta.settle()
    delta.offer(kit.cluster("b"), kit.route("r", "2", "b"))
    delta.sent()
    delta.answer(delta.responses[0], "b: no")
    delta.now = 1000.0
    assert delta.sent() == []


def test_x24_endpoints_follow_every_cluster_that_is_sent(kit, delta) -> None:
    """Equal endpoints are sent again after a changed cluster, without waiting for the cluster's ACK."""
    delta.offer(kit.cluster("a"), kit.endpoints("a"), kit.cluster("b"), kit.endpoints("b"))
    delta.ask(kit.C)
    delta.ask(kit.E, "a", "b")
    delta.settle()
    delta.offer(kit.cluster("a", "2"), kit.endpoints("a"), kit.cluster("b"), kit.endpoints("b"), precise=True)
    assert delta.sent() == [(kit.C, ["a@2"], []), (kit.E, ["a@1"], [])]


def test_x24_after_a_reconnect_endpoints_follow_a_cluster_sent_before_they_were_restated(kit, delta) -> None:
    """The cluster goes out before the client has named its endpoints; they are current, and yet sent."""
    delta.offer(kit.cluster("a", "2"), kit.endpoints("a"))
    delta.ask(kit.C, held={"a": "1"})
    assert delta.sent() == [(kit.C, ["a@2"], [])]
    delta.ask(kit.E, "a", held={"a": "1"})
    assert delta.sent() == [(kit.E, ["a@1"], [])]


def test_x27_a_reconnect_brings_only_differences_and_removals(kit, delta) -> None:
    """Current versions are not sent again; what is gone is removed once the client had time to state the rest."""
    delta.offer(kit.cluster("a"), kit.cluster("b", "2"), kit.listener("l"))
    delta.ask(kit.C, held={"a": "1", "b": "1", "gone": "1"})
    delta.ask(kit.L, held={"l": "1"})
    assert delta.sent() == [(kit.C, ["b@2"], [])]
    assert delta.stream.next_due() == kit.RULES.restate_s
    delta.now = kit.RULES.restate_s
    assert delta.sent() == [(kit.C, [], ["gone"])]
    assert delta.stream.next_due() is None


def test_x27_a_removal_after_a_reconnect_waits_for_routes_of_unknown_content(kit, delta) -> None:
    """An old route may need the cluster; it is replaced and acknowledged first."""
    delta.offer(kit.route("r", "2"))
    delta.ask(kit.C, held={"a": "1"})
    delta.ask(kit.R, "r", held={"r": "1"})
    delta.now = 10.0
    assert delta.sent() == [(kit.R, ["r@2"], [])]
    delta.answer(delta.responses[0])
    assert delta.sent() == [(kit.C, [], ["a"])]


def test_x27_versions_stated_without_names_count_as_asked_for(kit, delta) -> None:
    """A client that names one and holds two is subscribed to both."""
    delta.offer(kit.endpoints("a"), kit.endpoints("b"))
    delta.ask(kit.E, "a", held={"b": "0"})
    assert delta.sent() == [(kit.E, ["a@1", "b@1"], [])]


def test_x27_a_reconnect_with_everything_current_is_silent_and_settled(kit, delta) -> None:
    """Nothing to say, and the client is known to run the snapshot, once it could state its other types too."""
    delta.offer(kit.cluster("a"))
    delta.ask(kit.C, held={"a": "1"})
    assert delta.sent() == []
    assert delta.events(Settled) == []
    delta.now = kit.RULES.restate_s
    assert delta.sent() == []
    assert delta.events(Settled) == [Settled(1)]


def test_x28_a_new_stream_knows_no_subscription_of_the_old_one(kit, delta) -> None:
    """The server sends nothing that this stream has not asked for."""
    delta.offer(kit.cluster("a"), kit.endpoints("a"))
    delta.ask(kit.C)
    assert delta.sent() == [(kit.C, ["a@1"], [])]


def test_x29_asking_again_for_a_held_name_brings_it_again(kit, delta) -> None:
    """Subscribing is a question and gets an answer."""
    delta.offer(kit.endpoints("a"))
    delta.ask(kit.E, "a")
    delta.settle()
    delta.ask(kit.E, "a")
    assert delta.sent() == [(kit.E, ["a@1"], [])]


def test_x30_unsubscribing_is_silent_except_under_a_wildcard(kit, delta) -> None:
    """Unknown names are ignored; a known one that `*` still covers is sent, or told as absent."""
    delta.offer(kit.cluster("a"), kit.endpoints("a"))
    delta.ask(kit.E, "a")
    delta.ask(kit.C, "*", "a", "ghost")
    delta.settle()
    delta.ask(kit.E, drop=("a", "unknown"))
    assert delta.sent() == []
    delta.ask(kit.C, drop=("unknown",))
    assert delta.sent() == []
    delta.ask(kit.C, drop=("a", "ghost"))
    assert delta.sent() == [(kit.C, ["a@1"], []), (kit.C, [], ["ghost"])]


def test_x31_a_stale_nonce_does_not_drop_subscription_changes(kit, delta) -> None:
    """The answer is ignored and noted; the names count."""
    delta.offer(kit.endpoints("a"), kit.endpoints("b"))
    delta.ask(kit.E, "a")
    delta.settle()
    delta.ask(kit.E, "b", response_nonce="of another stream")
    assert delta.sent() == [(kit.E, ["b@1"], [])]
    assert delta.events(Stale) == [Stale(kit.E, "of another stream")]


def test_x32_an_absent_name_is_told_at_once(kit, delta) -> None:
    """In `removed_resources`, beside what exists."""
    delta.offer(kit.endpoints("a"))
    delta.ask(kit.E, "a", "none")
    assert delta.sent() == [(kit.E, ["a@1"], []), (kit.E, [], ["none"])]


def test_x33_a_request_without_a_nonce_acknowledges_nothing(kit, delta) -> None:
    """Even with an error in it: it answers no response."""
    delta.offer(kit.cluster("a"))
    delta.ask(kit.C)
    delta.sent()
    delta.ask(kit.C, error_detail=ErrorDetail(13, "a"))
    assert delta.events(Acked) == [] == delta.events(Nacked)
    assert delta.stream.dump()["types"][kit.C]["refused"] == {}


def test_x34_an_alias_is_answered_by_the_canonical_name(kit, delta) -> None:
    """Asked by alias, sent by name; updated and removed by name."""
    delta.offer(kit.route("r/svc", "1", aliases=("r/svc.ns", "r/svc:80")))
    delta.ask(kit.R, "r/svc:80")
    assert delta.sent() == [(kit.R, ["r/svc@1"], [])]
    delta.answer(delta.responses[0])
    delta.offer(kit.route("r/svc", "2", aliases=("r/svc.ns", "r/svc:80")), precise=True)
    assert delta.sent() == [(kit.R, ["r/svc@2"], [])]
    delta.answer(delta.responses[0])
    delta.offer(precise=True)
    assert delta.sent() == [(kit.R, [], ["r/svc"])]


def test_x34_a_resource_that_comes_with_the_alias_answers_an_earlier_question(kit, delta) -> None:
    """The alias was absent when it was asked for."""
    delta.offer()
    delta.ask(kit.R, "alias")
    delta.settle()
    delta.offer(kit.route("r", "1", aliases=("alias",)), precise=True)
    assert delta.sent() == [(kit.R, ["r@1"], [])]


def test_x37_a_type_that_is_never_removed_is_told_of_no_removal(kit) -> None:
    """Neither of one that went nor of one that never was; the stream still settles."""
    rig = kit.Rig(DeltaStream, dataclasses.replace(kit.RULES, never_removed=frozenset((kit.E,))))
    rig.offer(kit.endpoints("a"))
    rig.ask(kit.E, "a", "none")
    assert rig.sent() == [(kit.E, ["a@1"], [])]
    rig.answer(rig.responses[0])
    rig.offer()
    assert rig.sent() == []
    assert rig.events(Settled) == [Settled(2)]


def test_x38_of_a_partly_refused_response_the_rest_is_sent_again(kit, delta) -> None:
    """It may not have been applied; then its route goes out. A client without any route is not kept waiting for what it
    refused: it would serve nothing."""
    delta.offer(kit.cluster("good"), kit.cluster("bad"), kit.route("g", "1", "good"), kit.route("b", "1", "bad"))
    delta.ask(kit.C)
    delta.ask(kit.R, "g", "b")
    delta.sent()
    delta.answer(delta.responses[0], "Error adding/updating cluster(s) bad: no such filter")
    assert delta.sent() == [(kit.C, ["good@1"], []), (kit.R, ["b@1"], [])]
    delta.answer(delta.responses[0])
    assert delta.sent() == [(kit.R, ["g@1"], [])]
    assert delta.stream.dump()["types"][kit.C]["last_error"]["message"].startswith("Error adding"), "bad is still bad"


def test_a_held_route_is_kept_while_its_new_cluster_is_refused(kit, delta) -> None:
    """The client has something better than a route that leads nowhere: its last good one."""
    delta.offer(kit.cluster("good"), kit.route("r", "1", "good"))
    delta.ask(kit.C)
    delta.ask(kit.R, "r")
    delta.sent()
    delta.answer(delta.responses[0])
    assert delta.sent() == [(kit.R, ["r@1"], [])]
    delta.answer(delta.responses[0])
    delta.offer(kit.cluster("good"), kit.cluster("bad"), kit.route("r", "2", "bad"))
    assert delta.sent() == [(kit.C, ["bad@1"], [])]
    delta.answer(delta.responses[0], "Error adding/updating cluster(s) bad: no such filter")
    assert delta.sent() == []


def test_x38_what_may_have_been_applied_of_a_refused_response_keeps_what_it_names(kit, delta) -> None:
    """The route was in a refused response: it may be in use, with its cluster, until the next answer tells."""
    delta.offer(kit.cluster("new"))
    delta.ask(kit.C)
    delta.ask(kit.R, "r", "bad")
    delta.settle()
    delta.offer(kit.cluster("new"), kit.route("r", "1", "new"), kit.route("bad"))
    delta.sent()
    delta.offer(kit.route("bad"))
    delta.answer(delta.responses[0], "bad: no")
    assert delta.sent() == [(kit.R, [], ["r"])]
    delta.answer(delta.responses[0])
    assert delta.sent() == [(kit.C, [], ["new"])]


def test_x38_a_good_version_in_a_refused_response_is_made_sure_of_when_the_world_went_back(kit, delta) -> None:
    """Version 2 may have been applied; so version 1, which the server had an ACK for, is sent again."""
    delta.offer(kit.cluster("a"), kit.cluster("b"))
    delta.ask(kit.C)
    delta.settle()
    delta.offer(kit.cluster("a", "2"), kit.cluster("b", "2"))
    delta.sent()
    delta.offer(kit.cluster("a"), kit.cluster("b", "2"))
    delta.sent()
    first = delta.responses[0]
    delta.answer(first)
    delta.offer(kit.cluster("a", "2"), kit.cluster("b", "3"))
    delta.sent()
    second = delta.responses[0]
    delta.offer(kit.cluster("a"), kit.cluster("b", "3"))
    delta.answer(second, "b: no")
    assert delta.sent() == [(kit.C, ["a@1"], [])]


def test_x38_what_was_applied_of_a_refused_response_is_sent_again_after_a_reconnect(kit, delta) -> None:
    """Envoy does not list it then; not listed means unknown."""
    delta.offer(kit.cluster("good"), kit.cluster("old"))
    delta.ask(kit.C, held={"old": "1"})
    assert delta.sent() == [(kit.C, ["good@1"], [])]


def test_x41_several_offers_merge_into_one_push(kit, delta) -> None:
    """The newest version of each goes, once; what came and went in between is never seen."""
    delta.ask(kit.C)
    delta.offer(kit.cluster("a", "1"))
    delta.offer(kit.cluster("a", "2"), kit.cluster("brief"), precise=True)
    delta.offer(kit.cluster("a", "3"), precise=True)
    assert delta.sent() == [(kit.C, ["a@3"], [])]


def test_x45_resources_come_in_the_order_of_their_names(kit, delta) -> None:
    """Whatever the order of the snapshot's map."""
    delta.offer(*(kit.cluster(name) for name in "dbca"))
    delta.ask(kit.C)
    assert delta.sent() == [(kit.C, ["a@1", "b@1", "c@1", "d@1"], [])]


def test_x46_a_refused_type_does_not_stop_the_others(kit, delta) -> None:
    """Listeners are refused; clusters go on."""
    delta.offer(kit.cluster("a"), kit.listener("l"))
    delta.ask(kit.C)
    delta.ask(kit.L)
    delta.sent()
    delta.answer(delta.responses[1], "l: no")
    delta.offer(kit.cluster("a", "2"), kit.listener("l"))
    assert delta.sent() == [(kit.C, ["a@2"], [])]


@pytest.mark.parametrize("held, expected", [({}, [("E", [], [])]), ({"a": "1"}, [])])
def test_a_first_request_is_answered_even_if_there_is_nothing(kit, delta, held, expected) -> None:
    """A client waits for a first answer; on a reconnect with everything current it does not."""
    delta.offer(*(kit.endpoints(name) for name in held))
    delta.ask(kit.E, held=held)
    assert delta.sent() == [(kit.E, sent, removed) for _, sent, removed in expected]


def test_a_type_that_is_only_named_is_first_answered_with_a_marker(kit) -> None:
    """Some on-demand types take no empty response for an answer; a removed name that never was is one."""
    rules = dataclasses.replace(kit.RULES, named_only=frozenset((kit.R,)), empty_answers={kit.R: "__none__"})
    rig = kit.Rig(DeltaStream, rules)
    rig.offer(kit.route("r"))
    rig.ask(kit.R)
    assert rig.sent() == [(kit.R, [], ["__none__"])]
    rig.answer(rig.responses[0])
    rig.ask(kit.R, "r")
    assert rig.sent() == [(kit.R, ["r@1"], [])]
