"""Bytes of connections since they were last reported: proxies tell totals, Mixer's attributes are both.

Given records in the order of each proxy's stream; remembers one total for each open connection, and no more than
`CONNECTIONS_MAX`. Of a connection that began before this Mixer did, what was before its first report here is an
earlier Mixer's: it is not counted twice.
"""

from __future__ import annotations

from argosy.mixer.access_record import AccessRecord, ConnectionEvent, Direction
from argosy.mixer.report_attributes import ByteDeltas

CONNECTIONS_MAX = 100_000
_Key = tuple[str, Direction, str]


class ConnectionBytes:
    """What open connections had received and sent when they were last reported."""

    def __init__(self, *, began: float) -> None:
        self._began = began
        self._totals: dict[_Key, ByteDeltas] = {}

    def __len__(self) -> int:
        return len(self._totals)

    def advance(self, record: AccessRecord) -> ByteDeltas:
        """What this record adds to the last one of its connection."""
        if record.http is not None:
            return ByteDeltas()
        key = (record.node.id, record.direction, record.connection_id)
        total = ByteDeltas(record.received_bytes, record.sent_bytes)
        before = self._totals.pop(key, None)
        if record.event is ConnectionEvent.OPEN:
            # A proxy that started anew gives numbers again.
            before = ByteDeltas()
        elif before is None:
            before = ByteDeltas() if record.start >= self._began else total
        if record.is_open:
            self._totals[key] = total
            if len(self._totals) > CONNECTIONS_MAX:
                del self._totals[next(iter(self._totals))]
        return ByteDeltas(max(0, total.received - before.received), max(0, total.sent - before.sent))
