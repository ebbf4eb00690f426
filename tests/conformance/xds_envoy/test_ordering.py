"""X21, X22, X23: make before break, as the requests through Envoy see it."""

from __future__ import annotations

import asyncio

import pytest

from argosy.pilot.build.resource import CLUSTER, ROUTE
from argosy.xds.messages import ResourceRef
from argosy.xds.server import Acked, Held, Nacked

from . import shapes
from .rig import Rig, ask, backend, load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SWAPS = 300
RATE = 150
PACE_S = 0.015  # of swaps: they overtake each other, as in a mesh


async def test_x21_x22_requests_never_meet_a_missing_cluster_while_routes_move(rig: Rig) -> None:
    """Every swap adds a cluster, moves all routes to it and removes the one before, under load: nothing fails.

    A route that is ahead of its cluster gives 503 NC, and so does one that outlives it.
    """
    async with backend("a") as port:
        offer_route(rig, 0, port)
        listening = await rig.until_listening("in")
        async with load(listening, RATE) as answers:
            number = 0
            # Where Envoy is slow, more of them overtake each other: so many must have reached it by themselves.
            while number < SWAPS or await rig.stat("cluster_manager.cluster_added") <= SWAPS / 10:
                number += 1
                offer_route(rig, number, port)
                await asyncio.sleep(PACE_S)
            await rig.script.settled()
        await rig.until_stat("cluster_manager.active_clusters", 2)
        assert answers.keys() == {"200 a"}, answers
        assert answers.total() > SWAPS * PACE_S * RATE / 2
        stats = await rig.stats()
        assert stats["http.in.no_cluster"] == 0
        assert set(await rig.clusters()) == {f"c{number}"}
        assert rig.script.of(Nacked) == []
        assert rig.script.of(Held) == []


def offer_route(rig: Rig, number: int, port: int) -> None:
    name = f"c{number}"
    rig.script.offer(
        shapes.cluster(name), shapes.endpoints(name, port), shapes.listener("in"), shapes.route("route", name)
    )


async def test_x22_connections_never_meet_a_missing_cluster_while_a_listener_moves(rig: Rig) -> None:
    """A listener that names its cluster itself is as much a user of it as a route: no connection is dropped."""
    async with backend("a") as port:
        offer_listener(rig, 0, port)
        listening = await rig.until_listening("in")
        async with load(listening, RATE) as answers:
            for number in range(1, SWAPS // 5 + 1):
                offer_listener(rig, number, port)
                await rig.script.settled()
        assert answers.keys() == {"200 a"}, answers
        assert rig.script.of(Nacked) == []
        assert set(await rig.clusters()) == {f"c{SWAPS // 5}"}


def offer_listener(rig: Rig, number: int, port: int) -> None:
    name = f"c{number}"
    rig.script.offer(shapes.cluster(name), shapes.endpoints(name, port), shapes.tcp_listener("in", name))


@pytest.mark.parametrize("variant", ["delta"], indirect=True)
async def test_x21_x22_requests_never_meet_a_missing_cluster_while_virtual_hosts_move(rig: Rig) -> None:
    """Virtual hosts as resources of their own, as sidecars get them: each waits for its clusters by itself.

    One that names a refused cluster does not hold the others back.
    """
    async with backend("a") as port:
        offer_hosts(rig, 0, port)
        listening = await rig.until_listening("in")
        async with load(listening, RATE) as answers:
            for number in range(1, SWAPS // 3 + 1):
                offer_hosts(rig, number, port)
                await asyncio.sleep(PACE_S)
            await rig.until(lambda: has_only(rig, f"c{SWAPS // 3}"), "the last cluster, alone")
        assert answers.keys() == {"200 a"}, answers
        assert {name for event in rig.script.of(Nacked) for name in event.names} == {"bad"}


def offer_hosts(rig: Rig, number: int, port: int) -> None:
    name = f"c{number}"
    rig.script.offer(
        shapes.cluster(name),
        shapes.bad_cluster("bad"),
        shapes.endpoints(name, port),
        shapes.listener("in"),
        shapes.route_head("route"),
        shapes.virtual_host("route/bad", "bad", "bad"),
        shapes.virtual_host("route/all", "*", name),
    )


async def has_only(rig: Rig, name: str) -> bool:
    return set(await rig.clusters()) == {name}


async def test_x21_the_order_on_the_wire_is_clusters_endpoints_listeners_routes(rig: Rig) -> None:
    """What Envoy acknowledges first it has been given first; a removed cluster comes last of all."""
    async with backend("a") as port:
        offer_route(rig, 0, port)
        await rig.script.settled()
        rig.script.forget()
        offer_route(rig, 1, port)
        await rig.script.settled()
        steps = [
            (event.type_url, name, version is not None)
            for event in rig.script.of(Acked)
            for name, version in event.versions.items()
            if event.type_url in (CLUSTER, ROUTE)
        ]
        assert steps == [(CLUSTER, "c1", True), (ROUTE, "route", True), (CLUSTER, "c0", False)]


async def test_x23_a_route_is_not_sent_before_its_cluster_was_acknowledged(rig: Rig) -> None:
    """Envoy does not warm routes: one to a refused cluster waits, while the old one and its cluster serve on."""
    async with backend("old") as old, backend("new") as new:
        before = (shapes.cluster("old"), shapes.endpoints("old", old), shapes.listener("in"))
        rig.script.offer(*before, shapes.route("route", "old"))
        listening = await rig.until_listening("in")
        rig.script.offer(shapes.listener("in"), shapes.bad_cluster("new"), shapes.route("route", "new"))
        await rig.script.until(lambda: rig.script.of(Nacked), "the cluster is refused")
        assert await ask(listening) == "200 old"
        session = rig.session()
        assert session["types"][ROUTE]["held_back"] == {"route": [f"{CLUSTER} new"]}
        assert "old" in await rig.clusters()

        rig.script.offer(
            shapes.listener("in"), shapes.cluster("new"), shapes.endpoints("new", new), shapes.route("route", "new")
        )
        await rig.script.settled()
        assert await ask(listening) == "200 new"
        assert ResourceRef(CLUSTER, "old") not in {ResourceRef(CLUSTER, name) for name in await rig.clusters()}
