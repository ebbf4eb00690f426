"""How slow this machine is, for the few tests that hold a figure of processor time against what they measure."""

from __future__ import annotations

import time

_NOMINAL_S = 0.04
"""What the piece of work below takes of the processor that figures are meant for."""


def slowness() -> float:
    """How many times longer work takes here and now than on the machine that figures are meant for; at least 1."""
    return max(1.0, max(_measured_s() for _again in range(3)) / _NOMINAL_S)


def _measured_s() -> float:
    start = time.process_time()
    seen: dict[str, int] = {}
    for number in range(200_000):
        seen[str(number % 1000)] = (number, seen.get(str(number * 7 % 1000)))[0]
    return time.process_time() - start
