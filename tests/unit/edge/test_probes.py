"""Probes in a pod's network, here the test's own, and Envoy's admin page on a unix socket."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from argosy.agent.pod import Container, Port, Probe
from argosy.edge.probes import envoy_admin, envoy_admin_page, probe_container

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="enters a network namespace")
IP = "127.0.0.2"


class Answering:
    """Answers every connection with fixed bytes, piece by piece; keeps what it was asked."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.asked: list[bytes] = []
        self.answers: set[asyncio.Task[None]] = set()

    def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.answers.add(asyncio.create_task(self._answer(reader, writer)))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.02)  # a piece of its own on the wire
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def finish(self) -> None:
        await asyncio.gather(*self.answers)


@asynccontextmanager
async def listening(answer: Answering, address: str = IP) -> AsyncIterator[int]:
    async with await asyncio.start_server(answer, address, 0) as server:
        yield server.sockets[0].getsockname()[1]
        await answer.finish()


async def no_command(container: Container, command: Sequence[str]) -> int:
    raise AssertionError("no probe here has a command")


async def probe(*, ports: Sequence[Port] = (), probe: Probe | None = None) -> bool:
    patient = msgspec.structs.replace(probe, timeout_s=60) if probe else None
    container = Container("app", "image", ("true",), ports=tuple(ports), probe=patient)
    return await probe_container(os.getpid(), IP, container, no_command)


def unused_port() -> int:
    with socket.socket() as one:
        one.bind((IP, 0))
        return int(one.getsockname()[1])


async def test_a_container_without_ports_is_ready_as_it_runs() -> None:
    assert await probe()
    assert await probe(ports=[Port(unused_port(), protocol="UDP")])


@pytest.mark.parametrize("address", [IP, "127.0.0.1"])
async def test_a_port_is_ready_on_the_pods_address_or_on_loopback(address: str) -> None:
    with socket.create_server((address, 0)) as server:
        number = server.getsockname()[1]
        assert await probe(ports=[Port(number)])
        assert await probe(probe=Probe(number))


async def test_every_declared_port_must_accept() -> None:
    with socket.create_server((IP, 0)) as server:
        assert not await probe(ports=[Port(server.getsockname()[1]), Port(unused_port())])


async def test_its_own_probe_stands_in_place_of_its_ports() -> None:
    with socket.create_server((IP, 0)) as server:
        assert await probe(ports=[Port(unused_port())], probe=Probe(server.getsockname()[1]))


@pytest.mark.parametrize(
    "answer, ready",
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 302 Found\r\n\r\n", True),
        (b"HTTP/1.1 399 Odd\r\n\r\n", True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", False),
        (b"HTTP/1.1 two OK\r\n\r\n", False),
        (b"HTTP/2.0 200 OK\r\n\r\n", False),
        (b"HTTP/1.1\r\n\r\n", False),
        (b"220 mail.example ESMTP\r\n", False),
        (b"", False),
    ],
)
async def test_a_page_is_ready_by_its_status(answer: bytes, ready: bool) -> None:
    async with listening(Answering(answer)) as port:
        assert await probe(probe=Probe(port, "/healthz")) is ready


async def test_an_answer_that_comes_in_pieces_is_read_to_its_status() -> None:
    """One read used to have to hold the whole status line."""
    async with listening(Answering(b"HTTP/1.", b"1 20", b"0 OK\r\n", b"\r\n")) as port:
        assert await probe(probe=Probe(port, "/"))


async def test_a_server_that_talks_without_end_is_not_ready() -> None:
    async with listening(Answering(b"x" * 70_000)) as port:
        assert not await probe(probe=Probe(port, "/"))


async def test_the_request_is_what_a_server_expects() -> None:
    answering = Answering(b"HTTP/1.1 200 OK\r\n\r\n")
    async with listening(answering) as port:
        await probe(probe=Probe(port, "/a?b=c", (("X-Probe", "1"),)))
        await probe(probe=Probe(port, "/", (("host", "shop.example"),)))
    first, second = (asked.decode().split("\r\n") for asked in answering.asked)
    assert first[0] == "GET /a?b=c HTTP/1.1"
    assert f"Host: {IP}:{port}" in first
    assert "X-Probe: 1" in first
    assert "host: shop.example" in second
    assert not any(line.startswith("Host:") for line in second)


async def test_a_pod_that_is_gone_is_not_ready() -> None:
    process = await asyncio.create_subprocess_exec("true")
    await process.wait()
    gone = Container("app", "image", ("true",), ports=(Port(unused_port()),))
    assert not await probe_container(process.pid, IP, gone, no_command)


# -- Envoy's admin page ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def admin(tmp_path: Path, answer: Answering) -> AsyncIterator[Path]:
    path = tmp_path / "admin.sock"
    async with await asyncio.start_unix_server(answer, str(path)):
        yield path
        await answer.finish()


@pytest.mark.parametrize(
    "pieces, status",
    [
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nLIVE\n",), 200),
        ((b"HTTP/1.1 503 Service Unavailable\r\n\r\n",), 503),
        ((b"HTTP/1", b".1 200 OK\r\n\r\n"), 200),
        ((b"nonsense",), None),
        ((b"x" * 200_000,), None),
        ((), None),
    ],
)
async def test_envoys_status_is_read_cheaply(tmp_path: Path, pieces: tuple[bytes, ...], status: int | None) -> None:
    answering = Answering(*pieces)
    async with admin(tmp_path, answering) as path:
        assert await envoy_admin(path, "POST", "/healthcheck/fail") == status
    assert answering.asked[0].startswith(b"POST /healthcheck/fail HTTP/1.1\r\n")


async def test_an_envoy_that_is_not_there_has_no_status_and_no_page(tmp_path: Path) -> None:
    assert await envoy_admin(tmp_path / "nothing.sock", "GET", "/ready") is None
    with pytest.raises(ConnectionError, match="no answer"):
        await envoy_admin_page(tmp_path / "nothing.sock", "/stats")


async def test_a_whole_page_comes_with_its_status(tmp_path: Path) -> None:
    answering = Answering(b"HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\nconnection: close\r\n\r\nno\n")
    async with admin(tmp_path, answering) as path:
        assert await envoy_admin_page(path, "/stats") == (404, "no\n")
