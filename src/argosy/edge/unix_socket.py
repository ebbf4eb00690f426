"""Unix sockets: a listening one that only its own user can open, and descriptors that come over one."""

from __future__ import annotations

import array
import os
import socket
from pathlib import Path


def private_listener(path: Path) -> socket.socket:
    """A non-blocking listening socket at `path`, mode 0600 from its first moment. An old file there is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    listener.listen(16)
    listener.setblocking(False)
    return listener


def receive_descriptors(connection: socket.socket, bytes_max: int, descriptors_max: int) -> tuple[bytes, list[int]]:
    """Data and the descriptors that came with it, not inheritable: programs started meanwhile must not get them.

    Python's `socket.recv_fds` does not pass its flags on (3.11), so its descriptors are inheritable.
    """
    numbers = array.array("i")
    room = socket.CMSG_LEN(descriptors_max * numbers.itemsize)
    data, messages, _, _ = connection.recvmsg(bytes_max, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in messages:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    return data, list(numbers)
