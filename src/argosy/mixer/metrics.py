"""`MetricsAggregator`: all proxies' series to one set of Istio metrics and to the flows of the graph.

Given: flushes of verified nodes (plain data) and the time. Gives: totals for `/metrics`, flow windows, findings.
Counters and histograms come absolute and are remembered per node, so a flush that was lost, a restarted Envoy or a
Mixer that was away neither lose nor count twice. Labels are joined when a series first moves and again when the
directory has changed. Bounded by a `LabelBudget`, for each workload and for the mesh, without changing any sum.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from argosy.core.errors import Finding, Level
from argosy.flow.counters import CarriedMemory, CounterMemory, HistogramMemory, Observed
from argosy.flow.directory import Directory
from argosy.flow.histogram import BOUNDS, Histogram
from argosy.flow.history import FlowHistory
from argosy.flow.minutes import MinuteLog
from argosy.flow.misread import MisreadLedger
from argosy.flow.plaintext import PlaintextLedger
from argosy.flow.record import FlowCounters, FlowWindow, is_failed_connection
from argosy.mixer import telemetry as t
from argosy.mixer.budget import LabelBudget, Owner
from argosy.mixer.checkpoint import Checkpoint, SavedHistogram, SavedProcess
from argosy.mixer.join import NOBODY, Joined, Labels, join, join_note, unknowns
from argosy.mixer.notes import expand
from argosy.mixer.rest import Places, counts_all, left_counters, left_histograms
from argosy.mixer.telemetry import CounterSample, Flush, Node, Tags, in_messages, take_apart

RESTART_TOLERANCE_S = 2.0
# A proxy that reports for the first time at this age had counted before we listened: totals, but no recent traffic.
YOUNG_S = 15.0
FORGET_AFTER_S = 3600.0
SWEEP_S = 30.0
CLOCK_STEP_S = 60.0
"""A flush that is older than the last one by more than this is a newer one, after the clock was set back."""
REPORTING_S = 10.0
"""A proxy that was heard from so recently counts as one that reports."""
_UPGRADED = "101"
_ALL = "all"
_TCP_BYTES = (t.TCP_SENT, t.TCP_RECEIVED)

_SeriesKey = tuple[str, Tags]
Counters = dict[str, dict[Labels, float]]
Histograms = dict[str, dict[Labels, Histogram]]


@dataclass(slots=True)
class _Process:
    """What is remembered of one node's Envoy."""

    memory: CounterMemory[_SeriesKey] = field(default_factory=CounterMemory)
    histograms: HistogramMemory[_SeriesKey] = field(default_factory=HistogramMemory)
    carried: CarriedMemory[_SeriesKey] = field(default_factory=CarriedMemory)
    joined: dict[Tags, tuple[int, Joined]] = field(default_factory=dict)
    """With the directory's revision that they were joined at."""
    started: float | None = None
    taken_at: float = 0.0
    seen: float = 0.0
    flushes: int = 0

    def restart(self) -> None:
        """The process began again."""
        self.memory.restart()
        self.histograms.restart()
        self.carried.restart()

    def forget_joins(self) -> None:
        """Keep the joins only of series that the process still has."""
        held = {tags for _, tags in (*self.memory.series(), *self.histograms.series())}
        self.joined = {tags: joined for tags, joined in self.joined.items() if tags in held}


class MetricsAggregator:
    """Mutable sum of everything reported. One writer; readers call `families` and `window` between writes."""

    def __init__(self, directory: Directory, *, budget: LabelBudget | None = None) -> None:
        self._directory = directory
        self.budget = LabelBudget() if budget is None else budget
        self._processes: dict[str, _Process] = {}
        self._counters: dict[str, dict[Labels, float]] = {name: {} for name in t.COUNTERS}
        self._histograms: dict[str, dict[Labels, Histogram]] = {name: {} for name in t.HISTOGRAMS}
        self._swept = 0.0
        self._now = 0.0
        self._expired = 0
        self._awaited: set[str] = set()
        self._history = FlowHistory()
        self.plaintext = PlaintextLedger()
        self.misread = MisreadLedger()

    def set_directory(self, directory: Directory) -> None:
        """Use a newer directory; series are joined anew when they next move. What was counted stays as labelled."""
        self._directory = directory

    def receive(self, node: Node, flush: Flush, now: float) -> None:
        """Take in one flush: all series of one proxy. One that was taken before the last one is passed over."""
        process = self._processes.get(node.id)
        if process is None:
            process = self._processes[node.id] = _Process()
        if flush.taken_at and process.taken_at - CLOCK_STEP_S < flush.taken_at <= process.taken_at:
            return
        self._detect_restart(process, flush, now)
        process.taken_at = flush.taken_at
        process.seen = self._now = now
        recent = process.flushes > 0 or flush.uptime_s is None or flush.uptime_s <= YOUNG_S
        process.flushes += 1
        owner = self._owner(node)
        self._awaited.discard(node.id)
        self._add_counters(process, node, owner, flush, now, recent)
        self._add_histograms(process, node, owner, flush, now, recent)
        if now - self._swept >= SWEEP_S:
            self.sweep(now)

    def pass_time(self, now: float) -> None:
        """What is told next is of that time: who reports is seen too when nobody does."""
        self._now = now

    def sweep(self, now: float) -> None:
        """Forget proxies that stay away, and label sets that nothing was counted under for long."""
        self._swept = self._now = now
        for node_id, process in list(self._processes.items()):
            if now - process.seen > FORGET_AFTER_S:
                del self._processes[node_id]
            else:
                process.forget_joins()
        for labels in self.budget.sweep(now, self._gone):
            self._expired += sum(family.pop(labels, None) is not None for family in self._counters.values())
            self._expired += sum(family.pop(labels, None) is not None for family in self._histograms.values())

    def checkpoint(self) -> Checkpoint:
        """All that was counted and what is remembered of each proxy; `restore` goes on from there."""
        processes = []
        for node_id, one in self._processes.items():
            live, held, debt = one.carried.dump()
            processes.append(
                SavedProcess(node_id, one.started, one.taken_at, one.seen, one.memory.dump(), one.histograms.dump(),
                             live, held, debt)
            )  # fmt: skip
        histograms = {
            name: {labels: SavedHistogram(one.counts, one.total, one.sum) for labels, one in family.items()}
            for name, family in self._histograms.items()
        }
        return Checkpoint(self._now, self.budget.dump(), self._counters, histograms, processes)

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint; only in an aggregator that has counted nothing yet.

        What proxies counted since is in the totals with their next flush, and in no flow: nobody watched then.
        """
        self._now = saved.taken
        self.budget.load(saved.held)
        for name, series in saved.counters.items():
            if name in self._counters:
                self._counters[name] = dict(series)
        for name, observed in saved.histograms.items():
            if name in self._histograms:
                self._histograms[name] = {
                    labels: Histogram(list(one.counts), one.total, one.sum) for labels, one in observed.items()
                }
        for one in saved.processes:
            process = self._processes[one.node] = _Process(started=one.started, taken_at=one.taken_at, seen=one.seen)
            process.memory.load(one.counters)
            process.histograms.load(one.histograms)
            process.carried.load(one.live, one.held, one.debt)
        self._awaited = {one.node for one in saved.processes if saved.taken - one.seen <= REPORTING_S}

    @property
    def awaited(self) -> int:
        """How many proxies of the checkpoint have not reported since: until then totals are behind what was told."""
        return len(self._awaited)

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

    def of_proxy(self, node: Node) -> tuple[Counters, Histograms]:
        """All that one proxy has counted since it began, under the labels of Istio; no budget joins them."""
        counters: Counters = {}
        histograms: Histograms = {}
        process = self._processes.get(node.id)
        if process is None:
            return counters, histograms
        sums = process.memory.dump()
        live, held, debt = process.carried.dump()
        for part, sign in ((live, 1.0), (held, -1.0), (debt, -1.0)):
            for key, value in part.items():
                sums[key] = sums.get(key, 0.0) + sign * value
        for (name, tags), value in sums.items():
            if counts_all(tags):
                continue
            sample = in_messages(CounterSample(name, tags, value))
            noted = name in (t.DRY_RUN, t.AUDIT)
            labels = join_note(self._directory, node, tags) if noted else self._join(process, node, sample.tags).labels
            family = counters.setdefault(name, {})
            family[labels] = family.get(labels, 0.0) + sample.value
        empty = _Empty()
        for (name, tags), seen in process.histograms.dump().items():
            if counts_all(tags):
                continue
            joined = self._join(process, node, tags)
            if _no_latency(name, joined):
                continue
            for family_name, values in _told(name, joined, seen):
                known = histograms.setdefault(family_name, {}).setdefault(joined.labels, Histogram())
                known.add_counts(values.counts, count=values.count, total=values.total)
            empty.note(joined, joined.labels, seen.count)
            if joined.counts in self._counters:
                family = counters.setdefault(joined.counts, {})
                family[joined.labels] = family.get(joined.labels, 0.0) + seen.count
        if empty:
            empty.add_to(histograms.setdefault(t.REQUEST_BYTES, {}))
        return counters, histograms

    def findings(self) -> tuple[Finding, ...]:
        """What an operator should know: which limits on series were reached."""
        sets_max, workload_sets_max = self.budget.limits
        found = []
        if self.budget.mesh_over:
            found.append(
                Finding(
                    code="ARG0901",
                    level=Level.WARNING,
                    message=f"over {sets_max} sets of labels: what is beyond is counted as overflow",
                    hint="look for a label with unbounded values: tags of Telemetry objects, or very many versions",
                )
            )
        for namespace, name in sorted(self.budget.over):
            found.append(
                Finding(
                    "ARG0902",
                    Level.WARNING,
                    f"proxies of {namespace}/{name} came to more than {workload_sets_max} sets of labels: "
                    "the other ends of their traffic are counted as overflow",
                    namespace=namespace,
                    name=name,
                    hint="look for a tag with unbounded values, or for very many workloads that call or are called",
                )
            )
        return tuple(found)

    def dump(self) -> dict[str, int]:
        """Sizes, for the admin page and Mixer's own metrics."""
        return {
            "nodes": len(self._processes),
            "reporting": sum(self._now - process.seen <= REPORTING_S for process in self._processes.values()),
            "series": sum(map(len, self._counters.values())) + sum(map(len, self._histograms.values())),
            "label_sets": len(self.budget),
            "expired": self._expired,
            "overflowed": self.budget.collapsed,
            "over_budget": len(self.budget.over),
            **self._history.dump(),
        }

    def _detect_restart(self, process: _Process, flush: Flush, now: float) -> None:
        if flush.uptime_s is not None:
            started = (flush.taken_at or now) - flush.uptime_s
            if process.started is not None and started - process.started > RESTART_TOLERANCE_S:
                process.restart()
            if process.started is None or started - process.started > RESTART_TOLERANCE_S:
                process.started = started
            return
        # Without an age, one counter that fell means that the whole process is a new one.
        if any(process.memory.fell((c.name, c.tags), c.value) for c in flush.counters):
            process.restart()

    def _owner(self, node: Node) -> Owner:
        pod = self._directory.pod(node.namespace, node.pod)
        return (pod.workload.namespace, pod.workload.name) if pod is not None else (node.namespace, node.pod)

    def _gone(self, labels: Labels) -> bool:
        """True if an end of the traffic is a workload that the registry no longer has."""
        found = dict(labels)
        for side in ("source", "destination"):
            name, namespace = found.get(f"{side}_workload", NOBODY), found.get(f"{side}_workload_namespace", NOBODY)
            if NOBODY not in (name, namespace) and self._directory.workload(namespace, name) is None:
                return True
        return False

    def _moves(self, process: _Process, flush: Flush) -> Iterator[CounterSample]:
        """What was added to each series since the last flush."""
        left = list(left_counters(flush.counters, process.memory.get))
        process.memory.begin()
        ended: dict[_SeriesKey, float] = {}
        for name, tags, value in (*expand(flush.counters), *left):
            if name not in self._counters:
                continue
            added = process.memory.advance((name, tags), value)
            if not added or counts_all(tags):
                continue
            if name in _TCP_BYTES:
                ended[name, tags] = added
            else:
                yield in_messages(CounterSample(name, tags, added))
        live: dict[_SeriesKey, float] = {}
        places = Places(flush.counters)
        for name, tags, value in flush.open_bytes:
            if value:
                key = places.of((name, tuple(tag for tag in tags if tag[0] != t.CONNECTION)))
                live[key] = live.get(key, 0.0) + value
        for (name, tags), added in process.carried.advance(ended, live).items():
            yield CounterSample(name, tags, added)

    def _add_counters(
        self, process: _Process, node: Node, owner: Owner, flush: Flush, now: float, recent: bool
    ) -> None:
        for name, tags, added in self._moves(process, flush):
            if not added:
                continue
            if name in (t.DRY_RUN, t.AUDIT):
                family = self._counters[name]
                labels = self.budget.admit(owner, join_note(self._directory, node, tags), now)
                family[labels] = family.get(labels, 0.0) + added
                continue
            self._add(name, self._join(process, node, tags), added, owner, now, recent)

    def _add(self, name: str, joined: Joined, added: float, owner: Owner, now: float, recent: bool) -> None:
        """Count up one series of a counter, and the flow that it is of."""
        family = self._counters[name]
        labels = self.budget.admit(owner, joined.labels, now)
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

    def _add_histograms(
        self, process: _Process, node: Node, owner: Owner, flush: Flush, now: float, recent: bool
    ) -> None:
        left = list(left_histograms(flush.histograms, process.histograms.get))
        process.histograms.begin()
        empty = _Empty()
        for name, tags, count, total, counts in (*flush.histograms, *left):
            added = process.histograms.advance((name, tags), count, total, counts)
            if added is None or counts_all(tags):
                continue
            joined = self._join(process, node, tags)
            if _no_latency(name, joined):
                continue
            labels = self.budget.admit(owner, joined.labels, now)
            for family_name, values in _told(name, joined, added):
                family = self._histograms[family_name]
                known = family.get(labels)
                if known is None:
                    known = family[labels] = Histogram()
                known.add_counts(values.counts, count=values.count, total=values.total)
                if recent:
                    for counters in self._history.touch(joined.flow, now):
                        _observe(counters, family_name, values)
            empty.note(joined, labels, added.count)
            if joined.counts in self._counters and added.count:
                self._add(joined.counts, joined, added.count, owner, now, recent)
        empty.add_to(self._histograms[t.REQUEST_BYTES])

    def _join(self, process: _Process, node: Node, tags: Tags) -> Joined:
        revision = self._directory.revision
        cached = process.joined.get(tags)
        if cached is not None and cached[0] == revision:
            return cached[1]
        joined = join(self._directory, node, take_apart(tags))
        # The last counts of a pod arrive after the registry has let go of it: keep what was known when it was there.
        if cached is not None and unknowns(cached[1]) < unknowns(joined):
            joined = cached[1]
        process.joined[tags] = (revision, joined)
        return joined


class _Empty:
    """Requests without a body, by their labels: proxies leave them out of the histogram of request sizes."""

    def __init__(self) -> None:
        self._counts: dict[Labels, float] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def note(self, joined: Joined, labels: Labels, count: float) -> None:
        """Take note of one series: of all requests, or of those that may have one."""
        if joined.bodies:
            sign = 1.0 if joined.bodies == _ALL else -1.0
            self._counts[labels] = self._counts.get(labels, 0.0) + sign * count

    def add_to(self, sizes: dict[Labels, Histogram]) -> None:
        """Add them, each as a size of 0."""
        for labels, count in self._counts.items():
            if count > 0:
                known = sizes.setdefault(labels, Histogram())
                known.add_counts([count, *[0.0] * len(BOUNDS)], count=count, total=0.0)


def _told(name: str, joined: Joined, values: Observed) -> Iterator[tuple[str, Observed]]:
    """What one series says: its own values, and how long their requests took where it says so (`ms=`)."""
    yield name, values
    if joined.took_ms is not None and not _no_latency(t.DURATION, joined):
        counts = [0.0] * (len(BOUNDS) + 1)
        counts[bisect_left(BOUNDS, joined.took_ms)] = values.count
        yield t.DURATION, Observed(values.count, joined.took_ms * values.count, tuple(counts))


def _no_latency(name: str, joined: Joined) -> bool:
    """How long a WebSocket lived is nobody's latency."""
    return name == t.DURATION and joined.outcome.code == _UPGRADED


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


def _observe(counters: FlowCounters, name: str, added: Observed) -> None:
    if name == t.DURATION:
        latency = Histogram()
        latency.add_counts(added.counts, count=added.count, total=added.total)
        counters.add_latency(latency)
    elif name == t.REQUEST_BYTES:
        counters.request_bytes += added.total
    elif name == t.RESPONSE_BYTES:
        counters.response_bytes += added.total
