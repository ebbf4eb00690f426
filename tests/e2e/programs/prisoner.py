"""Tries all that an application of a pod must not be able to do, and prints a line of JSON of what it got.

    python prisoner.py '{"pids": [..], "homes": [..], "sockets": [..], "secrets": [..], "public": [..]}'

`pids`: numbers of processes of others, as the node or the machine knows them. `homes`: folders of the mesh. `sockets`:
paths where the mesh's sockets lie. `secrets`: bits of text of which none may be in any file that can be found, but
below `public`, where the programs themselves lie.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import re
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PTRACE_ATTACH = 16
PIDS = 70_000
SECRET_BYTES_MAX = 1 << 20


def visible() -> dict[int, str]:
    """All processes in /proc, with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ").strip()
    return found


def signalled(numbers: Iterator[int] | range) -> list[int]:
    """Numbers of processes that may be sent a signal."""
    found = []
    for number in numbers:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(number, 0)
            found.append(number)
    return found


def opened(pid: int) -> list[str]:
    """What of process `pid` can be had: its memory, environment, files, working folder or descriptors."""
    base, found = Path(f"/proc/{pid}"), []
    for name in ("environ", "mem", "maps", "auxv"):
        with contextlib.suppress(OSError), (base / name).open("rb"):
            found.append(name)
    for name in ("root", "cwd", "exe", "fd/0", "ns/pid", "ns/mnt"):
        with contextlib.suppress(OSError):
            (base / name).readlink()
            found.append(name)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(PTRACE_ATTACH, pid, None, None) == 0:
        found.append("ptrace")
    return found


def connected(paths: list[str]) -> list[str]:
    """Sockets that answer a caller."""
    found = []
    for path in paths:
        with socket.socket(socket.AF_UNIX) as one, contextlib.suppress(OSError):
            one.connect(path)
            found.append(path)
    return found


def administered() -> list[int]:
    """TCP ports of this network that serve Envoy's admin pages."""
    text = Path("/proc/net/tcp").read_text()
    ports = {int(port, 16) for port in re.findall(r"^\s*\d+: \w+:(\w+) \w+:\w+ 0A", text, re.MULTILINE)}
    found = []
    for port in sorted(ports):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/server_info")
            if "version" in connection.getresponse().read(10_000).decode(errors="replace"):
                found.append(port)
        connection.close()
    assert ports, "a pod with a sidecar listens"
    return found


def listed(folders: list[str]) -> list[str]:
    """What lies in folders of the mesh."""
    found = []
    for folder in folders:
        with contextlib.suppress(OSError):
            found += [f"{folder}/{name}" for name in os.listdir(folder)]
    return found


def writable_mounts() -> list[str]:
    """File systems that are not read-only, device files aside."""
    found = set()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        at = line.split()[4]
        with contextlib.suppress(OSError):
            usable = not os.statvfs(at).f_flag & os.ST_RDONLY
            if usable and not stat.S_ISCHR(os.stat(at).st_mode):
                found.add(at)
    return sorted(found)


def writable_in(top: str) -> list[str]:
    """Files below `top` that are not of a process, and that can be opened for writing."""
    found = []
    for folder, folders, files in os.walk(top):
        folders[:] = [one for one in folders if not (folder == "/proc" and one.isdigit())]
        for name in files:
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError):
                if stat.S_ISREG(os.lstat(path).st_mode):
                    os.close(os.open(path, os.O_WRONLY))
                    found.append(path)
    return found


def secrets_in(tops: list[str], secrets: list[str], public: list[str]) -> list[str]:
    """Small files below `tops`, but not below `public`, that hold one of the secrets."""
    words, found = [one.encode() for one in secrets], []
    for top in tops:
        for folder, folders, files in os.walk(top):
            folders[:] = [one for one in folders if os.path.join(folder, one) not in public]
            for name in files:
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    if path.is_file() and path.stat().st_size < SECRET_BYTES_MAX:
                        content = path.read_bytes()
                        found += [str(path) for word in words if word in content]
    return found


def shared_memory() -> int:
    """How many System V segments there are."""
    return len(Path("/proc/sysvipc/shm").read_text().splitlines()) - 1


def main() -> None:
    given: dict[str, Any] = json.loads(sys.argv[1])
    seen = visible()
    own = os.getpid()
    answer = {
        "visible": {str(pid): command for pid, command in seen.items() if pid != own},
        "signalled": [pid for pid in signalled(range(2, PIDS)) if pid not in seen],
        "one": opened(1),
        "others": {str(pid): got for pid in given["pids"] if pid not in seen and (got := opened(pid))},
        "connected": connected(given["sockets"]),
        "abstract": [line for line in Path("/proc/net/unix").read_text().splitlines() if "@" in line],
        "administered": administered(),
        "listed": listed(given["homes"]),
        "secrets": secrets_in(
            ["/etc/argosy/proxy", "/run", "/tmp", *given["homes"]], given["secrets"], given["public"]
        ),
        "devices": sorted(os.listdir("/dev")),
        "mounts": writable_mounts(),
        "kernel": [*writable_in("/proc"), *writable_in("/sys")],
        "segments": shared_memory(),
    }
    print(json.dumps(answer))


main()
