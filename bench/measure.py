"""Counting and weighing one process: functions run, resources encoded, messages and bytes, CPU seconds, memory."""

from __future__ import annotations

import resource as limits
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argosy.edge.xds_server import ServerStats
from argosy.pilot.build import resource as resources

PAGE_BYTES = limits.getpagesize()


@dataclass(slots=True)
class Result:
    """What one step cost. Times in seconds, memory in megabytes; `last_ack_s` counts from the step's beginning."""

    cpu_s: float = 0.0
    last_ack_s: float = 0.0
    ran: dict[str, int] = field(default_factory=dict)
    encoded: int = 0
    messages: int = 0
    resources_sent: int = 0
    bytes_sent: int = 0
    rss_mb: float = 0.0
    rss_peak_mb: float = 0.0


class Encoded:
    """Counts how many resources were encoded: each has its version computed once, when it is."""

    def __init__(self) -> None:
        self.count = 0
        counted = resources.content_version

        def content_version(*arguments: Any) -> str:
            self.count += 1
            return counted(*arguments)

        resources.content_version = content_version


def rss_mb() -> float:
    """Resident memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / 1e6


def rss_peak_mb() -> float:
    """The most that this process ever had resident."""
    return limits.getrusage(limits.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


class Step:
    """One step: note what was before, then ask what it cost."""

    def __init__(self, encoded: Encoded, stats: ServerStats) -> None:
        self._encoded, self._stats = encoded, stats
        self._begin = time.monotonic()
        self._cpu = time.process_time()
        self._before = (encoded.count, stats.responses, stats.resources, stats.response_bytes)

    def result(self, ran: Counter[str] | None = None) -> Result:
        """The cost up to now."""
        stats = self._stats
        now = (self._encoded.count, stats.responses, stats.resources, stats.response_bytes)
        encoded, messages, sent, sent_bytes = (after - before for after, before in zip(now, self._before, strict=True))
        return Result(
            cpu_s=time.process_time() - self._cpu,
            last_ack_s=time.monotonic() - self._begin,
            ran=dict(ran or {}),
            encoded=encoded,
            messages=messages,
            resources_sent=sent,
            bytes_sent=sent_bytes,
            rss_mb=rss_mb(),
            rss_peak_mb=rss_peak_mb(),
        )
