"""Clients for tests, run in pods: each prints one line of JSON.

python caller.py raw HOST PORT TEXT            what comes back for these bytes, until the end or a pause
python caller.py greet HOST PORT               the greeting, an echoed line, and the milliseconds until the greeting
python caller.py idle HOST PORT CLIENTS S      POSTs on kept connections, 4.5 to 5.5 s apart, for S seconds
python caller.py many HOST PORT COUNT PATH     so many requests at once; statuses
python caller.py late HOST PORT S              a request S seconds after its connection: the status
python caller.py silent HOST PORT S            how soon a connection without a byte is closed, up to S seconds
python caller.py grpc HOST PORT                what a gRPC method answers
python caller.py stream HOST PORT N             a gRPC stream of N messages: how many came back
python caller.py ws HOST PORT FRAMES           a WebSocket: its status, and how many frames came back
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

WAIT_S = 60.0


async def raw(host: str, port: str, text: str) -> dict[str, Any]:
    """Send bytes as they are; read until nothing comes for a while."""
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(text.encode().decode("unicode_escape").encode("latin-1"))
    got = b""
    try:
        while chunk := await asyncio.wait_for(reader.read(65536), 2 if got else WAIT_S):
            got += chunk
    except (TimeoutError, ConnectionError):
        pass
    writer.close()
    return {"got": got.decode("latin-1")}


async def greet(host: str, port: str) -> dict[str, Any]:
    """Wait for the server to speak first."""
    begin = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
        line = await asyncio.wait_for(reader.readline(), WAIT_S)
        took = time.monotonic() - begin
        writer.write(b"hello\n")
        echo = await asyncio.wait_for(reader.readline(), WAIT_S)
        writer.close()
    except (OSError, TimeoutError) as error:
        return {"failed": repr(error), "greeting": ""}
    return {"greeting": line.decode().strip(), "echo": echo.decode().strip(), "ms": round(took * 1e3)}


async def exchange(connection: Any, host: str, method: str, path: str) -> tuple[str, str]:
    """One request on an open connection: status and body."""
    reader, writer = connection
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].split("\r\n")[0] or 0)
    return head.split(" ")[1], (await reader.readexactly(length)).decode()


async def idle(host: str, port: str, clients: str, seconds: str) -> dict[str, Any]:
    """Each client keeps its connection; what it sends meets the server just as that closes idle ones."""
    answers: Counter[str] = Counter()
    begin, end = time.time_ns(), time.monotonic() + float(seconds)
    chance = random.Random(5)
    late_s = 0.0

    async def watch() -> None:
        """How long the machine stood still at worst: nothing was sent or closed in time then."""
        nonlocal late_s
        while True:
            due = time.monotonic() + 0.05
            await asyncio.sleep(0.05)
            late_s = max(late_s, time.monotonic() - due)

    async def one(client: int) -> None:
        connection = await asyncio.open_connection(host, int(port))
        number = 0
        while time.monotonic() < end:
            try:
                status, _ = await exchange(connection, host, "POST", f"/once?id={begin}-{client}-{number}")
            except (OSError, EOFError) as error:
                status = repr(error)
                connection = await asyncio.open_connection(host, int(port))
            answers[status] += 1
            number += 1
            await asyncio.sleep(chance.uniform(4.5, 5.5))

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(one(client) for client in range(int(clients))))
    watching.cancel()
    return {"answers": answers, "late_s": late_s}


async def many(host: str, port: str, count: str, path: str) -> dict[str, Any]:
    """All connections are open and have sent their request before the first answer is awaited to its end."""
    answers: Counter[str] = Counter()

    async def one() -> None:
        try:
            connection = await asyncio.open_connection(host, int(port))
            status, _ = await asyncio.wait_for(exchange(connection, host, "GET", path), 240)
            connection[1].close()
        except (OSError, EOFError, TimeoutError) as error:
            status = repr(error)
        answers[status] += 1

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    await asyncio.gather(*(one() for _ in range(int(count))))
    return {"answers": answers}


async def late(host: str, port: str, seconds: str) -> dict[str, Any]:
    """Open a connection, be silent, then send a request."""
    connection = await asyncio.open_connection(host, int(port))
    await asyncio.sleep(float(seconds))
    status, _ = await exchange(connection, host, "GET", "/")
    return {"status": status}


async def silent(host: str, port: str, seconds: str) -> dict[str, Any]:
    """Take the greeting, then wait for the end."""
    reader, writer = await asyncio.open_connection(host, int(port))
    await reader.readline()
    begin = time.monotonic()
    try:
        await asyncio.wait_for(reader.read(), float(seconds))
    except TimeoutError:
        return {"closed_after_s": None}
    writer.close()
    return {"closed_after_s": time.monotonic() - begin}


async def grpc(host: str, port: str) -> dict[str, Any]:
    """One unary call."""
    import grpc.aio

    async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
        return {"answer": (await channel.unary_unary("/test.Echo/Say")(b"hello", timeout=WAIT_S)).decode()}


async def stream(host: str, port: str, count: str) -> dict[str, Any]:
    """One call with messages both ways."""
    import grpc.aio

    async def messages() -> AsyncIterator[bytes]:
        for _ in range(int(count)):
            yield b"hello"

    async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
        return {"back": len([one async for one in channel.stream_stream("/test.Echo/Stream")(messages())])}


async def ws(host: str, port: str, frames: str) -> dict[str, Any]:
    """Open a WebSocket and see every frame come back."""
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    writer.write(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    answer = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)).decode("latin-1")
    status, back = answer.split(" ")[1], 0
    if status == "101":
        for number in range(int(frames)):
            text, mask = f"frame {number}".encode(), os.urandom(4)
            masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(text))
            writer.write(bytes([0x81, 0x80 | len(text)]) + mask + masked)
            _, length = await asyncio.wait_for(reader.readexactly(2), WAIT_S)
            back += await reader.readexactly(length & 127) == text
            await asyncio.sleep(0.02)
    writer.close()
    return {"status": status, "back": back}


if __name__ == "__main__":
    verbs = {one.__name__: one for one in (raw, greet, idle, many, late, silent, grpc, stream, ws)}
    print(json.dumps(asyncio.run(verbs[sys.argv[1]](*sys.argv[2:]))))
