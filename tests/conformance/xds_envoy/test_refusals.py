"""X13, X38: what Envoy refuses takes nothing good with it."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from argosy.edge.xds_server import ADS
from argosy.pilot.build.resource import CLUSTER
from argosy.xds import wire
from argosy.xds.messages import DeltaResponse, SotwResponse
from argosy.xds.server import Nacked

from . import shapes
from .rig import Rig, ask, backend

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


async def test_x38_a_bad_cluster_among_good_ones_is_refused_alone(rig: Rig) -> None:
    """The good ones of one response are applied and used; a later good version of the bad one is accepted."""
    async with backend("a") as port, backend("b") as other:
        good = (shapes.cluster("a"), shapes.endpoints("a", port), shapes.listener("in"), shapes.route("route", "a"))
        rig.script.offer(*good, shapes.bad_cluster("b"))
        assert await ask(await rig.until_listening("in")) == "200 a"
        assert [event.names for event in rig.script.of(Nacked)] == [("b",)]
        assert set(await rig.clusters()) == {"a"}

        rig.script.offer(*good[:3], shapes.cluster("b"), shapes.endpoints("b", other), shapes.route("route", "b"))
        await rig.script.settled()
        assert await ask((await rig.listeners())["in"]) == "200 b"
        assert await rig.stat("cluster_manager.cds.update_rejected") == 1


async def test_x38_a_bad_version_of_a_good_cluster_leaves_the_last_good_one(rig: Rig) -> None:
    """What else changes in the same push is applied."""
    async with backend("a") as port:
        fixed = (shapes.endpoints("a", port), shapes.listener("in"), shapes.route("route", "a"))
        rig.script.offer(shapes.cluster("a"), *fixed)
        listening = await rig.until_listening("in")

        rig.script.offer(shapes.bad_cluster("a"), shapes.cluster("b"), shapes.endpoints("b", port), *fixed)
        await rig.until(lambda: has_cluster(rig, "b"), "the good cluster of the same push")
        assert await ask(listening) == "200 a"

        rig.script.offer(shapes.cluster("a", connect_timeout_s=3), *fixed)
        await rig.script.settled()
        assert (await rig.clusters())["a"]["connect_timeout"] == "3s"
        assert await ask(listening) == "200 a"


async def test_x38_a_bad_listener_among_good_ones_is_refused_alone(rig: Rig) -> None:
    """The good ones serve; a later good version of the bad one does too."""
    async with backend("a") as port:
        good = (shapes.cluster("a"), shapes.endpoints("a", port), shapes.listener("in"), shapes.route("route", "a"))
        rig.script.offer(*good, shapes.bad_listener("out"))
        assert await ask(await rig.until_listening("in")) == "200 a"
        await rig.script.until(lambda: rig.script.of(Nacked), "a refusal")
        assert [event.names for event in rig.script.of(Nacked)] == [("out",)]

        rig.script.offer(*good, shapes.listener("out"))
        await rig.script.settled()
        assert await ask(await rig.until_listening("out")) == "200 a"
        assert await rig.stat("listener_manager.lds.update_rejected") == 1


async def test_x38_a_response_that_is_refused_as_a_whole_does_not_keep_the_good_ones_back(rig: Rig) -> None:
    """A value outside its bounds has Envoy apply nothing of the response: the good ones must come again.

    Were they taken for applied, the route would go out ahead of its cluster.
    """
    async with backend("a") as port:
        rig.script.offer(
            shapes.cluster("zero", connect_timeout_s=0),
            shapes.cluster("a"),
            shapes.endpoints("a", port),
            shapes.listener("in"),
            shapes.route("route", "a"),
        )
        assert await ask(await rig.until_listening("in")) == "200 a"
        assert [event.names for event in rig.script.of(Nacked)] == [("zero",)]


async def test_x13_envoy_refuses_a_name_that_occurs_twice(rig: Rig) -> None:
    """So a server must never produce one: none of the response is applied."""
    asked: list[Any] = []

    async def delta(requests: Any, context: Any) -> None:
        twin = shapes.cluster("twin")
        async for data in requests:
            request = wire.decode_delta_request(data)
            asked.append(request)
            if len(asked) == 1:
                await context.write(wire.encode_delta_response(DeltaResponse(CLUSTER, "1", (twin, twin))))
            elif request.error_detail:
                return

    async def sotw(requests: Any, context: Any) -> None:
        twin = shapes.cluster("twin")
        async for data in requests:
            request = wire.decode_sotw_request(data)
            asked.append(request)
            if len(asked) == 1:
                await context.write(wire.encode_sotw_response(SotwResponse(CLUSTER, "1", "1", (twin, twin))))
            elif request.error_detail:
                return

    await rig.stop_server()
    methods = {"DeltaAggregatedResources": delta, "StreamAggregatedResources": sotw}
    shaped = {name: grpc.stream_stream_rpc_method_handler(method) for name, method in methods.items()}
    await rig.serve([grpc.method_handlers_generic_handler(ADS, shaped)])
    await rig.until_stat("cluster_manager.cds.update_rejected", 1)
    await rig.until(lambda: answered(asked), "the refusal")
    assert "twin" not in await rig.clusters()


async def answered(asked: list[Any]) -> bool:
    return any(one.error_detail and "duplicate" in one.error_detail.message for one in asked)


async def has_cluster(rig: Rig, name: str) -> bool:
    return name in await rig.clusters()


async def test_a_refused_cluster_does_not_keep_a_starting_proxy_from_serving(rig: Rig) -> None:
    """Its route answers 503, and others work. Waiting would keep Envoy from binding any listener at all."""
    async with backend("a") as port:
        rig.script.offer(
            shapes.bad_cluster("bad"),
            shapes.cluster("a"),
            shapes.endpoints("a", port),
            shapes.listener("in"),
            shapes.route("route", "a"),
            shapes.listener("other", rds="worse"),
            shapes.route("worse", "bad"),
        )
        assert await ask(await rig.until_listening("in")) == "200 a"
        assert (await ask(await rig.until_listening("other"))).startswith("503")
