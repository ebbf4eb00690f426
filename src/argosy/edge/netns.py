"""Linux namespaces and mounts, by the system calls that Python 3.11 lacks; and sockets made inside a pod's network.

Given paths and open namespace files. Raises OSError as the kernel says it. A socket belongs for ever to the network in
which it was made, so a probe enters the pod's network only for that one call; a process to the process namespace that
its parent had chosen for its children, so the agent chooses it only for the start of that process.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_REMOUNT = 32
_CLONE_NEWNET = 0x40000000
_CLONE_NEWPID = 0x20000000
_SYS_MOUNT_SETATTR = 442
_MOUNT_ATTR_RDONLY = 1
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, fstype: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2). Bind mounts take `flags` with MS_BIND and no `fstype`."""
    data = options.encode() if options else None
    kind = fstype.encode() if fstype else None
    _check(_libc().mount(source.encode(), target.encode(), kind, ctypes.c_ulong(flags), data), f"mount on {target}")


def make_read_only(path: str) -> None:
    """mount_setattr(2): makes what is mounted at `path`, and all below, read-only. Raises OSError before Linux 5.12."""
    changes = struct.pack("4Q", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    arguments = (_AT_FDCWD, path.encode(), _AT_RECURSIVE, changes, ctypes.c_size_t(len(changes)))
    _check(_libc().syscall(_SYS_MOUNT_SETATTR, *arguments), f"mount_setattr on {path}")


@contextmanager
def inside_network(pid: int) -> Iterator[None]:
    """Run a short, synchronous piece of code in the network of process `pid`. Nothing in it may await."""
    with open("/proc/self/ns/net", "rb") as home, open(f"/proc/{pid}/ns/net", "rb") as there:
        _setns(there.fileno(), _CLONE_NEWNET)
        with _back_to(home.fileno(), _CLONE_NEWNET):
            yield


@contextmanager
def children_inside(pid: int) -> Iterator[None]:
    """Let processes that this thread starts in the block be of the process namespace of `pid`. It may not await.

    They are children of the caller as any others, and have a number in its own namespace as well. The namespace must be
    the caller's own or one below it.
    """
    with open("/proc/self/ns/pid", "rb") as home, open(f"/proc/{pid}/ns/pid", "rb") as there:
        if os.path.sameopenfile(home.fileno(), there.fileno()):
            yield
            return
        _setns(there.fileno(), _CLONE_NEWPID)
        with _back_to(home.fileno(), _CLONE_NEWPID):
            yield


@contextmanager
def child_apart() -> Iterator[None]:
    """Let the one process that this thread starts in the block be process 1 of a new process namespace.

    When it ends the kernel ends all others in there; but it is gone only when their parents have collected them.
    """
    with open("/proc/self/ns/pid", "rb") as home:
        _check(_libc().unshare(_CLONE_NEWPID), "unshare")
        with _back_to(home.fileno(), _CLONE_NEWPID):
            yield


@contextmanager
def _back_to(home: int, kind: int) -> Iterator[None]:
    """Return to a namespace at the end. If that fails the process is in the wrong one, and ends: to go on is worse."""
    try:
        yield
    finally:
        try:
            _setns(home, kind)
        except OSError:
            os._exit(70)


def _setns(descriptor: int, kind: int) -> None:
    _check(_libc().setns(descriptor, kind), "setns")


def socket_in_network(pid: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A non-blocking IPv4 socket that belongs to the network of process `pid`."""
    with inside_network(pid):
        made = socket.socket(socket.AF_INET, kind)
    made.setblocking(False)
    return made


def network_of(pid: int) -> int | None:
    """The inode that identifies the network namespace of a process; None if it is gone or not ours to see."""
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return None


def processes_by_network() -> dict[int, list[int]]:
    """All visible processes, by the inode of their network namespace."""
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (inode := network_of(int(entry.name))) is not None:
            found.setdefault(inode, []).append(int(entry.name))
    return found
