"""Envoy's access log service, over a real channel on the loopback."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from tests.unit.edge.test_mixer_server import NODE_ID, REVIEWS, Mesh

from argosy.core.frozen import FrozenMap
from argosy.core.spiffe import SpiffeID, parse_spiffe_id
from argosy.edge.access_log_server import FLAGS, parse_records
from argosy.edge.mixer_server import mixer_handlers
from argosy.envoy import api
from argosy.mixer.access_record import (
    AccessRecord,
    Address,
    ConnectionEvent,
    Direction,
    HTTPPart,
    ObjectOrigin,
)
from argosy.mixer.telemetry import Node, parse_node_id

STREAM = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
NODE = parse_node_id(NODE_ID) or Node("", "", "")
CALLER = "spiffe://cluster.local/ns/default/sa/productpage"
OWN = "spiffe://cluster.local/ns/default/sa/reviews"


def socket(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


def certificate(uri: str) -> dict[str, Any]:
    return {"subject_alt_name": [{"dns": "x"}, {"uri": uri}]}


COMMON = {
    "start_time": {"seconds": 1_000, "nanos": 500_000_000},
    "duration": {"nanos": 20_000_000},
    "time_to_last_rx_byte": {"nanos": 1_000_000},
    "time_to_first_upstream_rx_byte": {"nanos": 15_000_000},
    "downstream_remote_address": socket("10.88.0.9", 1),
    "downstream_direct_remote_address": socket("10.88.0.5", 4711),
    "downstream_local_address": socket("10.88.0.2", 9080),
    "upstream_remote_address": {"pipe": {"path": "/run/app.sock"}},
    "tls_properties": {
        "tls_version": 4,
        "tls_sni_hostname": "outbound_.9080_._.reviews",
        "peer_certificate_properties": certificate(CALLER),
        "local_certificate_properties": certificate(OWN),
    },
    "upstream_cluster": "inbound|9080||",
    "route_name": "default",
    "upstream_request_attempt_count": 2,
    "stream_id": "s-1",
}


def message(**logs: Any) -> Any:
    made = api.message("envoy.service.accesslog.v3.StreamAccessLogsMessage")
    return made(identifier={"node": {"id": NODE_ID}, "log_name": "inbound"}, **logs)


def http_message() -> Any:
    metadata = {"filter_metadata": {"envoy.filters.http.rbac": {"fields": {"rule": {"string_value": "x"}}}}}
    tags = {
        "connection_id": "12",
        "chain": "9080-mtls",
        "chain_object": '{"port":"http","service":"reviews.default.svc.cluster.local"}',
        "listener_object": "-",
        "route_object": '{"kind":"VirtualService","object":"default/reviews","origin":"a.yaml:3"}',
        "peer_workload": "productpage-v1.default.workload",
        "upstream_peer": "-",
        "grpc_status": "14",
        "trace_id": "-",
    }
    entry = {
        "common_properties": {
            **COMMON,
            "custom_tags": tags,
            "metadata": metadata,
            "response_flags": {"no_healthy_upstream": True, "unauthorized_details": {"reason": 1}},
        },
        "protocol_version": 3,
        "request": {
            "request_method": 1,
            "path": "/reviews/0",
            "authority": "reviews:9080",
            "request_id": "r-1",
            "request_headers": {"End-User": "jason"},
            "request_body_bytes": 3,
        },
        "response": {"response_code": {"value": 503}, "response_code_details": "no_healthy_upstream"},
    }
    return message(http_logs={"log_entry": [entry]})


def test_a_request_becomes_a_record() -> None:
    (found,) = parse_records(http_message(), NODE, Direction.INBOUND)
    assert found == AccessRecord(
        node=NODE,
        direction=Direction.INBOUND,
        start=1000.5,
        duration_s=0.02,
        http=HTTPPart(
            protocol="HTTP/2",
            method="GET",
            authority="reviews:9080",
            path="/reviews/0",
            request_id="r-1",
            code=503,
            details="no_healthy_upstream",
            request_headers=FrozenMap({"end-user": "jason"}),
            request_body_bytes=3,
            grpc_status=14,
        ),
        connection_id="12",
        stream_id="s-1",
        downstream_remote=Address("10.88.0.9", 1),
        downstream_direct=Address("10.88.0.5", 4711),
        downstream_local=Address("10.88.0.2", 9080),
        upstream_remote=Address("/run/app.sock"),
        peer_principal=CALLER,
        peer_workload="productpage-v1.default.workload",
        local_principal=OWN,
        sni="outbound_.9080_._.reviews",
        tls_version="TLSv1.3",
        chain="9080-mtls",
        route="default",
        route_object=ObjectOrigin("VirtualService", "default/reviews", "a.yaml:3"),
        service="reviews.default.svc.cluster.local",
        cluster="inbound|9080||",
        flags=("UH", "UAEX"),
        attempts=2,
        metadata=FrozenMap({"envoy.filters.http.rbac": {"rule": "x"}}),
        received_bytes=3,
    )
    assert found.mtls
    assert not found.is_open


def test_a_connection_has_moments() -> None:
    entries = [
        {
            "common_properties": {**COMMON, "access_log_type": kind, "custom_tags": {"upstream_service": "db"}},
            "connection_properties": {"received_bytes": kind, "sent_bytes": 2 * kind},
        }
        for kind in (1, 2, 3)
    ]
    found = list(parse_records(message(tcp_logs={"log_entry": entries}), NODE, Direction.OUTBOUND))
    events = [ConnectionEvent.OPEN, ConnectionEvent.CONTINUE, ConnectionEvent.CLOSE]
    assert [(one.event, one.received_bytes, one.sent_bytes) for one in found] == [
        (event, kind, 2 * kind) for event, kind in zip(events, (1, 2, 3), strict=True)
    ]
    assert [one.is_open for one in found] == [True, True, False]
    assert {(one.http, one.service) for one in found} == {(None, "db")}


def test_every_flag_of_this_envoy_has_its_letters() -> None:
    fields = api.message("envoy.data.accesslog.v3.ResponseFlags").DESCRIPTOR.fields
    assert {one.name for one in fields} == FLAGS.keys()
    assert len(set(FLAGS.values())) == len(FLAGS)


@pytest.mark.parametrize("text", ["", "-", "{", '{"kind": 1', "[]"])
def test_tags_that_cannot_be_read_are_as_good_as_none(text: str) -> None:
    entry = {"common_properties": {**COMMON, "custom_tags": {"route_object": text}}}
    (found,) = parse_records(message(http_logs={"log_entry": [entry]}), NODE, Direction.INBOUND)
    assert not found.route_object


async def send(mesh: Mesh, *messages: bytes) -> grpc.StatusCode:
    """The status with which the stream ends."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(mixer_handlers(mesh.ports))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def outgoing() -> AsyncIterator[bytes]:
        for one in messages:
            yield one

    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.stream_unary(STREAM)(outgoing())
            try:
                await call
            except grpc.aio.AioRpcError as error:
                return error.code()
            return grpc.StatusCode.OK
    finally:
        await server.stop(None)


def recording(identity: SpiffeID | None = REVIEWS) -> tuple[Mesh, list[AccessRecord]]:
    found: list[AccessRecord] = []
    mesh = Mesh(identity)
    mesh.ports = replace(mesh.ports, on_record=found.append)
    return mesh, found


async def test_only_the_first_message_names_the_sender() -> None:
    mesh, found = recording()
    later = http_message()
    later.ClearField("identifier")
    assert await send(mesh, api.encode(http_message()), api.encode(later)) == grpc.StatusCode.OK
    assert [(one.node, one.direction) for one in found] == [(NODE, Direction.INBOUND)] * 2


@pytest.mark.parametrize(
    ("identity", "change", "status"),
    [
        (parse_spiffe_id("spiffe://cluster.local/ns/other/sa/x"), {}, grpc.StatusCode.PERMISSION_DENIED),
        (None, {}, grpc.StatusCode.UNAUTHENTICATED),
        (REVIEWS, {"node": {"id": "nobody"}, "log_name": "inbound"}, grpc.StatusCode.INVALID_ARGUMENT),
        (REVIEWS, {"node": {"id": NODE_ID}, "log_name": "sideways"}, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_who_is_not_the_proxy_reports_nothing(
    identity: SpiffeID | None, change: dict[str, Any], status: grpc.StatusCode
) -> None:
    mesh, found = recording(identity)
    sent = http_message()
    if change:
        sent.identifier.CopyFrom(api.message("envoy.service.accesslog.v3.StreamAccessLogsMessage.Identifier")(**change))
    assert await send(mesh, api.encode(sent)) == status
    assert found == []


async def test_what_is_no_message_ends_the_stream() -> None:
    mesh, found = recording()
    assert await send(mesh, b"\xff\xff\xff") == grpc.StatusCode.INVALID_ARGUMENT
    assert found == []
