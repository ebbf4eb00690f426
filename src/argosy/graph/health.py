"""Health of traffic from its outcomes.

Thresholds are Kiali's defaults: any server failure degrades, 10 % of them fail; client errors (4xx) degrade at 10 %
and fail at 20 %; requests without an answer count as server failures.
"""

from __future__ import annotations

from collections.abc import Iterable

from argosy.flow.record import Outcome
from argosy.graph.model import Health

SERVER_FAILURE_SHARE = 0.10
CLIENT_DEGRADED_SHARE = 0.10
CLIENT_FAILURE_SHARE = 0.20
# Fewer than this share are shown, not judged: one old error in thousands of requests is no state.
NOTICEABLE_SHARE = 0.001


def is_server_failure(outcome: Outcome) -> bool:
    """5xx, no response at all, or a gRPC status other than OK."""
    if outcome.grpc not in ("", "0"):
        return True
    return outcome.code in ("", "0") or outcome.code.startswith("5")


def is_client_error(outcome: Outcome) -> bool:
    """4xx that is not already a failure."""
    return outcome.code.startswith("4") and not is_server_failure(outcome)


def error_shares(outcomes: Iterable[tuple[Outcome, float]]) -> tuple[float, float, float]:
    """(total, share of server failures, share of client errors)."""
    total = server = client = 0.0
    for outcome, count in outcomes:
        total += count
        if is_server_failure(outcome):
            server += count
        elif is_client_error(outcome):
            client += count
    return (total, server / total, client / total) if total else (0.0, 0.0, 0.0)


def health_of(
    outcomes: Iterable[tuple[Outcome, float]], *, tcp_active: bool = False, tcp_failed: float = 0.0
) -> Health:
    """The health of requests with these outcomes; of TCP traffic without requests while there is some.

    tcp_failed: the share of TCP connections that were refused or reached nobody; they count as server failures.
    """
    total, server, client = error_shares(outcomes)
    if not total and tcp_active and tcp_failed:
        return Health.FAILURE if tcp_failed >= SERVER_FAILURE_SHARE else Health.DEGRADED
    if not total:
        return Health.HEALTHY if tcp_active else Health.IDLE
    if server >= SERVER_FAILURE_SHARE or client >= CLIENT_FAILURE_SHARE:
        return Health.FAILURE
    if server >= NOTICEABLE_SHARE or client >= CLIENT_DEGRADED_SHARE:
        return Health.DEGRADED
    return Health.HEALTHY
