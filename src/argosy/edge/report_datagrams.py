"""Lines of reports to a server by UDP, several in one datagram.

Nobody answers. That nobody listens is known from what the machine is told after something was sent: then the next batch
fails, and waits.
"""

from __future__ import annotations

import asyncio

from argosy.edge.report_push import Address, Resolve

LINE_BYTES_MAX = 60_000
"""What one datagram can carry, with room for its headers."""


def pack_lines(lines: list[bytes], bytes_max: int) -> list[bytes]:
    """Datagrams of at most `bytes_max`, each with at least one line; lines end in a newline, datagrams do not."""
    packed: list[bytes] = []
    for line in lines:
        if packed and len(packed[-1]) + len(line) - 1 <= bytes_max:
            packed[-1] += line
        else:
            packed.append(line)
    return [one.removesuffix(b"\n") for one in packed]


class DatagramSender:
    """Datagrams of at most `bytes_max` bytes to one server; a line that is longer goes alone."""

    def __init__(self, host: str, port: int, resolve: Resolve, bytes_max: int) -> None:
        self._host, self._port, self._resolve, self._bytes_max = host, port, resolve, bytes_max
        self._socket: asyncio.DatagramTransport | None = None
        self._to: Address | None = None
        self._errors = _Errors()

    async def send(self, batch: list[bytes]) -> None:
        """Send a batch. Errors: OSError, also for what was sent before."""
        socket = await self._connected()
        if self._errors.found is not None:
            error = self._errors.found
            await self.close()
            raise error
        for datagram in pack_lines(batch, self._bytes_max):
            socket.sendto(datagram)

    async def close(self) -> None:
        """Close the socket."""
        socket, self._socket, self._to = self._socket, None, None
        if socket is not None:
            socket.close()

    async def _connected(self) -> asyncio.DatagramTransport:
        address = self._resolve(self._host, self._port)
        if self._socket is None or address != self._to:
            await self.close()
            self._errors = errors = _Errors()
            loop = asyncio.get_running_loop()
            self._socket, _protocol = await loop.create_datagram_endpoint(lambda: errors, remote_addr=address)
            self._to = address
        return self._socket


class _Errors(asyncio.DatagramProtocol):
    """What came of datagrams."""

    def __init__(self) -> None:
        self.found: OSError | None = None

    def error_received(self, exc: Exception) -> None:
        if isinstance(exc, OSError):
            self.found = exc
