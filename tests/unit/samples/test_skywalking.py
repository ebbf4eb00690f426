"""SkyWalking's segments become spans, by the numbers of the fields in its protocol."""

from __future__ import annotations

from argosy.samples.skywalking import segment_type, spans_of_segment

# A segment as its protocol has it on the wire: trace "t" (1), segment "s" (2), service "web" (4), and one span (3) with
# number 1 under 0, from 5 to 7 ms, named "/a", peer "b:80", kind 1 (exit), an error, tag k=v.
SPAN = b"\x08\x01\x10\x00\x18\x05\x20\x07\x32\x02/a\x3a\x04b:80\x40\x01\x58\x01\x62\x06\x0a\x01k\x12\x01v"
WIRE = b"\x0a\x01t\x12\x01s\x1a" + bytes([len(SPAN)]) + SPAN + b"\x22\x03web"


def test_a_segment_as_it_comes_over_the_wire() -> None:
    (span,) = spans_of_segment(WIRE)
    assert (span.trace_id, span.span_id, span.parent_id) == ("t", "s/1", "s/0")
    assert (span.service, span.name, span.kind, span.error) == ("web", "/a", "CLIENT", True)
    assert (span.start_us, span.duration_us) == (5000, 2000)
    assert dict(span.tags) == {"k": "v", "peer": "b:80", "instance": ""}


def test_the_parent_of_a_first_span_is_in_another_segment_or_nowhere() -> None:
    reference = {"trace_id": "t", "parent_segment_id": "other", "parent_span_id": 3}
    first = {"parent_span_id": -1, "refs": [reference]}
    alone = {"parent_span_id": -1, "span_type": 9}
    made = segment_type()(trace_id="t", segment_id="s", spans=[first, alone]).SerializeToString()
    assert [(one.parent_id, one.kind) for one in spans_of_segment(made)] == [("other/3", "SERVER"), ("", "")]
