"""How large scenarios are: small enough for every change, or as large as their pass figures ask (`make soak`).

`ARGOSY_SOAK=rate,replicas,restarts,changes` chooses another size.
"""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Requests a second, replicas of the workload that is restarted, and how often things are done."""

    rate: float
    replicas: int
    restarts: int
    changes: int
    timeout_s: int
    figures: bool = True
    """Whether times are held against the figures; where all runs on one busy machine they say nothing."""

    def within_s(self, figure_s: float) -> float:
        """How long to wait for what should take no longer than `figure_s`."""
        return figure_s if self.figures else max(figure_s, 120.0)


def _sizes(text: str) -> Sizes:
    if not text:
        return Sizes(200.0, 3, 1, 100, 900, figures=False)
    rate, replicas, restarts, changes = (int(part) for part in text.split(","))
    return Sizes(float(rate), replicas, restarts, changes, 7200)


SIZES = _sizes(os.environ.get("ARGOSY_SOAK", ""))
