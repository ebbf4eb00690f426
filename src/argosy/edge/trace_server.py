"""Spans on the wire: OpenTelemetry's collector service, as a gRPC handler.

Given bytes from proxies, each connection under mutual TLS, gives spans to a function. A proxy that is not of the mesh
is not listened to. Source: opentelemetry.proto.collector.trace.v1.TraceService.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from argosy.core.spiffe import SpiffeID
from argosy.envoy import api
from argosy.mixer.spans import Span, spans_of_otlp

_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_REQUEST = "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest"


def trace_handler(
    on_spans: Callable[[Iterable[Span]], None], identity: Callable[[Any], SpiffeID | None]
) -> grpc.GenericRpcHandler:
    """The handler. `identity`: the verified identity of a call's peer (given the gRPC context), or None."""
    request = api.message(_REQUEST)

    async def export(data: bytes, context: Any) -> bytes:
        if identity(context) is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "a client certificate is needed")
        try:
            spans = list(spans_of_otlp(request.FromString(data)))
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a message of this service")
            raise AssertionError("abort raises") from None
        on_spans(spans)
        return b""

    return grpc.method_handlers_generic_handler(_SERVICE, {"Export": grpc.unary_unary_rpc_method_handler(export)})
