"""xDS over gRPC: one server for every hop (Envoys at Pilot, components at Galley), delta and state of the world.

Given a `Source` (who may connect, and what they should have), gives gRPC handlers. Each stream is a sans-IO session of
`argosy.xds`; this module only moves bytes, keeps one merged pending push for each client, bounds how many large pushes
are in memory at once, and cuts clients that stop reading.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio

from argosy.citadel.errors import SVIDError
from argosy.core.clock import Clock
from argosy.core.spiffe import SpiffeID
from argosy.edge.tls import peer_identity
from argosy.xds import wire
from argosy.xds.messages import Changes, Snapshot
from argosy.xds.server import DeltaStream, Event, Interner, Nacked, Rules, SotwStream

logger = logging.getLogger(__name__)

ADS = "envoy.service.discovery.v3.AggregatedDiscoveryService"


@dataclass(frozen=True, slots=True)
class Limits:
    """What slow clients may cost. Durations in seconds."""

    pushes_max: int = 16
    """How many responses may be on their way, and so in memory, at once."""
    slot_s: float = 2.0
    """How long a response counts as one of them while its client does not read."""
    request_bytes: int = 4 << 20
    """A client with a larger request is refused."""
    response_bytes: int = 1 << 20
    """Larger pushes are cut into several responses of that size."""
    send_deadline_s: float = 60.0
    """A client that after that does not take a response for so long is cut; it reconnects with what it has."""


class Refusal(Exception):
    """A client is not served: the gRPC status and a text that gives nothing away."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connection(Protocol):
    """One accepted client, as its source sees it."""

    @property
    def name(self) -> str:
        """Who it is, for people."""
        ...

    @property
    def snapshot(self) -> Snapshot:
        """What it should have now."""
        ...

    def on_event(self, event: Event) -> None:
        """Something that its session noticed."""
        ...

    def close(self) -> None:
        """The stream has ended."""
        ...


Push = Callable[[Snapshot, Changes | None], None]


class Source(Protocol):
    """Decides who may connect and pushes to them."""

    def connect(self, identity: SpiffeID, node: bytes, push: Push) -> Connection:
        """Accept a client (of that verified identity and with that encoded node) or raise `Refusal`."""
        ...


@dataclass(slots=True)
class ServerStats:
    """Counts since the start, for `/metrics` and the benchmark."""

    streams: int = 0
    responses: int = 0
    response_bytes: int = 0
    resources: int = 0
    nacks: int = 0
    cut: int = 0


class XdsServer:
    """The handlers, and what all streams share."""

    def __init__(
        self,
        source: Source,
        rules: Rules,
        *,
        trust_domain: str,
        clock: Clock,
        limits: Limits = Limits(),
        caller: SpiffeID | None = None,
    ) -> None:
        """`caller`: who all clients are, where only one can reach the server; None: whom their certificates name."""
        self._source = source
        self._rules = rules
        self._trust_domain = trust_domain
        self._caller = caller
        self._clock = clock
        self._interner = Interner()
        self.limits = limits
        self._places = asyncio.Semaphore(limits.pushes_max)
        self._ids = itertools.count(1)
        self._live: dict[int, _Client] = {}
        self.stats = ServerStats()

    def handlers(self, service: str = ADS) -> list[grpc.GenericRpcHandler]:
        """Handlers for both variants of the aggregated service, under that service name; bytes in, bytes out."""
        return [
            grpc.method_handlers_generic_handler(
                service,
                {
                    "DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(self._delta),
                    "StreamAggregatedResources": grpc.stream_stream_rpc_method_handler(self._sotw),
                },
            )
        ]

    async def _delta(self, requests: Any, context: Any) -> None:
        session = DeltaStream(self._rules, self._interner, stream_id=str(next(self._ids)))
        await self._serve(requests, context, session, wire.decode_delta_request, wire.encode_delta_response)

    async def _sotw(self, requests: Any, context: Any) -> None:
        session = SotwStream(self._rules, self._interner, stream_id=str(next(self._ids)))
        await self._serve(requests, context, session, wire.decode_sotw_request, wire.encode_sotw_response)

    async def _serve(self, requests: Any, context: Any, session: Any, decode: Any, encode: Any) -> None:
        try:
            identity = self._caller or peer_identity(context, self._trust_domain)
        except SVIDError as error:
            logger.warning("xds: %s refused: %s", context.peer(), error)
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the client certificate is not accepted")
            return
        client = _Client(self, context, session, decode, encode)
        key = next(self._ids)
        self._live[key] = client
        self.stats.streams += 1
        refused: Refusal | None = None
        try:
            await client.run(requests, identity)
        except Refusal as refusal:
            refused = refusal
        finally:
            del self._live[key]
            self.stats.streams -= 1
            client.close()
        if refused is not None:
            logger.info("xds: %s (%s) not served: %s", identity, context.peer(), refused.reason)
            # Only now: the status waits behind what a client does not read, and nobody may wait for such a client.
            await context.abort(refused.code, refused.reason)

    def connect(self, identity: SpiffeID, node: bytes, push: Push) -> Connection:
        """Ask the source (for the streams of this server)."""
        return self._source.connect(identity, node, push)

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return self._clock.monotonic()

    @property
    def places(self) -> asyncio.Semaphore:
        """Places for pushes under way."""
        return self._places

    def dump(self) -> list[dict[str, Any]]:
        """Every live stream as plain data."""
        return [client.dump() for client in self._live.values()]


class _Client:
    """One stream: a reader that feeds the session, a writer that empties its outbox."""

    def __init__(self, server: XdsServer, context: Any, session: Any, decode: Any, encode: Any) -> None:
        self._server = server
        self._context = context
        self._session = session
        self._decode = decode
        self._encode = encode
        self._connection: Connection | None = None
        self._wake = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    async def run(self, requests: Any, identity: SpiffeID) -> None:
        """Serve until the client ends the stream, or raise `Refusal`."""
        async for data in requests:
            request = self._parse(data)
            node = request.node if isinstance(request.node, bytes) else b""
            self._connection = self._server.connect(identity, node, self._push)
            self._session.offer(self._connection.snapshot, None)
            self._receive(request)
            break
        else:
            return
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read(requests))
        try:
            done, _rest = await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            writer.cancel()
            reader.cancel()
            await asyncio.gather(writer, reader, return_exceptions=True)
            await self._end_sending()

    def close(self) -> None:
        """Tell the source, if it ever heard of this client."""
        if self._connection is not None:
            self._connection.close()

    def dump(self) -> dict[str, Any]:
        """Plain data about this stream."""
        name = self._connection.name if self._connection is not None else ""
        return {"client": name, "peer": self._context.peer(), "session": self._session.dump()}

    def _parse(self, data: bytes) -> Any:
        if len(data) > self._server.limits.request_bytes:
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "the request is too large")
        try:
            return self._decode(data)
        except ValueError as error:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "not a discovery request") from error

    def _push(self, snapshot: Snapshot, changes: Changes | None) -> None:
        self._session.offer(snapshot, changes)
        self._wake.set()

    async def _read(self, requests: Any) -> None:
        async for data in requests:
            self._receive(self._parse(data))

    def _receive(self, request: Any) -> None:
        self._session.receive(request, self._server.now())
        self._report()
        self._wake.set()

    def _report(self) -> None:
        assert self._connection is not None, "events come after the connection"
        for event in self._session.events():
            if isinstance(event, Nacked):
                self._server.stats.nacks += 1
            self._connection.on_event(event)

    async def _write(self) -> None:
        while True:
            await self._wait()
            self._wake.clear()
            await self._drain()
            self._report()

    async def _wait(self) -> None:
        due = self._session.next_due()
        timeout = None if due is None else max(0.0, due - self._server.now())
        try:
            async with asyncio.timeout(timeout):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _drain(self) -> None:
        """Send what the session has to send now, part by part, so that at most one part is in memory."""
        while await self._send_part():
            pass

    async def _send_part(self) -> bool:
        """Decide on one part and write it; False if there is nothing. Raises `Refusal` when the client does not read.

        Deciding needs a place too: done for a thousand clients in one turn of the loop, it would last longer than a
        client is given to read, and cut those that do.
        """
        server = self._server
        try:
            async with server.places:
                responses = self._session.outbox(server.now(), server.limits.response_bytes)
                if not responses:
                    return False
                sending = self._sending = asyncio.ensure_future(self._send(responses))
                # A client that reads slowly must not take the place of others for longer than this.
                await asyncio.wait({sending}, timeout=server.limits.slot_s)
            async with asyncio.timeout(server.limits.send_deadline_s):
                await asyncio.shield(sending)
        except TimeoutError:
            server.stats.cut += 1
            raise Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "the client does not read") from None
        return True

    async def _end_sending(self) -> None:
        """Let a response that is being written end: gRPC cannot end a stream in the middle of one."""
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=self._server.limits.slot_s)
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)

    async def _send(self, responses: Sequence[Any]) -> None:
        for response in responses:
            await self._context.write(self._encoded(response))

    def _encoded(self, response: Any) -> bytes:
        stats = self._server.stats
        data: bytes = self._encode(response)
        stats.responses += 1
        stats.response_bytes += len(data)
        stats.resources += len(response.resources)
        return data


__all__ = ["ADS", "Connection", "Limits", "Push", "Refusal", "Source", "XdsServer"]
