"""What proxies log of requests and connections."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.api.mesh_config import parse_mesh_config
from argosy.envoy import api
from argosy.pilot.build.access_log import TEXT_FORMAT, log_loggers
from argosy.pilot.mesh import MeshSettings
from argosy.pilot.observed import MESH_FILE, LogRule, Observation

PROVIDERS = """
accessLogFormat: '%s'
accessLogEncoding: %s
extensionProviders:
- {name: text, envoyFileAccessLog: {path: /tmp/a.log, logFormat: {text: "%%PROTOCOL%%"}}}
- {name: json, envoyFileAccessLog: {logFormat: {labels: {code: "%%RESPONSE_CODE%%", n: {a: b}}}, omitEmptyValues: true}}
- {name: plain, envoyFileAccessLog: {}}
- {name: http, envoyHttpAls: {service: als.a.svc, port: 9, additionalRequestHeadersToLog: [x-a]}}
- {name: tcp, envoyTcpAls: {service: als.a.svc, port: 9, logName: mine}}
- {name: otel, envoyOtelAls: {service: o.a.svc, port: 4317, logFormat: {labels: {a: "%%PROTOCOL%%"}}}}
"""


def settings(*rules: LogRule, text: str = "", encoding: str = "TEXT") -> MeshSettings:
    config = parse_mesh_config(PROVIDERS % (text, encoding))
    return MeshSettings(config=config, observation=Observation(logs=rules))


def one(rule: LogRule, *, http: bool = True, text: str = "", encoding: str = "TEXT") -> dict[str, Any]:
    (made,) = log_loggers(settings(rule, text=text, encoding=encoding), http=http)
    found: dict[str, Any] = api.to_dict(made)
    return found


def line(made: dict[str, Any]) -> str:
    text: str = made["typed_config"]["log_format"]["text_format_source"]["inline_string"]
    return text


def test_nothing_is_logged_where_nothing_is_asked_for() -> None:
    assert log_loggers(MeshSettings(), http=True) == []


@pytest.mark.parametrize("name", [MESH_FILE, "envoy"])
def test_the_mesh_says_what_its_own_log_is_like(name: str) -> None:
    made = one(LogRule(name))
    assert (made["name"], line(made)) == ("envoy.access_loggers.stdout", TEXT_FORMAT)
    assert line(one(LogRule(name), text="%PROTOCOL%")) == "%PROTOCOL%\n"
    fields = one(LogRule(name), encoding="JSON")["typed_config"]["log_format"]["json_format"]
    assert fields["request_id"] == "%REQ(X-REQUEST-ID)%"


def test_a_provider_says_where_and_what() -> None:
    made = one(LogRule("text"))
    assert (made["typed_config"]["path"], line(made)) == ("/tmp/a.log", "%PROTOCOL%\n")
    assert line(one(LogRule("plain"))) == TEXT_FORMAT
    given = one(LogRule("json"))["typed_config"]["log_format"]
    assert given == {"json_format": {"code": "%RESPONSE_CODE%", "n": {"a": "b"}}, "omit_empty_values": True}


def test_an_expression_is_the_proxys_to_evaluate() -> None:
    made = one(LogRule("envoy", "response.code >= 500"))
    assert made["filter"]["extension_filter"]["typed_config"]["expression"] == "response.code >= 500"


def test_the_log_service_of_requests_gets_requests_and_that_of_connections_connections() -> None:
    made = one(LogRule("http", cluster="outbound|9||als.a.svc"))["typed_config"]
    assert made["additional_request_headers_to_log"] == ["x-a"]
    assert made["common_config"]["grpc_service"]["envoy_grpc"]["cluster_name"] == "outbound|9||als.a.svc"
    assert one(LogRule("tcp", cluster="c"), http=False)["typed_config"]["common_config"]["log_name"] == "mine"
    assert log_loggers(settings(LogRule("http"), LogRule("tcp")), http=False) != []
    assert [api.to_dict(x)["name"] for x in log_loggers(settings(LogRule("http"), LogRule("tcp")), http=True)] == [
        "envoy.access_loggers.http_grpc"
    ]


def test_a_record_has_the_line_as_its_body_and_labels_as_attributes() -> None:
    made = one(LogRule("otel", cluster="c"))["typed_config"]
    assert made["body"] == {"string_value": TEXT_FORMAT.rstrip()}
    assert made["attributes"]["values"] == [{"key": "a", "value": {"string_value": "%PROTOCOL%"}}]


def test_what_is_refused_is_told_whatever_is_logged() -> None:
    assert len(log_loggers(MeshSettings(), http=False, refused=True)) == 2
