"""The xDS server over real gRPC: a client's answers reach the source and the counters."""

import grpc

from argosy.core.spiffe import SpiffeID
from argosy.edge.grpc_server import start_server
from argosy.edge.tls import ClientTLS, ServerTLS
from argosy.edge.xds_server import ADS, Push, XdsServer
from argosy.xds import wire
from argosy.xds.messages import DeltaRequest, ErrorDetail, Resource, Snapshot
from argosy.xds.server import Acked, Event, Nacked, Rules

from ..citadel.meshca import HandClock, component_source

TYPE = "type.test/Thing"
THING = Resource(type_url=TYPE, name="thing", version="1", body=b"x")


class OneThing:
    """A source that accepts everybody and has one resource; also its own connection."""

    name = "client"
    snapshot = Snapshot(1, {TYPE: {"thing": THING}})

    def __init__(self) -> None:
        self.identities: list[SpiffeID] = []
        self.events: list[Event] = []
        self.closed = 0

    def connect(self, identity: SpiffeID, node: bytes, push: Push) -> "OneThing":
        self.identities.append(identity)
        return self

    def on_event(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed += 1


async def test_a_refused_response_is_counted_and_told_to_the_source() -> None:
    source = OneThing()
    server = XdsServer(source, Rules(order=(TYPE,)), trust_domain="td", clock=HandClock())
    ours, theirs = component_source(), component_source("galley")
    await ours.renew()
    await theirs.renew()
    running = await start_server(server.handlers(), address="127.0.0.1:0", credentials=ServerTLS(ours).mutual())
    try:
        async with ClientTLS(theirs).channel(f"127.0.0.1:{running.port}", "pilot.istio-system.svc") as channel:
            for detail in (ErrorDetail(13, "thing: no good"), None):
                stream = channel.stream_stream(f"/{ADS}/DeltaAggregatedResources")(timeout=20)
                await stream.write(wire.encode_delta_request(DeltaRequest(TYPE, node=b"")))
                response = wire.decode_delta_response(await stream.read())
                assert [one.name for one in response.resources] == ["thing"]
                answer = DeltaRequest(TYPE, response_nonce=response.nonce, error_detail=detail)
                await stream.write(wire.encode_delta_request(answer))
                await stream.done_writing()
                assert await stream.read() is grpc.aio.EOF
    finally:
        await running.stop(0)
    assert [str(one) for one in source.identities] == ["spiffe://td/ns/istio-system/sa/galley"] * 2
    told = [one for one in source.events if isinstance(one, Acked | Nacked)]
    assert [type(one) for one in told] == [Nacked, Acked]
    assert server.stats.nacks == 1
    assert server.stats.responses == 2
    assert source.closed == 2
    assert server.stats.streams == 0
