"""The clock port: what code that needs the time asks for, and never takes by itself."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Gives both kinds of time; edges implement it, tests and the simulator drive it by hand."""

    def now(self) -> float:
        """Wall-clock seconds since the Unix epoch (certificates, revisions)."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back (timers)."""
        ...
