"""Kept configuration on a socket: the one who can open it gets all of it, and what it has already is not sent again."""

import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio

from argosy.core.spiffe import workload_id
from argosy.edge.clock import SystemClock
from argosy.edge.kept_server import kept_server
from argosy.edge.xds_server import ADS
from argosy.pilot.build.resource import CLUSTER, LISTENER
from argosy.xds import wire
from argosy.xds.messages import DeltaRequest, DeltaResponse, Resource, ResourceRef, Snapshot, content_version

CALLER = workload_id("td", "shop", "cart")
CLUSTERS = {name: Resource(CLUSTER, name, content_version(name.encode()), name.encode()) for name in ("a", "b")}
FRONT = Resource(LISTENER, "front", content_version(b"f"), b"f", requires=(ResourceRef(CLUSTER, "a"),))
SNAPSHOT = Snapshot(1, {CLUSTER: CLUSTERS, LISTENER: {"front": FRONT}})


@asynccontextmanager
async def stream(place: Path) -> AsyncIterator[Any]:
    """A delta stream over the socket, as Envoy opens it: without TLS."""
    async with grpc.aio.insecure_channel(f"unix:{place}") as channel:
        call = channel.stream_stream(f"/{ADS}/DeltaAggregatedResources")(timeout=60)
        try:
            yield call
        finally:
            call.cancel()


async def ask(call: Any, request: DeltaRequest) -> DeltaResponse:
    await call.write(wire.encode_delta_request(request))
    return wire.decode_delta_response(await call.read())


async def test_a_proxy_is_given_all_of_it(tmp_path: Path) -> None:
    place = tmp_path / "kept.sock"
    async with (
        kept_server(place, SNAPSHOT, caller=CALLER, uid=os.getuid(), clock=SystemClock()),
        stream(place) as call,
    ):
        clusters = await ask(call, DeltaRequest(CLUSTER, node=b""))
        assert {one.name: one.body for one in clusters.resources} == {"a": b"a", "b": b"b"}
        await call.write(wire.encode_delta_request(DeltaRequest(CLUSTER, response_nonce=clusters.nonce)))
        listeners = await ask(call, DeltaRequest(LISTENER))
        assert [(one.name, one.version) for one in listeners.resources] == [("front", FRONT.version)]


async def test_what_a_proxy_has_is_not_sent_again(tmp_path: Path) -> None:
    """Versions are hashes of the content, here and at Pilot."""
    place = tmp_path / "kept.sock"
    async with (
        kept_server(place, SNAPSHOT, caller=CALLER, uid=os.getuid(), clock=SystemClock()),
        stream(place) as call,
    ):
        held = {"a": CLUSTERS["a"].version}
        answer = await ask(call, DeltaRequest(CLUSTER, initial_resource_versions=held, node=b""))
        assert [one.name for one in answer.resources] == ["b"]


async def test_the_socket_is_private_and_goes_with_the_server(tmp_path: Path) -> None:
    place = tmp_path / "kept.sock"
    place.write_text("left by an agent that was killed")
    async with kept_server(place, SNAPSHOT, caller=CALLER, uid=os.getuid(), clock=SystemClock()):
        mode = place.stat().st_mode
        assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
    assert not place.exists()
