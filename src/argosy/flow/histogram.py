"""`Histogram`: counts in the fixed buckets that Envoy and Istio use for milliseconds and bytes.

Given: counts of each bucket. Gives: sums, quantiles, merged histograms. Bounds are inclusive upper limits; the last
bucket is `+Inf`. Source: Envoy's default bucket settings, which are Istio's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

BOUNDS: tuple[float, ...] = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000,
    10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
)  # fmt: skip


@dataclass(slots=True)
class Histogram:
    """Mutable counter of observations. `counts[i]` is the number in bucket i alone, not cumulative; the list is never
    changed, only replaced, so that who holds it has what it was."""

    counts: list[float] = field(default_factory=lambda: [0.0] * (len(BOUNDS) + 1))
    total: float = 0.0
    sum: float = 0.0

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
