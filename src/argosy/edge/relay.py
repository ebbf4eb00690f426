"""Carries bytes from sockets of the host to addresses of the node, and looks at none of them.

Given listening sockets (made outside, in the host's network, where this process could not make them) and where each
leads. Each direction ends by itself: a half-closed connection stays half open. What cannot be connected is closed.
More ports come later over a unix socket: one JSON line `{"target": "10.96.0.2:80", "name": "http"}` with the listening
socket attached (SCM_RIGHTS); the answer is a line `{"ok": true}` or `{"error": ...}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from pathlib import Path

import msgspec

from argosy.edge.processes import readable
from argosy.edge.unix_socket import private_listener, receive_descriptors

_log = logging.getLogger("argosy.relay")
CONNECT_TIMEOUT_S = 5.0
CONNECTIONS_MAX = 4096
_REQUEST_BYTES_MAX = 4096


class PortSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a listening socket leads: `address:port`."""

    target: str
    name: str = ""

    @property
    def address(self) -> tuple[str, int]:
        """(address, port); raises ValueError if it is not one."""
        host, _, port = self.target.rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"{self.target!r} is not address:port")
        return host, int(port)


class _Side(asyncio.Protocol):
    """One end of a relayed connection; whatever it gets goes to the other end, no faster than that one takes it."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        self.ended = False
        """True once it has said all that it will say."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        # Until the other end is there too, so that no byte finds nobody.
        transport.pause_reading()
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Tell the other end; False, which closes both, if that one has ended too: nothing else would ever do so."""
        self.ended = True
        if self.other is None or self.other.transport is None or self.other.ended:
            return False
        if self.other.transport.can_write_eof():
            with contextlib.suppress(OSError):
                self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relay.sides.discard(self)
        other, self.other, self.transport = self.other, None, None
        if other is None or other.transport is None:
            return
        if exc is None:
            other.transport.close()
        else:
            other.transport.abort()


class Relay:
    """All relayed ports and connections of the process."""

    def __init__(self) -> None:
        self.sides: set[_Side] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def add_port(self, listener: socket.socket, spec: PortSpec) -> None:
        """Accept on `listener` from now on and lead its connections to the target."""
        target = spec.address
        listener.setblocking(False)
        self._keep(asyncio.get_running_loop().create_task(self._accept(listener, target)))
        _log.info("port %s leads to %s", spec.name or listener.getsockname(), spec.target)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop accepting and cut what is open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for side in list(self.sides):
            if side.transport:
                side.transport.abort()

    async def _accept(self, listener: socket.socket, target: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    client, _ = await loop.sock_accept(listener)
                except OSError as error:
                    # Too many open files, or a client that left already: the port itself goes on.
                    _log.warning("accept: %s", error)
                    await asyncio.sleep(0.1)
                    continue
                self._keep(loop.create_task(self._connect(client, target)))

    async def _connect(self, client: socket.socket, target: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        if len(self.sides) >= 2 * CONNECTIONS_MAX:
            _log.warning("a connection is refused: there are %d", CONNECTIONS_MAX)
            client.close()
            return
        near, far = _Side(self), _Side(self)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: far, *target)
        except OSError:
            client.close()
            return
        near.other, far.other = far, near
        self.sides |= {near, far}
        far_transport = far.transport
        try:
            await loop.connect_accepted_socket(lambda: near, client)
        except OSError:
            client.close()
            if far_transport:
                far_transport.abort()
            return
        for side in (near, far):
            if side.transport:
                side.transport.resume_reading()

    async def serve_control(self, path: Path) -> None:
        """Take further ports over the unix socket at `path` (mode 0600), until cancelled."""
        loop = asyncio.get_running_loop()
        with private_listener(path) as listener:
            while True:
                control, _ = await loop.sock_accept(listener)
                with control:
                    answer = await self._take_port(control)
                    with contextlib.suppress(OSError):
                        await loop.sock_sendall(control, msgspec.json.encode(answer) + b"\n")

    async def _take_port(self, control: socket.socket) -> dict[str, object]:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await readable(control.fileno())
            line, descriptors = receive_descriptors(control, _REQUEST_BYTES_MAX, 4)
        except OSError as error:
            return {"error": str(error)}
        listeners = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        try:
            if len(listeners) != 1:
                raise ValueError("one listening socket is expected with the line")
            self.add_port(listeners[0], msgspec.json.decode(line, type=PortSpec))
        except (ValueError, msgspec.MsgspecError) as error:
            for listener in listeners:
                listener.close()
            return {"error": str(error)}
        return {"ok": True}


def hand_over_port(path: str, listener: socket.socket, spec: PortSpec) -> None:
    """The other end: give a listening socket to the relay behind `path`. Blocking. Raises OSError with its answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
        control.settimeout(CONNECT_TIMEOUT_S)
        control.connect(path)
        socket.send_fds(control, [msgspec.json.encode(spec) + b"\n"], [listener.fileno()])
        answer = msgspec.json.decode(control.recv(_REQUEST_BYTES_MAX), type=dict[str, object])
    if "error" in answer:
        raise OSError(str(answer["error"]))
