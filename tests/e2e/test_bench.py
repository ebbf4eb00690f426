"""The benchmark's promises, over real gRPC with mutual TLS, with a thousand proxies in a process of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from bench.envoy import Fed, feeding
from bench.envoy_memory import weigh
from bench.run import Run, measure

from argosy.api import Document, Object, decode_object
from argosy.testing import meshes
from argosy.testing.meshes import Size

from .harness import require_root
from .sizes import SIZES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PROXIES = 1000
SERVICES = 100
RSS_MB_MAX = 150
FLAT = 1.2
MB_FOR_A_SERVICE_MAX = 0.12
CLUSTER_CHANGES = 1000
ROUTES_AT_ONCE, LIVE_S = 5000, 30.0


@pytest.fixture(scope="module")
def run() -> Run:
    return measure(SERVICES, PROXIES)


def test_an_endpoint_change_is_one_resource_for_each_proxy(run: Run) -> None:
    assert run.endpoint.ran == {"endpoints": 1, "identities": 1, "ruled_endpoints": 1, "assignments": 1}
    assert (run.endpoint.encoded, run.endpoint.messages, run.endpoint.resources_sent) == (1, PROXIES, PROXIES)


def test_a_route_change_is_one_resource_for_each_proxy(run: Run) -> None:
    assert run.route.ran == {"virtual_services": 2, "virtual_hosts": 2}
    assert (run.route.encoded, run.route.messages, run.route.resources_sent) == (2, PROXIES, PROXIES)


def test_proxies_that_connect_cost_no_building(run: Run) -> None:
    """Classes that were built are only sent: each of six types to each proxy in one response."""
    assert (run.connect.encoded, run.connect.messages) == (0, 6 * PROXIES)
    assert run.reconnects == 0


def test_a_thousand_proxies_cost_little_memory(run: Run) -> None:
    assert run.rss_connected_mb - run.rss_built_mb <= RSS_MB_MAX


def test_a_scoped_envoy_weighs_the_same_in_any_mesh() -> None:
    """C2, C4: with a Sidecar for five services its memory is flat; without one it grows by what it is sent."""
    require_root()
    small, large = weigh(10, scoped=True), weigh(1000, scoped=True)
    assert small.clusters == large.clusters
    assert large.anonymous_mb <= small.anonymous_mb * FLAT, (small, large)
    whole = weigh(1000, scoped=False)
    assert whole.clusters > 1000
    assert (whole.anonymous_mb - large.anonymous_mb) / 1000 <= MB_FOR_A_SERVICE_MAX, (large, whole)


def test_a_thousand_changes_of_clusters_leave_none_warming() -> None:
    """A6, L1: endpoints are sent again with each changed cluster, though they are the same."""
    require_root()
    size = Size(5, endpoints=2, namespaces=1, classes=1, proxies=1)

    async def run(fed: Fed) -> None:
        before = await fed.stats("cluster_manager")
        for number in range(CLUSTER_CHANGES):
            fed.set([rule(size, number)])
            fed.pilot.commit_now()
            assert not await fed.pilot.wait_settled(120)
        await fed.in_sync()
        after = await fed.stats("cluster_manager")
        assert (after["warming_clusters"], after["active_clusters"]) == (0, before["active_clusters"])
        assert after["cluster_modified"] - before["cluster_modified"] >= CLUSTER_CHANGES
        assert not (await fed.stats("cluster_manager.cds"))["update_rejected"]

    asyncio.run(with_envoy(size, run))


def rule(size: Size, number: int) -> Object[Any]:
    """A rule that changes nothing of a cluster but its time-out."""
    spec = {
        "host": meshes.service_name(0),
        "trafficPolicy": {"connectionPool": {"tcp": {"connectTimeout": f"{number + 1}s"}}},
    }
    meta = {"name": "it", "namespace": meshes.namespace_of(size, 0)}
    data = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": meta, "spec": spec}
    return decode_object(Document(data))


def test_five_thousand_virtual_services_at_once_are_one_push() -> None:
    """F31: they come in fifty batches; whatever the pauses between them, they are live in time on a real Envoy."""
    require_root()
    size = Size(ROUTES_AT_ONCE, endpoints=1, namespaces=50, classes=1, proxies=1)
    bare = [one for one in meshes.mesh_objects(size) if one.kind != "VirtualService"]
    routes = [meshes.virtual_service(size, number, first=90) for number in range(size.services)]

    async def run(fed: Fed) -> None:
        commits, start = fed.pilot.commits, time.monotonic()
        for number in range(0, len(routes), 100):
            fed.set(routes[number : number + 100])
        await fed.in_sync()
        took_s = time.monotonic() - start
        print("live after", took_s)
        assert fed.pilot.commits == commits + 1
        assert took_s <= SIZES.within_s(LIVE_S)

    asyncio.run(with_envoy(size, run, bare))


async def with_envoy(
    size: Size, run: Callable[[Fed], Awaitable[None]], objects: Sequence[Object[Any]] | None = None
) -> None:
    """Run something with a real Envoy of the first client, in sync with a mesh of that size."""
    async with feeding(objects or meshes.mesh_objects(size), meshes.client(size, 0)) as fed:
        await run(fed)
