"""Probes of applications that speak only HTTP/2, and of gRPC's health service: in the test's own network."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import msgspec
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.exceptions import ProtocolError

from argosy.agent.pod import Container, Probe
from argosy.edge.probes import probe_container

from ..citadel.meshca import component_source

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="enters a network namespace")
IP = "127.0.0.2"


async def probe(asked: Probe) -> bool:
    async def no_command(container: Container, command: Sequence[str]) -> int:
        raise AssertionError("no probe here has a command")

    container = Container("app", "image", ("true",), probe=msgspec.structs.replace(asked, timeout_s=60))
    return await probe_container(os.getpid(), IP, container, no_command)


class HTTP2Only:
    """A server that closes on anything else; answers as its `head` says, and keeps what it was asked."""

    def __init__(self, *head: tuple[str, str], reset: bool = False) -> None:
        self.head = list(head)
        self.reset = reset
        self.asked: list[dict[str, str]] = []
        self.running: set[asyncio.Task[None]] = set()

    def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.running.add(asyncio.create_task(self.serve(reader, writer)))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.initiate_connection()
        try:
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    self._note(connection, event)
                writer.write(connection.data_to_send())
        except (ProtocolError, OSError):
            pass
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def _note(self, connection: H2Connection, event: Any) -> None:
        if isinstance(event, RequestReceived):
            self.asked.append(dict(event.headers))
            if self.reset:
                connection.reset_stream(event.stream_id)
            else:
                connection.send_headers(event.stream_id, self.head, end_stream=True)


class HTTP1Only(HTTP2Only):
    """A server of before."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One answer."""
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def listening(server: HTTP2Only, **tls: Any) -> AsyncIterator[int]:
    async with await asyncio.start_server(server, IP, 0, **tls) as opened:
        yield opened.sockets[0].getsockname()[1]
        await asyncio.gather(*server.running)


@pytest.mark.parametrize("status, ready", [("200", True), ("204", True), ("399", True), ("404", False), ("503", False)])
async def test_an_application_of_http2_only_is_ready_by_its_status(status: str, ready: bool) -> None:
    server = HTTP2Only((":status", status))
    async with listening(server) as port:
        assert await probe(Probe(port, "/healthz", (("Host", "shop"), ("X-Probe", "1")))) is ready
    asked = server.asked[0]
    assert (asked[":method"], asked[":path"], asked[":authority"], asked["x-probe"]) == ("GET", "/healthz", "shop", "1")
    assert "host" not in asked


async def test_a_reset_is_not_ready() -> None:
    async with listening(HTTP2Only(reset=True)) as port:
        assert not await probe(Probe(port, "/"))


@pytest.mark.parametrize("chosen", ["h2", "http/1.1"])
async def test_a_probe_over_tls_speaks_what_the_server_chooses(tmp_path: Path, chosen: str) -> None:
    """It used to speak plain HTTP to what is HTTPS."""
    source = component_source()
    material = await source.renew()
    (tmp_path / "both.pem").write_bytes(material.chain + material.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    context.set_alpn_protocols([chosen])

    server = (HTTP2Only if chosen == "h2" else HTTP1Only)((":status", "200"))
    async with listening(server, ssl=context) as port:
        assert await probe(Probe(port, "/", tls=True))
        assert not await probe(Probe(port, "/"))


@asynccontextmanager
async def health(answers: dict[str, bytes | grpc.StatusCode]) -> AsyncIterator[int]:
    """gRPC's health service: what it says of each service."""

    async def check(request: bytes, context: Any) -> bytes:
        name = request[3 if len(request) > 129 else 2 :].decode()
        answer = answers.get(name, grpc.StatusCode.NOT_FOUND)
        if isinstance(answer, bytes):
            return answer
        await context.abort(answer, "as asked")
        raise AssertionError("abort raises")

    server = grpc.aio.server()
    methods = {"Check": grpc.unary_unary_rpc_method_handler(check)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),))
    port = server.add_insecure_port(f"{IP}:0")
    await server.start()
    yield port
    await server.stop(0)


async def test_grpc_is_ready_when_its_health_service_says_serving() -> None:
    long = "a" * 200
    async with health({"": b"\x08\x01", "shop.Cart": b"\x08\x02", long: b"\x08\x01", "late": b""}) as port:
        assert await probe(Probe(port, grpc=""))
        assert await probe(Probe(port, grpc=long))
        assert not await probe(Probe(port, grpc="shop.Cart"))  # NOT_SERVING
        assert not await probe(Probe(port, grpc="late"))  # UNKNOWN, which is encoded as nothing
        assert not await probe(Probe(port, grpc="shop.None"))


async def test_what_is_no_grpc_is_not_ready() -> None:
    async with listening(HTTP2Only((":status", "200"))) as port:
        assert not await probe(Probe(port, grpc=""))
