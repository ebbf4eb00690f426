"""`MetricsAggregator`: all proxies' series to one set of Istio metrics and to the flows of the graph.

Given: flushes of verified nodes (plain data) and the time. Gives: totals for `/metrics`, flow windows, findings.
Counters come absolute and are remembered per node, so a broken stream, a restarted Envoy or a Mixer that was away
neither lose nor count twice; histograms come per interval and are added. Labels are joined when a series first moves
and again when the directory has changed. Bounded: `series_max` series, beyond that all goes to one `overflow` series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from argosy.core.errors import Finding, Level
from argosy.flow.counters import CounterMemory
from argosy.flow.directory import Directory
from argosy.flow.histogram import Histogram
from argosy.flow.history import FlowHistory
from argosy.flow.minutes import MinuteLog
from argosy.flow.misread import MisreadLedger
from argosy.flow.plaintext import PlaintextLedger
from argosy.flow.record import FlowCounters, FlowWindow, is_failed_connection
from argosy.mixer import telemetry as t
from argosy.mixer.join import Joined, Labels, join, join_note, unknowns
from argosy.mixer.notes import expand
from argosy.mixer.telemetry import Flush, Node, Tags

SERIES_MAX = 50_000
RESTART_TOLERANCE_S = 2.0
# A proxy that reports for the first time at this age had counted before we listened: totals, but no recent traffic.
YOUNG_S = 15.0
FORGET_AFTER_S = 3600.0
OVERFLOW = "overflow"

_SeriesKey = tuple[str, Tags]


@dataclass(slots=True)
class _Process:
    """What is remembered of one node's Envoy."""

    memory: CounterMemory[_SeriesKey] = field(default_factory=CounterMemory)
    joined: dict[Tags, tuple[int, Joined]] = field(default_factory=dict)
    """With the directory's revision that they were joined at."""
    stream: int = -1
    started: float | None = None
    seen: float = 0.0
    flushes: int = 0


class MetricsAggregator:
    """Mutable sum of everything reported. One writer; readers call `families` and `window` between writes."""

    def __init__(self, directory: Directory, *, series_max: int = SERIES_MAX) -> None:
        self._directory = directory
        self._series_max = series_max
        self._processes: dict[str, _Process] = {}
        self._open: set[int] = set()
        self._counters: dict[str, dict[Labels, float]] = {name: {} for name in t.COUNTERS}
        self._histograms: dict[str, dict[Labels, Histogram]] = {name: {} for name in t.HISTOGRAMS}
        self._series = 0
        self._overflowed = 0
        self._history = FlowHistory()
        self.plaintext = PlaintextLedger()
        self.misread = MisreadLedger()

    def set_directory(self, directory: Directory) -> None:
        """Use a newer directory; series are joined anew when they next move. What was counted stays as labelled."""
        self._directory = directory

    def receive(self, stream: int, node: Node, flush: Flush, now: float) -> None:
        """Take in one flush that arrived on `stream` (a number unique to each stream, rising with its opening)."""
        process = self._processes.get(node.id)
        if process is None:
            process = self._processes[node.id] = _Process()
        self._open.add(stream)
        if stream >= process.stream:
            self._detect_restart(process, stream, flush, now)
            process.stream = stream
            process.seen = now
            recent = process.flushes > 0 or flush.uptime_s is None or flush.uptime_s <= YOUNG_S
            self._add_counters(process, node, flush, now, recent)
            process.flushes += 1
        # A late flush of a superseded stream: its absolute counters are in the newer one, its intervals are not.
        self._add_histograms(process, node, flush, now)

    def close(self, stream: int, now: float) -> None:
        """The stream ended. Its node's counters stay remembered for `FORGET_AFTER_S`, for when it comes back."""
        self._open.discard(stream)
        for node_id, process in list(self._processes.items()):
            if process.stream not in self._open and now - process.seen > FORGET_AFTER_S:
                del self._processes[node_id]

    def window(self, seconds: float, now: float) -> FlowWindow:
        """The flows of the last `seconds`."""
        return self._history.window(seconds, now)

    @property
    def minutes(self) -> MinuteLog:
        """The same flows by the minute, for who keeps them."""
        return self._history.minutes

    def counters(self) -> Iterator[tuple[str, Mapping[Labels, float]]]:
        """Each counter family with its series."""
        yield from self._counters.items()

    def histograms(self) -> Iterator[tuple[str, Mapping[Labels, Histogram]]]:
        """Each histogram family with its series."""
        yield from self._histograms.items()

    def findings(self) -> tuple[Finding, ...]:
        """What an operator should know: the limit on series was reached."""
        if not self._overflowed:
            return ()
        return (
            Finding(
                code="ARG0901",
                level=Level.WARNING,
                message=f"over {self._series_max} metric series: {self._overflowed} updates were counted as overflow",
                hint="look for a label with unbounded values: hosts made up by clients, or very many versions",
            ),
        )

    def dump(self) -> dict[str, int]:
        """Sizes, for the admin page and Mixer's own metrics."""
        return {
            "streams": len(self._open),
            "nodes": len(self._processes),
            "series": self._series,
            "overflowed": self._overflowed,
            **self._history.dump(),
        }

    def _detect_restart(self, process: _Process, stream: int, flush: Flush, now: float) -> None:
        if flush.uptime_s is not None:
            started = now - flush.uptime_s
            if process.started is not None and started - process.started > RESTART_TOLERANCE_S:
                process.memory.restart()
            if process.started is None or started - process.started > RESTART_TOLERANCE_S:
                process.started = started
            return
        # Without an age, one counter that fell on a new stream means that the whole process is a new one.
        if stream != process.stream and any(process.memory.fell((c.name, c.tags), c.value) for c in flush.counters):
            process.memory.restart()

    def _add_counters(self, process: _Process, node: Node, flush: Flush, now: float, recent: bool) -> None:
        for name, tags, value in expand(flush.counters):
            added = process.memory.advance((name, tags), value)
            family = self._counters.get(name)
            if not added or family is None:
                continue
            if name in (t.DRY_RUN, t.AUDIT):
                labels = self._admit(family, join_note(self._directory, node, tags))
                family[labels] = family.get(labels, 0.0) + added
                continue
            joined = self._join(process, node, tags)
            labels = self._admit(family, joined.labels)
            family[labels] = family.get(labels, 0.0) + added
            if recent:
                for counters in self._history.touch(joined.flow, now):
                    _count(counters, name, joined, added)
                self._note_plaintext(name, joined, added, now)

    def _note_plaintext(self, name: str, joined: Joined, added: float, now: float) -> None:
        if name == t.REQUESTS:
            self.plaintext.note(joined.flow, joined.outcome.flags, now, requests=added)
            self.misread.note(joined.flow, joined.outcome.flags, now, requests=added)
        elif name == t.TCP_OPENED:
            self.plaintext.note(joined.flow, joined.outcome.flags, now, connections=added)

    def _add_histograms(self, process: _Process, node: Node, flush: Flush, now: float) -> None:
        for name, tags, count, total, buckets in flush.histograms:
            family = self._histograms.get(name)
            if not count or family is None:
                continue
            interval = Histogram()
            interval.add(buckets, count=count, total=total)
            joined = self._join(process, node, tags)
            labels = self._admit(family, joined.labels)
            known = family.get(labels)
            if known is None:
                known = family[labels] = Histogram()
            known.merge(interval)
            for counters in self._history.touch(joined.flow, now):
                _observe(counters, name, interval)

    def _join(self, process: _Process, node: Node, tags: Tags) -> Joined:
        revision = self._directory.revision
        cached = process.joined.get(tags)
        if cached is not None and cached[0] == revision:
            return cached[1]
        joined = join(self._directory, node, tags)
        # The last counts of a pod arrive after the registry has let go of it: keep what was known when it was there.
        if cached is not None and unknowns(cached[1]) < unknowns(joined):
            joined = cached[1]
        process.joined[tags] = (revision, joined)
        return joined

    def _admit(self, family: Mapping[Labels, object], labels: Labels) -> Labels:
        if labels in family:
            return labels
        if self._series < self._series_max:
            self._series += 1
            return labels
        self._overflowed += 1
        return tuple((name, OVERFLOW) for name, _ in labels)


def _count(counters: FlowCounters, name: str, joined: Joined, added: float) -> None:
    if name == t.REQUESTS:
        counters.add_requests(joined.outcome, added)
    elif name == t.TCP_SENT:
        counters.sent_bytes += added
    elif name == t.TCP_RECEIVED:
        counters.received_bytes += added
    elif name == t.TCP_OPENED:
        counters.opened += added
        counters.failed += added if is_failed_connection(joined.outcome.flags) else 0.0
    elif name == t.TCP_CLOSED:
        counters.closed += added


def _observe(counters: FlowCounters, name: str, interval: Histogram) -> None:
    if name == t.DURATION:
        counters.add_latency(interval)
    elif name == t.REQUEST_BYTES:
        counters.request_bytes += interval.sum
    elif name == t.RESPONSE_BYTES:
        counters.response_bytes += interval.sum
