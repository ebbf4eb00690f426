"""A small collector: takes spans and log records by the usual protocols and prints each as a line of JSON.

It stands in for the collectors that people's manifests have (OpenTelemetry's, Zipkin's, Jaeger's, SkyWalking's) and
for Datadog's agent: what arrives there can be read with `argosy logs`. gRPC on 4317: OpenTelemetry's traces and logs,
and Envoy's access log service; gRPC on 11800: SkyWalking's segments; HTTP on 4318: OpenTelemetry's; HTTP on 9411:
Zipkin's; HTTP on 8126: Datadog's. Arguments are those of other programs and are not looked at.
Run: `python -m argosy.samples.collector`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from typing import Any

import grpc
import grpc.aio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from argosy.edge.span_intake import TRACE_REQUEST, parse_otlp_message, read_body, span_routes
from argosy.envoy import api
from argosy.mixer.spans import Span, attribute_text, spans_of_otlp
from argosy.samples import datadog, skywalking
from argosy.samples.serving import build_server, open_socket

GRPC_PORT, HTTP_PORT, ZIPKIN_PORT, SKYWALKING_PORT, DATADOG_PORT = 4317, 4318, 9411, 11800, 8126
LOG_REQUEST = "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest"
ALS_MESSAGE = "envoy.service.accesslog.v3.StreamAccessLogsMessage"


def tell(kind: str, **fields: Any) -> None:
    """Print one thing that arrived."""
    print(json.dumps({"kind": kind, **fields}, ensure_ascii=False), flush=True)


def tell_spans(spans: Iterable[Span]) -> None:
    """Print spans."""
    for one in spans:
        fields = {**asdict(one), "tags": dict(one.tags)}
        tell("span", side=fields.pop("kind"), **fields)


def tell_logs(request: Any) -> None:
    """Print the records of an `ExportLogsServiceRequest`."""
    for group in request.resource_logs:
        resource = {one.key: attribute_text(one.value) for one in group.resource.attributes}
        for scope in group.scope_logs:
            for record in scope.log_records:
                attributes = {one.key: attribute_text(one.value) for one in record.attributes}
                tell("log", body=attribute_text(record.body), attributes=attributes, resource=resource)


def tell_entries(message: Any, name: str) -> None:
    """Print the entries of one message of Envoy's access log service."""
    for one in message.http_logs.log_entry:
        properties = one.common_properties
        tell(
            "http",
            log=name,
            path=one.request.path,
            code=one.response.response_code.value,
            cluster=properties.upstream_cluster,
            request_id=one.request.request_id,
            headers=dict(one.request.request_headers),
        )
    for one in message.tcp_logs.log_entry:
        properties = one.common_properties
        tell("tcp", log=name, cluster=properties.upstream_cluster, sent=one.connection_properties.sent_bytes)


def handlers() -> list[grpc.GenericRpcHandler]:
    """The gRPC services."""
    traces, logs, entries = api.message(TRACE_REQUEST), api.message(LOG_REQUEST), api.message(ALS_MESSAGE)

    async def export_traces(data: bytes, _context: Any) -> bytes:
        tell_spans(spans_of_otlp(traces.FromString(data)))
        return b""

    async def export_logs(data: bytes, _context: Any) -> bytes:
        tell_logs(logs.FromString(data))
        return b""

    async def stream(requests: AsyncIterator[bytes], _context: Any) -> bytes:
        name = ""
        async for data in requests:
            message = entries.FromString(data)
            name = message.identifier.log_name or name
            tell_entries(message, name)
        return b""

    async def collect(segments: AsyncIterator[bytes], _context: Any) -> bytes:
        async for data in segments:
            tell_spans(skywalking.spans_of_segment(data))
        return b""

    unary, streaming = grpc.unary_unary_rpc_method_handler, grpc.stream_unary_rpc_method_handler
    made = {
        "opentelemetry.proto.collector.trace.v1.TraceService": {"Export": unary(export_traces)},
        "opentelemetry.proto.collector.logs.v1.LogsService": {"Export": unary(export_logs)},
        "envoy.service.accesslog.v3.AccessLogService": {"StreamAccessLogs": streaming(stream)},
        skywalking.SERVICE: {skywalking.METHOD: streaming(collect)},
    }
    return [grpc.method_handlers_generic_handler(name, methods) for name, methods in made.items()]


async def post_logs(request: Request) -> Response:
    """Records over HTTP."""
    kind = request.headers.get("content-type", "")
    try:
        tell_logs(parse_otlp_message(LOG_REQUEST, await read_body(request), kind))
    except ValueError as error:
        return Response(f"{error}\n", status_code=400)
    return Response(b"", media_type=kind)


async def post_traces(request: Request) -> Response:
    """Traces in Datadog's form."""
    try:
        tell_spans(datadog.spans_of_traces(await read_body(request)))
    except ValueError as error:
        return Response(f"{error}\n", status_code=400)
    return Response('{"rate_by_service": {}}', media_type="application/json")


def build_app() -> Starlette:
    """The HTTP half, the same on all ports."""
    logs = Route("/v1/logs", post_logs, methods=["POST"])
    traces = Route(datadog.PATH, post_traces, methods=["POST"])
    return Starlette(routes=[*span_routes(tell_spans), logs, traces])


async def serve() -> None:
    """Serve all ports until told to stop."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(handlers()))
    for port in (GRPC_PORT, SKYWALKING_PORT):
        server.add_insecure_port(f"0.0.0.0:{port}")
    await server.start()
    web: uvicorn.Server = build_server(build_app())
    try:
        await web.serve(sockets=[open_socket(port) for port in (HTTP_PORT, ZIPKIN_PORT, DATADOG_PORT)])
    finally:
        await server.stop(grace=1.0)


def main() -> None:
    """Serve until told to stop."""
    asyncio.run(serve())


if __name__ == "__main__":
    main()
