"""Spans over HTTP: what is taken, and what is refused."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest
from starlette.applications import Starlette

from argosy.core.errors import ArgosyError
from argosy.edge.control_traces import parse_trace_query, trace_routes
from argosy.edge.span_intake import BODY_BYTES_MAX, TRACE_REQUEST, span_routes
from argosy.envoy.api import message
from argosy.mixer.spans import Span
from argosy.mixer.traces import TraceQuery, TraceStore

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ZIPKIN = [{"traceId": TRACE, "id": "00f067aa0ba902b7", "name": "a"}]
OTLP = {
    "resourceSpans": [
        {"scopeSpans": [{"spans": [{"traceId": TRACE, "spanId": "00f067aa0ba902b7", "name": "b", "kind": 2}]}]}
    ]
}


@pytest.fixture
def store() -> TraceStore:
    return TraceStore()


@pytest.fixture
def client(store: TraceStore) -> httpx.AsyncClient:
    app = Starlette(routes=[*span_routes(store.add), *trace_routes(lambda: store)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")


async def test_zipkin_and_opentelemetry_in_json_and_packed(client: httpx.AsyncClient, store: TraceStore) -> None:
    assert (await client.post("/api/v2/spans", json=ZIPKIN)).status_code == 202
    answer = await client.post("/v1/traces", json=OTLP)
    assert (answer.status_code, answer.headers["content-type"], answer.json()) == (200, "application/json", {})
    packed = gzip.compress(json.dumps(ZIPKIN).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await client.post("/api/v2/spans", content=packed, headers=headers)).status_code == 202
    found = (await client.get(f"/v1/traces/{TRACE}")).json()
    assert [(row["name"], row["kind"]) for row in found["tree"]] == [("a", ""), ("b", "SERVER")]
    assert store.received == 3


async def test_opentelemetry_in_protobuf(client: httpx.AsyncClient, store: TraceStore) -> None:
    one = {"trace_id": bytes.fromhex(TRACE), "span_id": b"12345678", "name": "c"}
    body = message(TRACE_REQUEST)(resource_spans=[{"scope_spans": [{"spans": [one]}]}]).SerializeToString()
    answer = await client.post("/v1/traces", content=body, headers={"content-type": "application/x-protobuf"})
    assert (answer.status_code, answer.content, store.received) == (200, b"", 1)
    assert answer.headers["content-type"] == "application/x-protobuf"


@pytest.mark.parametrize(
    "content, headers, status",
    [
        ("[]", {"content-type": "text/plain"}, 415),
        ("[]", {"content-type": "application/x-www-form-urlencoded"}, 415),
        ("{", {"content-type": "application/json"}, 400),
        (b"\xff\xff", {"content-type": "application/x-protobuf"}, 400),
        ("[]", {"content-type": "application/json", "content-encoding": "gzip"}, 400),
        (
            gzip.compress(b" " * (BODY_BYTES_MAX + 1)),
            {"content-type": "application/json", "content-encoding": "gzip"},
            400,
        ),
    ],
)
@pytest.mark.parametrize("path", ["/api/v2/spans", "/v1/traces"])
async def test_what_is_no_span_is_refused(
    client: httpx.AsyncClient, store: TraceStore, path: str, content: bytes | str, headers: dict[str, str], status: int
) -> None:
    assert (await client.post(path, content=content, headers=headers)).status_code == status
    assert store.received == 0


@pytest.mark.parametrize(
    "path, body",
    [
        ("/api/v2/spans", b"[" * 100_000),
        ("/v1/traces", b"[" * 100_000),
        ("/v1/traces", b'{"a":' * 900 + b"1" + b"}" * 900),
    ],
    ids=["zipkin", "otlp", "otlp-closed"],
)
async def test_what_is_nested_without_end_is_refused(client: httpx.AsyncClient, path: str, body: bytes) -> None:
    """It ended in an internal error."""
    answer = await client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400


async def test_a_body_without_end_is_not_read_to_its_end(client: httpx.AsyncClient) -> None:
    content = b" " * (BODY_BYTES_MAX + 1)
    answer = await client.post("/api/v2/spans", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.text) == (400, f"more than {BODY_BYTES_MAX} bytes\n")


def test_a_query_is_checked() -> None:
    assert parse_trace_query({"service": "a", "min_us": "5", "limit": "3"}) == TraceQuery("a", 5, 3)
    for wrong in ({"min_us": "x"}, {"min_us": "-1"}, {"limit": "0"}, {"limit": "100000"}):
        with pytest.raises(ArgosyError):
            parse_trace_query(wrong)


@pytest.mark.parametrize(
    ("asked", "words"),
    [("abc", "no trace has an id that begins with abc"), ("a/b", "begins with a/b"), ("ee", "2 traces have an id")],
)
async def test_a_trace_that_is_not_there_or_not_clear_is_an_error_with_a_hint(
    client: httpx.AsyncClient, store: TraceStore, asked: str, words: str
) -> None:
    store.add([Span(f"ee{number:030x}", f"{1:016x}", "", "x", "a", "SERVER", 1, 1) for number in (1, 2)])
    with pytest.raises(ArgosyError, match=words) as told:
        await client.get(f"/v1/traces/{asked}")
    (finding,) = told.value.findings
    assert (finding.code, "`argosy trace` lists them" in finding.hint) == ("ARG0950", True)
