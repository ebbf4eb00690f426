"""Starts the process that holds a pod's namespaces: process 1 of the pod, with which everything in it ends.

Given its command line, which prints `READY` once all is set up; gives the process, or what it said before it failed.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence

from argosy.agent.sandbox import READY
from argosy.edge import processes
from argosy.edge.netns import child_apart
from argosy.edge.processes import ProcessId

SANDBOX_TIMEOUT_S = 10.0
REASON_CHARS_MAX = 300


async def start_holder(argv: Sequence[str], env: Mapping[str, str]) -> ProcessId:
    """Start a holder in a process namespace of its own and wait until it is ready.

    Raises OSError with its words if it ends before, TimeoutError if it takes too long; nothing of it is left then.
    """
    said, say = os.pipe()
    try:
        with child_apart():
            holder = processes.spawn(argv, env=env, stdin=None, stdout=say, stderr=say)
    finally:
        os.close(say)
    os.set_blocking(said, False)
    try:
        async with asyncio.timeout(SANDBOX_TIMEOUT_S):
            await _read_until_ready(said)
    except BaseException:
        processes.send_signal(holder, signal.SIGKILL, group=True)
        await processes.wait_exit(holder)
        raise
    finally:
        os.close(said)
    return holder


async def _read_until_ready(descriptor: int) -> None:
    said = b""
    while not said.endswith(f"{READY}\n".encode()):
        await processes.readable(descriptor)
        chunk = os.read(descriptor, 4096)
        said += chunk
        if not chunk:
            text = said.decode(errors="replace").strip()[-REASON_CHARS_MAX:]
            raise OSError(f"the pod's namespaces could not be made: {text or 'no message'}")
