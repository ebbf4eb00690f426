"""Calls out of pods, and what is seen of them on the wire: for tests of security.

`call` runs many requests in one pod with one command; `Capture` records a pod's link in the node's network.
"""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.harness import Mesh, wait_for

from argosy.edge.exec_api import AgentClient, Request

REFUSED = "000"
"""What curl says instead of a status when the connection is refused, closed or reset."""

EARLY = 0.95
"""Of a time that a proxy waits, as much as must have passed: its timers go by whole milliseconds of a clock that it
reads once in a turn of its loop."""

_ETHERNET, _IP_PROTOCOL_TCP = 14, 6
_HALF = 1 << 31
_END, _END_PORT = "end-of-the-capture", 9


def in_pod(mesh: Mesh, workload: str, *command: str, namespace: str = "default") -> str:
    """What a command prints in the pod of a workload. Asks the agent as `argosy exec` does, without its start-up.

    What it complains of goes where a failed test shows it: an answer is compared, and a program may have a word to say
    beside it.
    """
    pod = next(one for one in mesh.pods(workload) if one["metadata"]["namespace"] == namespace)
    agent = AgentClient(str(mesh.home / "run" / "agent.sock"))
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors, open(os.devnull) as nothing:
        request = Request("exec", namespace, pod["metadata"]["name"], argv=command)
        agent.ask(request, [nothing.fileno(), output.fileno(), errors.fileno()])
        output.seek(0)
        errors.seek(0)
        sys.stderr.write(errors.read())
        return output.read()


def call(mesh: Mesh, workload: str, *requests: str, namespace: str = "default") -> list[str]:
    """Status codes of `requests` (curl's arguments: URL and options) as the pod of a workload gets them, in order."""
    curl = "curl -s -o /dev/null -m 60 -w '%{http_code}\\n'"
    script = "\n".join(f"{curl} {request}" for request in requests)
    return in_pod(mesh, workload, "sh", "-c", script, namespace=namespace).split()


def body(mesh: Mesh, workload: str, request: str, *, namespace: str = "default") -> str:
    """What one request is answered with."""
    return in_pod(mesh, workload, "sh", "-c", f"curl -s -m 60 {request}", namespace=namespace)


def echo(mesh: Mesh, workload: str, host: str, port: int, line: str, *, namespace: str = "default") -> str:
    """What a TCP service sends back for one line; empty if the connection is refused or closed."""
    script = f"exec 3<>/dev/tcp/{host}/{port} && echo '{line}' >&3 && timeout 30 head -n1 <&3"
    return in_pod(mesh, workload, "bash", "-c", f"{{ {script}; }} 2>/dev/null", namespace=namespace).strip()


@contextlib.contextmanager
def applied(mesh: Mesh, *sources: str | Path) -> Iterator[None]:
    """These objects for the length of a block."""
    mesh.apply(*sources)
    try:
        yield
    finally:
        mesh.delete(*sources)


@contextlib.contextmanager
def capture(mesh: Mesh, address: str, file: Path) -> Iterator[None]:
    """Record all TCP packets on the link of the pod with `address`, as the node's network sees them, into `file`."""
    enter = ["nsenter", "-t", str(mesh.host_pid("argosy.app.agent")), "-n"]
    route = subprocess.run([*enter, "ip", "route", "get", address], capture_output=True, text=True, check=True).stdout
    link = route.split(" dev ")[1].split()[0]
    tcpdump = ["tcpdump", "-i", link, "-n", "-s", "0", "-U", "--immediate-mode", "-Z", "root", "-w", str(file)]
    tcpdump.append(f"tcp or udp port {_END_PORT}")
    process = subprocess.Popen([*enter, *tcpdump], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert any("listening on" in line for line in process.stderr), "tcpdump does not listen"
        yield
        # When the last packet is in the file, so are all before it.
        subprocess.run([*enter, "bash", "-c", f"echo -n {_END} >/dev/udp/{address}/{_END_PORT}"], check=True)
        wait_for(lambda: _END.encode() in file.read_bytes(), 60, "the capture's end in its file")
    finally:
        process.terminate()
        process.communicate(timeout=60)


def streams(file: Path) -> dict[tuple[str, int, str, int], bytes]:
    """The bytes that each captured TCP stream carried: (source, port, destination, port) -> payload in order.

    A packet that is still being written to the file is left out. Sequence numbers start anywhere and wrap around.
    """
    parts: dict[tuple[str, int, str, int], dict[int, bytes]] = {}
    starts: dict[tuple[str, int, str, int], int] = {}
    data = file.read_bytes()
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    position = 24
    while position + 16 <= len(data):
        (length,) = struct.unpack_from(f"{order}I", data, position + 8)
        if position + 16 + length > len(data):
            break
        packet = data[position + 16 + _ETHERNET : position + 16 + length]
        position += 16 + length
        header = (packet[0] & 15) * 4
        assert packet[0] >> 4 == 4
        if packet[9] != _IP_PROTOCOL_TCP:
            continue
        source, destination = (".".join(map(str, packet[at : at + 4])) for at in (12, 16))
        end = struct.unpack_from("!H", packet, 2)[0]
        port, to_port, sequence = struct.unpack_from("!HHI", packet, header)
        payload = packet[header + (packet[header + 12] >> 4) * 4 : end]
        key = (source, port, destination, to_port)
        stream, start = parts.setdefault(key, {}), starts.setdefault(key, sequence)
        if payload:
            stream[(sequence - start + _HALF) % (2 * _HALF)] = payload
    return {key: b"".join(stream[at] for at in sorted(stream)) for key, stream in parts.items()}


def is_tls(stream: bytes) -> bool:
    """True if the bytes are whole TLS records (the last one may be cut) and nothing else."""
    position = 0
    while position + 5 <= len(stream):
        kind, major, minor, length = struct.unpack_from("!BBBH", stream, position)
        if kind not in (20, 21, 22, 23) or major != 3 or minor > 4 or length > 16_640:
            return False
        position += 5 + length
    return True
