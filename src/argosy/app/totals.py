"""Keeps Mixer's totals in a file, so that they do not fall when Mixer is started anew, and says when they may be told.

A counter that falls is taken for one that began again, and its whole value is counted once more: a rate that lies. So
what is told is kept first, and after a start nothing is told until the proxies that are known have reported again.
Decision: docs/decisions/0020-totals-outlive-mixer.md.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from argosy.core.clock import Clock
from argosy.core.errors import Finding, Level
from argosy.edge.counts_file import put_aside, read_counts, write_counts
from argosy.mixer.checkpoint import decode, encode
from argosy.mixer.metrics import MetricsAggregator

UNKEPT = "ARG0944"
KEEP_S = 5.0
FRESH_S = 1.0
"""What is told need not be kept again if it was kept so recently."""
COST_MAX = 0.02
"""The share of the time that may be spent on keeping."""
GRACE_S = 10.0
"""For how long proxies of before are waited for: they report each second, and connect anew within a few."""


class Totals:
    """The totals of an aggregator that has counted nothing yet, and their file."""

    def __init__(self, aggregator: MetricsAggregator, path: Path, clock: Clock) -> None:
        self._aggregator = aggregator
        self._path = path
        self._clock = clock
        self._kept = float("-inf")
        self._pause_s = 0.0
        self._trouble = self._lost = ""
        self._until = clock.monotonic() + GRACE_S
        try:
            self._go_on()
        except OSError as error:
            self._lost = f"what was counted before is lost: {error}"

    def _go_on(self) -> None:
        """Restore what the file holds; one that is damaged, or of another version, is put aside."""
        data = read_counts(self._path)
        if data is None:
            return
        try:
            saved = decode(data)
        except ValueError as error:
            self._lost = f"what was counted before is lost: {error}; the old file is {put_aside(self._path)}"
        else:
            self._aggregator.restore(saved)

    @property
    def ready(self) -> bool:
        """True if totals are not behind what was told before."""
        return not self._aggregator.awaited or self._clock.monotonic() >= self._until

    def keep(self, age_s: float = 0.0) -> None:
        """Write what is counted, unless that was done in the last `age_s` or costs too much just now."""
        began = self._clock.monotonic()
        if began - self._kept < max(age_s, self._pause_s):
            return
        try:
            write_counts(self._path, encode(self._aggregator.checkpoint()))
            self._trouble = ""
        except OSError as error:
            self._trouble = f"what is counted cannot be kept: {error}"
        self._kept = self._clock.monotonic()
        self._pause_s = (self._kept - began) / COST_MAX

    async def run(self) -> None:
        """Keep from time to time, and at the end."""
        try:
            while True:
                await asyncio.sleep(KEEP_S)
                self.keep(FRESH_S)
        finally:
            self._pause_s = 0.0
            self.keep()

    def findings(self) -> list[Finding]:
        """What makes rates over a restart of Mixer wrong."""
        hint = "rates of istio_* over a restart of Mixer may be too high until this is mended"
        past = "rates of istio_* that reach back to before Mixer's last start may be too high"
        told = ((self._trouble, hint), (self._lost, past))
        return [Finding(UNKEPT, Level.WARNING, message, hint=what) for message, what in told if message]
