"""The aggregator: absolute counters, restarts, lost streams, limits, rates."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.flow.directory import MeshDirectory
from argosy.mixer.metrics import MetricsAggregator
from argosy.mixer.telemetry import DURATION, REQUEST_BYTES, REQUESTS, TCP_SENT, CounterSample, Flush, HistogramSample

from .mesh import DIRECTORY, PODS, node, tags

NODE = node("productpage-v1")


def flush(value: float, uptime: float | None = None, name: str = REQUESTS, **more: str) -> Flush:
    return Flush([CounterSample(name, tags(**more), value)], [], uptime)


def total(aggregator: MetricsAggregator, name: str = REQUESTS) -> float:
    return sum(dict(aggregator.counters())[name].values())


def recent(aggregator: MetricsAggregator, now: float) -> float:
    return sum(counters.request_count for _, counters in aggregator.window(60, now).flows)


def test_absolute_counters_are_not_added_twice() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    for now, value in enumerate((5, 5, 9)):
        aggregator.receive(1, NODE, flush(value), now)
    assert total(aggregator) == 9


def test_a_broken_stream_loses_and_repeats_nothing() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(1, NODE, flush(5, 10), 10)
    aggregator.close(1, 11)
    aggregator.receive(2, NODE, flush(8, 15), 15)
    assert total(aggregator) == 8


def test_a_restarted_envoy_counts_from_zero_again() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(1, NODE, flush(5, 10), 10)
    aggregator.receive(2, NODE, flush(3, 1), 20)
    assert total(aggregator) == 8


def test_a_restart_is_seen_by_age_even_if_the_counter_is_higher() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(1, NODE, flush(5, 10), 10)
    aggregator.receive(2, NODE, flush(7, 30), 100)
    assert total(aggregator) == 12


def test_without_age_one_fallen_counter_means_that_the_whole_process_is_new() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    both = [CounterSample(REQUESTS, tags(), 5), CounterSample(TCP_SENT, tags(protocol="tcp"), 100)]
    aggregator.receive(1, NODE, Flush(both), 1)
    aggregator.receive(
        2, NODE, Flush([CounterSample(REQUESTS, tags(), 1), CounterSample(TCP_SENT, tags(protocol="tcp"), 300)]), 2
    )
    assert (total(aggregator), total(aggregator, TCP_SENT)) == (6, 400)


def test_a_late_flush_of_a_superseded_stream_adds_its_intervals_but_not_its_counters() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(2, NODE, flush(8), 2)
    late = Flush([CounterSample(REQUESTS, tags(), 5)], [HistogramSample(DURATION, tags(), 1, 7, ((10, 1),))])
    aggregator.receive(1, NODE, late, 3)
    assert total(aggregator) == 8
    assert sum(h.total for h in dict(aggregator.histograms())[DURATION].values()) == 1


def test_history_before_mixer_listened_counts_in_totals_but_is_no_recent_traffic() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(1, NODE, flush(1000, uptime=3600), 10)
    aggregator.receive(1, NODE, flush(1004, uptime=3602), 12)
    assert total(aggregator) == 1004
    assert recent(aggregator, 12) == 4


def test_a_young_proxys_first_requests_are_recent_traffic() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(1, NODE, flush(6, uptime=2), 10)
    assert recent(aggregator, 11) == 6


def test_histograms_of_intervals_are_added() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    sample = HistogramSample(REQUEST_BYTES, tags(), 2, 30, ((25, 2),))
    for now in (1, 2):
        aggregator.receive(1, NODE, Flush([], [sample, sample._replace(observed=0, buckets=())]), now)
    (histogram,) = dict(aggregator.histograms())[REQUEST_BYTES].values()
    assert (histogram.total, histogram.sum) == (4, 60)


def test_series_are_joined_anew_when_the_directory_has_changed() -> None:
    aggregator = MetricsAggregator(MeshDirectory())
    aggregator.receive(1, NODE, flush(1), 1)
    aggregator.set_directory(MeshDirectory(PODS, revision=2))
    aggregator.receive(1, NODE, flush(3), 2)
    found = {dict(labels)["source_workload"]: value for labels, value in dict(aggregator.counters())[REQUESTS].items()}
    assert found == {"unknown": 1, "productpage-v1": 2}


def test_the_last_counts_of_a_deleted_workload_keep_its_labels() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(1, NODE, flush(1), 1)
    aggregator.set_directory(MeshDirectory([PODS[0]], revision=2))
    aggregator.receive(1, NODE, flush(3), 2)
    ((labels, value),) = dict(aggregator.counters())[REQUESTS].items()
    assert (dict(labels)["destination_app"], value) == ("reviews", 3)


def test_series_beyond_the_limit_are_counted_as_overflow_and_told() -> None:
    aggregator = MetricsAggregator(DIRECTORY, series_max=2)
    for index in range(5):
        aggregator.receive(1, NODE, flush(2, code=str(200 + index)), index)
    series = dict(aggregator.counters())[REQUESTS]
    assert len(series) == 3
    assert sum(series.values()) == 10
    assert {value for labels in series for _, value in labels if value == "overflow"}
    assert aggregator.findings()[0].code == "ARG0901"
    assert not MetricsAggregator(DIRECTORY).findings()


def test_nodes_that_stay_away_are_forgotten() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(1, NODE, flush(1), 0)
    aggregator.close(1, 10)
    assert aggregator.dump()["nodes"] == 1
    aggregator.close(2, 4000)
    assert aggregator.dump()["nodes"] == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), with_age=st.booleans())
def test_totals_equal_the_truth_under_restarts_resets_and_lost_streams(seed: int, with_age: bool) -> None:
    """Three proxies live through random events; whatever was flushed at least once is counted exactly once."""
    dice = random.Random(seed)
    aggregator = MetricsAggregator(DIRECTORY)
    names = ("productpage-v1", "reviews-v2", "ratings-v1")
    counts = dict.fromkeys(names, 0.0)
    born = dict.fromkeys(names, 0.0)
    streams = {name: index for index, name in enumerate(names)}
    truth, now, last_stream = 0.0, 0.0, len(names)
    for _ in range(60):
        now += dice.choice((1, 5, 60))
        name = dice.choice(names)
        event = dice.random()
        if event < 0.2:
            aggregator.close(streams[name], now)
            last_stream += 1
            streams[name] = last_stream
        elif event < 0.3:
            # A restart takes longer than the tolerance; without an age only a fall of the counter shows it.
            now += 5
            counts[name] = 0.0 if with_age else -1.0
            born[name] = now
            last_stream += 1
            streams[name] = last_stream
        if counts[name] < 0:
            counts[name] = 0.0
            before = aggregator._processes.get(node(name).id)  # what a proxy of the same name had reached
            reached = max(before.memory._last.values(), default=0.0) if before else 0.0
            added = dice.randrange(0, int(reached)) if reached >= 1 else 0
        else:
            added = dice.randrange(0, 50)
        counts[name] += added
        truth += added
        aggregator.receive(streams[name], node(name), flush(counts[name], now - born[name] if with_age else None), now)
        assert total(aggregator) == pytest.approx(truth)
