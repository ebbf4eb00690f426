import asyncio
import os
import signal
import sys

import pytest

from argosy.edge import processes

ENV = {"PATH": os.environ.get("PATH", os.defpath)}


def spawn(*argv: str, stdin: int | None = None) -> processes.ProcessId:
    return processes.spawn(argv, env=ENV, stdin=stdin, stdout=1, stderr=2)


@pytest.mark.parametrize("script, code", [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)])
async def test_exit_codes_are_a_shells(script, code):
    async with asyncio.timeout(60):
        assert await processes.wait_exit(spawn("sh", "-c", script)) == code


async def test_waiting_for_what_is_gone_ends_at_once():
    process = spawn("true")
    async with asyncio.timeout(60):
        await processes.wait_exit(process)
        assert await processes.wait_exit(process) == -1
    assert not processes.alive(process)


async def test_a_number_that_was_used_again_is_another_process():
    process = spawn("sleep", "60")
    imposter = processes.ProcessId(process.pid, process.start + 1)
    assert not processes.alive(imposter)
    processes.send_signal(imposter, signal.SIGKILL)
    assert processes.alive(process)
    processes.send_signal(process, signal.SIGKILL)
    async with asyncio.timeout(60):
        assert await processes.wait_exit(process) == 137


async def test_a_signal_reaches_the_whole_group():
    process = spawn("sh", "-c", "sleep 60 & wait")
    processes.send_signal(process, signal.SIGTERM, group=True)
    async with asyncio.timeout(60):
        assert await processes.wait_exit(process) == 128 + signal.SIGTERM


async def test_no_other_descriptor_is_passed():
    secret = os.open(os.devnull, os.O_RDONLY)
    code = f"import os; os.fstat({secret})"
    async with asyncio.timeout(60):
        assert await processes.wait_exit(spawn(sys.executable, "-c", code)) == 1
    os.close(secret)


def test_an_unknown_program_is_an_error():
    with pytest.raises(FileNotFoundError):
        spawn("no-such-program-here")
