"""Service rules: written when they change, always the newest, and again after a refusal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from argosy.edge import kube_proxy
from argosy.edge.kube_proxy import ServiceRules

PROGRAM = """#!/bin/sh
rules=$(cat)
if [ "$rules" = bad ] && [ ! -e "{folder}/mended" ]; then
    touch "{folder}/refused"
    echo "line 1 failed" >&2
    exit 1
fi
echo "$rules" >> "{folder}/applied"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a program in place of iptables-restore notes what it was given."""
    program = tmp_path / "bin" / "iptables-restore"
    program.parent.mkdir()
    program.write_text(PROGRAM.format(folder=tmp_path))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return tmp_path


@asynccontextmanager
async def serving() -> AsyncIterator[ServiceRules]:
    rules = ServiceRules()
    task = asyncio.create_task(rules.serve())
    try:
        yield rules
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def applied(folder: Path, last: str) -> list[str]:
    """Everything that was applied, once `last` was."""
    path = folder / "applied"
    while not path.exists() or not path.read_text().endswith(f"{last}\n"):  # noqa: ASYNC110 - another program's file
        await asyncio.sleep(0.01)
    return path.read_text().splitlines()


async def test_rules_are_written_when_their_text_changes(folder: Path) -> None:
    async with serving() as rules:
        rules.wish("one")
        assert await applied(folder, "one") == ["one"]
        rules.wish("one")
        rules.wish("two")
        assert await applied(folder, "two") == ["one", "two"]


async def test_of_wishes_that_come_together_the_last_counts(folder: Path) -> None:
    async with serving() as rules:
        for number in range(20):
            rules.wish(f"rules {number}")
        assert await applied(folder, "rules 19") == ["rules 19"]


async def test_a_wish_taken_back_in_time_writes_nothing(folder: Path) -> None:
    async with serving() as rules:
        rules.wish("one")
        await applied(folder, "one")
        rules.wish("two")
        rules.wish("one")
        rules.wish("three")
        assert await applied(folder, "three") == ["one", "three"]


async def test_what_the_kernel_refuses_is_told_and_tried_again(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kube_proxy, "RETRY_S", 0.02)
    async with serving() as rules:
        rules.wish("bad")
        while not (folder / "refused").exists():  # noqa: ASYNC110 - another program's file
            await asyncio.sleep(0.01)
        (folder / "mended").touch()
        assert await applied(folder, "bad") == ["bad"]
    assert "iptables-restore: line 1 failed" in caplog.text


async def test_newer_rules_take_the_place_of_those_that_were_refused(folder: Path) -> None:
    async with serving() as rules:
        rules.wish("bad")
        while not (folder / "refused").exists():  # noqa: ASYNC110 - another program's file
            await asyncio.sleep(0.01)
        rules.wish("good")
        assert await applied(folder, "good") == ["good"]
