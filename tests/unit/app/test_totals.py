"""Totals that outlive Mixer, and the page of metrics that tells them."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from argosy.app.mixer import Mixer
from argosy.app.totals import GRACE_S, Totals
from argosy.mixer.telemetry import REQUESTS, CounterSample, Flush, parse_node_id

from ..citadel.meshca import HandClock
from .shop import CART, added, pod

TAGS = (("reporter", "source"), ("service", "cart"), ("code", "200"))


class Run:
    """One life of a Mixer."""

    def __init__(self, file: Path, clock: HandClock) -> None:
        self.clock = clock
        self.mixer = Mixer(trust_domain="cluster.local", clock=clock, home=file.parent)
        self.mixer.on_changes(added(CART, pod()), synced=True)
        self.totals: Totals = self.mixer.keep_totals(file)

    def flush(self, value: float) -> None:
        node = parse_node_id("sidecar~10.88.0.2~cart-1.shop~shop.svc.cluster.local")
        assert node is not None
        self.mixer.aggregator.receive(node, Flush([CounterSample(REQUESTS, TAGS, value)]), self.clock.now())

    def told(self) -> float | None:
        """The sum on the page; None if it has none."""
        lines = b"".join(self.mixer.metrics()).decode().splitlines()
        found = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{REQUESTS}{{")]
        ready = next(line for line in lines if line.startswith("mixer_metrics_ready "))
        assert ready.endswith(" 1.0") or not found
        return sum(found) if found else None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "counts"


def test_what_was_told_is_told_again_once_the_proxies_have_reported(file: Path) -> None:
    clock = HandClock()
    first = Run(file, clock)
    first.flush(5)
    assert first.told() == 5
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    second = Run(file, clock)
    assert second.told() is None
    second.flush(7)
    assert second.told() == 7


def test_proxies_that_are_gone_are_waited_for_a_while(file: Path) -> None:
    clock = HandClock()
    first = Run(file, clock)
    first.flush(5)
    assert first.told() == 5
    second = Run(file, clock)
    clock.at += GRACE_S - 1
    assert second.told() is None
    clock.at += 1
    assert second.told() == 5


def test_a_page_is_not_kept_again_at_once(file: Path) -> None:
    clock = HandClock()
    one = Run(file, clock)
    one.flush(5)
    one.told()
    kept = file.read_bytes()
    one.flush(6)
    one.told()
    assert file.read_bytes() == kept
    clock.at += 1
    one.told()
    assert file.read_bytes() != kept


async def test_the_end_of_mixer_is_kept(file: Path) -> None:
    one = Run(file, HandClock())
    task = asyncio.create_task(one.totals.run())
    await asyncio.sleep(0)
    one.flush(5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    second = Run(file, one.clock)
    second.flush(5)
    assert second.told() == 5


def test_a_damaged_file_is_put_aside_and_that_stays_told(file: Path) -> None:
    file.write_bytes(b"damaged")
    one = Run(file, HandClock())
    one.flush(5)
    assert one.told() == 5
    (finding,) = one.mixer.findings()
    assert (finding.code, "counts.damaged" in finding.message) == ("ARG0944", True)
    assert file.with_name("counts.damaged").read_bytes() == b"damaged"
    second = Run(file, one.clock)
    second.flush(5)
    assert (second.told(), second.mixer.findings()) == (5, [])


def test_a_file_that_cannot_be_written_is_told_until_it_can_and_stops_nothing(file: Path) -> None:
    one = Run(file, HandClock())
    one.flush(5)
    file.mkdir()
    assert one.told() == 5
    assert [finding.code for finding in one.mixer.findings()] == ["ARG0944"]
    file.rmdir()
    one.clock.at += 60
    assert one.told() == 5
    assert one.mixer.findings() == []
