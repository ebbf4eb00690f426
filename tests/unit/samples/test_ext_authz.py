"""The ext-authz sample, over HTTP and as the bytes of Envoy's gRPC messages."""

from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError

from argosy.samples.ext_authz import DENIED_BODY, SCHEMA, Checker, build_app, decide, parse_ports
from argosy.samples.messages import build_messages

MESSAGES = build_messages("test", SCHEMA)


async def test_http_allows_exactly_the_header_value_allow(open_client: Any) -> None:
    async with open_client(build_app()) as client:
        allowed = await client.post("/any/path", headers={"x-ext-authz": "allow"})
        denied = await client.get("/", headers={"x-ext-authz": "deny"})
        missing = await client.get("/")
    assert (allowed.status_code, allowed.headers["x-ext-authz-check-result"]) == (200, "allowed")
    for answer in (denied, missing):
        assert (answer.status_code, answer.headers["x-ext-authz-check-result"]) == (403, "denied")
        assert answer.text == DENIED_BODY


def test_what_was_received_is_told_in_characters_a_header_may_have() -> None:
    verdict = decide({"x-ext-authz-additional-header-override": "grün\r\n"}, "GET /\n" + "x" * 5000)
    assert verdict.headers["x-ext-authz-additional-header-override"] == "gr?n??"
    assert verdict.headers["x-ext-authz-check-received"].startswith("GET /?x")
    assert len(verdict.headers["x-ext-authz-check-received"]) == 2000


def encode_request(headers: dict[str, str]) -> bytes:
    """Build a CheckRequest, with a field that the sample does not know (destination, 2)."""
    entries = [{"key": key, "value": value} for key, value in headers.items()]
    http = {"method": "GET", "host": "h", "path": "/p", "headers": entries}
    return MESSAGES["CheckRequest"](attributes={"request": {"http": http}}).SerializeToString() + b"\x12\x00"


@pytest.mark.parametrize("value, code, answer", [("allow", 0, "ok_response"), ("deny", 7, "denied_response")])
def test_grpc_checks_answer_with_status_and_headers(value: str, code: int, answer: str) -> None:
    raw = Checker().check(encode_request({"x-ext-authz": value}))
    response = MESSAGES["CheckResponse"].FromString(raw)
    assert response.status.code == code
    assert {field.name for field, _ in response.ListFields()} >= {answer}
    headers = {option.header.key: option.header.value for option in getattr(response, answer).headers}
    assert headers["x-ext-authz-check-result"] == ("allowed" if code == 0 else "denied")
    assert headers["x-ext-authz-check-received"] == f"GET h/p, headers: {{'x-ext-authz': '{value}'}}"
    if code:
        assert (response.denied_response.status.code, response.denied_response.body) == (403, DENIED_BODY)


def test_bytes_that_are_no_request_are_an_error() -> None:
    with pytest.raises(DecodeError):
        Checker().check(b"\xff\xff")


async def test_the_service_answers_over_grpc() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Checker().handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = channel.unary_unary("/envoy.service.auth.v3.Authorization/Check")
        raw = await check(encode_request({"x-ext-authz": "allow"}))
    await server.stop(None)
    assert MESSAGES["CheckResponse"].FromString(raw).status.code == 0


@pytest.mark.parametrize("argv, ports", [([], (8000, 9000)), (["1"], (1, 9000)), (["1", "2"], (1, 2))])
def test_ports_have_defaults(argv: list[str], ports: tuple[int, int]) -> None:
    assert parse_ports(argv) == ports
