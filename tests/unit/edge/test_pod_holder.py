"""A holder is process 1 of its own namespace, or nothing is left of it."""

import os
import signal
from pathlib import Path

import pytest

from argosy.edge import processes
from argosy.edge.pod_holder import start_holder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes a process namespace")
ENV = {"PATH": processes.tool_path()}


def children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


async def test_a_holder_is_process_1_of_a_namespace_of_its_own() -> None:
    holder = await start_holder(("sh", "-c", "test $$ = 1 && echo ready && exec sleep 60 >/dev/null 2>&1"), ENV)
    assert os.readlink(f"/proc/{holder.pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
    processes.send_signal(holder, signal.SIGKILL)
    assert await processes.wait_exit(holder) == 128 + signal.SIGKILL


async def test_one_that_fails_is_quoted_and_collected() -> None:
    before = children()
    with pytest.raises(OSError, match="could not be made: no room"):
        await start_holder(("sh", "-c", "echo no room; exit 1"), ENV)
    assert children() == before
