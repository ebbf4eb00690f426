"""The ext-authz sample: an external authorizer that allows what carries the header `x-ext-authz: allow`.

HTTP: any method and path, 200 or 403. gRPC: Envoy's `envoy.service.auth.v3.Authorization/Check`. Both set
`x-ext-authz-check-result` and `x-ext-authz-check-received`, and copy `x-ext-authz-additional-header-override`.
Run: `python -m argosy.samples.ext_authz [http-port [grpc-port]]`, default 8000 and 9000.
The few fields of the gRPC messages that matter are declared here (field numbers from envoy.service.auth.v3 and
google.rpc.Status), so that this program starts without the descriptors of Envoy's whole API.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from argosy.samples.messages import Schema, build_messages
from argosy.samples.serving import build_server, open_socket, port_argument

CHECK_HEADER = "x-ext-authz"
RESULT_HEADER = "x-ext-authz-check-result"
RECEIVED_HEADER = "x-ext-authz-check-received"
OVERRIDE_HEADER = "x-ext-authz-additional-header-override"
DENIED_BODY = "denied by ext_authz for not found header `x-ext-authz: allow` in the request"
RECEIVED_LENGTH_MAX = 2000
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PERMISSION_DENIED = 7  # google.rpc.Code
FORBIDDEN = 403

SCHEMA: Schema = {
    "HeaderEntry": (("key", 1, "string"), ("value", 2, "string")),
    "HttpRequest": (
        ("method", 2, "string"),
        ("headers", 3, "HeaderEntry[]"),
        ("path", 4, "string"),
        ("host", 5, "string"),
    ),
    "AttributeRequest": (("http", 2, "HttpRequest"),),
    "Attributes": (("request", 4, "AttributeRequest"),),
    "CheckRequest": (("attributes", 1, "Attributes"),),
    "Status": (("code", 1, "int32"), ("message", 2, "string")),
    "HeaderValue": (("key", 1, "string"), ("value", 2, "string")),
    "HeaderOption": (("header", 1, "HeaderValue"),),
    "HttpStatus": (("code", 1, "int32"),),
    "Denied": (("status", 1, "HttpStatus"), ("headers", 2, "HeaderOption[]"), ("body", 3, "string")),
    "Ok": (("headers", 2, "HeaderOption[]"),),
    "CheckResponse": (("status", 1, "Status"), ("denied_response", 2, "Denied"), ("ok_response", 3, "Ok")),
}


@dataclass(frozen=True)
class Verdict:
    """The decision and the headers that go with it (to the application when allowed, to the caller when not)."""

    allowed: bool
    headers: Mapping[str, str]


def decide(headers: Mapping[str, str], description: str) -> Verdict:
    """Allow exactly `x-ext-authz: allow`; `headers` has lower-case names, `description` says what was received."""
    allowed = headers.get(CHECK_HEADER) == "allow"
    return Verdict(
        allowed=allowed,
        headers={
            RESULT_HEADER: "allowed" if allowed else "denied",
            RECEIVED_HEADER: _header_safe(description),
            OVERRIDE_HEADER: _header_safe(headers.get(OVERRIDE_HEADER, "")),
        },
    )


def _header_safe(text: str) -> str:
    return "".join(character if " " <= character <= "~" else "?" for character in text)[:RECEIVED_LENGTH_MAX]


def build_app() -> Starlette:
    """Build the HTTP half."""

    async def check(request: Request) -> Response:
        headers = dict(request.headers)
        given = (await request.body()).decode(errors="replace")
        told = f"{request.method} {request.url.path}, headers: {sorted(headers)}, body: [{given}]"
        verdict = decide(headers, told)
        body, code = ("", 200) if verdict.allowed else (DENIED_BODY, FORBIDDEN)
        return PlainTextResponse(body, status_code=code, headers=dict(verdict.headers))

    return Starlette(routes=[Route("/{path:path}", check, methods=METHODS)])


class Checker:
    """The gRPC half: bytes of a CheckRequest in, bytes of a CheckResponse out."""

    def __init__(self) -> None:
        """Build the message classes once."""
        self._messages = build_messages("ext_authz_sample", SCHEMA)

    def check(self, request: bytes) -> bytes:
        """Decide one request.

        Errors: google.protobuf.message.DecodeError when the bytes are no CheckRequest.
        """
        # The fields of a class made at run time are known to protobuf, not to the type checker.
        message: object = self._messages["CheckRequest"].FromString(request)
        http = message.attributes.request.http  # type: ignore[attr-defined]
        headers = {entry.key: entry.value for entry in http.headers}
        verdict = decide(headers, f"{http.method} {http.host}{http.path}, headers: {dict(sorted(headers.items()))}")
        options = [{"header": {"key": key, "value": value}} for key, value in verdict.headers.items()]
        build = self._messages["CheckResponse"]
        if verdict.allowed:
            return build(status={"code": 0}, ok_response={"headers": options}).SerializeToString()
        denied = {"status": {"code": FORBIDDEN}, "headers": options, "body": DENIED_BODY}
        return build(status={"code": PERMISSION_DENIED}, denied_response=denied).SerializeToString()

    def handler(self) -> grpc.GenericRpcHandler:
        """The service as gRPC wants it."""

        async def check(request: bytes, _: grpc.aio.ServicerContext) -> bytes:
            return self.check(request)

        method = grpc.unary_unary_rpc_method_handler(check)
        return grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": method})


async def serve_both(http_port: int, grpc_port: int) -> None:
    """Serve both halves until told to stop."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Checker().handler(),))
    bound = server.add_insecure_port(f"0.0.0.0:{grpc_port}")
    await server.start()
    print(f"listening on 0.0.0.0:{bound} (gRPC)", flush=True)
    try:
        await build_server(build_app()).serve(sockets=[open_socket(http_port)])
    finally:
        await server.stop(grace=1.0)


def parse_ports(argv: Sequence[str]) -> tuple[int, int]:
    """Read the two optional ports."""
    return port_argument(argv[:1], 8000), port_argument(argv[1:], 9000)


def main() -> None:
    """Serve until told to stop."""
    http_port, grpc_port = parse_ports(sys.argv[1:])
    asyncio.run(serve_both(http_port, grpc_port))


if __name__ == "__main__":
    main()
