"""The token bucket takes what it promised, and no clock makes it take more."""

from argosy.citadel.limits import RateLimit


def test_burst_then_rate() -> None:
    limit = RateLimit(per_s=2, burst=3)
    assert [limit.take(10) for _ in range(4)] == [True, True, True, False]
    assert [limit.take(10.5), limit.take(10.5)] == [True, False]


def test_rest_never_fills_beyond_the_burst() -> None:
    limit = RateLimit(per_s=2, burst=3)
    limit.take(0)
    assert [limit.take(1000) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_goes_back_gives_nothing() -> None:
    limit = RateLimit(per_s=2, burst=1)
    assert [limit.take(10), limit.take(0), limit.take(0.1)] == [True, False, False]
