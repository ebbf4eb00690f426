"""The asynchronous client of the control API."""

from __future__ import annotations

import asyncio
from pathlib import Path

from argosy.edge.async_control import control_client


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    asked = await reader.readuntil(b"\r\n\r\n")
    path = asked.split(b" ")[1]
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))
    await writer.drain()


def test_each_program_is_asked_on_its_own_socket(tmp_path: Path) -> None:
    async def ask() -> str:
        (tmp_path / "run").mkdir()
        server = await asyncio.start_unix_server(_answer, tmp_path / "run" / "pilot.sock")
        async with server, control_client(tmp_path, "pilot") as client:
            return (await client.get("/v1/status")).text

    assert asyncio.run(ask()) == "/v1/status"
