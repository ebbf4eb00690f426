"""A Mixer that is started anew goes on from what its predecessor kept."""

from __future__ import annotations

import pytest

from argosy.mixer.checkpoint import decode, encode
from argosy.mixer.metrics import MetricsAggregator
from argosy.mixer.telemetry import DURATION, REQUESTS, CounterSample, Flush

from .mesh import DIRECTORY, node, tags
from .test_metrics import NODE, histogram, recent, total

OTHER = node("reviews-v1")


def flush(value: float, uptime: float) -> Flush:
    return Flush([CounterSample(REQUESTS, tags(), value)], [histogram(DURATION, value, value * 12)], uptime)


def observed(aggregator: MetricsAggregator) -> float:
    return sum(one.total for one in dict(aggregator.histograms())[DURATION].values())


def successor(aggregator: MetricsAggregator) -> MetricsAggregator:
    made = MetricsAggregator(DIRECTORY)
    made.restore(decode(encode(aggregator.checkpoint())))
    return made


def counted() -> MetricsAggregator:
    first = MetricsAggregator(DIRECTORY)
    first.receive(NODE, flush(5, 100), 1000)
    first.receive(OTHER, flush(7, 100), 1000)
    return first


def test_what_was_counted_between_is_counted_once() -> None:
    second = successor(counted())
    assert (total(second), observed(second)) == (12, 12)
    second.receive(NODE, flush(9, 110), 1010)
    second.receive(OTHER, flush(7, 110), 1010)
    assert (total(second), observed(second)) == (16, 16)
    assert recent(second, 1010) == 0, "nobody watched when these came"
    second.receive(NODE, flush(10, 111), 1011)
    assert (total(second), recent(second, 1011)) == (17, 1)


def test_a_checkpoint_of_before_is_caught_up_with() -> None:
    """What was told after the last checkpoint is told again once all proxies have reported."""
    first = counted()
    kept = encode(first.checkpoint())
    first.receive(NODE, flush(8, 103), 1003)
    second = MetricsAggregator(DIRECTORY)
    second.restore(decode(kept))
    assert second.awaited == 2
    second.receive(NODE, flush(8, 105), 1005)
    second.receive(OTHER, flush(7, 105), 1005)
    assert (second.awaited, total(second)) == (0, total(first))


def test_a_proxy_that_was_started_anew_meanwhile_counts_from_zero() -> None:
    second = successor(counted())
    second.receive(NODE, flush(2, 1), 1010)
    assert (total(second), observed(second)) == (14, 14)


def test_what_a_pod_that_is_gone_has_counted_stays() -> None:
    second = successor(counted())
    second.receive(NODE, flush(5, 110), 1010)
    assert (total(second), second.awaited) == (12, 1)


def test_proxies_that_were_away_already_are_not_awaited() -> None:
    first = counted()
    first.receive(NODE, flush(5, 160), 1060)
    assert successor(first).awaited == 1


def test_label_sets_stay_within_their_budget() -> None:
    second = successor(counted())
    assert second.dump()["label_sets"] == counted().dump()["label_sets"] > 0
    second.sweep(
        1000 + 10_000,
    )
    assert second.dump()["series"] == 0


@pytest.mark.parametrize("data", [b"", b"garbage", encode(counted().checkpoint())[:-3], b"\x92\x63\xc0"])
def test_what_is_no_checkpoint_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        decode(data)
