"""The aggregator: absolute counters, restarts, lost streams, limits, rates."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.flow.directory import MeshDirectory
from argosy.flow.histogram import BOUNDS
from argosy.mixer.budget import LabelBudget
from argosy.mixer.metrics import MetricsAggregator
from argosy.mixer.telemetry import (
    DURATION,
    REQUEST_BYTES,
    REQUESTS,
    RESPONSE_BYTES,
    TCP_SENT,
    CounterSample,
    Flush,
    HistogramSample,
)

from .mesh import DIRECTORY, PODS, node, pod, tags

NODE = node("productpage-v1")


def histogram(name: str, count: float, observed: float) -> HistogramSample:
    """So many values between 10 and 25."""
    return HistogramSample(name, tags(), count, observed, [0] * 4 + [count] + [0] * (len(BOUNDS) - 4))


def flush(value: float, uptime: float | None = None, name: str = REQUESTS, **more: str) -> Flush:
    return Flush([CounterSample(name, tags(**more), value)], [], uptime)


def total(aggregator: MetricsAggregator, name: str = REQUESTS) -> float:
    return sum(dict(aggregator.counters())[name].values())


def recent(aggregator: MetricsAggregator, now: float) -> float:
    return sum(counters.request_count for _, counters in aggregator.window(60, now).flows)


def test_absolute_counters_are_not_added_twice() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    for now, value in enumerate((5, 5, 9)):
        aggregator.receive(NODE, flush(value), now)
    assert total(aggregator) == 9


def test_a_flush_that_was_lost_loses_and_repeats_nothing() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, flush(5, 10), 10)
    aggregator.receive(NODE, flush(8, 15), 15)
    assert total(aggregator) == 8


def test_a_restarted_envoy_counts_from_zero_again() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, flush(5, 10), 10)
    aggregator.receive(NODE, flush(3, 1), 20)
    assert total(aggregator) == 8


def test_a_restart_is_seen_by_age_even_if_the_counter_is_higher() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, flush(5, 10), 10)
    aggregator.receive(NODE, flush(7, 30), 100)
    assert total(aggregator) == 12


def test_what_was_read_late_is_no_restart() -> None:
    """A Mixer that was stopped for a while finds what waited for it; the proxy is the same all the time."""
    aggregator = MetricsAggregator(DIRECTORY)
    for value, age, read_at in ((5, 10, 10), (8, 12, 40), (9, 14, 40)):
        aggregator.receive(NODE, replace(flush(value, age), taken_at=float(age)), read_at)
    assert total(aggregator) == 9


def test_without_age_one_fallen_counter_means_that_the_whole_process_is_new() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    both = [CounterSample(REQUESTS, tags(), 5), CounterSample(TCP_SENT, tags(protocol="tcp"), 100)]
    aggregator.receive(NODE, Flush(both), 1)
    aggregator.receive(
        NODE, Flush([CounterSample(REQUESTS, tags(), 1), CounterSample(TCP_SENT, tags(protocol="tcp"), 300)]), 2
    )
    assert (total(aggregator), total(aggregator, TCP_SENT)) == (6, 400)


def test_a_flush_that_arrives_after_a_later_one_is_passed_over() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, replace(flush(8), taken_at=20), 2)
    aggregator.receive(NODE, replace(flush(5), taken_at=19), 3)
    aggregator.receive(NODE, replace(flush(9), taken_at=21), 3)
    assert total(aggregator) == 9


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, replace(flush(8), taken_at=9000), 2)
    aggregator.receive(NODE, replace(flush(9), taken_at=5400), 3)
    assert total(aggregator) == 9


def test_history_before_mixer_listened_counts_in_totals_but_is_no_recent_traffic() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, flush(1000, uptime=3600), 10)
    aggregator.receive(NODE, flush(1004, uptime=3602), 12)
    assert total(aggregator) == 1004
    assert recent(aggregator, 12) == 4


def test_a_young_proxys_first_requests_are_recent_traffic() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, flush(6, uptime=2), 10)
    assert recent(aggregator, 11) == 6


def test_histograms_are_absolute_too() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    for now, count in enumerate((2, 2, 5)):
        aggregator.receive(NODE, Flush([], [histogram(REQUEST_BYTES, count, 15 * count)]), now)
    (found,) = dict(aggregator.histograms())[REQUEST_BYTES].values()
    assert (found.total, found.sum, found.counts[4]) == (5, 75, 5)
    assert sum(counters.request_bytes for _, counters in aggregator.window(60, 2).flows) == 75


def test_a_histogram_that_says_so_counts_requests_too() -> None:
    aggregator = MetricsAggregator(DIRECTORY)

    def sizes(name: str, count: float) -> HistogramSample:
        said = {"counts": REQUESTS} if name == REQUEST_BYTES else {}
        return HistogramSample(name, tags(**said), count, 100, [count] + [0] * len(BOUNDS))

    for now, count in ((10, 3), (15, 3), (20, 8)):
        aggregator.receive(NODE, Flush([], [sizes(REQUEST_BYTES, count), sizes(DURATION, count)], now), now)
    assert (total(aggregator), recent(aggregator, 20)) == (8, 8)
    (labels,) = dict(aggregator.counters())[REQUESTS]
    assert "counts" not in dict(labels)
    aggregator.receive(NODE, Flush([], [sizes(REQUEST_BYTES, 2)], 1), 30)
    assert (total(aggregator), recent(aggregator, 30)) == (10, 10)


def test_how_long_an_upgraded_stream_lived_is_no_latency() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    lived = [
        HistogramSample(name, tags(code=code, **counts), 1, 900, [0] * len(BOUNDS) + [1])
        for code in ("101", "200")
        for name, counts in ((REQUEST_BYTES, {"counts": REQUESTS}), (DURATION, {}))
    ]
    aggregator.receive(NODE, Flush([], lived), 1)
    for histograms in (dict(aggregator.histograms()), aggregator.of_proxy(NODE)[1]):
        found = {name: {dict(labels)["response_code"] for labels in family} for name, family in histograms.items()}
        assert found[DURATION] == {"200"}
        assert found[REQUEST_BYTES] == {"101", "200"}
    assert total(aggregator) == 2


def test_a_new_mixer_learns_all_that_proxies_have_counted() -> None:
    """Histograms as well as counters, so that they still agree."""
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, Flush([CounterSample(REQUESTS, tags(), 7)], [histogram(DURATION, 7, 70)], uptime_s=900), 1)
    assert total(aggregator) == sum(one.total for one in dict(aggregator.histograms())[DURATION].values()) == 7
    assert aggregator.window(60, 1).flows == ()


def test_open_connections_report_what_they_have_carried_and_their_end_repeats_nothing() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    tcp = tags(protocol="tcp", code="")
    for now, live, ended in ((1, {7: 40.0, 8: 60.0}, None), (2, {7: 90.0, 8: 60.0}, None), (3, {7: 0.0, 8: 60.0}, 95)):
        carried = [CounterSample(TCP_SENT, (*tcp, ("conn", str(one))), value) for one, value in live.items()]
        counters = [CounterSample(TCP_SENT, tcp, ended)] if ended else []
        aggregator.receive(NODE, Flush(counters, open_bytes=carried), now)
    assert total(aggregator, TCP_SENT) == 150
    aggregator.receive(NODE, Flush([CounterSample(TCP_SENT, tcp, 155)]), 4)
    assert total(aggregator, TCP_SENT) == 155


def test_what_one_tag_holds_is_taken_apart() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    call = "|".join(f"{name}={value}" for name, value in tags())
    sample = CounterSample(REQUESTS, (("call", call), ("request_host", "a|b=c")), 3)
    aggregator.receive(NODE, Flush([sample]), 1)
    ((labels, value),) = dict(aggregator.counters())[REQUESTS].items()
    found = dict(labels)
    assert (found["destination_workload"], found["request_host"], value) == ("reviews-v2", "a|b=c", 3)


def test_series_are_joined_anew_when_the_directory_has_changed() -> None:
    aggregator = MetricsAggregator(MeshDirectory())
    aggregator.receive(NODE, flush(1), 1)
    aggregator.set_directory(MeshDirectory(PODS, revision=2))
    aggregator.receive(NODE, flush(3), 2)
    found = {dict(labels)["source_workload"]: value for labels, value in dict(aggregator.counters())[REQUESTS].items()}
    assert found == {"unknown": 1, "productpage-v1": 2}


def test_the_last_counts_of_a_deleted_workload_keep_its_labels() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, flush(1), 1)
    aggregator.set_directory(MeshDirectory([PODS[0]], revision=2))
    aggregator.receive(NODE, flush(3), 2)
    ((labels, value),) = dict(aggregator.counters())[REQUESTS].items()
    assert (dict(labels)["destination_app"], value) == ("reviews", 3)


def test_label_sets_beyond_the_budget_are_counted_as_overflow_and_told() -> None:
    aggregator = MetricsAggregator(DIRECTORY, budget=LabelBudget(sets_max=2))
    for index in range(5):
        aggregator.receive(NODE, flush(2, code=str(200 + index)), index)
    series = dict(aggregator.counters())[REQUESTS]
    assert len(series) == 3
    assert sum(series.values()) == 10
    assert {value for labels in series for _, value in labels if value == "overflow"}
    assert [finding.code for finding in aggregator.findings()] == ["ARG0901"]
    assert not MetricsAggregator(DIRECTORY).findings()


def test_a_workload_over_its_budget_is_told_and_keeps_its_sum() -> None:
    aggregator = MetricsAggregator(DIRECTORY, budget=LabelBudget(workload_sets_max=3))
    for index in range(20):
        aggregator.receive(NODE, flush(2, peer=f"w{index}.default.workload"), index)
    series = dict(aggregator.counters())[REQUESTS]
    assert sum(series.values()) == 40
    assert len(series) == 4
    (finding,) = aggregator.findings()
    assert (finding.code, finding.namespace, finding.name) == ("ARG0902", "default", "productpage-v1")
    assert aggregator.dump()["over_budget"] == 1


def test_nodes_that_stay_away_are_forgotten() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, flush(1), 0)
    aggregator.sweep(10)
    assert (aggregator.dump()["nodes"], aggregator.dump()["reporting"]) == (1, 1)
    aggregator.sweep(20)
    assert aggregator.dump()["reporting"] == 0
    aggregator.sweep(4000)
    assert aggregator.dump()["nodes"] == 0


def test_series_that_nothing_moves_are_given_up_and_begin_again_at_zero() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, flush(5), 0)
    aggregator.receive(NODE, flush(5), 3700)
    assert dict(aggregator.counters())[REQUESTS] == {}
    assert (aggregator.dump()["expired"], aggregator.dump()["series"], aggregator.dump()["label_sets"]) == (1, 0, 0)
    aggregator.receive(NODE, flush(6), 3710)
    assert total(aggregator) == 1


def test_series_of_workloads_that_are_no_more_are_given_up_soon() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, flush(5), 0)
    aggregator.sweep(400)
    assert total(aggregator) == 5
    aggregator.set_directory(MeshDirectory([PODS[0]], revision=2))
    aggregator.sweep(400)
    assert dict(aggregator.counters())[REQUESTS] == {}


def test_workloads_that_come_and_go_do_not_grow_the_number_of_series() -> None:
    """K1: 200 workloads, each replaced ten times; all call one another's neighbours."""
    aggregator = MetricsAggregator(MeshDirectory())
    most = 0
    for round_ in range(10):
        pods = [pod(f"w{number}-r{round_}", f"w{number}", f"r{round_}", f"10.1.{number}.1") for number in range(200)]
        aggregator.set_directory(MeshDirectory(pods, revision=round_ + 1))
        for step in range(3):
            now = round_ * 600 + step
            for number in range(200):
                peer = f"w{(number + 1) % 200}-r{round_}.default.workload"
                aggregator.receive(node(f"w{number}-r{round_}"), flush(step + 1, uptime=step, peer=peer), now)
        most = max(most, aggregator.dump()["series"])
    assert most <= 2 * 200
    assert aggregator.dump()["expired"] >= 8 * 200


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), with_age=st.booleans())
def test_totals_equal_the_truth_under_restarts_resets_and_lost_streams(seed: int, with_age: bool) -> None:
    """Three proxies live through random events; whatever was flushed at least once is counted exactly once."""
    dice = random.Random(seed)
    aggregator = MetricsAggregator(DIRECTORY)
    names = ("productpage-v1", "reviews-v2", "ratings-v1")
    counts = dict.fromkeys(names, 0.0)
    born = dict.fromkeys(names, 0.0)
    reached = dict.fromkeys(names, 0.0)
    truth, now = 0.0, 0.0
    for _ in range(60):
        now += dice.choice((1, 5, 60))
        name = dice.choice(names)
        added = dice.randrange(0, 50)
        if dice.random() < 0.1:
            # A restart takes longer than the tolerance; without an age only a fall of the counter shows it.
            now += 5
            counts[name] = 0.0
            born[name] = now
            if not with_age:
                added = dice.randrange(0, int(reached[name])) if reached[name] >= 1 else 0
        counts[name] += added
        reached[name] = counts[name]
        truth += added
        aggregator.receive(node(name), flush(counts[name], now - born[name] if with_age else None), now)
        assert total(aggregator) == pytest.approx(truth)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_requests_without_a_body_are_sizes_of_nothing(seed: int) -> None:
    """Proxies tell of them by another histogram alone; restarts and lost flushes change nothing of the sum."""
    dice = random.Random(seed)
    aggregator = MetricsAggregator(DIRECTORY)
    everything, bodies, born, now = 0, 0, 0.0, 0.0
    truth = {"all": 0, "some": 0}

    def sample(name: str, which: str, count: int) -> HistogramSample:
        return HistogramSample(name, tags(bodies=which), count, 12.0 * count, histogram(name, count, 0).counts)

    for _ in range(30):
        now += dice.choice((1, 5, 60))
        if dice.random() < 0.1:
            now += 5
            everything, bodies, born = 0, 0, now
        with_body = dice.randrange(0, 20)
        without = dice.randrange(0, 20)
        everything, bodies = everything + with_body + without, bodies + with_body
        truth["all"] += with_body + without
        truth["some"] += with_body
        sent = [sample(RESPONSE_BYTES, "all", everything), sample(REQUEST_BYTES, "some", bodies)]
        dice.shuffle(sent)
        aggregator.receive(NODE, Flush([], [one for one in sent if one.observed], now - born), now)
        found = dict(aggregator.histograms())[REQUEST_BYTES].values()
        assert sum(one.total for one in found) == truth["all"]
        assert sum(one.counts[0] for one in found) == truth["all"] - truth["some"]
        assert sum(one.sum for one in found) == 12 * truth["some"]
        of_proxy = aggregator.of_proxy(NODE)[1].get(REQUEST_BYTES, {}).values()
        assert sum(one.total for one in of_proxy) == everything
        assert sum(one.counts[0] for one in of_proxy) == everything - bodies


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_quick_requests_are_durations_too(seed: int) -> None:
    """Proxies tell of them by the histogram of answers' sizes; restarts and lost flushes change nothing of the sum."""
    dice = random.Random(seed)
    aggregator = MetricsAggregator(DIRECTORY)
    born, now = 0.0, 0.0
    since = {"0": 0, "1": 0, "": 0}
    truth = dict(since)

    def sample(took: str, count: int) -> HistogramSample:
        said = tags(bodies="all", ms=took) if took else tags(bodies="all")
        return HistogramSample(RESPONSE_BYTES, said, count, 12.0 * count, histogram(RESPONSE_BYTES, count, 0).counts)

    for _ in range(30):
        now += dice.choice((1, 5, 60))
        if dice.random() < 0.1:
            now += 5
            since, born = dict.fromkeys(since, 0), now
        for took in since:
            added = dice.randrange(0, 20)
            since[took] += added
            truth[took] += added
        slow = since[""]
        sent = [
            *(sample(took, count) for took, count in since.items()),
            HistogramSample(DURATION, tags(), slow, 70.0 * slow, histogram(DURATION, slow, 0).counts),
        ]
        dice.shuffle(sent)
        aggregator.receive(NODE, Flush([], [one for one in sent if one.observed], now - born), now)
        found = dict(aggregator.histograms())[DURATION].values()
        for bucket, took in ((0, "0"), (1, "1"), (4, "")):
            assert sum(one.counts[bucket] for one in found) == truth[took]
        assert sum(one.total for one in found) == sum(truth.values())
        assert sum(one.sum for one in found) == truth["1"] + 70.0 * truth[""]
        of_proxy = aggregator.of_proxy(NODE)[1].get(DURATION, {}).values()
        assert sum(one.total for one in of_proxy) == sum(since.values())
        sizes = dict(aggregator.histograms())[RESPONSE_BYTES].values()
        assert sum(one.total for one in sizes) == sum(truth.values())


def test_how_long_an_upgraded_connection_lived_is_nobodys_latency_however_short() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    counts = histogram(RESPONSE_BYTES, 3, 0).counts
    sample = HistogramSample(RESPONSE_BYTES, tags(code="101", ms="0"), 3, 0.0, counts)
    aggregator.receive(NODE, Flush([], [sample], 1.0), 1.0)
    found = dict(aggregator.histograms())
    assert not found[DURATION]
    assert sum(one.total for one in found[RESPONSE_BYTES].values()) == 3


def test_who_reports_is_seen_when_nobody_does() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(NODE, flush(1), 10)
    assert aggregator.dump()["reporting"] == 1
    aggregator.pass_time(60.0)
    assert (aggregator.dump()["nodes"], aggregator.dump()["reporting"]) == (1, 0)


def test_one_proxys_counts_are_its_own_and_monotone() -> None:
    """What open connections have carried is in them, and never counted back when they end."""
    aggregator = MetricsAggregator(DIRECTORY)
    other = node("details-v1")
    aggregator.receive(other, flush(7), 1)
    key = tags(protocol="tcp")
    seen = []
    for now, (ended, live) in enumerate([(0, 10), (0, 30), (30, 0), (30, 0), (35, 0)], 2):
        counters = [CounterSample(REQUESTS, tags(), 4.0), CounterSample(TCP_SENT, key, float(ended))]
        open_bytes = [CounterSample(TCP_SENT, (*key, ("conn", "1")), float(live))] if live else []
        aggregator.receive(NODE, Flush(counters, [histogram(DURATION, 3, 40)], None, open_bytes), now)
        found, histograms = aggregator.of_proxy(NODE)
        seen.append(sum(found[TCP_SENT].values()))
        assert sum(found[REQUESTS].values()) == 4
        assert [one.total for one in histograms[DURATION].values()] == [3]
    assert seen == [10, 30, 30, 30, 35]
    assert sum(aggregator.of_proxy(other)[0][REQUESTS].values()) == 7
    assert aggregator.of_proxy(node("nobody-v1")) == ({}, {})


def test_one_proxys_requests_are_counted_by_the_histogram_that_says_so() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    sample = histogram(REQUEST_BYTES, 3, 40)
    said = HistogramSample(REQUEST_BYTES, tags(counts=REQUESTS), *sample[2:])
    aggregator.receive(NODE, Flush([], [said], None), 1)
    found, histograms = aggregator.of_proxy(NODE)
    ((labels, value),) = found[REQUESTS].items()
    assert value == 3
    assert list(histograms[REQUEST_BYTES]) == [labels]
    assert dict(aggregator.counters())[REQUESTS] == {labels: 3}
