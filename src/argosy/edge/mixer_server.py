"""Mixer on the wire: Envoy's metrics, authorization and access log services, as gRPC handlers.

Given: bytes from proxies, the verified identity of each connection, and ports of Mixer's pure core. Gives: telemetry
handed on, and verdicts. A node id must belong to the namespace and account of the caller's certificate.
Source: envoy.service.auth.v3.Authorization.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from argosy.core.frozen import EMPTY
from argosy.core.names import (
    ANSWER_KEY,
    CHECK_NOTE,
    DENIED_BY_HEADER,
    OPEN_EXTENSION,
    SERVICE_EXTENSION,
    SILENT_NOTE,
)
from argosy.core.spiffe import SpiffeID
from argosy.edge.access_log_server import AccessLogPorts, access_log_handler, notes_of
from argosy.edge.metrics_server import MetricsPorts, metrics_handler
from argosy.envoy import api
from argosy.envoy import values as v
from argosy.mixer.access_record import AccessRecord
from argosy.mixer.check import Decision
from argosy.mixer.headers import AnswerEdit, answer_edits, edited
from argosy.mixer.request import CheckFacts
from argosy.mixer.telemetry import Flush, Node, parse_node_id
from argosy.mixer.token_attributes import claims_of

_AUTHORIZATION = "envoy.service.auth.v3.Authorization"


@dataclass(frozen=True, slots=True)
class MixerPorts:
    """What the server needs of the process: telemetry in, checks out, time, and who is calling."""

    receive: Callable[[Node, Flush, float], None]
    check: Callable[[CheckFacts], Awaitable[Decision]]
    now: Callable[[], float]
    identity: Callable[[Any], SpiffeID | None]
    """The verified identity of a call's peer (given the gRPC context), or None."""
    belongs: Callable[[SpiffeID, Node], bool]
    """True if the pod that the node id names runs with this identity."""
    asker: Callable[[SpiffeID, str], Node | None]
    """The pod of this identity that has the address to which the checked request was sent, or None."""
    on_record: Callable[[AccessRecord], None] = lambda _record: None
    """Takes what proxies report of single requests."""


def mixer_handlers(ports: MixerPorts) -> list[grpc.GenericRpcHandler]:
    """Handlers for a `grpc.aio` server; register with `add_generic_rpc_handlers`."""
    server = _Server(ports)
    return [
        access_log_handler(AccessLogPorts(verified=server.verified, on_record=ports.on_record)),
        metrics_handler(MetricsPorts(verified=server.verified, receive=server.receive)),
        grpc.method_handlers_generic_handler(
            _AUTHORIZATION, {"Check": grpc.unary_unary_rpc_method_handler(server.check)}
        ),
    ]


class _Server:
    """The two services; bytes in, bytes out."""

    def __init__(self, ports: MixerPorts) -> None:
        self._ports = ports
        self._check_request = api.message("envoy.service.auth.v3.CheckRequest")

    def receive(self, node: Node, flush: Flush) -> None:
        """All that one proxy has counted."""
        self._ports.receive(node, flush, self._ports.now())

    async def check(self, data: bytes, context: Any) -> bytes:
        """One authorization check."""
        request = await self._parse(self._check_request, data, context)
        address = request.attributes.destination.address.socket_address.address
        node = self._ports.asker(await self._identity(context), address)
        if node is None:
            await _refuse(context, grpc.StatusCode.PERMISSION_DENIED, "the request was not sent to the caller")
        left_s = context.time_remaining()
        facts = parse_check_request(request, node, self._ports.now(), _metadata(context))
        facts = replace(facts, wait_s=math.inf if left_s is None else left_s)
        return encode_decision(await self._ports.check(facts), facts.headers)

    async def _parse(self, message: Any, data: bytes, context: Any) -> Any:
        try:
            return message.FromString(data)
        except DecodeError:
            return await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "not a message of this service")

    async def _identity(self, context: Any) -> SpiffeID:
        identity = self._ports.identity(context)
        if identity is None:
            await _refuse(context, grpc.StatusCode.UNAUTHENTICATED, "a client certificate is needed")
        return identity

    async def verified(self, node_id: str, context: Any) -> Node:
        """The pod that a node id names, if the caller is its proxy; else the call is aborted."""
        identity = await self._identity(context)
        node = parse_node_id(node_id)
        if node is None:
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "a proxy must say its node id")
        if not self._ports.belongs(identity, node):
            await _refuse(context, grpc.StatusCode.PERMISSION_DENIED, "the node id is not the caller's")
        return node


async def _refuse(context: Any, code: grpc.StatusCode, reason: str) -> NoReturn:
    await context.abort(code, reason)
    raise AssertionError("abort raises")


def _metadata(context: Any) -> str:
    """The called service, where the proxy's configuration says it with the call."""
    found = (value for key, value in context.invocation_metadata() or () if key == SERVICE_EXTENSION)
    return str(next(found, ""))


def parse_check_request(request: Any, node: Node, now: float, service: str = "") -> CheckFacts:
    """The facts of a `CheckRequest` that came `now`; `service` is the called one, where it does not say so itself."""
    attributes = request.attributes
    began = attributes.request.time
    http = attributes.request.http
    source, destination = attributes.source, attributes.destination
    return CheckFacts(
        node=node,
        source_principal=source.principal if source.principal.startswith("spiffe://") else "",
        source_address=source.address.socket_address.address,
        destination_address=destination.address.socket_address.address,
        destination_port=destination.address.socket_address.port_value,
        service=attributes.context_extensions.get(SERVICE_EXTENSION, "") or service,
        method=http.method,
        scheme=http.scheme,
        path=http.path,
        host=http.host,
        request_id=http.headers.get("x-request-id", ""),
        stream=f"{node.id}/{http.id}" if http.id else "",
        fail_open=OPEN_EXTENSION in attributes.context_extensions,
        protocol="http" if attributes.request.HasField("http") else "tcp",
        time=began.seconds + began.nanos / 1e9 if attributes.request.HasField("time") else now,
        size=http.size,
        requested_server_name=attributes.tls_session.sni,
        headers=dict(http.headers),
        claims=claims_of(notes_of(attributes.metadata_context.filter_metadata)),
    )


def encode_decision(decision: Decision, headers: Mapping[str, str] = EMPTY) -> bytes:
    """The `CheckResponse` of a decision about a request with these headers.

    Refused requests get the status, the reason as body, and the rule's name. Where Mixer itself could not tell and the
    request must not pass then, it is an error, which the proxy answers as it would for a Mixer that is away.
    """
    response = api.message("envoy.service.auth.v3.CheckResponse")
    edits = answer_edits(decision.response_headers)
    noted = v.struct(_notes(decision, edits))
    if decision.allowed:
        ok = _edits(decision, headers, edits)
        return api.encode(response(status={"code": 0}, ok_response=ok, dynamic_metadata=noted))
    told = [{"header": {"key": DENIED_BY_HEADER, "value": str(decision.rule)}}] if decision.rule else []
    told += [_option(*one, _ADD) for one in decision.answer_headers if one[0] != DENIED_BY_HEADER]
    answer = {"status": {"code": decision.http_status}, "headers": told, "body": decision.body}
    refused = {"status": {"code": decision.code, "message": decision.body}, "dynamic_metadata": noted}
    if decision.undecided:
        return api.encode(response(**refused, error_response=answer))
    return api.encode(response(**refused, denied_response=answer))


def _notes(decision: Decision, answer: Mapping[str, AnswerEdit]) -> dict[str, Any]:
    """What is kept with the request: for reports what came of the check, for a filter what is done to the answer."""
    check = {"code": decision.code, "message": decision.body, "kept": decision.kept, "charged": decision.charged}
    if decision.silent:
        check[SILENT_NOTE] = "; ".join(decision.silent)
    changes = [
        {"name": name, "remove": edit.removed, "values": edit.values}
        for name, edit in answer.items()
        if decision.allowed and not edit.is_plain
    ]
    return {CHECK_NOTE: check, **({ANSWER_KEY: changes} if changes else {})}


def _edits(decision: Decision, headers: Mapping[str, str], answer: Mapping[str, AnswerEdit]) -> dict[str, Any]:
    """Changes of headers, as Envoy is told them."""
    changed = edited(headers, decision.request_headers)
    return {
        "headers": [_option(name, value, _SET) for name, value in changed.items() if value is not None],
        "headers_to_remove": [name for name, value in changed.items() if value is None],
        "response_headers_to_add": [
            _option(name, value, _SET if edit.removed else _ADD)
            for name, edit in answer.items()
            if edit.is_plain
            for value in edit.values
        ],
    }


def _option(name: str, value: str, action: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": action}


_SET, _ADD = "OVERWRITE_IF_EXISTS_OR_ADD", "APPEND_IF_EXISTS_OR_ADD"
