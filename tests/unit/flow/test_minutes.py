"""Flows by the minute: what is counted, for how long, and as bytes."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.flow import minutes
from argosy.flow.histogram import Histogram
from argosy.flow.minutes import Minute, MinuteError, MinuteLog, decode_flows, encode_flows, minute_of, sum_minutes
from argosy.flow.record import FlowCounters, FlowKey, Outcome
from argosy.flow.workload import ServiceRef, WorkloadRef

KEY, OK = FlowKey("source"), Outcome("200", "-", "")


def counted(requests: float) -> dict[FlowKey, FlowCounters]:
    return {KEY: FlowCounters(requests={OK: requests})}


def test_what_is_counted_goes_to_its_minute_and_closes_with_it() -> None:
    log = MinuteLog()
    log.touch(KEY, 119.9).add_requests(OK, 1)
    log.touch(KEY, 120.0).add_requests(OK, 2)
    assert [minute.start for minute in log.running()] == [60, 120]
    assert log.close(125.0) == [Minute(60, flows=counted(1))]
    assert log.close_all() == [Minute(120, flows=counted(2))]
    assert len(log) == 0


def test_seconds_are_those_that_were_watched() -> None:
    log = MinuteLog()
    log.watch(100.0, 30.0)
    log.watch(130.0, 30.0)
    assert [(one.start, one.seconds) for one in log.close(200.0)] == [(60, 50.0), (120, 10.0)]


def test_the_first_moment_of_a_minute_ends_the_one_before() -> None:
    log = MinuteLog()
    log.watch(120.0, 60.0)
    assert [(one.start, one.seconds) for one in log.close(121.0)] == [(60, 60.0)]


def test_a_minute_that_nobody_watched_is_not_there() -> None:
    log = MinuteLog()
    log.watch(100.0, 0.0)
    assert log.close(500.0) == []


def test_the_time_that_a_machine_slept_is_not_watched() -> None:
    log = MinuteLog()
    log.watch(100_000.0, 50_000.0)
    assert [one.start for one in log.running()] == [minute_of(100_000.0)]


@given(st.lists(st.tuples(st.floats(0, 90), st.floats(-7200, 7200)), min_size=1, max_size=30))
def test_however_the_clock_is_set_all_seconds_and_requests_are_there(steps: list[tuple[float, float]]) -> None:
    """A clock step moves time to other minutes; it makes none up and loses none."""
    log, wall, kept = MinuteLog(), 1_000_000.0, list[Minute]()
    for elapsed, step in steps:
        wall += elapsed + step
        log.watch(wall, elapsed)
        log.touch(KEY, wall).add_requests(OK, 1)
        kept += log.close(wall)
    kept += log.close_all()
    window = sum_minutes(kept, wall)
    assert sum(one.seconds for one in kept) == pytest.approx(sum(elapsed for elapsed, _ in steps))
    assert window.flows[0][1].request_count == len(steps)


def test_a_minute_gone_through_twice_keeps_its_rate() -> None:
    first = Minute(60, 60.0, 3, counted(600))
    first.merge(Minute(60, 30.0, None, counted(300)))
    assert first == Minute(60, 90.0, 3, counted(900))
    first.merge(Minute(60, 0.0, 4, {}))
    assert first.revision == 4


def test_bytes_give_the_same_flows() -> None:
    histogram = Histogram()
    histogram.add_counts([0.0, 0.0, 2.0, *[0.0] * 16, 1.0], count=3, total=9.0)
    key = FlowKey(
        "destination", WorkloadRef("a", "b"), WorkloadRef("c"), ServiceRef("h", "n", "s"), "grpc", "none", "::1"
    )
    flows = {
        key: FlowCounters({OK: 2.0, Outcome("0", "UC", "14"): 1.0}, histogram, 1, 2, 3, 4, 5, 6),
        KEY: FlowCounters(),
    }
    assert decode_flows(encode_flows(flows)) == flows


@pytest.mark.parametrize("data", [b"", b"nonsense", zlib.compress(b"nonsense"), encode_flows({})[:-1]])
def test_bytes_that_are_no_minute_are_told(data: bytes) -> None:
    with pytest.raises(MinuteError):
        decode_flows(data)


def test_a_minute_that_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minutes, "BYTES_MAX", 1000)
    with pytest.raises(MinuteError, match="too long"):
        decode_flows(zlib.compress(bytes(10_000)))


def test_a_sum_adds_minutes_and_leaves_them_as_they_are() -> None:
    some = [Minute(60, 60.0, 1, counted(1)), Minute(120, 20.0, 1, counted(2))]
    window = sum_minutes(some, 180.0)
    assert (window.seconds, window.until, window.flows[0][1].request_count) == (80.0, 180.0, 3)
    assert some[0].flows == counted(1)
    assert sum_minutes([], 1.0).flows == ()
