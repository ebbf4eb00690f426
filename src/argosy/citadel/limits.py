"""A token bucket: how many requests a server takes, so that a flood is answered and not served.

Pure; time is a parameter.
"""

from __future__ import annotations


class RateLimit:
    """At most `burst` at once and `per_s` over time. `now` is monotonic seconds."""

    __slots__ = ("_at", "_burst", "_left", "_per_s")

    def __init__(self, *, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._left = float(burst)
        self._at: float | None = None

    def take(self, now: float) -> bool:
        """True, and one less left, if a request may be served."""
        if self._at is not None:
            self._left = min(self._burst, self._left + max(now - self._at, 0.0) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
