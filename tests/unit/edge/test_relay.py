import asyncio
import contextlib
import os
import socket
from pathlib import Path

import pytest

from argosy.edge.relay import PortSpec, Relay, hand_over_port


async def appears(path: Path) -> None:
    while not there(path):  # noqa: ASYNC110
        await asyncio.sleep(0)


def there(path: Path) -> bool:
    return path.exists()


@contextlib.asynccontextmanager
async def echo_server(handler):
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def listening() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


@contextlib.asynccontextmanager
async def relayed(target_port: int):
    relay, listener = Relay(), listening()
    port = listener.getsockname()[1]
    relay.add_port(listener, PortSpec(f"127.0.0.1:{target_port}"))
    try:
        yield port
    finally:
        await relay.close()


async def whole_echo(reader, writer):
    """Answer only after the client has closed its half: proves that half-closing passes through."""
    data = await reader.read()
    writer.write(data[::-1])
    writer.write_eof()
    await reader.read()
    writer.close()


async def test_half_closed_connections_stay_half_open():
    async with asyncio.timeout(60), echo_server(whole_echo) as target, relayed(target) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"abc")
        writer.write_eof()
        assert await reader.read() == b"cba"
        writer.close()


async def says_first(_reader, writer):
    writer.write(b"220 hello")
    writer.write_eof()
    writer.close()


@pytest.mark.parametrize("handler, answer", [(whole_echo, b"cba"), (says_first, b"220 hello")])
async def test_nothing_is_left_of_connections_that_have_ended(handler, answer):
    relay, listener = Relay(), listening()
    async with asyncio.timeout(60), echo_server(handler) as target:
        relay.add_port(listener, PortSpec(f"127.0.0.1:{target}"))
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
            writer.write(b"abc")
            writer.write_eof()
            assert await reader.read() == answer
            writer.close()
            await writer.wait_closed()
        while relay.sides or len(os.listdir("/proc/self/fd")) > before:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await relay.close()


async def test_many_bytes_pass_unchanged_with_slow_readers():
    payload = bytes(range(256)) * 40_000
    async with asyncio.timeout(60), echo_server(whole_echo) as target, relayed(target) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(payload)
        writer.write_eof()
        assert await reader.read() == payload[::-1]
        writer.close()


async def test_a_target_that_refuses_closes_the_connection():
    with listening() as closed:
        target = closed.getsockname()[1]
    async with asyncio.timeout(60), relayed(target) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_ports_are_added_over_the_control_socket(tmp_path: Path):
    relay, path = Relay(), tmp_path / "relay.sock"
    control = asyncio.create_task(relay.serve_control(path))
    async with asyncio.timeout(60), echo_server(whole_echo) as target:
        await appears(path)
        assert path.stat().st_mode & 0o777 == 0o600
        with listening() as listener:
            port = listener.getsockname()[1]
            spec = PortSpec(f"127.0.0.1:{target}", "late")
            await asyncio.to_thread(hand_over_port, str(path), listener, spec)
            with pytest.raises(OSError, match="not address:port"):
                await asyncio.to_thread(hand_over_port, str(path), listener, PortSpec("nonsense"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"xy")
        writer.write_eof()
        assert await reader.read() == b"yx"
        writer.close()
    control.cancel()
    await relay.close()
