"""Health thresholds."""

import pytest

from argosy.flow.record import Outcome
from argosy.graph.health import error_shares, health_of
from argosy.graph.model import Health


def mix(**shares: float) -> list[tuple[Outcome, float]]:
    return [(Outcome(name[1:], "-", ""), share) for name, share in shares.items()]


@pytest.mark.parametrize(
    "outcomes, health",
    [
        ([], Health.IDLE),
        (mix(c200=10), Health.HEALTHY),
        (mix(c200=99_999, c503=1), Health.HEALTHY),
        (mix(c200=99, c503=1), Health.DEGRADED),
        (mix(c200=90, c500=10), Health.FAILURE),
        (mix(c200=95, c404=5), Health.HEALTHY),
        (mix(c200=90, c404=10), Health.DEGRADED),
        (mix(c200=80, c404=20), Health.FAILURE),
        (mix(c200=9, c0=1), Health.FAILURE),
        ([(Outcome("200", "-", "14"), 1.0)], Health.FAILURE),
        ([(Outcome("200", "-", "0"), 1.0)], Health.HEALTHY),
    ],
)
def test_health_follows_kialis_thresholds(outcomes: list[tuple[Outcome, float]], health: Health) -> None:
    assert health_of(outcomes) is health


def test_tcp_is_healthy_while_it_moves() -> None:
    assert health_of([], tcp_active=True) is Health.HEALTHY


def test_shares_tell_server_failures_from_client_errors() -> None:
    assert error_shares(mix(c200=6, c503=3, c404=1)) == (10, 0.3, 0.1)
