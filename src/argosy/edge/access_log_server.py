"""Envoy's access log service on the wire: from one proxy's stream to records.

Given: bytes from proxies, and the verified identity of each connection. Gives: `AccessRecord`s to one consumer, in the
order of the stream. A stream's node id must belong to the namespace and account of the caller's certificate.
Source: envoy.service.accesslog.v3.AccessLogService; envoy.data.accesslog.v3.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import msgspec
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError

from argosy.core.frozen import EMPTY, FrozenMap
from argosy.envoy import api
from argosy.mixer.access_record import (
    NO_OBJECT,
    NOWHERE,
    AccessRecord,
    Address,
    ConnectionEvent,
    Direction,
    HTTPPart,
    ObjectOrigin,
)
from argosy.mixer.telemetry import Node

SERVICE = "envoy.service.accesslog.v3.AccessLogService"
_MESSAGE = "envoy.service.accesslog.v3.StreamAccessLogsMessage"
# envoy.data.accesslog.v3.AccessLogType
_EVENTS = {
    1: ConnectionEvent.OPEN,
    2: ConnectionEvent.CONTINUE,
    14: ConnectionEvent.OPEN,
    10: ConnectionEvent.OPEN,
    5: ConnectionEvent.CONTINUE,
}
_PROTOCOLS = {1: "HTTP/1.0", 2: "HTTP/1.1", 3: "HTTP/2", 4: "HTTP/3"}
_TLS = {1: "TLSv1", 2: "TLSv1.1", 3: "TLSv1.2", 4: "TLSv1.3"}
_METHODS = {
    1: "GET", 2: "HEAD", 3: "POST", 4: "PUT", 5: "DELETE", 6: "CONNECT", 7: "OPTIONS", 8: "TRACE", 9: "PATCH"
}  # fmt: skip
# Field of envoy.data.accesslog.v3.ResponseFlags -> the short flag of log lines
FLAGS = {
    "failed_local_healthcheck": "LH",
    "no_healthy_upstream": "UH",
    "upstream_request_timeout": "UT",
    "local_reset": "LR",
    "upstream_remote_reset": "UR",
    "upstream_connection_failure": "UF",
    "upstream_connection_termination": "UC",
    "upstream_overflow": "UO",
    "no_route_found": "NR",
    "delay_injected": "DI",
    "fault_injected": "FI",
    "rate_limited": "RL",
    "unauthorized_details": "UAEX",
    "rate_limit_service_error": "RLSE",
    "downstream_connection_termination": "DC",
    "upstream_retry_limit_exceeded": "URX",
    "stream_idle_timeout": "SI",
    "invalid_envoy_request_headers": "IH",
    "downstream_protocol_error": "DPE",
    "upstream_max_stream_duration_reached": "UMSDR",
    "response_from_cache_filter": "RFCF",
    "no_filter_config_found": "NFCF",
    "duration_timeout": "DT",
    "upstream_protocol_error": "UPE",
    "no_cluster_found": "NC",
    "overload_manager": "OM",
    "dns_resolution_failure": "DF",
    "downstream_remote_reset": "DR",
}


@dataclass(frozen=True, slots=True)
class AccessLogPorts:
    """What the service needs of the process: who is speaking, and who takes records."""

    verified: Callable[[str, Any], Awaitable[Node]]
    """The node that a node id names, if it is the caller's (given the gRPC context); aborts the call if not."""
    on_record: Callable[[AccessRecord], None]


def access_log_handler(ports: AccessLogPorts) -> grpc.GenericRpcHandler:
    """The handler for a `grpc.aio` server; register with `add_generic_rpc_handlers`."""
    server = _Server(ports)
    return grpc.method_handlers_generic_handler(
        SERVICE, {"StreamAccessLogs": grpc.stream_unary_rpc_method_handler(server.stream)}
    )


class _Server:
    def __init__(self, ports: AccessLogPorts) -> None:
        self._ports = ports
        self._message = api.message(_MESSAGE)

    async def stream(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        """One logger of one proxy: the first message says which."""
        sender: tuple[Node, Direction] | None = None
        async for data in requests:
            try:
                message = self._message.FromString(data)
            except DecodeError:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a message of this service")
                return b""
            if sender is None:
                node = await self._ports.verified(message.identifier.node.id, context)
                try:
                    sender = (node, Direction(message.identifier.log_name))
                except ValueError:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a log is inbound or outbound")
                    return b""
            for record in parse_records(message, *sender):
                self._ports.on_record(record)
        return b""


def parse_records(message: Any, node: Node, direction: Direction) -> Iterator[AccessRecord]:
    """The records of one `StreamAccessLogsMessage`."""
    for entry in message.http_logs.log_entry:
        yield _record(entry.common_properties, node, direction, http=_http(entry))
    for entry in message.tcp_logs.log_entry:
        sizes = entry.connection_properties
        yield _record(entry.common_properties, node, direction, received=sizes.received_bytes, sent=sizes.sent_bytes)


def _record(
    common: Any, node: Node, direction: Direction, *, http: HTTPPart | None = None, received: int = 0, sent: int = 0
) -> AccessRecord:
    tags = {name: "" if text == "-" else text for name, text in common.custom_tags.items()}
    tls = common.tls_properties
    chain = _fields(tags.get("chain_object", ""))
    found = _origin(chain) or _origin(_fields(tags.get("listener_object", "")))
    return AccessRecord(
        node=node,
        direction=direction,
        start=common.start_time.seconds + common.start_time.nanos / 1e9,
        duration_s=_seconds(common, "duration") or _seconds(common, "time_to_last_downstream_tx_byte") or 0.0,
        http=http,
        event=_EVENTS.get(common.access_log_type, ConnectionEvent.CLOSE),
        connection_id=tags.get("connection_id", ""),
        stream_id=common.stream_id,
        downstream_remote=_address(common.downstream_remote_address),
        downstream_direct=_address(common.downstream_direct_remote_address),
        downstream_local=_address(common.downstream_local_address),
        upstream_remote=_address(common.upstream_remote_address),
        peer_principal=_uri(tls.peer_certificate_properties),
        peer_workload=tags.get("peer_workload", ""),
        local_principal=_uri(tls.local_certificate_properties),
        upstream_principal=tags.get("upstream_peer", ""),
        upstream_workload=tags.get("upstream_workload", ""),
        sni=tls.tls_sni_hostname,
        tls_version=_TLS.get(tls.tls_version, ""),
        chain=tags.get("chain", ""),
        route=common.route_name,
        route_object=_origin(_fields(tags.get("route_object", ""))),
        listener_object=found,
        service=str(chain.get("service", "")) if direction is Direction.INBOUND else tags.get("upstream_service", ""),
        cluster=common.upstream_cluster,
        flags=_flags(common.response_flags) if common.HasField("response_flags") else (),
        attempts=common.upstream_request_attempt_count,
        upstream_failure=common.upstream_transport_failure_reason,
        downstream_failure=common.downstream_transport_failure_reason,
        termination=common.connection_termination_details,
        metadata=notes_of(common.metadata.filter_metadata),
        received_bytes=http.request_body_bytes if http is not None else received,
        sent_bytes=http.response_body_bytes if http is not None else sent,
    )


def _http(entry: Any) -> HTTPPart:
    request, response = entry.request, entry.response
    tags = entry.common_properties.custom_tags
    status = tags.get("grpc_status", "")
    trace = tags.get("trace_id", "")
    return HTTPPart(
        protocol=_PROTOCOLS.get(entry.protocol_version, ""),
        method=_METHODS.get(request.request_method, ""),
        scheme=request.scheme,
        authority=request.authority,
        path=request.path,
        original_path=request.original_path,
        user_agent=request.user_agent,
        referer=request.referer,
        forwarded_for=request.forwarded_for,
        request_id=request.request_id,
        code=response.response_code.value,
        details=response.response_code_details,
        request_headers=_headers(request.request_headers),
        response_headers=_headers(response.response_headers),
        response_trailers=_headers(response.response_trailers),
        request_header_bytes=request.request_headers_bytes,
        request_body_bytes=request.request_body_bytes,
        response_header_bytes=response.response_headers_bytes,
        response_body_bytes=response.response_body_bytes,
        grpc_status=int(status) if status.isdigit() else None,
        trace_id="" if trace == "-" else trace,
    )


def _headers(found: Mapping[str, str]) -> FrozenMap[str, str]:
    return FrozenMap({name.lower(): text for name, text in found.items()}) if found else EMPTY


def _address(address: Any) -> Address:
    kind = address.WhichOneof("address")
    if kind == "socket_address":
        return Address(address.socket_address.address, address.socket_address.port_value)
    return Address(address.pipe.path) if kind == "pipe" else NOWHERE


def _uri(certificate: Any) -> str:
    return next((one.uri for one in certificate.subject_alt_name if one.uri.startswith("spiffe://")), "")


def _flags(flags: Any) -> tuple[str, ...]:
    # A part without presence counts as set once it says true; `unauthorized_details` is a message.
    return tuple(FLAGS[one.name] for one, _value in flags.ListFields() if one.name in FLAGS)


def _seconds(common: Any, name: str) -> float | None:
    if not common.HasField(name):
        return None
    found = getattr(common, name)
    return float(found.seconds + found.nanos / 1e9)


def _fields(text: str) -> dict[str, Any]:
    """Metadata that a tag carries as JSON."""
    if not text.startswith("{"):
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _origin(fields: Mapping[str, Any]) -> ObjectOrigin:
    if not fields.get("kind"):
        return NO_OBJECT
    return ObjectOrigin(*(str(fields.get(name, "")) for name in ("kind", "object", "origin")))


def notes_of(found: Any) -> FrozenMap[str, Any]:
    """What filters noted about a request, by filter."""
    return FrozenMap({name: MessageToDict(one) for name, one in found.items()}) if found else FrozenMap()
