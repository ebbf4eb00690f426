"""What proxies count, on the wire: OTLP metrics of Envoy's statistics, as a gRPC handler.

Given: bytes from proxies, and who they come from. Gives: one `Flush` for each call, with all that its proxy has counted
since it began. Source: opentelemetry.proto.collector.metrics.v1.MetricsService.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from argosy.core.names import NODE_HEADER
from argosy.envoy import api
from argosy.flow.histogram import BOUNDS
from argosy.mixer.telemetry import (
    COUNTERS,
    HISTOGRAMS,
    NOTES,
    OPEN_BYTES,
    CounterSample,
    Flush,
    HistogramSample,
    Node,
    istio_name,
)

SERVICE = "opentelemetry.proto.collector.metrics.v1.MetricsService"
UPTIME = "server.uptime"
_REQUEST = "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest"
_COUNTERS = frozenset({*COUNTERS, NOTES})


@dataclass(frozen=True, slots=True)
class MetricsPorts:
    """What the handler needs: who is calling, and where flushes go."""

    verified: Callable[[str, Any], Awaitable[Node]]
    """The pod that a node id names; aborts the call if the caller (given the gRPC context) is not its proxy."""
    receive: Callable[[Node, Flush], None]


def metrics_handler(ports: MetricsPorts) -> grpc.GenericRpcHandler:
    """The handler, for a `grpc.aio` server."""
    request = api.message(_REQUEST)

    async def export(data: bytes, context: Any) -> bytes:
        headers = dict(context.invocation_metadata() or ())
        node = await ports.verified(str(headers.get(NODE_HEADER, "")), context)
        try:
            message = request.FromString(data)
        except DecodeError:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a message of this service")
        ports.receive(node, parse_flush(message))
        return b""

    return grpc.method_handlers_generic_handler(SERVICE, {"Export": grpc.unary_unary_rpc_method_handler(export)})


def parse_flush(message: Any) -> Flush:
    """The samples of one `ExportMetricsServiceRequest`. Those that are not Istio's are skipped before they are read."""
    flush = Flush()
    for resource in message.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                _read(flush, metric)
    return flush


def _read(flush: Flush, metric: Any) -> None:
    name = istio_name(metric.name)
    if not name:
        if metric.name == UPTIME:
            for point in metric.gauge.data_points:
                flush.uptime_s = float(point.as_int)
                flush.taken_at = point.time_unix_nano / 1e9
    elif name in HISTOGRAMS:
        for point in metric.histogram.data_points:
            if len(point.explicit_bounds) == len(BOUNDS):
                sample = HistogramSample(name, _tags(point), float(point.count), point.sum, point.bucket_counts)
                flush.histograms.append(sample)
    elif name in _COUNTERS:
        flush.counters += _samples(name, metric.sum.data_points)
    elif name in OPEN_BYTES:
        flush.open_bytes += _samples(OPEN_BYTES[name], metric.gauge.data_points)


def _samples(name: str, points: Sequence[Any]) -> list[CounterSample]:
    return [CounterSample(name, _tags(point), float(point.as_int)) for point in points]


def _tags(point: Any) -> tuple[tuple[str, str], ...]:
    return tuple([(attribute.key, attribute.value.string_value) for attribute in point.attributes])
