"""The delta stream's bounds: bytes, chunks, memory, work per change; and what it reports."""

import gc
import tracemalloc
from dataclasses import replace

from argosy.xds.messages import Changes, DeltaRequest, ErrorDetail, Resource, ResourceRef, Snapshot, changes_between
from argosy.xds.server import DeltaStream, Held, Interner, Nacked, Rules, Settled, Stuck, Subscribed, Unsubscribed
from argosy.xds.wire import encode_delta_response

C, E, R = "t/cluster", "t/endpoints", "t/route"
RULES = Rules(order=(C, E, R))


def resources(kind: str, count: int, version: str = "1", size: int = 10) -> dict[str, Resource]:
    return {f"n{i:05}": Resource(kind, f"n{i:05}", version, b"x" * size) for i in range(count)}


def settle(stream: DeltaStream) -> None:
    while responses := stream.outbox(0.0):
        for response in responses:
            stream.receive(DeltaRequest(response.type_url, response_nonce=response.nonce), 0.0)


def test_a_push_is_cut_into_responses_within_the_limit() -> None:
    stream = DeltaStream(RULES, Interner())
    stream.offer(Snapshot(1, {C: resources(C, 100, size=1000)}), None)
    stream.receive(DeltaRequest(C), 0.0)
    seen, calls = [], 0
    while responses := stream.outbox(0.0, 10_000):
        calls += 1
        assert sum(len(encode_delta_response(r)) for r in responses) < 20_000
        for response in responses:
            assert len(encode_delta_response(response)) <= 10_000
            seen += [r.name for r in response.resources]
    assert seen == sorted(resources(C, 100))
    assert calls >= 6


def test_a_resource_above_the_limit_goes_alone() -> None:
    stream = DeltaStream(RULES, Interner())
    stream.offer(Snapshot(1, {C: resources(C, 2, size=5000)}), None)
    stream.receive(DeltaRequest(C), 0.0)
    assert [len(r.resources) for r in stream.outbox(0.0, 1000)] == [1]
    assert [len(r.resources) for r in stream.outbox(0.0, 1000)] == [1]


def test_a_settled_stream_costs_little_memory() -> None:
    """Clients of one class with 2,000 clusters, endpoints and routes each: under 20 KB for each further stream."""
    world = Snapshot(1, {kind: resources(kind, 2000) for kind in (C, E, R)})
    interner = Interner()

    def connect() -> DeltaStream:
        stream = DeltaStream(RULES, interner)
        stream.offer(world, None)
        stream.receive(DeltaRequest(C), 0.0)
        stream.receive(DeltaRequest(E, tuple(f"n{i:05}" for i in range(2000))), 0.0)
        stream.receive(DeltaRequest(R), 0.0)
        settle(stream)
        assert stream.events()[-1] == Settled(1)
        return stream

    streams = [connect()]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        streams += [connect() for _ in range(100)]
        gc.collect()
        per_stream = (tracemalloc.get_traced_memory()[0] - before) / 100
    finally:
        tracemalloc.stop()
    assert per_stream < 20_000, per_stream
    assert len(interner) <= 2  # one shared set, and the empty one


class CountingMap(dict):
    """A map that counts how often it is looked into."""

    looks = 0

    def get(self, *args):
        CountingMap.looks += 1
        return super().get(*args)

    def __iter__(self):
        raise AssertionError("walked the whole map")

    keys = items = values = __iter__


def test_an_offer_of_one_change_does_not_walk_the_world() -> None:
    stream = DeltaStream(RULES, Interner())
    stream.offer(Snapshot(1, {C: resources(C, 2000), E: resources(E, 2000)}), None)
    stream.receive(DeltaRequest(C), 0.0)
    stream.receive(DeltaRequest(E), 0.0)
    settle(stream)
    changed = CountingMap(resources(C, 2000))
    changed["n00007"] = Resource(C, "n00007", "2", b"")
    CountingMap.looks = 0
    stream.offer(Snapshot(2, {C: changed, E: CountingMap(resources(E, 2000))}), Changes(1, {C: frozenset({"n00007"})}))
    responses = stream.outbox(0.0)
    assert [[r.name for r in response.resources] for response in responses] == [["n00007"]]
    assert CountingMap.looks < 20


def test_changes_that_start_after_the_last_offer_are_not_trusted() -> None:
    """A stream that missed a snapshot compares everything."""
    one, two, three = (
        Snapshot(n, {C: {"a": Resource(C, "a", v, b""), "b": Resource(C, "b", w, b"")}})
        for n, v, w in ((1, "1", "1"), (2, "2", "1"), (3, "2", "2"))
    )
    stream = DeltaStream(RULES, Interner())
    stream.offer(one, None)
    stream.receive(DeltaRequest(C), 0.0)
    settle(stream)
    stream.offer(three, changes_between(two, three))
    assert [[r.ref.name for r in response.resources] for response in stream.outbox(0.0)] == [["a", "b"]]


def test_a_change_held_back_for_long_is_reported_once_and_kept() -> None:
    stream = DeltaStream(replace(RULES, hold_timeout_s=15.0), Interner())
    route = Resource(R, "r", "1", b"", requires=(ResourceRef(C, "a"),))
    stream.offer(Snapshot(1, {C: {"a": Resource(C, "a", "1", b"")}, R: {"r": route}}), None)
    stream.receive(DeltaRequest(C), 0.0)
    stream.receive(DeltaRequest(R, ("r",)), 0.0)
    cluster = stream.outbox(2.0)
    assert stream.next_due() == 17.0
    assert stream.outbox(16.9) == []
    assert not [e for e in stream.events() if isinstance(e, Held)]
    assert stream.outbox(17.0) == []
    held = Held(ResourceRef(R, "r"), removal=False, waiting_for=(ResourceRef(C, "a"),))
    assert [e for e in stream.events() if isinstance(e, Held)] == [held]
    assert stream.dump()["types"][R]["held_back"] == {"r": ["t/cluster a"]}
    assert stream.next_due() is None
    stream.receive(DeltaRequest(C, response_nonce=cluster[0].nonce), 20.0)
    assert [r.resources for r in stream.outbox(20.0)] == [(route,)]


def test_a_removal_held_back_names_who_needs_it() -> None:
    """The new route is refused, so the old one keeps its cluster."""
    old = Resource(R, "r", "1", b"", requires=(ResourceRef(C, "a"),))
    stream = DeltaStream(RULES, Interner())
    stream.offer(Snapshot(1, {C: {"a": Resource(C, "a", "1", b"")}, R: {"r": old}}), None)
    stream.receive(DeltaRequest(C), 0.0)
    stream.receive(DeltaRequest(R, ("r",)), 0.0)
    settle(stream)
    stream.offer(Snapshot(2, {R: {"r": Resource(R, "r", "2", b"")}}), None)
    (response,) = stream.outbox(0.0)
    stream.receive(DeltaRequest(R, response_nonce=response.nonce, error_detail=ErrorDetail(13, "r: no")), 0.0)
    stream.outbox(0.0)
    stream.outbox(15.0)
    held = [e for e in stream.events() if isinstance(e, Held)]
    assert held == [Held(ResourceRef(C, "a"), removal=True, waiting_for=(ResourceRef(R, "r"),))]


def test_a_cluster_that_a_route_of_the_snapshot_itself_still_names_is_kept() -> None:
    """The snapshot dangles: the route stays usable at the client."""
    route = Resource(R, "r", "1", b"", requires=(ResourceRef(C, "a"),))
    stream = DeltaStream(RULES, Interner())
    stream.offer(Snapshot(1, {C: {"a": Resource(C, "a", "1", b"")}, R: {"r": route}}), None)
    stream.receive(DeltaRequest(C), 0.0)
    stream.receive(DeltaRequest(R, ("r",)), 0.0)
    settle(stream)
    stream.offer(Snapshot(2, {R: {"r": route}}), None)
    assert stream.outbox(0.0) == []
    stream.outbox(15.0)
    assert [e.waiting_for for e in stream.events() if isinstance(e, Held)] == [(ResourceRef(R, "r"),)]


def test_responses_in_flight_are_bounded_per_type() -> None:
    """A client that reads and never answers is sent no more of that type; changes merge meanwhile."""
    stream = DeltaStream(replace(RULES, in_flight_max=3), Interner())
    stream.receive(DeltaRequest(C), 0.0)
    sent = []
    for number in range(1, 10):
        stream.offer(Snapshot(number, {C: {"a": Resource(C, "a", str(number), b"")}}), None)
        sent += stream.outbox(0.0)
    assert [r.resources[0].version for r in sent] == ["1", "2", "3"]
    stream.receive(DeltaRequest(C, response_nonce=sent[0].nonce), 0.0)
    assert [r.resources[0].version for r in stream.outbox(0.0)] == ["9"]


def test_settled_is_said_once_per_snapshot_and_again_after_new_work() -> None:
    stream = DeltaStream(RULES, Interner())
    stream.offer(Snapshot(1, {C: resources(C, 1)}), None)
    assert stream.events() == []
    stream.receive(DeltaRequest(C), 0.0)
    settle(stream)
    assert stream.events()[-1] == Settled(1)
    assert stream.events() == []
    stream.offer(Snapshot(2, {C: resources(C, 1)}), Changes(1, {}))
    assert stream.events() == [Settled(2)]


def test_what_a_client_refuses_or_waits_for_is_told_once_all_else_is_done() -> None:
    bad, waits = Resource(C, "bad", "2", b""), Resource(R, "r", "1", b"", requires=(ResourceRef(C, "absent"),))
    stream = DeltaStream(replace(RULES, patient=frozenset({R})), Interner())
    first = {C: {"bad": Resource(C, "bad", "1", b"")}, R: {"r": Resource(R, "r", "0", b"")}}
    stream.offer(Snapshot(1, first), None)
    stream.receive(DeltaRequest(C), 0.0)
    stream.receive(DeltaRequest(R), 0.0)
    settle(stream)
    stream.offer(Snapshot(2, {C: {"bad": bad, "good": Resource(C, "good", "1", b"")}, R: {"r": waits}}), None)
    (sent,) = stream.outbox(0.0)
    assert not any(isinstance(one, Stuck) for one in stream.events())
    stream.receive(DeltaRequest(C, response_nonce=sent.nonce, error_detail=ErrorDetail(3, "bad: no")), 0.0)
    settle(stream)
    lacking = frozenset({(bad.ref, "2"), (waits.ref, "1")})
    assert [one for one in stream.events() if isinstance(one, Stuck)] == [Stuck(2, lacking, frozenset({bad.ref}))]
    assert stream.events() == []
    mended = Resource(C, "bad", "3", b"")
    stream.offer(Snapshot(3, {C: {"bad": mended, "absent": Resource(C, "absent", "1", b"")}, R: {"r": waits}}), None)
    settle(stream)
    told = [one for one in stream.events() if isinstance(one, (Stuck, Settled))]
    assert told == [Settled(3)]


def test_what_is_kept_is_not_removed_and_settles_all_the_same() -> None:
    stream = DeltaStream(replace(RULES, kept=lambda ref: ref.name == "own"), Interner())
    own, other = Resource(C, "own", "1", b""), Resource(C, "other", "1", b"")
    stream.offer(Snapshot(1, {C: {"own": own, "other": other}}), None)
    stream.receive(DeltaRequest(C), 0.0)
    settle(stream)
    stream.offer(Snapshot(2, {C: {}}), None)
    (sent,) = stream.outbox(0.0)
    assert sent.removed_resources == ("other",)
    stream.receive(DeltaRequest(C, response_nonce=sent.nonce), 0.0)
    assert stream.events()[-1] == Settled(2)
    # It is sent again when it comes back: nobody kept account of it.
    stream.offer(Snapshot(3, {C: {"own": own}}), None)
    assert [one.name for response in stream.outbox(0.0) for one in response.resources] == ["own"]


def test_what_is_kept_does_not_hold_what_it_required() -> None:
    stream = DeltaStream(replace(RULES, kept=lambda ref: ref.name == "own"), Interner())
    own = Resource(R, "own", "1", b"", requires=(ResourceRef(C, "gone"),))
    stream.offer(Snapshot(1, {C: {"gone": Resource(C, "gone", "1", b"")}, R: {"own": own}}), None)
    stream.receive(DeltaRequest(C), 0.0)
    stream.receive(DeltaRequest(R), 0.0)
    settle(stream)
    stream.offer(Snapshot(2, {C: {}, R: {}}), None)
    settle(stream)
    assert stream.events()[-1] == Settled(2)


def test_what_was_kept_before_a_reconnect_does_not_keep_others() -> None:
    stream = DeltaStream(replace(RULES, kept=lambda ref: ref.name == "own"), Interner())
    stream.offer(Snapshot(1, {C: {}, R: {}}), None)
    stream.receive(DeltaRequest(C, initial_resource_versions={"gone": "1"}), 0.0)
    stream.receive(DeltaRequest(R, initial_resource_versions={"own": "1"}), 0.0)
    (sent,) = stream.outbox(RULES.restate_s + 1)
    assert (sent.type_url, sent.removed_resources) == (C, ("gone",))


def test_subscriptions_are_reported_as_asked() -> None:
    stream = DeltaStream(RULES, Interner())
    stream.receive(DeltaRequest(C), 0.0)
    stream.receive(DeltaRequest(E, ("a", "b")), 0.0)
    stream.receive(DeltaRequest(E, (), ("b",)), 0.0)
    assert stream.events()[1:] == [
        Subscribed(C, ("*",), True),
        Subscribed(E, ("a", "b"), True),
        Unsubscribed(E, ("b",)),
    ]


def test_a_refusal_that_names_nobody_refuses_everything_in_the_response() -> None:
    stream = DeltaStream(RULES, Interner())
    stream.offer(Snapshot(1, {C: resources(C, 2)}), None)
    stream.receive(DeltaRequest(C), 0.0)
    (response,) = stream.outbox(0.0)
    stream.receive(DeltaRequest(C, response_nonce=response.nonce, error_detail=ErrorDetail(13, "it broke")), 0.0)
    assert [e.names for e in stream.events() if isinstance(e, Nacked)] == [("n00000", "n00001")]
    assert stream.outbox(0.0) == []


def test_an_awaited_name_that_may_not_be_removed_yet_is_answered_with_what_is_held() -> None:
    """The client asks again for a cluster that is gone from the world and still needed by its old route."""
    cluster = Resource(C, "a", "1", b"")
    stream = DeltaStream(RULES, Interner())
    route = Resource(R, "r", "1", b"", requires=(cluster.ref,))
    stream.offer(Snapshot(1, {C: {"a": cluster}, R: {"r": route}}), None)
    stream.receive(DeltaRequest(C), 0.0)
    stream.receive(DeltaRequest(R, ("r",)), 0.0)
    settle(stream)
    moved = Resource(R, "r", "2", b"", requires=(ResourceRef(C, "b"),))
    stream.offer(Snapshot(2, {C: {"b": Resource(C, "b", "1", b"")}, R: {"r": moved}}), None)
    stream.receive(DeltaRequest(C, ("a",)), 0.0)
    assert cluster in stream.outbox(0.0)[0].resources


def test_a_client_that_has_all_of_a_further_type_has_settled_again() -> None:
    """After a reconnect it restates type by type; who looks at the last type must hear of it."""
    stream = DeltaStream(RULES, Interner())
    stream.offer(Snapshot(1, {C: resources(C, 1), R: resources(R, 1)}), None)
    for kind in (C, R):
        stream.receive(DeltaRequest(kind), 0.0)
        settle(stream)
        assert stream.events()[-1] == Settled(1)
        assert stream.events() == []


def test_a_client_that_reconnects_has_settled_once_it_could_state_all_that_it_holds() -> None:
    """It states a type that has not changed first; another one, of which it has an old version, comes after that."""
    stream = DeltaStream(RULES, Interner())
    stream.offer(Snapshot(2, {C: resources(C, 1), R: resources(R, 1)}), None)
    stream.receive(DeltaRequest(C, initial_resource_versions={"n00000": "1"}), 0.0)
    settle(stream)
    assert not [one for one in stream.events() if isinstance(one, (Settled, Stuck))]
    stream.receive(DeltaRequest(R, initial_resource_versions={"n00000": "0"}), 0.1)
    settle(stream)
    assert not [one for one in stream.events() if isinstance(one, (Settled, Stuck))]
    due = stream.next_due()
    assert due == 0.1 + RULES.restate_s
    assert stream.outbox(due) == []
    assert stream.events() == [Settled(2)]
    assert stream.next_due() is None
