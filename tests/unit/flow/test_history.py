"""The recent past of flows."""

import pytest

from argosy.flow.history import FlowHistory
from argosy.flow.record import FlowKey, Outcome

KEY, OK = FlowKey("source"), Outcome("200", "-", "")


def feed(history: FlowHistory, start: int, end: int, rate: float = 10) -> None:
    for second in range(start, end):
        for counters in history.touch(KEY, float(second)):
            counters.add_requests(OK, rate)


@pytest.mark.parametrize("seconds", [30, 60, 300, 600])
def test_every_window_gives_the_true_rate_of_steady_traffic(seconds: int) -> None:
    history = FlowHistory()
    feed(history, 0, 700)
    window = history.window(seconds, 700.0)
    assert window.flows[0][1].request_count / window.seconds == pytest.approx(10, rel=0.02)
    assert seconds - 20 <= window.seconds <= seconds


def test_a_young_history_covers_only_its_own_age() -> None:
    history = FlowHistory()
    feed(history, 100, 105)
    assert history.window(60, 105.0).seconds == 5


def test_old_traffic_leaves_the_window_and_then_the_memory() -> None:
    history = FlowHistory()
    feed(history, 0, 10)
    feed(history, 100, 101, rate=1)
    assert history.window(30, 101.0).flows[0][1].request_count == 1
    feed(history, 2000, 2001, rate=1)
    assert history.dump()["buckets"] == 2


def test_a_window_beyond_what_is_kept_is_what_is_kept() -> None:
    history = FlowHistory()
    feed(history, 0, 700)
    assert history.window(3600, 700.0) == history.window(600, 700.0)


def test_an_empty_history_has_no_flows() -> None:
    assert FlowHistory().window(60, 5.0).flows == ()
