"""When a certificate is renewed: at half its life, a little earlier or later, and soon again after a failure.

Pure timers: time and jitter are parameters; an edge asks `due(now)` with the wall clock, so that a machine that slept
or whose clock was set is noticed. Source: Istio's half-life with jitter; scenarios F02, F03, F12, F13.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

LIFE_FRACTION = 0.5
JITTER_FRACTION = 0.01
RETRY_S_INITIAL = 0.5
RETRY_S_MAX = 4.0
RETRY_JITTER_FRACTION = 0.2
CLOCK_CORRECTION_S = 120.0
"""A clock set back by no more than certificates are back-dated is no reason to renew."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The timer of one certificate. All times are wall-clock seconds since the epoch."""

    issued_at: float
    not_after: float
    due_at: float
    failures: int = 0

    def due(self, now: float) -> bool:
        """True if a new certificate should be asked for. A clock before the issue was set back: ask again, too."""
        return now >= self.due_at or now < self.issued_at - CLOCK_CORRECTION_S

    def expired(self, now: float) -> bool:
        """True if the certificate is of no use any more."""
        return now >= self.not_after

    def failed(self, now: float, *, jitter: float) -> Renewal:
        """The timer after a failed attempt: back off, doubling, at most `RETRY_S_MAX`. `jitter` in [-1, 1]."""
        wait_s = min(RETRY_S_INITIAL * 2 ** min(self.failures, 30), RETRY_S_MAX)
        wait_s *= 1 + RETRY_JITTER_FRACTION * jitter
        # An attempt that failed under a clock set back must back off as well, so the timer restarts from this "now".
        issued_at = min(self.issued_at, now)
        return replace(self, issued_at=issued_at, due_at=now + wait_s, failures=self.failures + 1)


def schedule(*, issued_at: float, not_after: float, jitter: float) -> Renewal:
    """The timer of a fresh certificate. `issued_at` is when we got it, not its back-dated beginning.

    `jitter` in [-1, 1] moves the moment by up to one hundredth of the life, so that pods started together part.
    """
    life_s = max(not_after - issued_at, 0.0)
    due_at = issued_at + life_s * (LIFE_FRACTION + JITTER_FRACTION * jitter)
    return Renewal(issued_at=issued_at, not_after=not_after, due_at=due_at)


def first_attempt(now: float) -> Renewal:
    """The timer of an identity that has no certificate yet: due at once."""
    return Renewal(issued_at=now, not_after=now, due_at=now)
