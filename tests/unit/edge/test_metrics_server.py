"""What proxies count, over a real channel on the loopback."""

from typing import Any

import grpc
import grpc.aio
import pytest
from tests.unit.edge.test_mixer_server import NODE_ID, REVIEWS, Mesh, call

from argosy.core.spiffe import SpiffeID
from argosy.edge.metrics_server import parse_flush
from argosy.envoy import api
from argosy.flow.histogram import BOUNDS
from argosy.mixer.telemetry import CounterSample, Flush, HistogramSample

EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
TAGS = (("call", "reporter=source"),)


def point(value: int, **more: Any) -> dict[str, Any]:
    """One number of one series."""
    attributes = [{"key": name, "value": {"string_value": text}} for name, text in (*TAGS, *more.items())]
    return {"attributes": attributes, "as_int": value, "time_unix_nano": 3_500_000_000}


def export_message() -> Any:
    """As Envoy sends it: each series is a metric of its own."""
    duration = {key: value for key, value in point(0).items() if key != "as_int"}
    duration |= {"count": 3, "sum": 21, "explicit_bounds": list(BOUNDS), "bucket_counts": [0, 0, 2, 1, *[0] * 16]}
    strange = {**duration, "explicit_bounds": [1], "bucket_counts": [3, 0]}
    metrics = [
        {"name": "istio_requests_total", "sum": {"data_points": [point(7)]}},
        {"name": "istio_request_duration_milliseconds", "histogram": {"data_points": [duration, strange]}},
        {"name": "istio_tcp_open_sent_bytes", "gauge": {"data_points": [point(40, conn="3")]}},
        {"name": "cluster_manager.cds.update_success", "sum": {"data_points": [point(1)]}},
        {"name": "server.uptime", "gauge": {"data_points": [point(12)]}},
        {"name": "istio_build", "gauge": {"data_points": [point(1)]}},
    ]
    request = api.message("opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest")
    return request(resource_metrics=[{"scope_metrics": [{"metrics": metrics}]}])


def test_a_flush_keeps_istios_series_the_age_and_the_time_only() -> None:
    found = parse_flush(export_message())
    (histogram,) = found.histograms
    assert list(histogram.counts) == [0, 0, 2, 1, *[0] * 16]
    found.histograms = [histogram._replace(counts=())]
    assert found == Flush(
        [CounterSample("istio_requests_total", TAGS, 7)],
        [HistogramSample("istio_request_duration_milliseconds", TAGS, 3, 21, ())],
        uptime_s=12,
        open_bytes=[CounterSample("istio_tcp_sent_bytes_total", (*TAGS, ("conn", "3")), 40)],
        taken_at=3.5,
    )


async def test_a_flush_is_handed_on_with_its_sender() -> None:
    mesh = Mesh()
    answer = await call(mesh, EXPORT, export_message().SerializeToString(), [("argosy-node", NODE_ID)])
    assert answer == b""
    ((node, flush),) = mesh.flushes
    assert (node.namespace, node.pod, len(flush.counters)) == ("default", "reviews-x", 1)


@pytest.mark.parametrize(
    "identity, node_id, data, code",
    [
        (None, NODE_ID, None, grpc.StatusCode.UNAUTHENTICATED),
        (REVIEWS, "nobody", None, grpc.StatusCode.INVALID_ARGUMENT),
        (REVIEWS, NODE_ID.replace("x.default", "x.prod"), None, grpc.StatusCode.PERMISSION_DENIED),
        (REVIEWS, NODE_ID, b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_counts_of_someone_else_are_refused(
    identity: SpiffeID | None, node_id: str, data: bytes | None, code: grpc.StatusCode
) -> None:
    mesh = Mesh(identity)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(mesh, EXPORT, data or export_message().SerializeToString(), [("argosy-node", node_id)])
    assert caught.value.code() is code
    assert mesh.flushes == []


async def test_without_a_node_id_counts_are_refused() -> None:
    mesh = Mesh()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(mesh, EXPORT, export_message().SerializeToString())
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
