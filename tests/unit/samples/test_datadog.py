"""Datadog's traces become spans."""

from __future__ import annotations

import msgspec
import pytest

from argosy.samples.datadog import spans_of_traces

FIRST = {
    "trace_id": 0xAB,
    "span_id": 1,
    "parent_id": 0,
    "name": "proxy",
    "service": "web.shop",
    "resource": "b:80/*",
    "start": 5_000_000,
    "duration": 2_500,
    "error": 1,
    "meta": {"_dd.p.tid": "6b0b30cb00000000", "span.kind": "client"},
    "metrics": {"process_id": 3.0},
    "type": "web",
}


def test_the_spans_of_a_trace_share_the_upper_half_of_its_id() -> None:
    second = {**FIRST, "span_id": 2, "parent_id": 1, "error": 0, "meta": {}}
    first, other = spans_of_traces(msgspec.msgpack.encode([[FIRST, second]]))
    assert (first.trace_id, first.span_id, first.parent_id) == ("6b0b30cb0000000000000000000000ab", f"{1:016x}", "")
    assert (first.name, first.service, first.kind, first.error) == ("b:80/*", "web.shop", "CLIENT", True)
    assert (first.start_us, first.duration_us) == (5000, 2)
    assert (other.trace_id, other.parent_id, other.error) == (first.trace_id, first.span_id, False)


@pytest.mark.parametrize("body", [b"", b"\xc1", msgspec.msgpack.encode([{"trace_id": 1}])])
def test_what_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="not traces"):
        list(spans_of_traces(body))
