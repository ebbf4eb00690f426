"""Probes that are commands: ready by the exit code, and ended with their time."""

import asyncio
import os
from pathlib import Path

import pytest

from argosy.agent.pod import Container, Probe
from argosy.edge.pod_probes import PodProbes


def probes() -> PodProbes:
    return PodProbes(os.getpid(), "127.0.0.2", lambda argv: argv, lambda container: dict(container.env))


def container(*command: str, timeout_s: float = 60, **more: float) -> Container:
    env = (("PATH", os.environ["PATH"]), ("MARK", "set"))
    return Container("app", "image", ("true",), env, probe=Probe(command=command, timeout_s=timeout_s, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("script, ready", [("exit 0", True), ("exit 1", False), ('test "$MARK" = set', True)])
async def test_a_command_that_ends_with_0_is_ready(script: str, ready: bool) -> None:
    assert await probes().serves(container("sh", "-c", script)) is ready


async def test_a_command_that_is_not_there_is_not_ready() -> None:
    assert not await probes().serves(container("no-such-program"))


async def test_a_command_beyond_its_time_is_ended_and_not_ready(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"echo $$ > {pid}; sleep 600; exit 0"
    for timeout_s in (0.5, 5, 50):  # long enough for the shell to have begun
        assert not await probes().serves(container("sh", "-c", script, timeout_s=timeout_s))
        if pid.exists() and pid.read_text():
            break
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


async def test_serving_takes_as_many_successes_as_are_asked_for(tmp_path: Path) -> None:
    """A failure in between starts the count again."""
    script = f"echo >> {tmp_path}/asked; test $(wc -l < {tmp_path}/asked) != 2"
    async with asyncio.timeout(60):
        await probes().until_serving(container("sh", "-c", script, successes_min=2))
    assert (tmp_path / "asked").read_text().count("\n") == 4
