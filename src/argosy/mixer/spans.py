"""The span: one proxy's (or program's) share of a request, whatever protocol told of it.

Given messages of OpenTelemetry's and Zipkin's protocols, gives `Span`s. Pure; refuses nothing, skips what has no ids.
Source: opentelemetry.proto.trace.v1; Zipkin's API v2 (JSON).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TAG_CHARS_MAX = 4096
TAGS_MAX = 128
_KINDS = {2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
_ERROR = 2
_OVERHEAD_BYTES = 400


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Ids are hexadecimal, times microseconds since the epoch; `kind` is empty where it is inside."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    kind: str
    start_us: int
    duration_us: int
    error: bool = False
    tags: tuple[tuple[str, str], ...] = ()

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return _OVERHEAD_BYTES + len(self.name) + sum(100 + len(key) + len(value) for key, value in self.tags)

    @property
    def end_us(self) -> int:
        """When it ended."""
        return self.start_us + self.duration_us


def spans_of_otlp(request: Any) -> Iterator[Span]:
    """The spans of an `ExportTraceServiceRequest`."""
    for group in request.resource_spans:
        resource = dict(_attributes(group.resource.attributes))
        service = resource.pop("service.name", "unknown")
        for scope in group.scope_spans:
            for one in scope.spans:
                if one.trace_id and one.span_id:
                    yield _of_otlp(one, service, resource)


def _of_otlp(one: Any, service: str, resource: Mapping[str, str]) -> Span:
    tags = {**resource, **dict(_attributes(one.attributes))}
    start_us = one.start_time_unix_nano // 1000
    return Span(
        trace_id=one.trace_id.hex(),
        span_id=one.span_id.hex(),
        parent_id=one.parent_span_id.hex(),
        name=one.name[:TAG_CHARS_MAX],
        service=service,
        kind=_KINDS.get(one.kind, ""),
        start_us=start_us,
        duration_us=max(0, one.end_time_unix_nano // 1000 - start_us),
        error=one.status.code == _ERROR or _is_error(tags),
        tags=_bounded(tags),
    )


def _attributes(values: Iterable[Any]) -> Iterator[tuple[str, str]]:
    for one in values:
        yield one.key, attribute_text(one.value)


def attribute_text(value: Any) -> str:
    """A value of OpenTelemetry's (`AnyValue`) as text."""
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    found = getattr(value, kind)
    if kind == "array_value":
        return ",".join(attribute_text(item) for item in found.values)
    if kind == "kvlist_value":
        return ",".join(f"{item.key}={attribute_text(item.value)}" for item in found.values)
    if kind == "bytes_value":
        return str(found.hex())
    return str(found).lower() if isinstance(found, bool) else str(found)


def spans_of_zipkin(items: object) -> Iterator[Span]:
    """The spans of a decoded JSON list."""
    for one in items if isinstance(items, list) else ():
        if isinstance(one, Mapping) and one.get("traceId") and one.get("id"):
            yield _of_zipkin(one)


def _of_zipkin(one: Mapping[str, Any]) -> Span:
    endpoint = one.get("localEndpoint")
    service = endpoint.get("serviceName") if isinstance(endpoint, Mapping) else None
    given = one.get("tags")
    tags = {str(key): str(value) for key, value in given.items()} if isinstance(given, Mapping) else {}
    return Span(
        # Ids of 64 bits are the lower half of those of 128.
        trace_id=str(one["traceId"]).lower().rjust(32, "0"),
        span_id=str(one["id"]).lower().rjust(16, "0"),
        parent_id=str(one.get("parentId") or "").lower().rjust(16, "0") if one.get("parentId") else "",
        name=str(one.get("name") or "")[:TAG_CHARS_MAX],
        service=str(service or "unknown"),
        kind=str(one.get("kind") or ""),
        start_us=_number(one.get("timestamp")),
        duration_us=_number(one.get("duration")),
        error=_is_error(tags),
        tags=_bounded(tags),
    )


def _number(value: object) -> int:
    return max(0, int(value)) if isinstance(value, int | float) else 0


def _is_error(tags: Mapping[str, str]) -> bool:
    return tags.get("error", "false").lower() not in ("false", "")


def _bounded(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    kept = sorted(tags.items())[:TAGS_MAX]
    return tuple((key[:TAG_CHARS_MAX], value[:TAG_CHARS_MAX]) for key, value in kept)
