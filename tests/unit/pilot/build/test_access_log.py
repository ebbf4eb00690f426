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
- {name: empty, envoyFileAccessLog: {logFormat: {labels: {}}}}
- {name: pathless, envoyFileAccessLog: {logFormat: {text: "%%REQ_WITHOUT_QUERY(:PATH)%%"}}}
- {name: pathless-json, envoyFileAccessLog: {logFormat: {labels: {a: {b: "%%REQ_WITHOUT_QUERY(:PATH)%%"}}}}}
- {name: pathless-otel, envoyOtelAls: {service: o.a.svc, port: 1, logFormat: {text: "%%REQ_WITHOUT_QUERY(:PATH)%%"}}}
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


def test_labels_that_name_nothing_are_the_usual_ones() -> None:
    usual = one(LogRule("envoy"), encoding="JSON")["typed_config"]["log_format"]["json_format"]
    assert one(LogRule("empty"))["typed_config"]["log_format"]["json_format"] == usual


@pytest.mark.parametrize("more, own", [("path: /tmp/own.log", False), ("omitEmptyValues: true", True)])
def test_the_meshs_log_may_be_declared_and_looks_as_the_mesh_says_unless_it_says_how(more: str, own: bool) -> None:
    mesh = "accessLogFormat: mine\naccessLogFile: /tmp/mesh.log\nextensionProviders: [{name: envoy, "
    config = parse_mesh_config(f"{mesh}envoyFileAccessLog: {{{more}}}}}]")
    rules = Observation(logs=(LogRule("envoy"),))
    (made,) = log_loggers(MeshSettings(config=config, observation=rules), http=True)
    found = api.to_dict(made)
    assert line(found) == (TEXT_FORMAT if own else "mine\n")
    assert found["typed_config"].get("path") == (None if own else "/tmp/own.log")


@pytest.mark.parametrize("name", ["pathless", "pathless-json", "pathless-otel"])
def test_a_format_brings_the_extension_that_it_needs(name: str) -> None:
    made = one(LogRule(name, cluster="c"))["typed_config"]
    (needed,) = (made if name == "pathless-otel" else made["log_format"])["formatters"]
    assert needed["name"] == "envoy.formatter.req_without_query"
    assert "formatters" not in one(LogRule("plain"))["typed_config"]["log_format"]


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
    assert made["body"] == {"string_value": TEXT_FORMAT}
    assert made["attributes"]["values"] == [{"key": "a", "value": {"string_value": "%PROTOCOL%"}}]


def test_what_is_refused_is_told_whatever_is_logged() -> None:
    assert len(log_loggers(MeshSettings(), http=False, refused=True)) == 2
