"""Mixer's reports as a running thing: records in; metrics, lines and batches out.

Ties the pure rules to what writes and sends. Handlers are kept while their parameters stay as they are, so that what
waits in their buffers outlives other changes of configuration.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from argosy.api.meta import Object
from argosy.api.mixer import Handler
from argosy.api.mixer_adapters import (
    DogstatsdParams,
    FluentdParams,
    OtlpParams,
    StatsdParams,
    StdioParams,
    ZipkinParams,
)
from argosy.core.clock import Clock
from argosy.core.errors import Finding, Level
from argosy.core.hosts import parse_host_port
from argosy.edge.report_datagrams import LINE_BYTES_MAX, DatagramSender
from argosy.edge.report_lines import LineWriter, Target, megabytes
from argosy.edge.report_push import Address, FluentdSender, OtlpSender, Pusher, Resolve, Sender, ZipkinSender
from argosy.flow.directory import Directory
from argosy.mixer.access_record import AccessRecord
from argosy.mixer.api_specs import with_apis
from argosy.mixer.attribute_generators import RemoteGenerator
from argosy.mixer.attributes import Attributes, Value
from argosy.mixer.names import Ref
from argosy.mixer.port import Call, RemoteHandler, Verdict
from argosy.mixer.report import Reporter
from argosy.mixer.report_attributes import report_attributes
from argosy.mixer.report_connections import ConnectionBytes
from argosy.mixer.report_handlers import fluentd, otlp, zipkin
from argosy.mixer.report_handlers.buffer import Buffer
from argosy.mixer.report_handlers.prometheus import PrometheusRegistry
from argosy.mixer.report_handlers.statsd import dogstatsd_lines, statsd_lines
from argosy.mixer.report_handlers.stdio import LineFormat, line_format
from argosy.mixer.report_rules import ReportPolicy
from argosy.mixer.report_values import LogEntryValue, MetricValue, RemoteValue, ReportValue, TraceSpanValue
from argosy.mixer.status import INTERNAL

logger = logging.getLogger(__name__)

UNDELIVERED = "ARG0930"
LINES_FOLDER = "mixer-logs"
KEEP_BUFFERS = 8
"""How many times a handler's buffer is kept while its server does not take it."""
REMOTE_VALUES_MAX, REMOTE_CALLERS = 1000, 4
STATSD_LINES, STATSD_BYTES, STATSD_INTERVAL_S, STATSD_TIMEOUT_S = 1000, 512, 0.3, 10.0
DOGSTATSD_BYTES, DOGSTATSD_INTERVAL_S = 1432, 0.1
ZIPKIN_INTERVAL_S, ZIPKIN_TIMEOUT_S, ZIPKIN_SPANS, ZIPKIN_BYTES = 1.0, 10.0, 512, 1 << 20


MakeRemote = Callable[[Object[Handler]], RemoteHandler | None]
"""The client of an adapter out of process, or None where a handler has none."""


class Sink(Protocol):
    """What a handler does with values; `waiting`, `dropped` and `failures` are told on Mixer's page."""

    def take(self, value: ReportValue, moment: datetime) -> None: ...

    def close(self) -> None: ...

    def state(self) -> SinkState: ...


@dataclass(frozen=True, slots=True)
class SinkState:
    """How a handler fares."""

    waiting: int = 0
    dropped: int = 0
    failures: int = 0
    last_error: str = ""


class ReportHandlers:
    """All of Mixer's Report side in one process."""

    def __init__(
        self, *, home: Path, clock: Clock, resolve: Callable[[str, int, str], Address], remote: MakeRemote
    ) -> None:
        self._home, self._clock, self._resolve, self._make_remote = home, clock, resolve, remote
        self._draw = random.SystemRandom().random
        self._reporter = Reporter(self._draw)
        self._connections = ConnectionBytes(began=clock.now())
        self._registry = PrometheusRegistry()
        self._sinks: dict[Ref, tuple[Handler, Sink]] = {}
        self._writers: dict[Target, LineWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[None]] = set()
        """Reports that wait for attributes."""
        self._delivered: dict[Ref, int] = {}
        self._faults: dict[Ref, int] = {}

    @property
    def policy(self) -> ReportPolicy:
        """The rules in force."""
        return self._reporter.policy

    @property
    def defined(self) -> frozenset[str]:
        """Metrics that handlers define."""
        return self._registry.names

    def use(self, policy: ReportPolicy) -> None:
        """Take over rules and handlers. To be called in the loop that sends."""
        self._reporter.use(policy)
        self._registry.configure(policy.definitions.metrics)
        old, self._sinks = self._sinks, {}
        for ref, about in policy.handlers.items():
            known = old.pop(ref, None)
            if known is not None and known[0] == about.spec:
                self._sinks[ref] = known
                continue
            if known is not None:
                known[1].close()
            sink = self._sink(ref, about)
            if sink is not None:
                self._sinks[ref] = (about.spec, sink)
        for _spec, sink in old.values():
            sink.close()

    def on_record(self, record: AccessRecord, directory: Directory) -> None:
        """Report one request or moment of a connection, if rules say so."""
        deltas = self._connections.advance(record)
        if not self.policy.rules:
            return
        moment = datetime.fromtimestamp(record.start + record.duration_s, UTC)
        bag = with_apis(self.policy.apis, report_attributes(record, deltas, directory))
        asked = self._reporter.questions(bag, directory)
        if asked:
            self._ask_first(asked, bag, directory, moment)
        else:
            self._deliver(bag, directory, moment)

    def _ask_first(
        self, asked: list[tuple[RemoteGenerator, Call]], bag: Attributes, directory: Directory, moment: datetime
    ) -> None:
        """Have adapters asked for attributes, then deliver; where too many wait, or one cannot tell, without them."""
        if len(self._asking) >= REMOTE_VALUES_MAX:
            self._deliver(bag, directory, moment)
            return

        async def ask() -> None:
            made = bag
            for one, call in asked:
                found = self._sinks.get(one.handler)
                if found is not None and isinstance(found[1], _RemoteSink):
                    made = one.add(made, await found[1].ask(call))
            self._deliver(made, directory, moment)

        task = asyncio.get_running_loop().create_task(ask())
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def _deliver(self, bag: Attributes, directory: Directory, moment: datetime) -> None:
        now = self._clock.now()
        for delivery in self._reporter.report(bag, directory, moment, now):
            self._delivered[delivery.handler] = self._delivered.get(delivery.handler, 0) + 1
            if isinstance(delivery.value, MetricValue):
                for name in self.policy.definitions.fed.get((delivery.handler, delivery.instance), ()):
                    if self._registry.observe(name, delivery.value, now):
                        self._faults[delivery.handler] = self._faults.get(delivery.handler, 0) + 1
            if (found := self._sinks.get(delivery.handler)) is not None:
                found[1].take(delivery.value, moment)

    def expose(self) -> Iterator[bytes]:
        """The text of the metrics that handlers define, in pieces."""
        self._registry.expire(self._clock.now())
        return self._registry.expose()

    def families(self) -> Iterator[Metric]:
        """Mixer's own metrics of its handlers."""
        delivered = CounterMetricFamily("mixer_report_values", "Values given to handlers.", labels=["handler"])
        dropped = CounterMetricFamily("mixer_report_dropped", "Values that a handler lost.", labels=["handler"])
        failures = CounterMetricFamily("mixer_report_failures", "Failed attempts to deliver.", labels=["handler"])
        waiting = GaugeMetricFamily("mixer_report_waiting", "Values that wait for delivery.", labels=["handler"])
        for ref in sorted(self.policy.handlers):
            state = self._state(ref)
            label = [str(ref)]
            delivered.add_metric(label, self._delivered.get(ref, 0))
            dropped.add_metric(label, state.dropped + self._faults.get(ref, 0))
            failures.add_metric(label, state.failures)
            waiting.add_metric(label, state.waiting)
        yield from (delivered, dropped, failures, waiting)
        problems = CounterMetricFamily("mixer_report_problems", "Matches and instances of reports without a value.")
        problems.add_metric([], self._reporter.problems)
        series = GaugeMetricFamily("mixer_report_series", "Series of the metrics that handlers define.")
        series.add_metric([], self._registry.series)
        overflowed = CounterMetricFamily("mixer_report_series_overflowed", "Observations beyond the limit on series.")
        overflowed.add_metric([], self._registry.overflowed)
        yield from (problems, series, overflowed)

    def findings(self) -> list[Finding]:
        """What is wrong with rules, and handlers that cannot deliver just now."""
        found = list(self.policy.findings)
        for ref, about in sorted(self.policy.handlers.items()):
            state = self._state(ref)
            if state.last_error:
                message = (
                    f"{about.spec.compiled_adapter or about.spec.adapter} cannot deliver: {state.last_error}; "
                    f"{state.waiting} wait, {state.dropped} were dropped"
                )
                hint = "requests go on without it; correct its address, or see whether its server runs"
                found.append(_finding(UNDELIVERED, about, message, hint))
        return found

    async def run(self) -> None:
        """Until cancelled; then what waits is written, or sent if that does not take long."""
        try:
            await asyncio.Event().wait()
        finally:
            for task in self._asking:
                task.cancel()
            for _spec, sink in self._sinks.values():
                sink.close()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers.values():
                await asyncio.to_thread(writer.close)

    def _state(self, ref: Ref) -> SinkState:
        found = self._sinks.get(ref)
        return found[1].state() if found is not None else SinkState()

    def _sink(self, ref: Ref, about: Object[Handler]) -> Sink | None:
        params = about.spec.params
        if isinstance(params, StdioParams):
            return _LineSink(line_format(params), self._writer(params))
        if isinstance(params, FluentdParams):
            sender = FluentdSender(*_place(params.address), self._in_namespace(about))
            integers = params.integer_duration

            def entry(value: ReportValue, _moment: datetime) -> bytes | None:
                if not isinstance(value, LogEntryValue):
                    return None
                return fluentd.encode_entry(value, integer_duration=integers)

            return self._push(entry, _pusher(params, sender))
        if isinstance(params, OtlpParams):
            sending = OtlpSender(*_place(params.address), self._in_namespace(about))
            return self._push(_otlp, _pusher(params, sending))
        if isinstance(params, ZipkinParams):
            return self._zipkin(params, self._in_namespace(about))
        if isinstance(params, (StatsdParams, DogstatsdParams)):
            return self._datagrams(params, about)
        remote = self._make_remote(about)
        if remote is None:
            return None
        sink = _RemoteSink(ref, remote)
        self._keep(sink.task)
        return sink

    def _zipkin(self, params: ZipkinParams, resolve: Resolve) -> Sink:
        probability = params.sample_probability
        buffer = Buffer(wanted=ZIPKIN_SPANS, entries_max=ZIPKIN_SPANS * KEEP_BUFFERS, batch_bytes_max=ZIPKIN_BYTES)
        sender = ZipkinSender(params.url, resolve)

        def span(value: ReportValue, _moment: datetime) -> bytes | None:
            if not isinstance(value, TraceSpanValue) or not zipkin.sampled(value, probability):
                return None
            return zipkin.encode_span(value)

        return self._push(span, Pusher(buffer, sender, interval_s=ZIPKIN_INTERVAL_S, timeout_s=ZIPKIN_TIMEOUT_S))

    def _datagrams(self, params: StatsdParams | DogstatsdParams, about: Object[Handler]) -> Sink:
        if isinstance(params, StatsdParams):
            lines, wanted = statsd_lines(params, about.namespace), STATSD_LINES
            bytes_max, interval_s = params.flush_bytes or STATSD_BYTES, params.flush_duration or STATSD_INTERVAL_S
        else:
            lines, wanted = dogstatsd_lines(params, about.namespace), params.buffer_length
            bytes_max, interval_s = (DOGSTATSD_BYTES if wanted else 0), DOGSTATSD_INTERVAL_S

        def line(value: ReportValue, _moment: datetime) -> bytes | None:
            return lines.line(value, self._draw()) if isinstance(value, MetricValue) else None

        sender = DatagramSender(*_place(params.address), self._in_namespace(about), bytes_max)
        buffer = Buffer(
            wanted=wanted,
            entries_max=STATSD_LINES * KEEP_BUFFERS,
            batch_bytes_max=LINE_BYTES_MAX,
            wanted_bytes=bytes_max or None,
        )
        return self._push(line, Pusher(buffer, sender, interval_s=interval_s, timeout_s=STATSD_TIMEOUT_S))

    def _push(self, encode: Callable[[ReportValue, datetime], bytes | None], pusher: Pusher) -> Sink:
        sink = _PushSink(encode, pusher)
        self._keep(sink.task)
        return sink

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _in_namespace(self, about: Object[Handler]) -> Resolve:
        """Short names are meant in the handler's namespace."""
        return lambda host, port: self._resolve(host, port, about.namespace)

    def _writer(self, params: StdioParams) -> LineWriter:
        target = _target(params, self._home / LINES_FOLDER)
        if target not in self._writers:
            self._writers[target] = LineWriter(target)
        return self._writers[target]


def _target(params: StdioParams, folder: Path) -> Target:
    if params.log_stream in ("STDOUT", "STDERR"):
        return Target(descriptor=1 if params.log_stream == "STDOUT" else 2)
    path = folder / params.output_path.lstrip("/")
    if params.log_stream == "FILE":
        return Target(path=path)
    return Target(
        path=path,
        bytes_max=megabytes(params.max_megabytes_before_rotation),
        age_days_max=params.max_days_before_rotation,
        files_max=params.max_rotated_files,
    )


def _place(address: str) -> tuple[str, int]:
    """Host and port; handlers whose address has none are not among those that are run."""
    found = parse_host_port(address)
    assert found is not None
    return found


def _pusher(params: FluentdParams | OtlpParams, sender: Sender) -> Pusher:
    """0 is the default, as in Istio."""
    usual = type(params)()
    wanted = params.instance_buffer_size or usual.instance_buffer_size
    buffer = Buffer(
        wanted=wanted,
        entries_max=wanted * KEEP_BUFFERS,
        batch_bytes_max=params.max_batch_size_bytes or usual.max_batch_size_bytes,
    )
    return Pusher(
        buffer,
        sender,
        interval_s=params.push_interval_duration or usual.push_interval_duration,
        timeout_s=params.push_timeout_duration or usual.push_timeout_duration,
    )


def _otlp(value: ReportValue, moment: datetime) -> bytes | None:
    if isinstance(value, LogEntryValue):
        return otlp.encode_log(value)
    if isinstance(value, MetricValue):
        return otlp.encode_metric(value, moment)
    return otlp.encode_span(value) if isinstance(value, TraceSpanValue) else None


def _finding(code: str, about: Object[Handler], message: str, hint: str) -> Finding:
    return Finding(code, Level.WARNING, message, about.kind, about.namespace, about.name, "spec", about.origin, hint)


class _LineSink:
    """`stdio`."""

    def __init__(self, form: LineFormat, writer: LineWriter) -> None:
        self._form, self._writer = form, writer

    def take(self, value: ReportValue, moment: datetime) -> None:
        line = None
        if isinstance(value, LogEntryValue):
            line = self._form.entry(value)
        elif isinstance(value, MetricValue):
            line = self._form.metric(value, moment)
        if line is not None:
            self._writer.write(line)

    def close(self) -> None:
        """Its writer goes on: others may write there too."""

    def state(self) -> SinkState:
        writer = self._writer
        return SinkState(len(writer), writer.dropped, writer.failures, writer.last_error)


class _PushSink:
    """What is sent in batches: values as bytes, to a pusher that runs as a task."""

    def __init__(self, encode: Callable[[ReportValue, datetime], bytes | None], pusher: Pusher) -> None:
        self._encode, self._pusher = encode, pusher
        self.task = asyncio.get_running_loop().create_task(pusher.run())

    def take(self, value: ReportValue, moment: datetime) -> None:
        data = self._encode(value, moment)
        if data is not None:
            self._pusher.add(data)

    def close(self) -> None:
        self.task.cancel()

    def state(self) -> SinkState:
        pusher = self._pusher
        return SinkState(len(pusher.buffer), pusher.buffer.dropped, pusher.failures, pusher.last_error)


class _RemoteSink:
    """An adapter out of process: asked about one value after the other, by a few callers at a time."""

    def __init__(self, ref: Ref, remote: RemoteHandler) -> None:
        self._ref, self._remote = ref, remote
        self._waiting: asyncio.Queue[RemoteValue] = asyncio.Queue(REMOTE_VALUES_MAX)
        self._callers = asyncio.Semaphore(REMOTE_CALLERS)
        self._dropped = self._failures = 0
        self._last_error = ""
        self.task = asyncio.get_running_loop().create_task(self._run())

    def take(self, value: ReportValue, _moment: datetime) -> None:
        if not isinstance(value, RemoteValue):
            return
        try:
            self._waiting.put_nowait(value)
        except asyncio.QueueFull:
            self._dropped += 1

    async def ask(self, call: Call) -> Mapping[str, Value]:
        """What an adapter gives back; nothing, if it cannot tell."""
        async with self._callers:
            verdict = await self._verdict(call)
        self._told(verdict)
        return verdict.output

    def close(self) -> None:
        self.task.cancel()

    def state(self) -> SinkState:
        return SinkState(self._waiting.qsize(), self._dropped, self._failures, self._last_error)

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(REMOTE_CALLERS):
                    group.create_task(self._tell())
        finally:
            await self._remote.close()

    async def _tell(self) -> None:
        while True:
            value = await self._waiting.get()
            call = Call(self._ref, value.instance, value.template, value.values)
            verdict = await self._verdict(call)
            # What could not be told once is not told again: an adapter that is slow must not be sent more.
            self._told(verdict)
            self._dropped += verdict.undecided

    async def _verdict(self, call: Call) -> Verdict:
        try:
            # Nobody waits for a report: only the adapter's own time counts.
            return await self._remote.check(call, math.inf)
        except Exception as error:
            logger.exception("handler %s", self._ref)
            return Verdict(INTERNAL, type(error).__name__, 0.0, 0, undecided=True)

    def _told(self, verdict: Verdict) -> None:
        self._last_error = verdict.message if verdict.undecided else ""
        self._failures += verdict.undecided
