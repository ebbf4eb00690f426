"""`MisreadLedger`: ports that are declared to speak HTTP and are sent something else.

Given: how requests ended, as the receiving side counted them, with the time. Gives: one row for each workload and
service. Bounded: beyond `rows_max` the row that was seen longest ago goes. Times are seconds since the epoch.
Source: Envoy's response flag DPE (downstream protocol error).
"""

from __future__ import annotations

from dataclasses import dataclass

from argosy.flow.record import DESTINATION, FlowKey
from argosy.flow.workload import ServiceRef, WorkloadRef

ROWS_MAX = 1_000
PROTOCOL_ERROR = "DPE"


@dataclass(slots=True)
class MisreadRow:
    """What came to one service of one workload and could not be read. `source`: who sent the last of it."""

    destination: WorkloadRef
    service: ServiceRef
    source: WorkloadRef
    last_seen: float
    count: float = 0.0


class MisreadLedger:
    """All that could not be read since it was made. One writer."""

    def __init__(self, *, rows_max: int = ROWS_MAX) -> None:
        self._rows: dict[tuple[WorkloadRef, ServiceRef], MisreadRow] = {}
        self._rows_max = rows_max

    def note(self, flow: FlowKey, flags: str, now: float, *, requests: float) -> None:
        """Count what a receiver reported; what could be read is left out."""
        if flow.reporter != DESTINATION or PROTOCOL_ERROR not in flags.split(",") or not requests:
            return
        key = (flow.destination, flow.service)
        row = self._rows.get(key)
        if row is None:
            if len(self._rows) >= self._rows_max:
                del self._rows[min(self._rows, key=lambda one: self._rows[one].last_seen)]
            row = self._rows[key] = MisreadRow(*key, source=flow.source, last_seen=now)
        row.source, row.last_seen = flow.source, now
        row.count += requests

    def rows(self, since: float) -> tuple[MisreadRow, ...]:
        """The rows that were seen since then, by workload and service."""
        found = (row for row in self._rows.values() if row.last_seen >= since)
        return tuple(sorted(found, key=lambda row: (row.destination.namespace, row.destination.name, row.service.host)))


__all__ = ["PROTOCOL_ERROR", "MisreadLedger", "MisreadRow"]
