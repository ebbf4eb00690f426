"""One request over HTTP/2 with prior knowledge (RFC 9113 §3.3), or as TLS has agreed: for probes.

Given an open connection, gives status, fields and body of the answer. What the server breaks of the protocol is a
ConnectionError, as a connection that it closes. The connection is not closed here and good for nothing else afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

_READ_BYTES = 65_536
_BODY_BYTES_MAX = 65_536
HEALTH_PATH = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
"""HealthCheckResponse{status: SERVING}."""


@dataclass
class Answer:
    """What came. `fields` holds headers and trailers by lower-case name."""

    status: int = 0
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = False


async def ask_http2(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    head: Sequence[tuple[str, str]],
    body: bytes | None = None,
) -> Answer:
    """Send `head` (pseudo-headers first) and a body; gives the answer once it is whole, or at its head without a body.

    Raises ConnectionError.
    """
    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    answer = Answer()
    try:
        connection.initiate_connection()
        connection.send_headers(1, list(head), end_stream=body is None)
        if body is not None:
            connection.send_data(1, body, end_stream=True)
        while not (answer.whole or (body is None and answer.status)):
            writer.write(connection.data_to_send())
            data = await reader.read(_READ_BYTES)
            if not data:
                raise ConnectionError("closed before it was answered")
            for event in connection.receive_data(data):
                _note(connection, answer, event)
    except ProtocolError as error:
        raise ConnectionError(f"no HTTP/2: {error}") from error
    return answer


def _note(connection: H2Connection, answer: Answer, event: Event) -> None:
    if isinstance(event, ResponseReceived | TrailersReceived):
        answer.fields |= {_text(name): _text(value) for name, value in event.headers or ()}
        answer.status = int(answer.fields[":status"])
    elif isinstance(event, DataReceived):
        answer.body += event.data or b""
        connection.acknowledge_received_data(event.flow_controlled_length or 0, 1)
        if len(answer.body) > _BODY_BYTES_MAX:
            raise ConnectionError("the answer is too long")
    elif isinstance(event, StreamEnded):
        answer.whole = True
    elif isinstance(event, StreamReset | ConnectionTerminated):
        raise ConnectionError("the request was reset")


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


async def grpc_serves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str) -> bool:
    """True if gRPC's health service says that `service` ("": the server) is SERVING. Raises ConnectionError.

    Source: grpc.health.v1, doc/health-checking.md of gRPC.
    """
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", authority),
        (":path", HEALTH_PATH),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "argosy-probe"),
    ]
    answer = await ask_http2(reader, writer, head, b"\0" + len(message).to_bytes(4, "big") + message)
    serving = b"\0" + len(_SERVING).to_bytes(4, "big") + _SERVING
    return answer.status == 200 and answer.fields.get("grpc-status") == "0" and answer.body == serving


def _varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])
