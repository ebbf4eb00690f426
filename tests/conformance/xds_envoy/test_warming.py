"""X18, X24, X25: what Envoy waits for before it uses a resource."""

from __future__ import annotations

import ssl

import pytest

from argosy.pilot.build.resource import ENDPOINT, ROUTE, SECRET
from argosy.xds.messages import Resource
from argosy.xds.server import Acked, Nacked, Subscribed

from . import shapes
from .rig import Rig, ask, backend

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WARMING = "listener_manager.total_listeners_warming"


async def test_x24_a_changed_cluster_with_unchanged_endpoints_is_active_at_once(rig: Rig) -> None:
    """Envoy warms a changed cluster and does not ask for its endpoints: they must come again though they are equal."""
    async with backend("a") as port:
        same = (shapes.endpoints("a", port), shapes.listener("in"), shapes.route("route", "a"))
        rig.script.offer(shapes.cluster("a"), *same)
        listening = await rig.until_listening("in")
        await rig.script.settled()
        rig.script.forget()

        rig.script.offer(shapes.cluster("a", connect_timeout_s=2), *same)
        await rig.script.settled()

        assert (await rig.clusters())["a"]["connect_timeout"] == "2s"
        stats = await rig.stats()
        assert stats["cluster_manager.warming_clusters"] == 0
        assert stats["cluster_manager.cluster_modified"] == 1
        assert stats["cluster.a.assignment_use_cached"] == 0, "it was not saved by Envoy's own timer"
        again = [set(event.versions) for event in rig.script.of(Acked) if event.type_url == ENDPOINT]
        assert again == [{"a"}]
        assert await ask(listening) == "200 a"


async def test_x24_a_cluster_that_changed_during_an_outage_gets_its_endpoints_after_it(rig: Rig) -> None:
    """After a reconnect endpoints follow their cluster, whatever version of them Envoy says it holds."""
    async with backend("a") as port:
        same = (shapes.endpoints("a", port), shapes.listener("in"), shapes.route("route", "a"))
        rig.script.offer(shapes.cluster("a"), *same)
        listening = await rig.until_listening("in")
        await rig.script.settled()

        await rig.stop_server()
        await rig.disconnected()
        rig.script.offer(shapes.cluster("a", connect_timeout_s=2), *same)
        await rig.start_server()
        await rig.script.settled()

        assert (await rig.clusters())["a"]["connect_timeout"] == "2s"
        stats = await rig.stats()
        assert stats["cluster_manager.warming_clusters"] == 0
        assert stats["cluster.a.assignment_use_cached"] == 0
        assert await ask(listening) == "200 a"


async def test_x25_a_new_listener_serves_only_when_its_routes_have_come(rig: Rig) -> None:
    """Until then it is not even bound, so that no request meets a 404."""
    await rig.live()
    rig.script.offer(shapes.listener("in"))
    await rig.until_stat(WARMING, 1)
    await rig.script.until(lambda: asked_for(rig, ROUTE, "route"), "the listener asks for its routes")
    assert "in" not in await rig.listeners()

    async with backend("a") as port:
        rig.script.offer(
            shapes.cluster("a"), shapes.endpoints("a", port), shapes.listener("in"), shapes.route("route", "a")
        )
        assert await ask(await rig.until_listening("in")) == "200 a"


async def test_x25_a_changed_listener_serves_as_before_until_its_new_routes_have_come(rig: Rig) -> None:
    """The new version warms beside the old one."""
    async with backend("a") as port:
        good = (shapes.cluster("a"), shapes.endpoints("a", port), shapes.route("route", "a"))
        rig.script.offer(*good, shapes.listener("in"))
        listening = await rig.until_listening("in")

        later = shapes.listener("in", rds="later")
        rig.script.offer(*good, later)
        await rig.until_stat(WARMING, 1)
        assert await ask(listening) == "200 a"

        async with backend("b") as other:
            new = (shapes.cluster("b"), shapes.endpoints("b", other), shapes.route("later", "b"))
            rig.script.offer(*good, later, *new)
            await rig.until_stat(WARMING, 0)
            assert await ask(listening) == "200 b"


async def test_x25_a_listener_waits_for_its_certificate(rig: Rig) -> None:
    """A filter chain whose secret is not there holds back its own listener only; then it serves with it.

    Told by delta that a secret is absent, Envoy binds the listener and resets connections; without a word it waits.
    """
    await rig.live()
    waiting = shapes.listener("tls", chain=shapes.tls_chain("server"))
    async with backend("a") as port:
        rest = (shapes.cluster("a"), shapes.endpoints("a", port), shapes.route("route", "a"), shapes.listener("in"))
        rig.script.offer(*rest, waiting)
        await rig.script.until(lambda: asked_for(rig, SECRET, "server"), "the listener asks for its certificate")
        await rig.until(lambda: rig.is_listening("in"), "the other listener")
        assert await ask((await rig.listeners())["in"]) == "200 a"
        await rig.until_stat(WARMING, 0 if rig.variant == "delta" else 1)

        material = rig.server_side.material
        certificate = shapes.secret("server", chain_pem=material.chain.decode(), key_pem=material.key.decode())
        rig.script.offer(*rest, waiting, certificate)
        await rig.script.settled()
        context = ssl.create_default_context(cadata=material.roots.decode())
        context.check_hostname = False
        assert await ask(await rig.until_listening("tls"), context) == "200 a"


async def test_x18_a_subscription_without_a_limit_waits_until_its_resource_is_there(rig: Rig) -> None:
    """An absent resource holds its listener back for as long as it is absent."""
    await rig.live()
    rig.script.offer(shapes.listener("in"))
    await rig.script.settled()
    assert await rig.stat(WARMING) == 1
    await serve_route(rig, shapes.listener("in"))


async def test_x18_silence_about_an_absent_resource_ends_by_envoys_own_timer(rig: Rig) -> None:
    """State of the world has no word for absence: after `initial_fetch_timeout` the listener goes on and answers 404.

    Delta has one. Envoy takes it for an answer, which stops the timer, and goes on waiting for the routes.
    """
    await rig.live()
    limited = shapes.listener("in", wait_s=1)
    rig.script.offer(limited)
    await rig.script.settled()
    if rig.variant == "sotw":
        assert (await ask(await rig.until_listening("in"))).startswith("404")
        assert await rig.stat("http.in.rds.route.init_fetch_timeout") == 1
    else:
        await rig.until_stat("http.in.rds.route.update_success", 1)
        assert await rig.stat(WARMING) == 1
    await serve_route(rig, limited)


async def serve_route(rig: Rig, listener: Resource) -> None:
    """The missing route comes, and is used."""
    async with backend("a") as port:
        rig.script.offer(shapes.cluster("a"), shapes.endpoints("a", port), listener, shapes.route("route", "a"))
        await rig.script.settled()
        assert await ask(await rig.until_listening("in")) == "200 a"
    assert rig.script.of(Nacked) == []


def asked_for(rig: Rig, type_url: str, name: str) -> bool:
    return any(event.type_url == type_url and name in event.names for event in rig.script.of(Subscribed))
