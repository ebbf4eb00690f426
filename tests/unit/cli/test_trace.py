"""How a trace is shown."""

from __future__ import annotations

from argosy.cli.trace import format_time, format_trace, format_us
from argosy.mixer.spans import Span
from argosy.mixer.traces import TraceStore

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def span(number: int, parent: int, service: str, start: int, duration: int, **tags: str) -> Span:
    return Span(
        trace_id=TRACE,
        span_id=f"{number:016x}",
        parent_id=f"{parent:016x}" if parent else "",
        name=f"{service}:80/*",
        service=service,
        kind="SERVER",
        start_us=1_700_000_000_000_000 + start,
        duration_us=duration,
        error="error" in tags,
        tags=tuple(tags.items()),
    )


def test_a_tree_with_durations_flags_and_errors() -> None:
    store = TraceStore()
    failed = {"http.status_code": "503", "response_flags": "UF", "error": "true"}
    store.add([span(1, 0, "web", 0, 10_000, **{"http.status_code": "200"}), span(2, 1, "db", 5_000, 2_500, **failed)])
    found = store.trace(TRACE)
    assert found is not None
    head, web, db = format_trace(found).splitlines()
    assert head.startswith(f"trace {TRACE}  ")
    assert head.endswith("  10.0ms  2 spans, 1 with errors")
    assert web == f"web  web:80/*     10.0ms  {'█' * 24}  SERVER 200 -"
    assert db == f"  db  db:80/*      2.5ms  {' ' * 12}{'█' * 6}        SERVER 503 UF ERROR"


def test_times_as_people_read_them() -> None:
    assert (format_us(250), format_us(1_500_000)) == ("0.2ms", "1.50s")
    assert format_time(1_700_000_000_123_000).endswith(":20.123")
