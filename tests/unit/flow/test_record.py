"""Flow counters merge."""

import pytest

from argosy.flow.histogram import Histogram
from argosy.flow.record import FlowCounters, Outcome, is_failed_connection


def test_merging_adds_every_counter() -> None:
    histogram = Histogram()
    histogram.add_counts([0, 0, 0, 2, *[0] * 16], count=2, total=15)
    one = FlowCounters({Outcome("200", "-", ""): 2}, sent_bytes=1, opened=1)
    other = FlowCounters(
        {Outcome("200", "-", ""): 3, Outcome("503", "UH", ""): 1},
        histogram, request_bytes=5, response_bytes=6, sent_bytes=7, received_bytes=8, opened=2, closed=3,
    )  # fmt: skip
    one.merge(other)
    assert one.requests == {Outcome("200", "-", ""): 5, Outcome("503", "UH", ""): 1}
    assert one.request_count == 6
    assert one.latency is not None
    assert one.latency.total == 2
    assert (one.request_bytes, one.response_bytes, one.sent_bytes, one.received_bytes) == (5, 6, 8, 8)
    assert (one.opened, one.closed) == (3, 3)


@pytest.mark.parametrize(
    "flags, failed",
    [("-", False), ("DC", False), ("UF,URX", True), ("UH", True), ("PLAINTEXT_REFUSED", True), ("", False)],
)
def test_flags_say_whether_a_connection_reached_anybody(flags: str, failed: bool) -> None:
    assert is_failed_connection(flags) is failed
