"""Spans over HTTP, as programs send them: Zipkin's API v2 (JSON, protobuf) and OpenTelemetry's (protobuf, JSON).

Given a function that takes spans, gives routes. Bodies are bounded; what cannot be read is refused with a sentence.
Source: Zipkin's API v2; the OTLP/HTTP specification.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from argosy.envoy import api
from argosy.mixer.spans import Span, spans_of_otlp, spans_of_zipkin
from argosy.mixer.zipkin_proto import parse_zipkin_proto

BODY_BYTES_MAX = 4 << 20
TRACE_REQUEST = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"
_PROTOBUF = "application/x-protobuf"
_TYPES = (_PROTOBUF, "application/json")
_IDS = ("traceId", "spanId", "parentSpanId")


def span_routes(on_spans: Callable[[Iterable[Span]], None]) -> list[Route]:
    """The routes `/api/v2/spans` and `/v1/traces`, to be posted to."""

    async def zipkin(request: Request) -> Response:
        return await _take(request, parse_zipkin, on_spans, Response(status_code=202))

    async def otlp(request: Request) -> Response:
        kind = request.headers.get("content-type", "")
        answer = Response(b"" if kind.startswith(_PROTOBUF) else b"{}", media_type=kind)
        return await _take(request, parse_otlp, on_spans, answer)

    return [Route("/api/v2/spans", zipkin, methods=["POST"]), Route("/v1/traces", otlp, methods=["POST"])]


async def _take(
    request: Request,
    parse: Callable[[bytes, str], list[Span]],
    on_spans: Callable[[Iterable[Span]], None],
    answer: Response,
) -> Response:
    kind = request.headers.get("content-type", "")
    if not kind.startswith(_TYPES):
        # Of these a web page may send none to another site without asking it first.
        return Response(f"the type of the body must be one of {', '.join(_TYPES)}\n", status_code=415)
    try:
        body = await read_body(request)
        on_spans(parse(body, kind))
    except ValueError as error:
        return Response(f"{error}\n", status_code=400)
    except RecursionError:
        return Response("nested too deeply\n", status_code=400)
    return answer


async def read_body(request: Request) -> bytes:
    """The body, unpacked. Errors: ValueError where it is too large or not what it says it is."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise ValueError(f"more than {BODY_BYTES_MAX} bytes")
        parts.append(part)
    body = b"".join(parts)
    if request.headers.get("content-encoding") != "gzip":
        return body
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        unpacked = unpacker.decompress(body, BODY_BYTES_MAX)
    except zlib.error as error:
        raise ValueError(f"not gzip: {error}") from None
    if unpacker.unconsumed_tail:
        raise ValueError(f"more than {BODY_BYTES_MAX} bytes")
    return unpacked


def parse_zipkin(body: bytes, content_type: str) -> list[Span]:
    """Spans in Zipkin's form. Errors: ValueError."""
    try:
        items = parse_zipkin_proto(body) if content_type.startswith(_PROTOBUF) else msgspec.json.decode(body)
    except (DecodeError, msgspec.DecodeError) as error:
        raise ValueError(f"not spans: {error}") from None
    return list(spans_of_zipkin(items))


def parse_otlp(body: bytes, content_type: str) -> list[Span]:
    """Spans in OpenTelemetry's form. Errors: ValueError."""
    return list(spans_of_otlp(parse_otlp_message(TRACE_REQUEST, body, content_type)))


def parse_otlp_message(name: str, body: bytes, content_type: str) -> Any:
    """A message of OpenTelemetry's protocol; in its JSON ids are hexadecimal, not base64. Errors: ValueError."""
    try:
        if content_type.startswith("application/json"):
            data = msgspec.json.decode(body, type=dict[str, Any])
            return json_format.ParseDict(_ids_as_bytes(data), api.message(name)(), ignore_unknown_fields=True)
        return api.message(name).FromString(body)
    except (DecodeError, json_format.ParseError, msgspec.DecodeError, ValueError) as error:
        raise ValueError(f"not a message of this service: {error}") from None


def _ids_as_bytes(value: Any) -> Any:
    """JSON of OTLP as protobuf's own JSON has it."""
    if isinstance(value, dict):
        return {
            key: _base64(item) if key in _IDS and isinstance(item, str) else _ids_as_bytes(item)
            for key, item in value.items()
        }
    return [_ids_as_bytes(item) for item in value] if isinstance(value, list) else value


def _base64(text: str) -> str:
    return base64.b64encode(bytes.fromhex(text)).decode()
