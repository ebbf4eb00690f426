"""What workloads serve: requests, failures and latency of each, as its own proxy counts them.

Given the flows of a window, gives rows of plain values. Pure. Where a workload has no proxy, its callers' counts stand
in. TCP is left out: it has no requests.
"""

from __future__ import annotations

from dataclasses import dataclass

from argosy.flow.record import DESTINATION, SOURCE, FlowCounters, FlowWindow
from argosy.graph.health import error_shares


@dataclass(frozen=True, slots=True)
class Served:
    """One workload's requests in a window. Errors are 4xx, 5xx, failed gRPC and requests without an answer."""

    namespace: str
    workload: str
    rps: float
    errors_ps: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None


def served_by_workloads(window: FlowWindow) -> tuple[Served, ...]:
    """A row for each workload that was called, sorted by namespace and name."""
    found: dict[tuple[str, str], dict[str, FlowCounters]] = {}
    for key, counters in window.flows:
        if key.destination.known and key.protocol != "tcp" and counters.request_count:
            sides = found.setdefault((key.destination.namespace, key.destination.name), {})
            sides.setdefault(key.reporter, FlowCounters()).merge(counters)
    return tuple(
        _row(*workload, found[workload].get(DESTINATION) or found[workload][SOURCE], window.seconds)
        for workload in sorted(found)
    )


def _row(namespace: str, workload: str, counters: FlowCounters, seconds: float) -> Served:
    total, failing, client = error_shares(counters.requests.items())
    p50, p90, p99 = (counters.latency.quantile(share) if counters.latency else None for share in (0.5, 0.9, 0.99))
    return Served(namespace, workload, total / seconds, total * (failing + client) / seconds, p50, p90, p99)
