"""OpenTelemetry's service over gRPC: spans of those who have an identity."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from argosy.core.spiffe import SpiffeID
from argosy.edge.trace_server import trace_handler
from argosy.envoy.api import message
from argosy.mixer.spans import Span

SOMEBODY = SpiffeID("cluster.local", "/ns/a/sa/b")
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Refused(Exception):
    """What `abort` raises."""


class Context:
    """A call's context, as far as it is used."""

    async def abort(self, code: grpc.StatusCode, reason: str) -> None:
        raise Refused(code, reason)


class Details:
    """What gRPC asks a handler by."""

    method = METHOD
    invocation_metadata = ()


async def export(data: bytes, identity: SpiffeID | None) -> list[Span]:
    taken: list[Span] = []
    handler: Any = trace_handler(taken.extend, lambda _context: identity).service(Details())  # type: ignore[arg-type]
    assert await handler.unary_unary(data, Context()) == b""
    return taken


def request(name: str) -> bytes:
    one = {"trace_id": b"1234567890123456", "span_id": b"12345678", "name": name}
    made = message("opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest")
    data: bytes = made(resource_spans=[{"scope_spans": [{"spans": [one]}]}]).SerializeToString()
    return data


async def test_spans_are_taken() -> None:
    assert [one.name for one in await export(request("a"), SOMEBODY)] == ["a"]


@pytest.mark.parametrize(
    "data, identity, code",
    [
        (request("a"), None, grpc.StatusCode.UNAUTHENTICATED),
        (b"\xff\xff", SOMEBODY, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_strangers_and_noise_are_refused(data: bytes, identity: SpiffeID | None, code: grpc.StatusCode) -> None:
    with pytest.raises(Refused) as refused:
        await export(data, identity)
    assert refused.value.args[0] is code
