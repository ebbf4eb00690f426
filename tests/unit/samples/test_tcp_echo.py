"""The tcp-echo sample."""

import asyncio

import pytest

from argosy.samples.tcp_echo import LINE_BYTES_MAX, echo_lines, parse_arguments


@pytest.mark.parametrize(
    "argv, expected",
    [
        ([], ((9000,), b"hello")),
        (["9001"], ((9001,), b"hello")),
        (["9000,9001,9002", "one"], ((9000, 9001, 9002), b"one")),
    ],
)
def test_arguments_are_ports_and_a_prefix(argv: list[str], expected: tuple[tuple[int, ...], bytes]) -> None:
    assert parse_arguments(argv) == expected


@pytest.mark.parametrize("argv", [["x"], [""], ["9000,"], ["70000"], ["-1"], ["²"], ["9000", "one", "more"]])
def test_bad_arguments_are_refused(argv: list[str]) -> None:
    with pytest.raises(ValueError):
        parse_arguments(argv)


async def exchange(sent: bytes) -> bytes:
    """Send, close our half, read to the end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await echo_lines(reader, writer, b"one")

    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=LINE_BYTES_MAX) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(sent)
        writer.write_eof()
        received = await reader.read()
        writer.close()
        await writer.wait_closed()
        return received


@pytest.mark.parametrize(
    "sent, received",
    [
        (b"hello\n", b"one hello\n"),
        (b"a\nb\n", b"one a\none b\n"),
        (b"no newline", b"one no newline"),
        (b"\n", b"one \n"),
        (b"", b""),
    ],
)
async def test_every_line_comes_back_with_the_prefix(sent: bytes, received: bytes) -> None:
    assert await exchange(sent) == received


async def test_an_endless_line_comes_back_in_pieces() -> None:
    sent = b"x" * (3 * LINE_BYTES_MAX)
    assert (await exchange(sent)).replace(b"one ", b"") == sent
