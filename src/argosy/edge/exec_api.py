"""The agent's own socket: what runs, commands inside pods, logs, Envoy's admin page. For the same user only.

A line of JSON asks, a line answers; `{"error": ...}` if it cannot be done. Operations: `list`, `logs`, `stop`, `admin`
(GET on a pod's Envoy), and `exec`, which comes with the caller's standard input, output and error (SCM_RIGHTS): the
command uses them directly, a terminal too. While it runs further lines `{"signal": N}` are passed on; a caller that
goes away takes its command with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from argosy.edge import processes
from argosy.edge.netns import children_inside
from argosy.edge.probes import envoy_admin_page
from argosy.edge.unix_socket import private_listener, receive_descriptors

_log = logging.getLogger("argosy.agent.api")
REQUEST_BYTES_MAX = 1 << 20
REQUEST_TIMEOUT_S = 10.0


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question. `op` says which; the others as that one needs them."""

    op: str
    namespace: str = ""
    pod: str = ""
    container: str = ""
    argv: tuple[str, ...] = ()
    path: str = ""
    term: str = ""


@dataclass(frozen=True, slots=True)
class PodCommand:
    """A command to be run in a pod: `inside` is a process whose process namespace it is to be in."""

    argv: Sequence[str]
    env: Mapping[str, str]
    inside: int


class PodAccess(Protocol):
    """What the agent offers. All raise KeyError with a sentence for a pod or container that is not there."""

    def list_pods(self) -> list[dict[str, Any]]:
        """Every pod with its state, as plain data."""
        ...

    def log_files(self, namespace: str, pod: str) -> Mapping[str, str]:
        """Paths of log files by container."""
        ...

    def exec_command(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> PodCommand:
        """What runs `argv` in the pod."""
        ...

    def stop_pod(self, namespace: str, pod: str) -> None:
        """End a pod in order; its Deployment makes another."""
        ...

    def admin_socket(self, namespace: str, pod: str) -> Path:
        """The socket of the pod's Envoy."""
        ...


class AgentAPI:
    """Serves `PodAccess` on a unix socket."""

    def __init__(self, access: PodAccess) -> None:
        self._access = access
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, path: Path) -> None:
        """Answer on the socket at `path` (mode 0600) until cancelled."""
        loop = asyncio.get_running_loop()
        with private_listener(path) as listener:
            while True:
                connection, _ = await loop.sock_accept(listener)
                task = loop.create_task(self._serve_one(connection))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _serve_one(self, connection: socket.socket) -> None:
        with connection:
            connection.setblocking(False)
            if not _same_user(connection):
                return
            descriptors: list[int] = []
            try:
                line = await _receive_line(connection, descriptors)
                request = msgspec.json.decode(line, type=Request)
                answer = await self._answer(request, connection, descriptors)
            except KeyError as error:
                answer = {"error": str(error.args[0])}
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                answer = {"error": str(error) or type(error).__name__}
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().sock_sendall(connection, msgspec.json.encode(answer) + b"\n")

    async def _answer(self, request: Request, connection: socket.socket, descriptors: list[int]) -> dict[str, Any]:
        match request.op:
            case "list":
                return {"pods": self._access.list_pods()}
            case "logs":
                return {"files": dict(self._access.log_files(request.namespace, request.pod))}
            case "stop":
                self._access.stop_pod(request.namespace, request.pod)
                return {"ok": True}
            case "admin":
                socket_path = self._access.admin_socket(request.namespace, request.pod)
                status, body = await envoy_admin_page(socket_path, request.path)
                return {"status": status, "body": body}
            case "exec":
                return await self._exec(request, connection, descriptors)
        raise ValueError(f"unknown operation {request.op!r}")

    async def _exec(self, request: Request, connection: socket.socket, descriptors: list[int]) -> dict[str, Any]:
        if len(descriptors) != 3 or not request.argv:
            raise ValueError("exec needs a command and three descriptors")
        command = self._access.exec_command(request.namespace, request.pod, request.container, request.argv)
        env = {**command.env, "TERM": request.term} if request.term else command.env
        stdin, stdout, stderr = descriptors
        with children_inside(command.inside):
            process = processes.spawn(command.argv, env=env, stdin=stdin, stdout=stdout, stderr=stderr)
        ended = asyncio.ensure_future(processes.wait_exit(process))
        listening = asyncio.ensure_future(_pass_signals(connection, process))
        await asyncio.wait({ended, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            processes.send_signal(process, signal.SIGHUP, group=True)
            processes.send_signal(process, signal.SIGKILL, group=True)
        listening.cancel()
        return {"exit_code": await ended}


async def _pass_signals(connection: socket.socket, process: processes.ProcessId) -> None:
    """Pass the caller's signals on until it goes away."""
    loop = asyncio.get_running_loop()
    while line := await loop.sock_recv(connection, 256):
        with contextlib.suppress(msgspec.MsgspecError, KeyError, ValueError):
            number = msgspec.json.decode(line, type=dict[str, int])["signal"]
            processes.send_signal(process, signal.Signals(number), group=True)


def _same_user(connection: socket.socket) -> bool:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return bool(uid == os.getuid())


async def _receive_line(connection: socket.socket, descriptors: list[int]) -> bytes:
    """One line, with whatever descriptors come with it. Descriptors are the caller's to close, whatever happens."""
    data = b""
    async with asyncio.timeout(REQUEST_TIMEOUT_S):
        while not data.endswith(b"\n"):
            await processes.readable(connection.fileno())
            chunk, received = receive_descriptors(connection, 65536, 3)
            descriptors += received
            data += chunk
            if not chunk or len(data) > REQUEST_BYTES_MAX:
                raise ValueError("no whole line")
    return data


class AgentClient:
    """The blocking other end, for the command line."""

    def __init__(self, path: str) -> None:
        self._path = path

    def ask(self, request: Request, descriptors: Sequence[int] = ()) -> dict[str, Any]:
        """Send one request and wait for its answer. Raises OSError: the agent is away, or what it says is wrong."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(self._path)
            socket.send_fds(connection, [msgspec.json.encode(request) + b"\n"], list(descriptors))
            return _checked(_read_answer(connection))

    def exec(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> int:
        """Run a command in a pod with this process's standard descriptors; its exit code. Signals pass on."""
        request = Request("exec", namespace, pod, container, tuple(argv), term=os.environ.get("TERM", ""))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(self._path)

            def forward(number: int, _: object) -> None:
                connection.sendall(msgspec.json.encode({"signal": number}))

            before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                socket.send_fds(connection, [msgspec.json.encode(request) + b"\n"], [0, 1, 2])
                return int(_checked(_read_answer(connection))["exit_code"])
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)


def _read_answer(connection: socket.socket) -> bytes:
    data = bytearray()
    while not data.endswith(b"\n"):
        chunk = connection.recv(1 << 20)
        if not chunk:
            raise ConnectionError("the agent closed the connection without an answer")
        data += chunk
    return bytes(data)


def _checked(line: bytes) -> dict[str, Any]:
    answer = msgspec.json.decode(line, type=dict[str, Any])
    if "error" in answer:
        raise OSError(str(answer["error"]))
    return answer
