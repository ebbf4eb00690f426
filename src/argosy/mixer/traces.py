"""Traces in memory: spans put together by their trace's id, the newest kept, within bounds.

Given spans, gives traces: what is known of each, and the tree of one. Pure; forgets the trace that was longest without
news when it holds too much.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from argosy.mixer.spans import Span

TRACES_MAX = 2_000
SPANS_MAX = 1_000
"""Of one trace."""
BYTES_MAX = 32 << 20


@dataclass(slots=True)
class _Trace:
    """The spans of one trace by their ids; each side of a call has its own."""

    spans: dict[tuple[str, str], Span] = field(default_factory=dict)
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TraceQuery:
    """Which traces are wanted: those in which `service` (a name, or what it begins with) took part, and which took as
    long."""

    service: str = ""
    min_duration_us: int = 0
    limit: int = 20


class TraceStore:
    """All traces that are kept."""

    def __init__(self, *, traces_max: int = TRACES_MAX, spans_max: int = SPANS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._traces: dict[str, _Trace] = {}
        self._limits = (traces_max, spans_max, bytes_max)
        self._size_bytes = 0
        self.received = 0
        self.dropped = 0
        """Spans of traces that are too long."""
        self.forgotten = 0
        """Traces that made room for newer ones."""

    def add(self, spans: Iterable[Span]) -> None:
        """Take spans."""
        traces_max, spans_max, bytes_max = self._limits
        for span in spans:
            self.received += 1
            # The one with the latest news is the last.
            trace = self._traces.pop(span.trace_id, None) or _Trace()
            self._traces[span.trace_id] = trace
            key = (span.span_id, span.kind)
            if len(trace.spans) >= spans_max and key not in trace.spans:
                self.dropped += 1
                continue
            old = trace.spans.get(key)
            grown = span.size_bytes - (old.size_bytes if old is not None else 0)
            trace.spans[key] = span
            trace.size_bytes += grown
            self._size_bytes += grown
        while len(self._traces) > 1 and (len(self._traces) > traces_max or self._size_bytes > bytes_max):
            oldest = next(iter(self._traces))
            self._size_bytes -= self._traces.pop(oldest).size_bytes
            self.forgotten += 1

    def traces(self, query: TraceQuery) -> list[dict[str, Any]]:
        """What is known of the traces that match, the newest first."""
        found = []
        for trace_id, trace in reversed(self._traces.items()):
            told = _summary(trace_id, list(trace.spans.values()))
            wanted = not query.service or any(_is_meant(query.service, name) for name in told["services"])
            if wanted and told["duration_us"] >= query.min_duration_us:
                found.append(told)
            if len(found) >= query.limit:
                break
        return sorted(found, key=lambda one: -one["start_us"])

    def trace(self, trace_id: str) -> dict[str, Any] | None:
        """One trace with all its spans, each after its parent; the id may be cut short if it is clear."""
        matching = self.meant(trace_id)
        if len(matching) != 1:
            return None
        spans = list(self._traces[matching[0]].spans.values())
        return {**_summary(matching[0], spans), "tree": trace_tree(spans)}

    def meant(self, trace_id: str) -> list[str]:
        """The ids that `trace_id` stands for: itself, else all that begin so."""
        return [trace_id] if trace_id in self._traces else [one for one in self._traces if one.startswith(trace_id)]

    def dump(self) -> dict[str, int]:
        """Plain data: how much there is."""
        return {
            "traces": len(self._traces),
            "bytes": self._size_bytes,
            "received": self.received,
            "dropped": self.dropped,
            "forgotten": self.forgotten,
        }


def _is_meant(wanted: str, service: str) -> bool:
    return service == wanted or service.startswith(f"{wanted}.")


def _summary(trace_id: str, spans: Sequence[Span]) -> dict[str, Any]:
    first = min(spans, key=lambda one: (bool(one.parent_id), one.start_us))
    start = min(one.start_us for one in spans)
    return {
        "trace_id": trace_id,
        "name": first.name,
        "service": first.service,
        "start_us": start,
        "duration_us": max(one.end_us for one in spans) - start,
        "spans": len(spans),
        "errors": sum(one.error for one in spans),
        "services": sorted({one.service for one in spans}),
    }


def trace_tree(spans: Sequence[Span]) -> list[dict[str, Any]]:
    """Spans as plain data in the order of the tree, with their depth. A span whose parent is unknown begins a tree."""
    by_id: dict[str, Span] = {}
    for one in sorted(spans, key=lambda one: (one.start_us, one.kind == "SERVER")):
        by_id.setdefault(one.span_id, one)
    children: dict[str, list[Span]] = {}
    for one in sorted(spans, key=lambda one: (one.start_us, -one.duration_us, one.span_id)):
        parent = one.parent_id if one.parent_id in by_id and one.parent_id != one.span_id else ""
        children.setdefault(parent, []).append(one)
    start = min((one.start_us for one in spans), default=0)
    rows: list[dict[str, Any]] = []
    waiting = [(0, one) for one in reversed(children.pop("", []))]
    while waiting or children:
        if not waiting:
            # Spans that are each other's parents belong to no tree: the first of them begins one.
            waiting = [(0, one) for one in reversed(children.pop(min(children)))]
        depth, span = waiting.pop()
        rows.append(_row(span, depth, start))
        waiting += [(depth + 1, one) for one in reversed(children.pop(span.span_id, []))]
    return rows


def _row(span: Span, depth: int, start_us: int) -> dict[str, Any]:
    tags = dict(span.tags)
    return {
        "depth": depth,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "service": span.service,
        "name": span.name,
        "kind": span.kind,
        "offset_us": span.start_us - start_us,
        "duration_us": span.duration_us,
        "status": tags.get("http.status_code") or tags.get("grpc.status_code") or "",
        "flags": tags.get("response_flags", "-"),
        "error": span.error,
        "tags": tags,
    }
