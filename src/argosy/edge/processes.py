"""Processes: start them, watch them end, signal and find them again after a restart.

Everything is watched through pidfds, because they work for children and for processes that an earlier agent started
alike. Nothing is started through a shell here, and no descriptor is passed but those named.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_RESET_SIGNALS = [signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD]


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process that cannot be mistaken for a later one with the same number: `start` is in clock ticks since boot."""

    pid: int
    start: int


def spawn(argv: Sequence[str], *, env: Mapping[str, str], stdin: int | None, stdout: int, stderr: int) -> ProcessId:
    """Start `argv` in a session of its own. `stdin` None: /dev/null. Raises FileNotFoundError for an unknown program.

    The caller keeps its own descriptors; those of Python are closed on exec.
    """
    program = shutil.which(argv[0], path=env.get("PATH", os.defpath))
    if program is None:
        raise FileNotFoundError(2, "program not found", argv[0])
    # Sources may themselves be 0, 1 or 2; copies above make the order of the three actions irrelevant.
    with contextlib.ExitStack() as copies:
        sources = []
        for descriptor in (stdin, stdout, stderr):
            copy = os.open(os.devnull, os.O_RDONLY) if descriptor is None else os.dup(descriptor)
            copies.callback(os.close, copy)
            sources.append(copy)
        actions = [(os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate(sources)]
        pid = os.posix_spawn(
            program, list(argv), dict(env), file_actions=actions, setsid=True, setsigdef=_RESET_SIGNALS, setsigmask=[]
        )
    return ProcessId(pid, start_time(pid) or 0)


def start_time(pid: int) -> int | None:
    """When process `pid` started, in clock ticks since boot; None if there is no such living process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def alive(process: ProcessId) -> bool:
    """True if exactly this process still runs."""
    return start_time(process.pid) == process.start


def send_signal(process: ProcessId, number: int, *, group: bool = False) -> None:
    """Signal the process (`group`: and all of its session's group). No error if it is gone."""
    if not alive(process):
        return
    with contextlib.suppress(ProcessLookupError):
        if group:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)


async def wait_exit(process: ProcessId) -> int:
    """Wait until the process has ended. Gives its exit code as a shell does (128 + signal), -1 where it is not known.

    Not known is the code of a process that an earlier agent started: its parent is the node's process 1.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return -1
    try:
        if start_time(process.pid) in (process.start, None):
            await readable(descriptor)
        return _collect(descriptor)
    finally:
        os.close(descriptor)


async def readable(descriptor: int) -> None:
    """Wait until `descriptor` is readable (a pidfd: until its process has ended)."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await done
    finally:
        loop.remove_reader(descriptor)


def _collect(descriptor: int) -> int:
    try:
        result = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return -1
    if result is None:
        return -1
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


def tool_path() -> str:
    """PATH with the system directories, where an ordinary user's often lacks sbin."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


@dataclass(frozen=True, slots=True)
class NodeProcess:
    """A node as its supervisor holds it. Closing the pipe asks it to end in order; if the holder dies, so does it."""

    process: ProcessId
    pipe: int

    def close(self) -> None:
        """Ask for an orderly end: programs of the node get SIGTERM in their ranks. Call once."""
        os.close(self.pipe)

    def kill(self) -> None:
        """End everything in the node at once."""
        send_signal(self.process, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait until the node is gone; its exit code."""
        return await wait_exit(self.process)


def spawn_node(argv: Sequence[str], spec: bytes, *, inherit: Sequence[int], log: int) -> NodeProcess:
    """Start a node: `argv` is `local.node_spec.node_argv`'s, `spec` the JSON it reads, `inherit` the sockets in it.

    Must be called from the main thread: the node dies with the thread that started it.
    """
    ours, theirs = os.pipe()
    before = {descriptor: os.get_inheritable(descriptor) for descriptor in inherit}
    try:
        for descriptor in inherit:
            os.set_inheritable(descriptor, True)
        process = spawn(argv, env={**os.environ, "PATH": tool_path()}, stdin=ours, stdout=log, stderr=log)
    finally:
        os.close(ours)
        for descriptor, inheritable in before.items():
            os.set_inheritable(descriptor, inheritable)
    # A specification is far below the size of a pipe's buffer, so this does not wait for the reader.
    os.write(theirs, spec + b"\n")
    return NodeProcess(process, theirs)
