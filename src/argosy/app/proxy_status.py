"""What Pilot knows of one connected proxy, and whether it has all of a change."""

from __future__ import annotations

from dataclasses import dataclass, field

from argosy.core.names import ObjectKey
from argosy.pilot.classes import ProxyClass
from argosy.xds.server import Stuck


@dataclass(slots=True)
class ProxyStatus:
    """One connected proxy, for `proxy-status`, `apply --wait` and metrics."""

    pod: ObjectKey
    proxy_class: ProxyClass
    offered: int
    settled: int = 0
    behind_since: float | None = None
    """Monotonic seconds since which it has not run its newest snapshot; None if it does."""
    rejected: dict[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    """By type URL: the refused names and Envoy's text, until the next accepted response of that type."""
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stuck: Stuck | None = None
    """What of which snapshot it lacks, while nothing else is under way."""


def lacks_nothing_new(stuck: Stuck | None, before: Stuck | None, goal: int) -> bool:
    """True if a proxy has all of snapshot `goal` but what it lacked before."""
    return stuck is not None and before is not None and stuck.number >= goal and stuck.blocked <= before.blocked


def refuses_anything(status: ProxyStatus) -> bool:
    """True if a proxy has all of its newest snapshot but something that it refused, now or before."""
    return status.stuck is not None and status.stuck.number >= status.offered and bool(status.stuck.refused)


def refuses_anything_new(status: ProxyStatus, before: Stuck | None) -> bool:
    """True if a proxy has all of its newest snapshot but something that it refused: waiting does not help."""
    stuck = status.stuck
    if stuck is None or stuck.number < status.offered:
        return False
    new = stuck.blocked - (before.blocked if before is not None else frozenset())
    return any(ref in stuck.refused for ref, _version in new)
