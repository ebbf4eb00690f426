"""Batches to servers that listen, close, refuse, are slow or are not there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
import pytest

from argosy.edge.report_push import FluentdSender, OtlpSender, Pusher, RefusedError, SendError, ZipkinSender
from argosy.mixer.report_handlers import otlp
from argosy.mixer.report_handlers.buffer import Buffer
from argosy.mixer.report_values import LogEntryValue

ENTRY = LogEntryValue("l.instance.ns", datetime(2020, 1, 1, tzinfo=UTC), "info", {"a": 1})


class Memory:
    """A sender that keeps batches, and does to some what a test says."""

    def __init__(self, *faults: Exception | None) -> None:
        self.batches: list[list[bytes]] = []
        self.faults = list(faults)
        self.closed = False

    async def send(self, batch: list[bytes]) -> None:
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            raise fault
        self.batches.append(batch)

    async def close(self) -> None:
        self.closed = True


def buffer(wanted: int = 2, entries_max: int = 4) -> Buffer:
    return Buffer(wanted=wanted, entries_max=entries_max, batch_bytes_max=100)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # what others do
            await asyncio.sleep(0.005)


@asynccontextmanager
async def pushing(sender: Any, interval_s: float = 60, timeout_s: float = 5, **bounds: int) -> AsyncIterator[Pusher]:
    pusher = Pusher(buffer(**bounds), sender, interval_s=interval_s, timeout_s=timeout_s)
    task = asyncio.create_task(pusher.run())
    try:
        yield pusher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_batch_goes_when_there_are_enough_or_its_time_has_come() -> None:
    sender = Memory()
    async with pushing(sender) as pusher:
        pusher.add(b"1")
        pusher.add(b"2")
        await until(lambda: sender.batches == [[b"1", b"2"]])
        pusher.add(b"3")
    assert sender.batches == [[b"1", b"2"], [b"3"]]
    assert sender.closed
    timely = Memory()
    async with pushing(timely, interval_s=0.01) as pusher:
        pusher.add(b"1")
        await until(lambda: timely.batches)


async def test_a_fault_that_nobody_foresaw_costs_its_batch_and_no_other() -> None:
    """A host that no name server can be asked about ended the sending, and nobody was told."""
    sender = Memory(UnicodeError("label too long"))
    async with pushing(sender) as pusher:
        for message in (b"1", b"2", b"3", b"4"):
            pusher.add(message)
            if message == b"2":
                await until(lambda: pusher.failures == 1)
                assert (pusher.last_error, pusher.buffer.dropped) == ("label too long", 2)
        await until(lambda: sender.batches == [[b"3", b"4"]])
        assert pusher.last_error == ""


async def test_what_fails_is_sent_again_and_what_is_refused_is_dropped() -> None:
    sender = Memory(ConnectionRefusedError(111, "Connection refused"), RefusedError("answered with 400"))
    async with pushing(sender) as pusher:
        for message in (b"1", b"2"):
            pusher.add(message)
        await until(lambda: pusher.failures == 1)
        assert pusher.last_error == "Connection refused"
        assert len(pusher.buffer) == 2
        await until(lambda: pusher.failures == 2)
        assert pusher.buffer.dropped == 2
        for message in (b"3", b"4"):
            pusher.add(message)
        await until(lambda: sender.batches)
    assert sender.batches == [[b"3", b"4"]]
    assert pusher.last_error == ""


async def test_a_server_that_says_nothing_costs_no_more_than_the_buffer() -> None:
    class Silent(Memory):
        async def send(self, batch: list[bytes]) -> None:
            await asyncio.Event().wait()

    async with pushing(Silent(), timeout_s=0.01) as pusher:
        for number in range(100):
            pusher.add(str(number).encode())
        await until(lambda: pusher.failures)
        assert pusher.last_error == "no answer in time"
        assert len(pusher.buffer) <= 4
        assert pusher.buffer.dropped == 96


async def test_fluentd_gets_messages_and_a_closed_connection_is_made_anew() -> None:
    got: list[bytes] = []
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while data := await reader.read(100):
            got.append(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = FluentdSender("fluentd-es.logging", 24224, lambda _host, _port: ("127.0.0.1", port))
    await sender.send([b"ab", b"cd"])
    await until(lambda: got == [b"abcd"])
    connections[0].close()
    await until(lambda: sender._reader is not None and sender._reader.at_eof())
    await sender.send([b"ef"])
    await until(lambda: got == [b"abcd", b"ef"])
    assert len(connections) == 2
    await sender.close()
    server.close()
    await server.wait_closed()


async def test_zipkin_gets_one_list_and_its_answer_counts() -> None:
    requests: list[tuple[str, Any]] = []
    answers = [b"202 Accepted", b"400 Bad Request", b"503 Unavailable"]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        requests.append((head, json.loads(await reader.readexactly(length))))
        writer.write(b"HTTP/1.1 " + answers.pop(0) + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sender = ZipkinSender("http://zipkin.istio-system:9411/api/v2/spans", lambda _host, _port: ("127.0.0.1", port))
    await sender.send([b'{"id":"1"}', b'{"id":"2"}'])
    (head, spans) = requests[0]
    assert head.startswith("post /api/v2/spans http/1.1")
    assert "host: zipkin.istio-system:9411" in head
    assert spans == [{"id": "1"}, {"id": "2"}]
    errors = []
    for _ in range(2):
        try:
            await sender.send([b"{}"])
        except SendError as error:
            errors.append((type(error), str(error)))
    assert errors == [(RefusedError, "answered with 400"), (SendError, "answered with 503")]
    server.close()
    await server.wait_closed()
    with pytest.raises(SendError, match="connection attempts failed"):
        await sender.send([b"{}"])
    await sender.close()


async def test_a_collector_gets_calls_and_one_that_is_away_is_told() -> None:
    calls: list[tuple[str, bytes]] = []

    class Handler(grpc.GenericRpcHandler):
        def service(self, details: Any) -> Any:
            async def export(data: bytes, _context: Any) -> bytes:
                calls.append((details.method, data))
                return b""

            return grpc.unary_unary_rpc_method_handler(export)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Handler()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sender = OtlpSender("collector", 4317, lambda _host, _port: ("127.0.0.1", port))
    await sender.send([otlp.encode_log(ENTRY), otlp.encode_log(ENTRY)])
    assert [method for method, _data in calls] == [otlp.METHODS["logs"]]
    assert calls[0][1] == otlp.encode_batch([otlp.encode_log(ENTRY)] * 2)[0][1]
    await server.stop(None)
    with pytest.raises(SendError, match="UNAVAILABLE"):
        await sender.send([otlp.encode_log(ENTRY)])
    await sender.close()
