"""Parts of a resource: virtual hosts are taken in only by a client that has their route configuration."""

from __future__ import annotations

from argosy.xds.messages import Changes, DeltaRequest, DeltaResponse, Resource, Snapshot
from argosy.xds.server import DeltaStream, Interner, Rules

ROUTE, PART = "type.example/Route", "type.example/Part"
RULES = Rules(order=(ROUTE, PART), parts={ROUTE: PART})


def resource(type_url: str, name: str, version: str = "1") -> Resource:
    return Resource(type_url, name, version, b"body")


def snapshot(number: int, *resources: Resource) -> Snapshot:
    by_type: dict[str, dict[str, Resource]] = {ROUTE: {}, PART: {}}
    for one in resources:
        by_type[one.type_url][one.name] = one
    return Snapshot(number, by_type)


def drain(stream: DeltaStream) -> list[DeltaResponse]:
    sent = stream.outbox(0.0)
    for response in sent:
        stream.receive(DeltaRequest(response.type_url, response_nonce=response.nonce), 0.0)
    return sent


def names(sent: list[DeltaResponse]) -> list[list[str]]:
    return [[one.name for one in response.resources] for response in sent]


def started(*resources: Resource) -> DeltaStream:
    stream = DeltaStream(RULES, Interner())
    stream.offer(snapshot(1, *resources), None)
    stream.receive(DeltaRequest(ROUTE, ("80", "90")), 0.0)
    drain(stream)
    stream.receive(DeltaRequest(PART), 0.0)
    drain(stream)
    return stream


def test_parts_of_a_route_that_comes_again_are_sent_again_after_it() -> None:
    a, b, c = resource(ROUTE, "80"), resource(PART, "80/a"), resource(PART, "90/c")
    stream = started(a, b, c)
    stream.receive(DeltaRequest(ROUTE, ("80",)), 0.0)
    assert names(drain(stream)) == [["80"], ["80/a"]]


def test_parts_sent_before_their_route_are_sent_again_with_it() -> None:
    a, b, c = resource(ROUTE, "80"), resource(PART, "80/a"), resource(PART, "90/c")
    stream = started(a, b, c)
    stream.offer(snapshot(2, a, b, c, resource(ROUTE, "90")), Changes(1, {ROUTE: frozenset({"90"})}))
    assert names(drain(stream)) == [["90"], ["90/c"]]


def test_one_changed_part_is_sent_alone() -> None:
    a, b, c = resource(ROUTE, "80"), resource(PART, "80/a"), resource(PART, "80/c")
    stream = started(a, b, c)
    stream.offer(snapshot(2, a, b, resource(PART, "80/c", "2")), Changes(1, {PART: frozenset({"80/c"})}))
    assert names(drain(stream)) == [["80/c"]]
