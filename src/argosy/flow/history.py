"""`FlowHistory`: the recent past of all flows in buckets of time, bounded.

Two rings: fine buckets for short windows, coarse ones for long windows, so that memory stays
(fine + coarse buckets) x active flows. Time is given with each call; the past is dropped as time goes on. Beside them
the same is counted by the minute (`minutes`), for who writes it to disk.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from argosy.flow.minutes import MinuteLog, add_flows
from argosy.flow.record import FlowCounters, FlowKey, FlowWindow


@dataclass(frozen=True, slots=True)
class Ring:
    """A ring's shape: buckets of `bucket_s` seconds kept for `keep_s` seconds."""

    bucket_s: float
    keep_s: float


RINGS = (Ring(2.0, 60.0), Ring(20.0, 600.0))
WINDOW_S_MAX = RINGS[-1].keep_s


class FlowHistory:
    """Flows by bucket of time. `touch` gives the counters to add to; `window` the sum over a window."""

    def __init__(self, rings: tuple[Ring, ...] = RINGS) -> None:
        self._rings = rings
        self._buckets: tuple[OrderedDict[int, dict[FlowKey, FlowCounters]], ...] = tuple(OrderedDict() for _ in rings)
        self._began: float | None = None
        self.minutes = MinuteLog()

    def touch(self, key: FlowKey, now: float) -> tuple[FlowCounters, ...]:
        """The counters of `key` at `now`: one of each ring, and the minute's; add the same to all of them."""
        if self._began is None:
            self._began = now
        found = [self.minutes.touch(key, now)]
        for ring, buckets in zip(self._rings, self._buckets, strict=True):
            flows = self._bucket(ring, buckets, now)
            counters = flows.get(key)
            if counters is None:
                counters = flows[key] = FlowCounters()
            found.append(counters)
        return tuple(found)

    def _bucket(
        self, ring: Ring, buckets: OrderedDict[int, dict[FlowKey, FlowCounters]], now: float
    ) -> dict[FlowKey, FlowCounters]:
        number = int(now // ring.bucket_s)
        flows = buckets.get(number)
        if flows is None:
            flows = buckets[number] = {}
            oldest = number - int(ring.keep_s // ring.bucket_s)
            for old in [n for n in buckets if n < oldest]:
                del buckets[old]
        return flows

    def window(self, seconds: float, now: float) -> FlowWindow:
        """Sum of the last `seconds` (at most `WINDOW_S_MAX`), from the finest ring that reaches so far back.

        The span starts at a bucket's edge at or after `now - seconds`, so that no bucket is counted in part; a history
        younger than that covers only its own age (at least one second, so that rates stay sane).
        """
        index = next((i for i, ring in enumerate(self._rings) if ring.keep_s >= seconds), len(self._rings) - 1)
        ring, buckets = self._rings[index], self._buckets[index]
        first = -int(-(now - min(seconds, ring.keep_s)) // ring.bucket_s)
        total: dict[FlowKey, FlowCounters] = {}
        for number, flows in buckets.items():
            if number < first or number * ring.bucket_s > now:
                continue
            add_flows(total, flows.items())
        start = max(first * ring.bucket_s, self._began if self._began is not None else now)
        return FlowWindow(seconds=max(now - start, 1.0), until=now, flows=tuple(total.items()))

    def dump(self) -> dict[str, int]:
        """Buckets and flows held, for the admin page."""
        return {
            "buckets": sum(len(buckets) for buckets in self._buckets),
            "flows": sum(len(flows) for buckets in self._buckets for flows in buckets.values()),
        }
