"""The writer of flows, and what it answers about the past."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.app.flow_recorder import RETRY_S, FlowRecorder
from argosy.core.errors import ArgosyError, Level
from argosy.edge.flow_store import Bounds
from argosy.flow.minutes import MinuteLog
from argosy.flow.record import FlowKey, Outcome

BOUNDS = Bounds(days=7, bytes=1 << 20)
KEY, OK = FlowKey("source"), Outcome("200", "-", "")
START = 1_800_000_000.0 // 60 * 60


class Rig:
    """A recorder, and the clocks it goes by."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wall, self.steady = START, 50.0
        self.revision: int | None = 1
        self.log = MinuteLog()
        self.restart()

    def restart(self) -> None:
        """What a kill does: nothing is written."""
        self.log = MinuteLog()
        self.recorder = FlowRecorder(self.log, self.path, BOUNDS, clock=self, revision=self._revision)

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    async def _revision(self) -> int | None:
        return self.revision

    async def run(self, seconds: int, *, rps: float = 0.0) -> None:
        """Time passes, with traffic."""
        for _ in range(seconds):
            self.wall, self.steady = self.wall + 1, self.steady + 1
            if rps:
                self.log.touch(KEY, self.wall).add_requests(OK, rps)
            await self.recorder.tick()

    async def rate(self, at: float, window_s: float = 60) -> float:
        window = (await self.recorder.past(at, window_s)).window
        return sum(counters.request_count for _, counters in window.flows) / window.seconds


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "flows.db")


async def test_each_minute_can_be_seen_again_with_its_revision(rig: Rig) -> None:
    await rig.run(60, rps=2)
    rig.revision = 2
    await rig.run(60, rps=8)
    await rig.run(10)
    first = await rig.recorder.past(START + 30, 60)
    assert (first.start, first.end, first.revision) == (START, START + 60, 1)
    assert await rig.rate(START + 30) == pytest.approx(2, rel=0.05)
    assert await rig.rate(START + 90) == pytest.approx(8, rel=0.05)
    assert await rig.rate(START + 90, 120) == pytest.approx(5, rel=0.05)
    assert (await rig.recorder.past(START + 90, 60)).revision == 2


async def test_the_running_minute_is_part_of_it_with_the_revision_of_now(rig: Rig) -> None:
    await rig.run(70, rps=3)
    rig.revision = 7
    found = await rig.recorder.past(rig.wall, 60)
    assert found.revision == 7
    assert found.window.seconds == pytest.approx(10)
    assert await rig.rate(rig.wall) == pytest.approx(3, rel=0.15)


async def test_a_kill_loses_the_running_minute_and_no_more(rig: Rig) -> None:
    await rig.run(90, rps=2)
    rig.restart()
    await rig.run(50, rps=2)
    assert await rig.rate(START + 30) == pytest.approx(2, rel=0.05)
    cut = await rig.recorder.past(START + 61, 60)
    assert cut.window.seconds == pytest.approx(30), "a rate is of the seconds that somebody counted"
    assert await rig.rate(START + 61) == pytest.approx(2, rel=0.1)


async def test_a_proper_end_writes_the_running_minute(rig: Rig) -> None:
    await rig.run(20, rps=2)
    rig.recorder._finish()
    rig.restart()
    await rig.run(39, rps=2)
    found = await rig.recorder.past(START + 1, 60)
    assert found.window.seconds == pytest.approx(59)
    assert found.window.flows[0][1].request_count == 2 * 59


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
async def test_a_step_of_the_clock_breaks_no_rate(rig: Rig, step: float) -> None:
    await rig.run(150, rps=2)
    rig.wall += step
    await rig.run(150, rps=2)
    await rig.run(1)
    for at in (START + 30, START + 90, rig.wall - 90):
        assert await rig.rate(at) == pytest.approx(2, rel=0.1)


async def test_a_time_without_minutes_is_told_with_what_there_is(rig: Rig) -> None:
    async def fault(at: float) -> tuple[str, str, str]:
        with pytest.raises(ArgosyError) as caught:
            await rig.recorder.past(at, 60)
        (found,) = caught.value.findings
        return found.code, found.message, found.hint

    assert (await fault(START))[2].startswith("nothing is kept yet")
    await rig.run(61)
    rig.wall += 600
    await rig.run(61)
    code, message, hint = await fault(START - 300)
    assert (code, "no flows are kept of" in message) == ("ARG0940", True)
    assert hint.startswith("the history begins at 20")
    assert "nothing was recorded from" in (await fault(START + 300))[2]
    assert "has not come yet" in (await fault(rig.wall + 300))[1]


async def test_what_cannot_be_written_waits_and_is_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.path.mkdir()  # a folder stands in the file's place
    await rig.run(130, rps=2)
    (finding,) = rig.recorder.findings()
    assert (finding.code, finding.level) == ("ARG0941", Level.WARNING)
    assert rig.recorder.metrics()[0][3] == 2
    assert await rig.rate(START + 30) == pytest.approx(2, rel=0.05), "it is in memory all the same"
    rig.path.rmdir()
    await rig.run(int(RETRY_S) + 1)
    assert rig.recorder.findings() == []
    assert rig.recorder.metrics()[0][3] == 0
    assert await rig.rate(START + 30) == pytest.approx(2, rel=0.05)


async def test_a_damaged_file_begins_anew_and_is_told(rig: Rig) -> None:
    rig.path.write_bytes(b"nonsense" * 1000)
    await rig.run(61, rps=2)
    (finding,) = rig.recorder.findings()
    assert (finding.code, finding.level) == ("ARG0942", Level.WARNING)
    assert "flows.db.damaged" in finding.message
    assert await rig.rate(START + 30) == pytest.approx(2, rel=0.05)


async def test_a_newer_file_is_left_alone_and_asking_says_why(rig: Rig) -> None:
    import sqlite3

    with sqlite3.connect(rig.path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    await rig.run(5)
    with pytest.raises(ArgosyError, match="newer Argosy"):
        await rig.recorder.past(START - 600, 60)
