"""X12, X27, X28, X43, X45: outages of the control plane, and pushes without news, do nothing to traffic."""

from __future__ import annotations

import pytest

from argosy.pilot.build.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from argosy.xds.messages import Resource
from argosy.xds.server import Acked, Nacked, Settled, Subscribed

from . import shapes
from .rig import Rig, ask, backend, load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RATE = 100
WORK = ("cluster_manager.cluster_added", "cluster_manager.cluster_modified", "cluster_manager.cluster_removed")
LISTENERS = ("listener_added", "listener_modified", "listener_removed", "listener_in_place_updated")
DRAINS = ("total_filter_chains_draining", "total_listeners_draining")


def world(port: int, to: str = "a") -> list[Resource]:
    return [shapes.cluster(to), shapes.endpoints(to, port), shapes.listener("in"), shapes.route("route", to)]


async def work_done(rig: Rig) -> dict[str, int]:
    """All that Envoy counts when it applies or drains something."""
    stats = await rig.stats()
    names = (*WORK, *(f"listener_manager.{name}" for name in (*LISTENERS, *DRAINS)))
    return {name: stats[name] for name in (*names, "http.in.rds.route.config_reload")}


async def test_x43_traffic_goes_on_while_the_server_is_away_and_after_it_came_back(rig: Rig) -> None:
    """The last good configuration stays; Envoy comes back by itself and nothing is applied anew."""
    async with backend("a") as port:
        rig.script.offer(*world(port))
        listening = await rig.until_listening("in")
        await rig.script.settled()
        before = await work_done(rig)
        async with load(listening, RATE) as answers:
            await rig.restart_server()
            await rig.until(lambda: is_settled(rig), "settled on the new stream")
        assert answers.keys() == {"200 a"}, answers
        assert await work_done(rig) == before


async def test_x27_x28_a_restarted_server_sends_only_differences(rig: Rig) -> None:
    """What changed during the outage is sent, what went is removed, what stayed is not sent (state of the world: not
    where a type is as it was); all subscriptions are stated anew and work."""
    async with backend("a") as port, backend("b") as other:
        stays = [*world(port), shapes.cluster("b"), shapes.endpoints("b", other), shapes.listener("b", rds="rb")]
        stays.append(shapes.route("rb", "b"))
        rig.script.offer(*stays, shapes.cluster("gone"), shapes.endpoints("gone", other))
        listening = await rig.until_listening("in")
        await rig.script.settled()

        await rig.stop_server()
        await rig.disconnected()
        rig.script.forget()
        changed = [one for one in stays if (one.type_url, one.name) != (ENDPOINT, "a")]
        rig.script.offer(*changed, shapes.endpoints("a", other), shapes.cluster("new"), shapes.endpoints("new", port))
        server = await rig.start_server()
        await rig.script.settled()
        await rig.until(lambda: has_clusters(rig, {"a", "b", "new"}), "the new clusters")
        assert await ask(listening) == "200 b"

        sent = {(event.type_url, name) for event in rig.script.of(Acked) for name in event.versions}
        if rig.variant == "delta":
            assert sent == {(ENDPOINT, "a"), (CLUSTER, "new"), (ENDPOINT, "new"), (CLUSTER, "gone"), (ENDPOINT, "gone")}
        else:
            assert {type_url for type_url, _ in sent} == {CLUSTER, ENDPOINT}
        asked = {event.type_url for event in rig.script.of(Subscribed) if event.first}
        assert asked == {CLUSTER, ENDPOINT, LISTENER, ROUTE}
        counted = server.stats.responses

        rig.script.offer(*changed, shapes.endpoints("a", port), shapes.cluster("new"), shapes.endpoints("new", port))
        await rig.script.settled()
        assert await ask(listening) == "200 a", "a subscription from before the outage"
        assert server.stats.responses == counted + 1


async def test_x27_a_restarted_server_sends_nothing_if_nothing_changed(rig: Rig) -> None:
    """Versions depend on content alone, so a server that starts from nothing knows that Envoy is up to date."""
    async with backend("a") as port:
        rig.script.offer(*world(port))
        listening = await rig.until_listening("in")
        await rig.script.settled()
        server = await rig.restart_server()
        await rig.until(lambda: is_settled(rig), "settled on the new stream")
        assert server.stats.resources == 0
        assert await ask(listening) == "200 a"


async def test_x27_what_was_applied_from_a_refused_response_is_in_order_after_a_reconnect(rig: Rig) -> None:
    """Envoy does not restate the good part of a refused response: a new server must take it as unknown, not absent."""
    async with backend("a") as port:
        rig.script.offer(*world(port), shapes.cluster("b"), shapes.endpoints("b", port), shapes.bad_cluster("bad"))
        listening = await rig.until_listening("in")
        await rig.script.until(lambda: rig.script.of(Nacked), "a refusal")
        await rig.stop_server()
        await rig.disconnected()
        rig.script.forget()
        rig.script.offer(*world(port))
        await rig.start_server()
        await rig.until(lambda: has_clusters(rig, {"a"}), "what the new world lacks is removed")
        await rig.script.settled()
        assert await ask(listening) == "200 a"


async def test_x12_a_server_that_knows_nothing_yet_changes_nothing(rig: Rig) -> None:
    """It refuses streams instead of answering with emptiness, which would have Envoy delete everything."""
    async with backend("a") as port:
        rig.script.offer(*world(port))
        listening = await rig.until_listening("in")
        await rig.script.settled()
        before = await work_done(rig)
        async with load(listening, RATE) as answers:
            await rig.stop_server()
            known, rig.script.snapshot = rig.script.snapshot, None
            refused = rig.script.refused
            await rig.start_server()
            await rig.script.until(lambda: rig.script.refused > refused + 1, "Envoy tried twice")
            assert set(await rig.clusters()) == {"a"}
            rig.script.snapshot = known
            rig.script.forget()
            await rig.until(lambda: is_settled(rig), "Envoy was let in")
        assert answers.keys() == {"200 a"}, answers
        assert await work_done(rig) == before


async def test_x12_only_an_emptied_world_empties_envoy(rig: Rig) -> None:
    """Where everything was really removed, Envoy removes it: listeners first, then clusters."""
    async with backend("a") as port:
        rig.script.offer(*world(port))
        await rig.until_listening("in")
        await rig.script.settled()
        rig.script.offer()
        await rig.script.settled()
        assert await rig.clusters() == {}
        assert await rig.listeners() == {}


async def test_x45_a_push_without_news_reaches_nobody(rig: Rig) -> None:
    """Equal input gives equal bytes: a world that was built again is not sent, and Envoy warms and drains nothing."""
    async with backend("a") as port:
        rig.script.offer(*world(port))
        listening = await rig.until_listening("in")
        await rig.script.settled()
        assert rig.xds is not None
        before, responses = await work_done(rig), rig.xds.stats.responses
        async with load(listening, RATE) as answers:
            for _ in range(50):
                rig.script.offer(*world(port))
                await rig.script.settled()
        assert rig.xds.stats.responses == responses
        assert await work_done(rig) == before
        assert answers.keys() == {"200 a"}, answers


async def test_x45_a_change_of_one_resource_leaves_the_others_alone(rig: Rig) -> None:
    """Full sets (state of the world) carry the unchanged ones along, byte for byte: Envoy modifies one cluster."""
    async with backend("a") as port:
        rig.script.offer(*world(port), shapes.cluster("b"), shapes.endpoints("b", port))
        await rig.until_listening("in")
        await rig.script.settled()
        before = await work_done(rig)
        rig.script.offer(*world(port), shapes.cluster("b", connect_timeout_s=2), shapes.endpoints("b", port))
        await rig.script.settled()
        assert await work_done(rig) == {**before, "cluster_manager.cluster_modified": 1}


async def is_settled(rig: Rig) -> bool:
    return Settled(rig.script.number) in rig.script.events


async def has_clusters(rig: Rig, names: set[str]) -> bool:
    return set(await rig.clusters()) == names
