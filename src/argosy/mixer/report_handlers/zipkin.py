"""`zipkin`: trace spans in Zipkin's second form, as JSON.

Which traces are sampled is decided by the trace's id, so that all spans of a trace are sent or none is.
Source: Zipkin's API, v2; Istio 1.4's `zipkin` adapter and template `tracespan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from argosy.mixer.report_values import TraceSpanValue, format_value

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_POINTS = 1 << 32


def encode_span(span: TraceSpanValue) -> bytes:
    """One span as a JSON object."""
    tags = {name: format_value(value) for name, value in sorted(span.tags.items())}
    if span.status_code:
        tags["http.status_code"] = str(span.status_code)
    local, remote = _ends(span)
    made: dict[str, Any] = {
        "traceId": span.trace_id,
        "id": span.span_id,
        "kind": "CLIENT" if span.client else "SERVER",
        "name": span.name,
        "timestamp": micros(span.start),
        "duration": max(1, (span.end - span.start) // _MICROSECOND),
        "localEndpoint": local,
        "remoteEndpoint": remote,
        "tags": tags,
    }
    if span.parent_span_id:
        made["parentId"] = span.parent_span_id
    if not span.client:
        # The server's part of the span that the client began, unless it was given an id of its own.
        made["shared"] = not span.rewrite_client_span_id
    return msgspec.json.encode(made)


def encode_batch(spans: Sequence[bytes]) -> bytes:
    """The body of one request."""
    return b"[" + b",".join(spans) + b"]"


def sampled(span: TraceSpanValue, probability: float) -> bool:
    """True if the span's trace is one of the share that is sent; a span without a trace never is."""
    try:
        point = int(span.trace_id[-8:], 16) / _POINTS
    except ValueError:
        return False
    return bool(span.span_id) and point < probability


def micros(moment: datetime) -> int:
    """Microseconds since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND


def _ends(span: TraceSpanValue) -> tuple[dict[str, str], dict[str, str]]:
    source = _endpoint(span.source_name, span.source_ip)
    destination = _endpoint(span.destination_name, span.destination_ip)
    return (source, destination) if span.client else (destination, source)


def _endpoint(name: str, address: str) -> dict[str, str]:
    made = {"serviceName": name} if name else {}
    if address:
        made["ipv6" if ":" in address else "ipv4"] = address
    return made
