"""Datadog's traces, read as spans: what the stand-in for collectors takes on the port of Datadog's agent.

Given the body of a request to `/v0.4/traces` (MessagePack: traces, each a list of spans), gives spans. The upper half
of a trace's id stands among the tags of its first span here. Source: Datadog's trace agent, API v0.4.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from argosy.mixer.spans import Span

PATH = "/v0.4/traces"
_UPPER_HALF = "_dd.p.tid"
_SIDES = {"server": "SERVER", "client": "CLIENT"}


class _Span(msgspec.Struct):
    trace_id: int
    span_id: int
    name: str
    service: str
    resource: str
    start: int
    duration: int
    parent_id: int = 0
    error: int = 0
    meta: dict[str, str] = {}


_decoder = msgspec.msgpack.Decoder(list[list[_Span]])


def spans_of_traces(body: bytes) -> Iterator[Span]:
    """The spans of all traces. Errors: ValueError."""
    try:
        traces = _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(f"not traces: {error}") from None
    for trace in traces:
        upper = next((one.meta[_UPPER_HALF] for one in trace if _UPPER_HALF in one.meta), "")
        for one in trace:
            yield Span(
                trace_id=f"{upper}{one.trace_id:016x}",
                span_id=f"{one.span_id:016x}",
                parent_id=f"{one.parent_id:016x}" if one.parent_id else "",
                name=one.resource,
                service=one.service,
                kind=_SIDES.get(one.meta.get("span.kind", ""), ""),
                start_us=one.start // 1000,
                duration_us=one.duration // 1000,
                error=bool(one.error),
                tags=tuple(sorted(one.meta.items())),
            )
