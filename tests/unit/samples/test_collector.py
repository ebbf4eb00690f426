"""The stand-in for people's collectors prints what arrives."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
import pytest

from argosy.envoy.api import message
from argosy.samples.collector import ALS_MESSAGE, LOG_REQUEST, build_app, tell_entries, tell_logs


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


async def test_spans_and_records_over_http(capsys: pytest.CaptureFixture[str]) -> None:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(build_app()), base_url="http://here")
    assert (await client.post("/api/v2/spans", json=[{"traceId": "a", "id": "b", "kind": "CLIENT"}])).status_code == 202
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "hello"}}]}]}]}
    assert (await client.post("/v1/logs", json=body)).status_code == 200
    span, log = lines(capsys)
    assert (span["kind"], span["side"], span["span_id"]) == ("span", "CLIENT", "b".rjust(16, "0"))
    assert (log["kind"], log["body"]) == ("log", "hello")


async def test_traces_of_datadogs_tracers(capsys: pytest.CaptureFixture[str]) -> None:
    client = httpx.AsyncClient(transport=httpx.ASGITransport(build_app()), base_url="http://here")
    span = {"trace_id": 1, "span_id": 2, "name": "a", "service": "s", "resource": "r", "start": 0, "duration": 0}
    answers = [await client.post("/v0.4/traces", content=msgspec.msgpack.encode(sent)) for sent in ([[span]], "none")]
    assert [one.status_code for one in answers] == [200, 400]
    (found,) = lines(capsys)
    assert (found["kind"], found["service"], found["name"]) == ("span", "s", "r")


def test_records_and_entries_over_grpc(capsys: pytest.CaptureFixture[str]) -> None:
    record = {"body": {"string_value": "x"}, "attributes": [{"key": "a", "value": {"int_value": 3}}]}
    tell_logs(message(LOG_REQUEST)(resource_logs=[{"scope_logs": [{"log_records": [record]}]}]))
    http = {"request": {"path": "/a"}, "response": {"response_code": {"value": 204}}}
    tcp = {"common_properties": {"upstream_cluster": "c"}, "connection_properties": {"sent_bytes": 5}}
    tell_entries(message(ALS_MESSAGE)(http_logs={"log_entry": [http]}), "mine")
    tell_entries(message(ALS_MESSAGE)(tcp_logs={"log_entry": [tcp]}), "mine")
    log, request, connection = lines(capsys)
    assert log["attributes"] == {"a": "3"}
    assert (request["kind"], request["path"], request["code"]) == ("http", "/a", 204)
    assert (connection["kind"], connection["cluster"], connection["sent"]) == ("tcp", "c", 5)
