"""`PlaintextLedger`: who still calls whom without mutual TLS, since when, how much, and what of it was refused.

Given: flows as the receiving side counted them, with the time. Gives: one row for each caller, workload and service.
Bounded: beyond `rows_max` the row that was seen longest ago goes. Times are seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

from argosy.flow.record import DESTINATION, PLAINTEXT, FlowKey
from argosy.flow.workload import ServiceRef, WorkloadRef

ROWS_MAX = 10_000
REFUSED_FLAG = "PLAINTEXT_REFUSED"
"""The flag that sidecars write when STRICT turned a plaintext connection away."""


@dataclass(slots=True)
class PlaintextRow:
    """One caller of one workload. `address` stands where no workload is known."""

    source: WorkloadRef
    address: str
    destination: WorkloadRef
    service: ServiceRef
    first_seen: float
    last_seen: float
    requests: float = 0.0
    connections: float = 0.0
    refused: float = 0.0
    refused_at: float = 0.0
    """When a refusal was last seen; 0: never."""


class PlaintextLedger:
    """All plaintext that was seen since it was made. One writer."""

    def __init__(self, *, rows_max: int = ROWS_MAX) -> None:
        self._rows: dict[tuple[WorkloadRef, str, WorkloadRef, ServiceRef], PlaintextRow] = {}
        self._rows_max = rows_max

    def note(self, flow: FlowKey, flags: str, now: float, *, requests: float = 0.0, connections: float = 0.0) -> None:
        """Count what a receiver reported; what is not plaintext is left out."""
        if flow.reporter != DESTINATION or flow.security != PLAINTEXT or not (requests or connections):
            return
        # Where a workload is known its pods' addresses say nothing more.
        key = (flow.source, "" if flow.source.known else flow.source_address, flow.destination, flow.service)
        row = self._rows.get(key)
        if row is None:
            self._make_room()
            row = self._rows[key] = PlaintextRow(*key, first_seen=now, last_seen=now)
        row.last_seen = now
        if flags == REFUSED_FLAG:
            row.refused += connections
            row.refused_at = now
        else:
            row.requests += requests
            row.connections += connections

    def rows(self) -> tuple[PlaintextRow, ...]:
        """Every row, the one seen last first."""
        return tuple(sorted(self._rows.values(), key=lambda row: -row.last_seen))

    def _make_room(self) -> None:
        if len(self._rows) >= self._rows_max:
            del self._rows[min(self._rows, key=lambda key: self._rows[key].last_seen)]


__all__ = ["REFUSED_FLAG", "PlaintextLedger", "PlaintextRow"]
