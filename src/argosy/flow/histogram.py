"""`Histogram`: counts in the fixed buckets that Envoy and Istio use for milliseconds and bytes.

Given: upper bounds with counts (per interval). Gives: sums, quantiles, merged histograms. Bounds are inclusive upper
limits; the last bucket is `+Inf`. Source: Envoy's default bucket settings, which are Istio's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

BOUNDS: tuple[float, ...] = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000,
    10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
)  # fmt: skip


@dataclass(slots=True)
class Histogram:
    """Mutable counter of observations. `counts[i]` is the number in bucket i alone, not cumulative."""

    counts: list[float] = field(default_factory=lambda: [0.0] * (len(BOUNDS) + 1))
    total: float = 0.0
    sum: float = 0.0

    def add(self, buckets: Iterable[tuple[float, float]], *, count: float, total: float) -> None:
        """Add one interval: `buckets` as (upper bound, cumulative count) in rising order, as Prometheus writes them.

        A bound that is not one of ours is counted in the bucket that contains it. Observations above the last bound
        are what is missing to `count`. `total` is the sum of the observed values.
        """
        seen = 0.0
        for bound, cumulative in buckets:
            here = cumulative - seen
            if here > 0:
                self.counts[bisect_left(BOUNDS, bound)] += here
                seen = cumulative
        if count > seen:
            self.counts[-1] += count - seen
        self.total += count
        self.sum += total

    def add_counts(self, counts: Iterable[float], *, count: float, total: float) -> None:
        """Add observations: `counts` are those of each bucket alone, the last one above all bounds."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, counts, strict=True)]
        self.total += count
        self.sum += total

    def merge(self, other: Histogram) -> None:
        """Add all of `other`'s observations."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
        self.sum += other.sum

    def cumulative(self) -> list[float]:
        """Counts of observations up to each bound; the last one is `+Inf`."""
        result, running = [], 0.0
        for value in self.counts:
            running += value
            result.append(running)
        return result

    def quantile(self, share: float) -> float | None:
        """The value below which `share` (0..1) of the observations lie, by linear interpolation; None when empty.

        What lies above the last bound counts as the last bound, as in Prometheus' `histogram_quantile`.
        """
        if self.total <= 0:
            return None
        rank, running, lower = share * self.total, 0.0, 0.0
        for bound, here in zip(BOUNDS, self.counts, strict=False):
            if here and running + here >= rank:
                return lower + (bound - lower) * max(rank - running, 0.0) / here
            running, lower = running + here, bound
        return BOUNDS[-1]
