"""Tags that clients choose: what a proxy had no room for is in the sums all the same."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.flow.histogram import BOUNDS
from argosy.mixer import checkpoint
from argosy.mixer.metrics import MetricsAggregator
from argosy.mixer.telemetry import (
    DURATION,
    OVERFLOW,
    REQUEST_BYTES,
    REQUESTS,
    TCP_SENT,
    CounterSample,
    Flush,
    HistogramSample,
    Tags,
)

from .mesh import DIRECTORY, node, tags

NODE = node("productpage-v1")
ROOM = 3


class Proxy:
    """Counts as an Envoy does: a statistic with a user's name, of few series, and one without."""

    def __init__(self) -> None:
        self.whole = 0
        self.users: dict[str, int] = {}

    def serve(self, user: str) -> None:
        """One request."""
        self.whole += 1
        if user in self.users or len(self.users) < ROOM:
            self.users[user] = self.users.get(user, 0) + 1

    def series(self) -> list[tuple[Tags, int]]:
        """All series."""
        base = tags(counts=REQUESTS)
        chosen = [((*base, ("user", user)), count) for user, count in self.users.items()]
        return [((*base, ("rest", "user")), self.whole), *chosen]

    def counters(self) -> Flush:
        """A report of counters."""
        return Flush([CounterSample(REQUESTS, each, float(count)) for each, count in self.series() if count])

    def histograms(self) -> Flush:
        """A report of histograms: requests of 7 bytes each."""
        buckets = len(BOUNDS) + 1
        return Flush(
            [],
            [
                HistogramSample(REQUEST_BYTES, each, count, 7 * count, [0, 0, 0, count] + [0] * (buckets - 4))
                for each, count in self.series()
            ],
        )


def by_user(aggregator: MetricsAggregator, name: str = REQUESTS) -> dict[str, float]:
    """Counts by the tag that clients choose."""
    found = dict(aggregator.counters())[name]
    return {dict(labels)["user"]: value for labels, value in found.items()}


def test_what_has_room_is_told_apart_and_counted_once() -> None:
    aggregator, proxy = MetricsAggregator(DIRECTORY), Proxy()
    for now in range(4):
        proxy.serve("a")
        proxy.serve("b")
        aggregator.receive(NODE, proxy.counters(), now)
    assert by_user(aggregator) == {"a": 4, "b": 4}


def test_what_has_none_is_counted_together() -> None:
    aggregator, proxy = MetricsAggregator(DIRECTORY), Proxy()
    for user in "abcdefg":
        proxy.serve(user)
    for now in range(2):
        aggregator.receive(NODE, proxy.counters(), now)
    assert by_user(aggregator) == {"a": 1, "b": 1, "c": 1, OVERFLOW: 4}


def test_a_client_that_calls_itself_overflow_changes_no_sum() -> None:
    aggregator, proxy = MetricsAggregator(DIRECTORY), Proxy()
    for now in range(6):
        for user in ("a", OVERFLOW, "b", "c"):
            proxy.serve(user)
        aggregator.receive(NODE, proxy.counters(), now)
    aggregator.receive(NODE, proxy.counters(), 7)
    assert by_user(aggregator) == {"a": 6, OVERFLOW: 12, "b": 6}


def test_a_mixer_that_goes_on_from_a_checkpoint_counts_what_was_left_over_once() -> None:
    before, proxy = MetricsAggregator(DIRECTORY), Proxy()
    for user in "abcdefg":
        proxy.serve(user)
    for now in range(3):
        before.receive(NODE, proxy.counters(), now)
    after = MetricsAggregator(DIRECTORY)
    after.restore(checkpoint.decode(checkpoint.encode(before.checkpoint())))
    proxy.serve("z")
    for now in range(3, 6):
        after.receive(NODE, proxy.counters(), now)
    assert by_user(after) == {"a": 1, "b": 1, "c": 1, OVERFLOW: 5}


def test_what_one_proxy_counted_has_the_rest_too() -> None:
    aggregator, proxy = MetricsAggregator(DIRECTORY), Proxy()
    for user in "abcdefg":
        proxy.serve(user)
    for now in range(2):
        aggregator.receive(NODE, proxy.counters(), now)
        aggregator.receive(node("reviews-v1"), proxy.histograms(), now)
    counters, _ = aggregator.of_proxy(NODE)
    assert sum(counters[REQUESTS].values()) == 7
    counters, histograms = aggregator.of_proxy(node("reviews-v1"))
    assert sum(counters[REQUESTS].values()) == sum(one.total for one in histograms[REQUEST_BYTES].values()) == 7


def test_a_metric_of_other_tags_is_another_one() -> None:
    """Tags were changed while the proxy went on: series of before stay, and so does what they counted."""
    aggregator = MetricsAggregator(DIRECTORY)
    host = [CounterSample(REQUESTS, (*tags(), (name, "x")), 5.0) for name in ("rest", "host")]
    host[0] = CounterSample(REQUESTS, (*tags(), ("rest", "host")), 5.0)
    both = CounterSample(REQUESTS, (*tags(), ("host", "x"), ("user", "u")), 2.0)
    all_of_both = CounterSample(REQUESTS, (*tags(), ("rest", "host,user")), 3.0)
    of_duration = CounterSample(DURATION, (*tags(), ("rest", "host")), 99.0)
    for now in range(2):
        aggregator.receive(NODE, Flush([*host, both, all_of_both, of_duration]), now)
    assert sum(dict(aggregator.counters())[REQUESTS].values()) == 5 + 3


@settings(max_examples=200)
@given(st.lists(st.one_of(st.sampled_from("abcdef"), st.none(), st.just(""))))
def test_sums_are_exact_when_all_is_told_and_never_too_high(steps: list[str | None]) -> None:
    """Requests of any users and reports (None) at any time; a report may find a request in one of the two only ("")."""
    counted, observed, proxy = MetricsAggregator(DIRECTORY), MetricsAggregator(DIRECTORY), Proxy()
    sent = 0
    for now, step in enumerate([*steps, None, None]):
        if step:
            proxy.serve(step)
            sent += 1
            continue
        torn = step == ""
        proxy.whole += torn
        counted.receive(NODE, proxy.counters(), now)
        observed.receive(NODE, proxy.histograms(), now)
        if torn:  # read between the two statistics: the other one follows at once
            proxy.whole -= 1
            proxy.serve("a")
            sent += 1
        assert total(counted) <= sent
        assert total(observed) <= sent
    assert total(counted) == total(observed) == sent
    found = dict(observed.histograms())[REQUEST_BYTES].values()
    assert sum(one.total for one in found) == sent
    assert sum(one.sum for one in found) == 7 * sent
    assert all(sum(one.counts) == one.total for one in found)


def total(aggregator: MetricsAggregator) -> float:
    """All requests."""
    return sum(dict(aggregator.counters())[REQUESTS].values())


class Connections:
    """Counts connections as an Envoy does: open ones by a gauge each, ended ones by counters, some with room.

    `room` values have a counter of their own, from the first report of a connection or from its end on.
    """

    def __init__(self, room: int = ROOM) -> None:
        self.room = room
        self.whole: float | None = None
        self.ended: dict[str, float] = {}
        self.open: dict[int, tuple[str, float]] = {}
        self.carried: dict[int, tuple[str, float]] = {}
        self.sent = 0.0

    def carry(self, number: int, name: str, amount: float) -> None:
        """A connection sends something; it was opened by somebody of this name."""
        name, before = self.carried.get(number, (name, 0.0))
        self.carried[number] = name, before + amount
        self.sent += amount

    def report(self, number: int) -> None:
        """A connection that is open tells what it has carried."""
        if number in self.carried:
            name, amount = self.carried[number]
            self._count(name, 0.0)
            self.open[number] = name, amount

    def end(self, number: int) -> None:
        """A connection ends: the gauge goes first."""
        if number in self.carried:
            name, amount = self.carried.pop(number)
            self.open.pop(number, None)
            self._count(name, amount)

    def _count(self, name: str, amount: float) -> None:
        if name in self.ended or len(self.ended) < self.room:
            self.ended[name] = self.ended.get(name, 0.0) + amount
        self.whole = (self.whole or 0.0) + amount

    def gauges(self) -> list[CounterSample]:
        """The first half of a report."""
        return [
            CounterSample(TCP_SENT, (*self.base, ("sni", name), ("conn", str(number))), amount)
            for number, (name, amount) in self.open.items()
        ]

    def counters(self) -> list[CounterSample]:
        """The second half of a report."""
        made = [CounterSample(TCP_SENT, (*self.base, ("sni", name)), amount) for name, amount in self.ended.items()]
        whole = [CounterSample(TCP_SENT, (*self.base, ("rest", "sni")), self.whole)] if self.whole is not None else []
        return [*made, *whole]

    @property
    def base(self) -> Tags:
        """The tags that nobody chooses."""
        return tags(protocol="tcp")


def by_sni(aggregator: MetricsAggregator) -> dict[str, float]:
    """Bytes by the tag that clients choose."""
    found = dict(aggregator.counters())[TCP_SENT]
    return {dict(labels)["sni"]: value for labels, value in found.items()}


def test_bytes_of_connections_without_room_are_counted_together_while_open_and_once() -> None:
    aggregator, proxy = MetricsAggregator(DIRECTORY), Connections()
    for number, name in enumerate("abcdef"):
        proxy.carry(number, name, 10.0)
        proxy.report(number)
    told = []
    for now in range(2):
        aggregator.receive(NODE, Flush(proxy.counters(), open_bytes=proxy.gauges()), now)
        told.append(by_sni(aggregator))
    for number in range(6):
        proxy.carry(number, "", 5.0)
        proxy.end(number)
    for now in range(2, 5):
        aggregator.receive(NODE, Flush(proxy.counters(), open_bytes=proxy.gauges()), now)
    assert told == [{"a": 10, "b": 10, "c": 10, OVERFLOW: 30}] * 2
    assert by_sni(aggregator) == {"a": 15, "b": 15, "c": 15, OVERFLOW: 45}
    counters, _ = aggregator.of_proxy(NODE)
    assert {dict(labels)["sni"]: value for labels, value in counters[TCP_SENT].items()} == by_sni(aggregator)


def test_a_proxy_that_counts_nothing_beside_is_taken_as_it_is() -> None:
    """One that was configured before tells open connections by tags that no counter has yet."""
    aggregator, proxy = MetricsAggregator(DIRECTORY), Connections()
    proxy.carry(1, "a", 10.0)
    proxy.open[1] = "a", 10.0
    aggregator.receive(NODE, Flush([], open_bytes=proxy.gauges()), 0)
    assert by_sni(aggregator) == {"a": 10}


STEPS = st.one_of(
    st.tuples(st.sampled_from(["carry", "report"]), st.integers(0, 4), st.integers(1, 9)),
    st.tuples(st.sampled_from(["end", "torn", "flush"]), st.integers(0, 4), st.just(0)),
)


@settings(max_examples=400)
@given(st.lists(STEPS, max_size=60))
def test_bytes_are_exact_when_all_is_told_and_never_too_many(steps: list[tuple[str, int, int]]) -> None:
    """Connections send, tell and end in any order; in a "torn" report one ends between gauges and counters."""
    aggregator, proxy, now = MetricsAggregator(DIRECTORY), Connections(room=1), 0

    def flush(ending: int | None = None) -> None:
        nonlocal now
        gauges = proxy.gauges()
        if ending is not None:
            proxy.end(ending)
        now += 1
        before = by_sni(aggregator)
        aggregator.receive(NODE, Flush(proxy.counters(), open_bytes=gauges), now)
        assert all(by_sni(aggregator)[name] >= value for name, value in before.items())
        assert sum(by_sni(aggregator).values()) <= proxy.sent

    for what, number, amount in steps:
        if what in ("carry", "report"):
            proxy.carry(number, "abcde"[number], float(amount))
            if what == "report":
                proxy.report(number)
        elif what == "end":
            proxy.end(number)
        else:
            flush(number if what == "torn" else None)
    for number in list(proxy.carried):
        proxy.end(number)
    for _ in range(4):
        flush()
    told = by_sni(aggregator)
    assert sum(told.values()) == proxy.sent
    assert {name: told.get(name, 0.0) for name in proxy.ended} == proxy.ended
    counters, _ = aggregator.of_proxy(NODE)
    assert sum(counters.get(TCP_SENT, {}).values()) == proxy.sent
