"""Traces in memory: bounded, found again, and shown in the order of calls."""

from __future__ import annotations

from argosy.mixer.spans import Span
from argosy.mixer.traces import TraceQuery, TraceStore, trace_tree


def span(trace: str, number: int, parent: int = 0, *, service: str = "a.default", kind: str = "", **more: int) -> Span:
    return Span(
        trace_id=trace,
        span_id=f"{number:016x}",
        parent_id=f"{parent:016x}" if parent else "",
        name=f"call {number}",
        service=service,
        kind=kind,
        start_us=more.get("start", number * 10),
        duration_us=more.get("duration", 5),
    )


def test_spans_are_put_together_whatever_the_order_in_which_they_come() -> None:
    store = TraceStore()
    store.add([span("t1", 2, 1, service="b.default", duration=7), span("t2", 1)])
    store.add([span("t1", 1, duration=30)])
    first, second = store.traces(TraceQuery())
    assert (second["trace_id"], second["spans"]) == ("t2", 1)
    assert (first["name"], first["service"], first["duration_us"]) == ("call 1", "a.default", 30)
    assert first["services"] == ["a.default", "b.default"]


def test_traces_are_found_by_service_duration_and_the_beginning_of_their_id() -> None:
    store = TraceStore()
    store.add([span("abc", 1, service="b.default", duration=50), span("abd", 1, duration=10)])
    assert [one["trace_id"] for one in store.traces(TraceQuery(service="b"))] == ["abc"]
    assert store.traces(TraceQuery(service="b.defaul")) == []
    assert [one["trace_id"] for one in store.traces(TraceQuery(min_duration_us=20))] == ["abc"]
    assert len(store.traces(TraceQuery(limit=1))) == 1
    found = store.trace("abd")
    assert found is not None
    assert found["trace_id"] == "abd"
    assert (store.trace("ab"), store.trace("x")) == (None, None)
    assert [store.meant(text) for text in ("ab", "abc", "x")] == [["abc", "abd"], ["abc"], []]


def test_the_oldest_make_room() -> None:
    store = TraceStore(traces_max=2, spans_max=2)
    store.add([span("t1", 1), span("t2", 1), span("t1", 2), span("t3", 1), span("t1", 3)])
    assert {one["trace_id"] for one in store.traces(TraceQuery())} == {"t1", "t3"}
    assert store.dump() == {"traces": 2, "bytes": store.dump()["bytes"], "received": 5, "dropped": 1, "forgotten": 1}
    small = TraceStore(bytes_max=1_000)
    small.add(span(f"t{n}", 1) for n in range(100))
    assert small.dump()["traces"] <= 3
    assert 0 < small.dump()["bytes"] <= 1_000


def test_a_span_that_is_told_again_takes_no_more_room() -> None:
    store = TraceStore()
    store.add([span("t", 1)])
    once = store.dump()["bytes"]
    store.add([span("t", 1), span("t", 1)])
    assert store.dump()["bytes"] == once == span("t", 1).size_bytes


def test_the_same_span_told_twice_counts_once() -> None:
    store = TraceStore()
    store.add([span("t", 1), span("t", 1), span("t", 1, kind="SERVER")])
    (told,) = store.traces(TraceQuery())
    assert told["spans"] == 2


def test_a_tree_is_told_in_the_order_of_calls() -> None:
    spans = [span("t", 4, 2), span("t", 3, 1), span("t", 1), span("t", 2, 1), span("t", 9, 8)]
    rows = [(row["depth"], row["name"]) for row in trace_tree(spans)]
    assert rows == [(0, "call 1"), (1, "call 2"), (2, "call 4"), (1, "call 3"), (0, "call 9")]


def test_spans_in_a_circle_are_all_told_once() -> None:
    rows = trace_tree([span("t", 1, 2), span("t", 2, 1), span("t", 3, 3)])
    assert sorted(row["name"] for row in rows) == ["call 1", "call 2", "call 3"]
