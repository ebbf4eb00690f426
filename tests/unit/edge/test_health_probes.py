"""Answers of a workload, as texts: empty where it is well, else what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from argosy.agent.health import HealthCheck, Way
from argosy.edge.health_probes import ask_workload

HERE = "127.0.0.1"
pytestmark = pytest.mark.timeout(300)


@contextlib.asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[int]:
    """A server that gives one fixed answer to everybody; None: it never answers."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if answer is None:
                await reader.read()
            else:
                writer.write(answer)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async with await asyncio.start_server(lambda r, w: tasks.add(asyncio.create_task(serve(r, w))), HERE, 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    "answer, told",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", ""),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "GET http://127.0.0.1:"),
        (b"", "GET http://127.0.0.1:"),
        (None, "no answer within 1 s"),
    ],
)
async def test_an_http_answer_is_good_from_200_to_399(answer: bytes | None, told: str) -> None:
    async with answering(answer) as port:
        timeout_s = 1 if answer is None else 60
        text = await ask_workload(HealthCheck(Way.HTTP, HERE, port, "/ready", timeout_s=timeout_s))
    assert (told in text) if told else text == ""


@pytest.mark.parametrize("way", list(Way))
async def test_nobody_there_is_an_answer_and_no_error(way: Way) -> None:
    with socket.socket() as unused:
        unused.bind((HERE, 0))
        text = await ask_workload(HealthCheck(way, HERE, unused.getsockname()[1], "/"))
    assert f"{HERE}:" in text


@pytest.mark.parametrize("way", [Way.HTTP, Way.TCP])
@pytest.mark.parametrize("address", ["unix:///run/app.sock", "no-such-host.invalid", "a" * 70 + ".example"])
async def test_an_address_that_leads_nowhere_is_an_answer_and_no_error(way: Way, address: str) -> None:
    assert await ask_workload(HealthCheck(way, address, 80, "/"))
