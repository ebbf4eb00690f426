"""Connections that a proxy has accepted, seen from outside of it, and the end of single ones.

Envoy cannot be asked to close one connection. Its sockets can be shared with the process that runs it: `pidfd_getfd`
gives the same socket, which is then asked where it was going, or shut down; Envoy sees its caller hang up.
Source: pidfd_getfd(2), netfilter's SO_ORIGINAL_DST.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_PIDFD_GETFD = 438
_SO_ORIGINAL_DST = 80
_libc = ctypes.CDLL(None, use_errno=True)


class _Gone(Exception):
    """The file was closed in between."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """One connection: from where, and to which port it was going before it was captured."""

    source: str
    source_port: int
    port: int


def close_connections(pid: int, local_ports: frozenset[int], unwanted: Callable[[Accepted], bool]) -> list[Accepted]:
    """Shut down the process's accepted connections on `local_ports` that are unwanted; gives those.

    Errors: `OSError` where the process is gone or may not be looked into.
    """
    closed = []
    for line in _sockets(pid):
        with line:
            found = _accepted(line, local_ports)
            if found is not None and unwanted(found):
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
                    closed.append(found)
    return closed


def _sockets(pid: int) -> Iterator[socket.socket]:
    process = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            # What has been closed meanwhile is passed over; what may not be looked at is an error.
            with contextlib.suppress(FileNotFoundError, _Gone):
                if os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:"):
                    yield socket.socket(fileno=_share(process, int(name)))
    finally:
        os.close(process)


def _share(process: int, number: int) -> int:
    found = int(_libc.syscall(_PIDFD_GETFD, process, number, 0))
    if found < 0:
        code = ctypes.get_errno()
        if code == errno.EBADF:
            raise _Gone
        raise OSError(code, os.strerror(code))
    return found


def _accepted(line: socket.socket, local_ports: frozenset[int]) -> Accepted | None:
    """The connection of a socket, if it is one that was accepted on one of the ports."""
    if line.family != socket.AF_INET or line.type != socket.SOCK_STREAM:
        return None
    try:
        local, (source, source_port) = line.getsockname(), line.getpeername()
    except OSError:  # it listens, or has just ended
        return None
    if local[1] not in local_ports:
        return None
    port = local[1]
    with contextlib.suppress(OSError):
        port = struct.unpack_from("!H", line.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16), 2)[0]
    return Accepted(source, source_port, port)
