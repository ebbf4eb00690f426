"""The asynchronous client of the control API."""

from __future__ import annotations

import asyncio
from pathlib import Path

from argosy.edge.async_control import control_client


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    asked = await reader.readuntil(b"\r\n\r\n")
    path = asked.split(b" ")[1]
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))
    writer.close()
    await writer.wait_closed()


def test_each_program_is_asked_on_its_own_socket(tmp_path: Path) -> None:
    async def ask() -> str:
        (tmp_path / "run").mkdir()
        ended = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _answer(reader, writer)
            ended.set()

        server = await asyncio.start_unix_server(serve, tmp_path / "run" / "pilot.sock")
        async with server, control_client(tmp_path, "pilot") as client:
            text = (await client.get("/v1/status")).text
            await ended.wait()
            return text

    assert asyncio.run(ask()) == "/v1/status"
