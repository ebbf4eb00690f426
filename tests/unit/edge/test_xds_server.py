"""The xDS server over real gRPC with mutual TLS: who is served, what a stream gets, and what slow clients cost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest

from argosy.core.spiffe import SpiffeID
from argosy.edge.clock import SystemClock
from argosy.edge.grpc_server import start_server
from argosy.edge.tls import CertificateSource, ClientTLS, ServerTLS, token_channel
from argosy.edge.xds_server import ADS, Limits, Push, Refusal, XdsServer
from argosy.xds import wire
from argosy.xds.messages import Changes, DeltaRequest, DeltaResponse, ErrorDetail, Resource, Snapshot, SotwRequest
from argosy.xds.server import Acked, Event, Nacked, Rules, Settled

from ..citadel.meshca import AUTHORITY, FOREIGN, component_source, forged, roots_of, source_of

TYPE = "type.test/Thing"
SERVER_NAME = "pilot.istio-system.svc"
LARGE = 1_000_000


def thing(name: str = "thing", version: str = "1", size: int = 1) -> Resource:
    return Resource(type_url=TYPE, name=name, version=version, body=b"x" * size)


def world(number: int, *things: Resource) -> Snapshot:
    return Snapshot(number, {TYPE: {one.name: one for one in things}})


class Things:
    """A source that accepts everybody, or nobody; also every client's connection."""

    name = "client"

    def __init__(self, snapshot: Snapshot, refusal: Refusal | None = None) -> None:
        self.snapshot = snapshot
        self.refusal = refusal
        self.identities: list[SpiffeID] = []
        self.nodes: list[bytes] = []
        self.pushes: list[Push] = []
        self.events: list[Event] = []
        self.closed = asyncio.Event()
        self.closed_count = 0

    def connect(self, identity: SpiffeID, node: bytes, push: Push) -> "Things":
        if self.refusal is not None:
            raise self.refusal
        self.identities.append(identity)
        self.nodes.append(node)
        self.pushes.append(push)
        return self

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed_count += 1
        self.closed.set()

    def told(self, *kinds: type) -> list[Event]:
        return [one for one in self.events if isinstance(one, kinds)]


class Rig:
    """A running server, and its clients' channels."""

    def __init__(self, server: XdsServer, port: int) -> None:
        self.server = server
        self.port = port

    @asynccontextmanager
    async def channel(self, certificate: CertificateSource | None = None) -> AsyncIterator[Any]:
        if certificate is None:
            certificate = component_source("galley")
            await certificate.renew()
        async with ClientTLS(certificate).channel(f"127.0.0.1:{self.port}", SERVER_NAME) as channel:
            yield channel

    @asynccontextmanager
    async def stream(self, certificate: CertificateSource | None = None) -> AsyncIterator[Any]:
        """An open delta stream."""
        async with self.channel(certificate) as channel:
            call = channel.stream_stream(f"/{ADS}/DeltaAggregatedResources")(timeout=60)
            try:
                yield call
            finally:
                call.cancel()


@asynccontextmanager
async def serving(source: Things, limits: Limits = Limits()) -> AsyncIterator[Rig]:
    server = XdsServer(source, Rules(order=(TYPE,)), trust_domain="td", clock=SystemClock(), limits=limits)
    certificate = component_source()
    await certificate.renew()
    credentials = ServerTLS(certificate).mutual()
    running = await start_server(server.handlers(), address="127.0.0.1:0", credentials=credentials)
    try:
        yield Rig(server, running.port)
    finally:
        await running.stop(0)


async def ask(call: Any, request: DeltaRequest = DeltaRequest(TYPE, node=b"")) -> None:
    await call.write(wire.encode_delta_request(request))


async def answer(call: Any) -> DeltaResponse:
    return wire.decode_delta_response(await call.read())


async def acknowledge(call: Any, response: DeltaResponse, detail: ErrorDetail | None = None) -> None:
    await ask(call, DeltaRequest(TYPE, response_nonce=response.nonce, error_detail=detail))


async def failure(call: Any) -> grpc.aio.AioRpcError:
    """How the stream ends."""
    try:
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError("the stream ended in order")


# -- what a stream gets ----------------------------------------------------------------------------------------------


async def test_a_client_gets_what_it_should_have_and_then_what_changes() -> None:
    first = thing()
    source = Things(world(1, first))
    async with serving(source) as rig, rig.stream() as call:
        await ask(call, DeltaRequest(TYPE, node=b"\x0a\x02me"))
        response = await answer(call)
        assert [(one.name, one.version) for one in response.resources] == [("thing", "1")]
        await acknowledge(call, response)
        source.pushes[0](world(2, first, thing("other")), Changes(1, {TYPE: frozenset({"other"})}))
        response = await answer(call)
        assert [(one.name, one.version) for one in response.resources] == [("other", "1")]
        await acknowledge(call, response)
        source.pushes[0](world(3, thing("other")), None)
        assert (await answer(call)).removed_resources == ("thing",)
    assert source.nodes == [b"\x0a\x02me"]
    assert [str(one) for one in source.identities] == ["spiffe://td/ns/istio-system/sa/galley"]


async def test_a_client_of_the_state_of_the_world_gets_all_at_once() -> None:
    source = Things(world(1, thing(), thing("other")))
    async with serving(source) as rig, rig.channel() as channel:
        call = channel.stream_stream(f"/{ADS}/StreamAggregatedResources")(timeout=60)
        await call.write(wire.encode_sotw_request(SotwRequest(TYPE, node=b"")))
        response = wire.decode_sotw_response(await call.read())
        assert (response.type_url, len(response.resources)) == (TYPE, 2)
        call.cancel()


async def test_a_refused_response_is_counted_and_told_to_the_source() -> None:
    source = Things(world(1, thing()))
    async with serving(source) as rig:
        for detail in (ErrorDetail(13, "thing: no good"), None):
            async with rig.stream() as call:
                await ask(call)
                await acknowledge(call, await answer(call), detail)
                await call.done_writing()
                assert await call.read() is grpc.aio.EOF
        stats = rig.server.stats
        assert (stats.nacks, stats.responses, stats.resources, stats.streams) == (1, 2, 2, 0)
    assert [type(one) for one in source.told(Acked, Nacked)] == [Nacked, Acked]
    assert source.closed_count == 2


async def test_pushes_that_come_together_become_one_response() -> None:
    source = Things(world(1, thing()))
    async with serving(source) as rig, rig.stream() as call:
        await ask(call)
        response = await answer(call)
        for number in range(2, 50):
            changes = Changes(number - 1, {TYPE: frozenset({"thing"})})
            source.pushes[0](world(number, thing(version=str(number))), changes)
        await acknowledge(call, response)
        response = await answer(call)
        assert [one.version for one in response.resources] == ["49"]
        await acknowledge(call, response)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert rig.server.stats.responses == 2
    assert source.told(Settled)[-1] == Settled(49)


async def test_every_stream_tells_of_itself() -> None:
    async with serving(Things(world(1, thing()))) as rig:
        async with rig.stream() as call:
            await ask(call)
            await answer(call)
            (found,) = rig.server.dump()
            assert found["client"] == "client"
            assert found["peer"].startswith("ipv4:127.0.0.1:")
            assert found["session"]["variant"] == "delta"
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
        assert rig.server.dump() == []


async def test_a_client_that_vanishes_is_forgotten() -> None:
    source = Things(world(1, thing()))
    async with serving(source) as rig:
        async with rig.stream() as call:
            await ask(call)
            await answer(call)
        await asyncio.wait_for(source.closed.wait(), 60)
        assert rig.server.stats.streams == 0


async def test_a_client_that_asks_for_nothing_is_never_heard_of() -> None:
    source = Things(world(1, thing()))
    async with serving(source) as rig, rig.stream() as call:
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
    assert source.identities == []
    assert source.closed_count == 0


# -- who is served ---------------------------------------------------------------------------------------------------


async def test_a_client_without_a_certificate_gets_no_connection() -> None:
    source = Things(world(1, thing()))
    async with serving(source) as rig:
        async with token_channel(f"127.0.0.1:{rig.port}", SERVER_NAME, roots_of(AUTHORITY)) as channel:
            call = channel.stream_stream(f"/{ADS}/DeltaAggregatedResources")(timeout=60)
            assert (await failure(call)).code() is grpc.StatusCode.UNAVAILABLE
    assert source.identities == []


async def test_a_certificate_of_another_authority_gets_no_connection() -> None:
    source = Things(world(1, thing()))
    foreign = component_source("galley", FOREIGN)
    stranger = await foreign.renew()
    # It trusts our server; that our server does not trust it is what counts.
    certificate = await source_of(replace(stranger, trust=AUTHORITY.trust()))
    async with serving(source) as rig, rig.stream(certificate) as call:
        assert (await failure(call)).code() is grpc.StatusCode.UNAVAILABLE
    assert source.identities == []


@pytest.mark.parametrize(
    "uris",
    [
        (),
        ("spiffe://elsewhere/ns/default/sa/a",),
        ("spiffe://td/ns/default/sa/a", "spiffe://td/ns/default/sa/b"),
        ("https://td/ns/default/sa/a",),
        ("spiffe://td",),
    ],
)
async def test_a_certificate_that_is_no_identity_of_the_mesh_is_refused(uris: tuple[str, ...]) -> None:
    source = Things(world(1, thing()))
    certificate = await source_of(forged(uris, dns=("a.example",)))
    async with serving(source) as rig, rig.stream(certificate) as call:
        error = await failure(call)
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert error.details() == "the client certificate is not accepted"
    assert source.identities == []


async def test_a_source_may_refuse_a_client_and_then_hears_no_more_of_it() -> None:
    source = Things(world(1), Refusal(grpc.StatusCode.PERMISSION_DENIED, "not you"))
    async with serving(source) as rig, rig.stream() as call:
        await ask(call)
        error = await failure(call)
        assert (error.code(), error.details()) == (grpc.StatusCode.PERMISSION_DENIED, "not you")
        assert rig.server.stats.streams == 0
    assert source.closed_count == 0


async def test_a_request_beyond_the_limit_ends_the_stream() -> None:
    async with serving(Things(world(1, thing())), Limits(request_bytes=100)) as rig, rig.stream() as call:
        await ask(call)
        await ask(call, DeltaRequest(TYPE, tuple(f"name-{number}" for number in range(100))))
        assert (await failure(call)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("before", [0, 1])
async def test_what_is_no_request_ends_the_stream_whenever_it_comes(before: int) -> None:
    source = Things(world(1, thing()))
    async with serving(source) as rig, rig.stream() as call:
        for _ in range(before):
            await ask(call)
        await call.write(b"\xff\xff\xff")
        assert (await failure(call)).code() is grpc.StatusCode.INVALID_ARGUMENT
        assert rig.server.stats.streams == 0
    assert source.closed_count == before


# -- slow clients ----------------------------------------------------------------------------------------------------

MUCH = tuple(thing(f"thing-{number:02}", size=LARGE) for number in range(10))


async def test_a_client_that_does_not_read_takes_no_place_from_others() -> None:
    """One place for all: the slow client's response must give it back."""
    source = Things(world(1, *MUCH))
    async with serving(source, Limits(pushes_max=1, slot_s=0.05)) as rig, rig.stream() as slow, rig.stream() as quick:
        await ask(slow)
        await ask(quick)
        seen: set[str] = set()
        while len(seen) < len(MUCH):
            response = await answer(quick)
            seen |= {one.name for one in response.resources}
            await acknowledge(quick, response)
        assert rig.server.stats.streams == 2
        assert rig.server.stats.cut == 0
        # The slow one has lost nothing by it.
        later: set[str] = set()
        while len(later) < len(MUCH):
            response = await answer(slow)
            later |= {one.name for one in response.resources}


async def test_a_client_that_never_reads_is_cut_and_let_go_at_once() -> None:
    """The stream's status waits behind what is not read; the source must not wait for such a client as well."""
    source = Things(world(1, *MUCH))
    async with serving(source, Limits(slot_s=0.02, send_deadline_s=0.2)) as rig, rig.stream() as call:
        await ask(call)
        await asyncio.wait_for(source.closed.wait(), 60)
        assert rig.server.stats.cut == 1
        assert rig.server.stats.streams == 0
        error = await failure(call)
    assert (error.code(), error.details()) == (grpc.StatusCode.DEADLINE_EXCEEDED, "the client does not read")
    assert source.closed_count == 1
