"""The probes of one running pod: of which containers it is asked, and how a probe's command is run.

Given the process that holds the pod, the pod's address, and what makes a command line and an environment of a
container; gives answers. A command of a probe runs as the container's own program does, and never outlives its probe.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from argosy.agent.pod import Container
from argosy.edge import processes
from argosy.edge.netns import children_inside
from argosy.edge.probes import probe_container


@dataclass(frozen=True)
class PodProbes:
    """Asks the containers of one pod."""

    pid: int
    ip: str
    argv: Callable[[Sequence[str]], Sequence[str]]
    environment: Callable[[Container], Mapping[str, str]]

    async def serves(self, container: Container) -> bool:
        """One probe."""
        return await probe_container(self.pid, self.ip, container, self._run)

    async def until_serving(self, container: Container) -> None:
        """Probe until it works; often at first, because most programs start in well under a second."""
        wanted = container.probe.successes_min if container.probe else 1
        pause_s, missing = 0.05, wanted
        if container.probe:
            await asyncio.sleep(container.probe.initial_delay_s)
        while True:
            missing = missing - 1 if await self.serves(container) else wanted
            if missing <= 0:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.3, 1.0)

    async def _run(self, container: Container, command: Sequence[str]) -> int:
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            argv, env = self.argv(command), self.environment(container)
            with children_inside(self.pid):
                process = processes.spawn(argv, env=env, stdin=None, stdout=nothing, stderr=nothing)
        finally:
            os.close(nothing)
        try:
            return await processes.wait_exit(process)
        except asyncio.CancelledError:
            processes.send_signal(process, signal.SIGKILL, group=True)
            # The kernel ends it at once; unwaited it would stay as a zombie.
            await processes.wait_exit(process)
            raise
