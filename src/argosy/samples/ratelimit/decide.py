"""What a call may: its descriptors against the limits, and what the counts say. No clock, no counting here.

`plan` finds what is to be counted, `judge` gives the answer once it has been. Source: Envoy's rate limit service:
windows stand at fixed times, refused calls count too, and a limit holds for the descriptor that ends where it stands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from argosy.samples.ratelimit.config import REQUESTS_MAX, Domains, Limit


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a proxy asks about. `override`: a limit that the proxy brings along. `hits` None: as the request says."""

    entries: tuple[tuple[str, str], ...]
    override: Limit | None = None
    hits: int | None = None
    refund: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """One counter to move: `hits` more in the window that ends `reset_s` from now."""

    key: str
    hits: int
    window_s: int
    reset_s: int


@dataclass(frozen=True, slots=True)
class Planned:
    """One descriptor: its limit (None: there is none), and what is counted (None: nothing)."""

    limit: Limit | None
    counted: Counted | None


@dataclass(frozen=True, slots=True)
class Status:
    """The answer about one descriptor."""

    over: bool = False
    limit: Limit | None = None
    remaining: int = 0
    reset_s: int = 0


def plan(domains: Domains, domain: str, descriptors: Sequence[Descriptor], *, hits: int, now: float) -> list[Planned]:
    """What of a request is limited. A domain that is not configured limits nothing."""
    found = [_find(domains, domain, one) for one in descriptors]
    replaced = frozenset(name for limit, _ in found if limit is not None for name in limit.replaces)
    planned = []
    for one, (limit, values) in zip(descriptors, found, strict=True):
        if limit is None or limit.name in replaced:
            planned.append(Planned(None, None))
        elif limit.unlimited:
            planned.append(Planned(limit, None))
        else:
            planned.append(Planned(limit, _count(domain, values, limit, _hits(one, hits), now)))
    return planned


def _find(domains: Domains, domain: str, descriptor: Descriptor) -> tuple[Limit | None, tuple[tuple[str, str], ...]]:
    """The limit of a descriptor, and its entries as they are counted."""
    node = domains.get(domain)
    if node is None:
        return None, ()
    if descriptor.override is not None:
        return descriptor.override, descriptor.entries
    values = []
    for key, value in descriptor.entries:
        found = node.child(key, value)
        if found is None:
            return None, ()
        node, value = found
        values.append((key, value))
    return node.limit, tuple(values)


def _hits(descriptor: Descriptor, hits: int) -> int:
    given = hits if descriptor.hits is None else descriptor.hits
    return -given if descriptor.refund else given


def _count(domain: str, values: Sequence[tuple[str, str]], limit: Limit, hits: int, now: float) -> Counted:
    window = limit.window_s
    start = int(now) // window * window
    entries = "&".join(f"{quote(key, safe='/')}={quote(value, safe='/')}" for key, value in values)
    key = f"ratelimit|{quote(domain)}|{entries}|{window}|{start}"
    return Counted(key, hits, window, start + window - int(now))


def judge(planned: Sequence[Planned], counts: Sequence[int], *, shadow: bool, stats: Counter[str]) -> list[Status]:
    """The answer: `counts` are of those that are counted, in their order. `shadow`: nobody is refused."""
    after = iter(counts)
    statuses = []
    for one in planned:
        limit, counted = one.limit, one.counted
        if limit is None:
            statuses.append(Status())
        elif counted is None:
            statuses.append(Status(remaining=REQUESTS_MAX))
        else:
            statuses.append(_status(limit, counted, next(after), shadow, stats))
    return statuses


def _status(limit: Limit, counted: Counted, count: int, shadow: bool, stats: Counter[str]) -> Status:
    hits = max(counted.hits, 0)
    beyond = min(max(count - limit.requests, 0), hits)
    stats[f"{limit.label}.total_hits"] += hits
    stats[f"{limit.label}.over_limit"] += beyond
    stats[f"{limit.label}.within_limit"] += hits - beyond
    over = count > limit.requests
    if over and (limit.shadow or shadow):
        stats[f"{limit.label}.shadow_mode"] += hits
        over = False
    return Status(over, limit, max(limit.requests - count, 0), counted.reset_s)


def limit_headers(statuses: Sequence[Status], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """The headers that tell the client how it stands: of the limit that has least left."""
    known = [(status, status.limit) for status in statuses if status.limit is not None]
    if not known:
        return []
    status, limit = min(known, key=lambda one: one[0].remaining)
    values = {"limit": limit.requests, "remaining": status.remaining, "reset": status.reset_s}
    return [(names[what], str(value)) for what, value in values.items()]
