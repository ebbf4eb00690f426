"""Datagrams to a server that listens, and to one that does not."""

from __future__ import annotations

import asyncio
import socket

import pytest

from argosy.edge.report_datagrams import DatagramSender, pack_lines


@pytest.mark.parametrize(
    "bytes_max, wanted",
    [
        (0, [b"aa", b"b", b"cccccc", b"d"]),
        (4, [b"aa\nb", b"cccccc", b"d"]),
        (8, [b"aa\nb", b"cccccc\nd"]),
        (100, [b"aa\nb\ncccccc\nd"]),
    ],
)
def test_lines_are_packed_in_their_order_and_long_ones_go_alone(bytes_max: int, wanted: list[bytes]) -> None:
    assert pack_lines([b"aa\n", b"b\n", b"cccccc\n", b"d\n"], bytes_max) == wanted
    assert pack_lines([], bytes_max) == []


async def test_lines_arrive_and_a_server_that_moved_is_found() -> None:
    servers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for one in servers:
        one.bind(("127.0.0.1", 0))
        one.settimeout(60)
    ports = [one.getsockname()[1] for one in servers]
    sender = DatagramSender("statsd.ns", 8125, lambda _host, _port: ("127.0.0.1", ports[0]), 512)
    await sender.send([b"a:1|c\n", b"b:2|c\n"])
    assert await asyncio.to_thread(servers[0].recv, 2000) == b"a:1|c\nb:2|c"
    sender._resolve = lambda _host, _port: ("127.0.0.1", ports[1])
    await sender.send([b"c:3|c\n"])
    assert await asyncio.to_thread(servers[1].recv, 2000) == b"c:3|c"
    await sender.close()
    for one in servers:
        one.close()


async def test_that_nobody_listens_is_told_with_the_next_batch() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        # A connected socket takes from its peer only: what others send to it is refused.
        taken.connect(("127.0.0.1", 9))
        sender = DatagramSender("x", 1, lambda _host, _port: ("127.0.0.1", port), 512)
        await sender.send([b"a:1|c\n"])
        async with asyncio.timeout(60):
            while sender._errors.found is None:  # noqa: ASYNC110  # what the kernel does
                await asyncio.sleep(0)
        with pytest.raises(OSError, match="refused"):
            await sender.send([b"a:1|c\n"])
        await sender.close()


async def test_a_server_that_is_nowhere_is_told() -> None:
    def nowhere(_host: str, _port: int) -> tuple[str, int]:
        raise OSError("no pod is ready")

    with pytest.raises(OSError, match="no pod"):
        await DatagramSender("x", 1, nowhere, 512).send([b"a\n"])
