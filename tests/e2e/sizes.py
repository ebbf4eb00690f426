"""How large scenarios are: small enough for every change, or as large as their pass figures ask (`make soak`)."""

from __future__ import annotations

import os
from dataclasses import dataclass

FULL = bool(os.environ.get("ARGOSY_SOAK"))


@dataclass(frozen=True, slots=True)
class Sizes:
    """Requests a second, replicas of the workload that is restarted, and how often things are done."""

    rate: float
    replicas: int
    restarts: int
    changes: int
    timeout_s: int


SIZES = Sizes(500.0, 10, 20, 1000, 7200) if FULL else Sizes(200.0, 3, 1, 100, 240)
