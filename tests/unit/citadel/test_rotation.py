"""Certificates are renewed at half-life, whatever the clock does."""

import pytest

from argosy.citadel.rotation import RETRY_S_MAX, first_attempt, schedule


def test_renewal_is_due_at_half_life() -> None:
    renewal = schedule(issued_at=1000, not_after=1030, jitter=0)
    assert not renewal.due(1014.9)
    assert renewal.due(1015)


@pytest.mark.parametrize("jitter, due_at", [(-1, 1049), (1, 1051)])
def test_jitter_moves_it_by_a_hundredth_of_the_life(jitter: float, due_at: float) -> None:
    assert schedule(issued_at=1000, not_after=1100, jitter=jitter).due_at == pytest.approx(due_at)


def test_an_identity_without_certificate_is_due_at_once() -> None:
    renewal = first_attempt(1000)
    assert renewal.due(1000)
    assert renewal.expired(1000)


def test_failures_back_off_up_to_a_cap() -> None:
    """F03: a Citadel that comes back is found within ten seconds."""
    renewal, now, waits = schedule(issued_at=0, not_after=10, jitter=0), 5.0, []
    for _ in range(100):
        renewal = renewal.failed(now, jitter=1)
        waits.append(renewal.due_at - now)
        assert not renewal.due(now)
        now = renewal.due_at
    assert waits[:4] == pytest.approx([0.6, 1.2, 2.4, 4.8])
    assert waits[-1] == pytest.approx(RETRY_S_MAX * 1.2)
    assert waits[-1] <= 10
    assert renewal.failures == 100


def test_success_forgets_failures() -> None:
    assert schedule(issued_at=0, not_after=10, jitter=0).failures == 0


def test_a_machine_that_slept_through_the_life_renews_on_waking() -> None:
    """F13"""
    renewal = schedule(issued_at=1000, not_after=1030, jitter=0)
    assert renewal.due(5000)
    assert renewal.expired(5000)


def test_a_clock_set_back_renews_once_and_then_backs_off() -> None:
    """F12: small corrections do nothing; a jump asks again, since the certificate is not valid yet under that clock."""
    renewal = schedule(issued_at=100_000, not_after=186_400, jitter=0)
    assert not renewal.due(99_910)
    assert renewal.due(10_000)
    assert not renewal.failed(10_000, jitter=0).due(10_000)
