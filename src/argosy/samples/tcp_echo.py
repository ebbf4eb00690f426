"""The tcp-echo sample: sends every line back with a word in front.

Run: `python -m argosy.samples.tcp_echo [PORT[,PORT...] [PREFIX]]`, default `9000 hello`. The line "x" comes back as
"hello x". A line longer than 64 KiB comes back in pieces, each with the prefix; bytes without a newline are answered
when the client has closed its half of the connection.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack

LINE_BYTES_MAX = 64 * 1024


def parse_arguments(argv: Sequence[str]) -> tuple[tuple[int, ...], bytes]:
    """Read the ports and the prefix.

    Errors: ValueError with one sentence when a port is no port or there are too many arguments.
    """
    if len(argv) > 2:
        raise ValueError("expected at most two arguments: ports, separated by commas, and a prefix")
    words = (argv[0] if argv else "9000").split(",")
    if not all(word.isascii() and word.isdigit() and int(word) <= 65535 for word in words):
        raise ValueError(f"{argv[0]!r} is no list of port numbers such as 9000,9001")
    return tuple(int(word) for word in words), (argv[1] if len(argv) == 2 else "hello").encode()


async def echo_lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, prefix: bytes) -> None:
    """Serve one connection until the client closes its half of it."""
    try:
        while chunk := await _read_line(reader):
            writer.write(prefix + b" " + chunk)
            await writer.drain()
    except (ConnectionError, asyncio.CancelledError):
        pass  # the client went away, or the program ends: nothing is left to say
    finally:
        writer.close()


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await reader.readexactly(error.consumed)


async def serve(ports: Sequence[int], prefix: bytes) -> None:
    """Listen on all ports until SIGTERM or SIGINT; open connections end with the program."""
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await echo_lines(reader, writer, prefix)

    async with AsyncExitStack() as stack:
        for port in ports:
            server = await asyncio.start_server(on_connection, "0.0.0.0", port, limit=LINE_BYTES_MAX)
            stack.callback(server.close)
            host, bound = server.sockets[0].getsockname()[:2]
            print(f"listening on {host}:{bound}", flush=True)
        await stop.wait()


def main() -> None:
    """Serve until told to stop."""
    try:
        ports, prefix = parse_arguments(sys.argv[1:])
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    asyncio.run(serve(ports, prefix))


if __name__ == "__main__":
    main()
