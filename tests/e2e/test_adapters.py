"""Adapters out of process: the control-headers task of Istio 1.4 with its own files, and policies in Rego."""

from __future__ import annotations

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.calls import applied, body, call
from tests.e2e.harness import CORPUS, EXAMPLES, Mesh, require_corpus, running, wait_for
from tests.unit.mixer.adapters.sets import metric_documents, template

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BOOKINFO = CORPUS / "istio-1.4-samples" / "bookinfo" / "policy"
POLICY = CORPUS / "istio-1.4-samples" / "httpbin" / "policy"
PROGRAMS = Path(__file__).parent / "programs"
HEADERS = "http://httpbin:8000/headers"

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: httpbin-gateway}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: ["*"]
  gateways: [httpbin-gateway]
  http: [{route: [{destination: {host: httpbin, port: {number: 8000}}}]}]
"""
SERVER = """---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: istio-system}}
spec: {{selector: {{app: {name}}}, ports: [{{name: {protocol}, port: {port}}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: istio-system}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}, annotations: {{{command}}}}}
    spec: {{containers: [{{name: {name}, image: {image}, ports: [{{containerPort: {port}}}]}}]}}
"""
KEYVAL = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: keyval, namespace: istio-system}
spec:
  adapter: keyval
  connection: {address: keyval:9070}
  params: {table: {jason: admin}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: keyval, namespace: istio-system}
spec:
  template: keyval
  params: {key: 'request.headers["user"] | ""'}
"""
RULE = """
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: keyval, namespace: istio-system}
spec:
  match: destination.labels["app"] == "httpbin"
  actions: [{handler: keyval.istio-system, instances: [keyval], name: x}]
  requestHeaderOperations: [{name: user-group, values: [x.output.value]}]
"""
REWRITE = """
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: teapot, namespace: istio-system}
spec:
  match: source.labels["istio"] == "ingressgateway"
  actions: [{handler: keyval.istio-system, instances: [keyval]}]
  requestHeaderOperations: [{name: ":path", values: ['"/status/418"']}]
"""
OPA = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: rego, namespace: istio-system}
spec:
  compiledAdapter: opa
  params:
    serverUrl: http://opa.istio-system:8181
    policy:
    - |
      package mixerauthz
      default allow = false
      allow { input.action.method == "GET" }
    checkMethod: data.mixerauthz.allow
    failClose: true
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: question, namespace: istio-system}
spec:
  compiledTemplate: authorization
  params:
    subject: {user: 'source.user | "unknown"'}
    action: {namespace: destination.namespace, path: request.path, method: request.method}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: rego, namespace: istio-system}
spec:
  match: destination.labels["app"] == "httpbin"
  actions: [{handler: rego, instances: [question]}]
"""

REPORTS = f"""
apiVersion: config.istio.io/v1alpha2
kind: template
metadata: {{name: look, namespace: istio-system}}
spec: {{descriptor: "{template((("key", 1, "string"),), variety=1)}"}}
---
apiVersion: config.istio.io/v1alpha2
kind: adapter
metadata: {{name: reports, namespace: istio-system}}
spec: {{templates: [look]}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: reports, namespace: istio-system}}
spec: {{adapter: reports, connection: {{address: "reports:9071"}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: path, namespace: istio-system}}
spec: {{template: look, params: {{key: request.path}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: reports, namespace: istio-system}}
spec:
  match: destination.labels["app"] == "httpbin" && context.reporter.kind == "inbound"
  actions: [{{handler: reports, instances: [path]}}]
"""
QUOTAS = f"""
apiVersion: config.istio.io/v1alpha2
kind: template
metadata: {{name: cost, namespace: istio-system}}
spec: {{descriptor: "{template((("key", 1, "string"),), variety=2, package="cost")}"}}
---
apiVersion: config.istio.io/v1alpha2
kind: adapter
metadata: {{name: costs, namespace: istio-system}}
spec: {{templates: [cost]}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: costs, namespace: istio-system}}
spec: {{adapter: costs, connection: {{address: "reports:9071"}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: calls, namespace: istio-system}}
spec: {{template: cost, params: {{key: 'request.headers["user"] | "nobody"'}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpec
metadata: {{name: calls, namespace: istio-system}}
spec: {{rules: [{{quotas: [{{quota: calls, charge: 1}}]}}]}}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpecBinding
metadata: {{name: calls, namespace: istio-system}}
spec: {{quotaSpecs: [{{name: calls, namespace: istio-system}}], services: [{{name: httpbin, namespace: default}}]}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: calls, namespace: istio-system}}
spec: {{actions: [{{handler: costs, instances: [calls]}}]}}
"""


TEAM = template((("user", 1, "string"),), variety=3, output=(("team", 2, "string"),), package="team")
TEAMS = f"""
apiVersion: config.istio.io/v1alpha2
kind: template
metadata: {{name: team, namespace: istio-system}}
spec: {{descriptor: "{TEAM}"}}
---
apiVersion: config.istio.io/v1alpha2
kind: adapter
metadata: {{name: teams, namespace: istio-system}}
spec: {{templates: [team], sessionBased: true}}
---
apiVersion: config.istio.io/v1alpha2
kind: attributemanifest
metadata: {{name: teams, namespace: istio-system}}
spec: {{attributes: {{request.team: {{valueType: STRING}}}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: teams, namespace: istio-system}}
spec: {{adapter: teams, connection: {{address: "reports:9071"}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: team, namespace: istio-system}}
spec:
  template: team
  params: {{user: 'request.useragent | "nobody"'}}
  attributeBindings: {{request.team: $out.team}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: teams, namespace: istio-system}}
spec: {{actions: [{{handler: teams, instances: [team]}}]}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: only-anns, namespace: istio-system}}
spec: {{compiledAdapter: listchecker, params: {{overrides: [anns]}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: by-team, namespace: istio-system}}
spec: {{compiledTemplate: listentry, params: {{value: request.team}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: only-anns, namespace: istio-system}}
spec: {{match: 'destination.labels["app"] == "httpbin"', actions: [{{handler: only-anns, instances: [by-team]}}]}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: by-team-count, namespace: istio-system}}
spec: {{compiledTemplate: metric, params: {{value: "1", dimensions: {{team: request.team | "none"}}}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: by-team, namespace: istio-system}}
spec:
  compiledAdapter: prometheus
  params: {{metrics: [{{name: by_team, instanceName: by-team-count, kind: COUNTER, labelNames: [team]}}]}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: by-team, namespace: istio-system}}
spec:
  match: destination.labels["app"] == "httpbin" && context.reporter.kind == "inbound"
  actions: [{{handler: by-team, instances: [by-team-count]}}]
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    require_corpus()
    folder = tmp_path_factory.mktemp("adapters")
    command = f"argosy.io/command: '{sys.executable} {PROGRAMS}/opa_stand_in.py 8181'"
    image = "gcr.io/istio-testing/keyval"
    (folder / "servers.yaml").write_text(
        SERVER.format(name="keyval", image=image, protocol="grpc", port=9070, command="")
        + SERVER.format(name="opa", image="stand/in", protocol="http", port=8181, command=command)
    )
    command = f"argosy.io/command: '{sys.executable} {PROGRAMS}/report_adapter.py 9071'"
    with (folder / "servers.yaml").open("a") as more:
        more.write(SERVER.format(name="reports", image="stand/in", protocol="grpc", port=9071, command=command))
    (folder / "gateway.yaml").write_text(GATEWAY)
    files = [EXAMPLES / "httpbin" / "httpbin.yaml", EXAMPLES / "sleep" / "sleep.yaml"]
    with running(folder / "mesh", *files, folder / "servers.yaml", folder / "gateway.yaml") as one:
        one.apply(POLICY / "keyval-template.yaml", POLICY / "keyval.yaml")
        yield one


def seen(mesh: Mesh, options: str = "") -> dict[str, list[str]]:
    """The headers that the application sees."""
    return dict(json.loads(body(mesh, "sleep", f"{options} {HEADERS}"))["headers"])


def test_a_key_that_is_known_becomes_a_header_and_another_is_not_found(mesh: Mesh) -> None:
    with applied(mesh, KEYVAL + "---" + RULE):
        assert seen(mesh, "-H user:jason")["User-Group"] == ["admin"]
        assert call(mesh, "sleep", HEADERS, f"-H user:ann {HEADERS}") == ["404", "404"]
        told = body(mesh, "sleep", f"-H user:ann {HEADERS}")
        assert told == "NOT_FOUND:keyval.istio-system:ann is not in the table"
    assert "User-Group" not in seen(mesh, "-H user:jason")


def test_at_the_gateway_a_path_is_replaced_and_the_route_chosen_again(mesh: Mesh) -> None:
    url = f"{mesh.gateway()}/headers"
    assert httpx.get(url, headers={"user": "jason"}, timeout=60).status_code == 200
    with applied(mesh, KEYVAL + "---" + REWRITE):
        assert httpx.get(url, headers={"user": "jason"}, timeout=60).status_code == 418


@contextlib.contextmanager
def scaled_to_nothing(mesh: Mesh, name: str) -> Iterator[None]:
    mesh.cli("scale", f"deploy/{name}", "0", "-n", "istio-system")
    wait_for(lambda: not mesh.pods(name), 60, f"no pod of {name}")
    try:
        yield
    finally:
        mesh.cli("scale", f"deploy/{name}", "1", "-n", "istio-system")
        mesh.wait_pods()


def test_an_adapter_that_is_away_refuses_what_is_asked_about_and_nothing_else(mesh: Mesh) -> None:
    """Until it is back: nothing was set to let requests pass."""
    with applied(mesh, KEYVAL + "---" + RULE):
        assert call(mesh, "sleep", f"-H user:jason {HEADERS}") == ["200"]
        with scaled_to_nothing(mesh, "keyval"):
            # Answers hold for five seconds.
            wait_for(lambda: call(mesh, "sleep", f"-H user:jason {HEADERS}") == ["503"], 60, "no decision")
            assert call(mesh, "sleep", "http://opa.istio-system:8181/v1/policies/x") == ["404"]
            wait_for(lambda: "ARG0934" in mesh.cli("analyze", check=False).stdout, 60, "the finding")
        wait_for(lambda: call(mesh, "sleep", f"-H user:jason {HEADERS}") == ["200"], 60, "the adapter is asked again")


def test_a_rule_in_rego_is_asked_of_the_server(mesh: Mesh) -> None:
    """A stand-in for OPA, which cannot be had here, speaks its REST API."""
    with applied(mesh, OPA):
        assert call(mesh, "sleep", HEADERS, "-X POST http://httpbin:8000/post") == ["200", "403"]
        told = body(mesh, "sleep", "-X POST http://httpbin:8000/post")
        assert told == "PERMISSION_DENIED:rego.istio-system:opa: request was rejected"
        with scaled_to_nothing(mesh, "opa"):
            wait_for(lambda: call(mesh, "sleep", HEADERS) == ["403"], 60, "failClose")
        # A new server has no policies yet.
        wait_for(lambda: call(mesh, "sleep", HEADERS) == ["200"], 60, "the policies are there again")
        assert call(mesh, "sleep", "-X POST http://httpbin:8000/post") == ["403"]


def test_an_adapter_keeps_the_budgets(mesh: Mesh) -> None:
    with applied(mesh, QUOTAS):
        for user in ("jason", "ann"):
            assert call(mesh, "sleep", *[f"-H user:{user} {HEADERS}"] * 3) == ["200", "200", "429"]
        assert body(mesh, "sleep", f"-H user:ann {HEADERS}").startswith("RESOURCE_EXHAUSTED:")
    assert call(mesh, "sleep", f"-H user:ann {HEADERS}") == ["200"]


PROMETHEUS = """
apiVersion: v1
kind: Service
metadata: {name: prometheusadapter, namespace: istio-system}
spec: {selector: {app: reports}, ports: [{name: grpc, port: 8080, targetPort: 9071}]}
"""


def test_metrics_go_to_an_adapter_as_the_sample_says(mesh: Mesh) -> None:
    """`prometheus-oop-rule.yaml`, unchanged: both sides of each request, with what the sample asks for.

    Before other tests have reports: what a proxy still has to tell is judged by the rules of when it comes.
    """

    def counted() -> list[dict[str, object]]:
        lines = mesh.cli("logs", "deploy/reports", "-n", "istio-system").stdout.splitlines()
        found = [json.loads(line.removeprefix("counted ")) for line in lines if line.startswith("counted ")]
        return [one for one in found if one["destination_app"] == "httpbin" and one["source_app"] == "sleep"]

    with applied(mesh, PROMETHEUS + "---\n" + metric_documents("istio-system"), BOOKINFO / "prometheus-oop-rule.yaml"):
        assert call(mesh, "sleep", *[f"http://httpbin:8000/anything/{n}" for n in range(10)]) == ["200"] * 10
        wait_for(lambda: len(counted()) >= 20, 60, "all are told, by both sides")
        found = counted()
    assert Counter(str(one["reporter"]) for one in found) == {"source": 10, "destination": 10}
    expected = {
        "value": 1,
        "source_workload": "sleep",
        "destination_workload": "httpbin",
        "destination_service": "httpbin.default.svc.cluster.local",
        "request_protocol": "http",
        "response_code": 200,
        "response_flags": "-",
        "permissive_response_code": "none",
    }
    assert all(expected.items() <= one.items() for one in found)
    security = {(one["reporter"], one["connection_security_policy"]) for one in found}
    assert security == {("source", "unknown"), ("destination", "mutual_tls")}


def test_reports_go_to_an_adapter_and_one_that_is_away_holds_nobody_up(mesh: Mesh) -> None:
    paths = [f"http://httpbin:8000/anything/{n}" for n in range(20)]
    with applied(mesh, REPORTS):
        assert call(mesh, "sleep", *paths) == ["200"] * 20

        def told() -> list[str]:
            lines = mesh.cli("logs", "deploy/reports", "-n", "istio-system").stdout.splitlines()
            return sorted(line for line in lines if line.startswith("told "))

        wait_for(lambda: len(told()) >= 20, 60, "all are told")
        assert told() == sorted(f"told /anything/{n}" for n in range(20))
        with scaled_to_nothing(mesh, "reports"):
            assert call(mesh, "sleep", *paths) == ["200"] * 20


def test_an_adapter_says_attributes_that_checks_and_reports_speak_of(mesh: Mesh) -> None:
    with applied(mesh, TEAMS):
        wait_for(lambda: call(mesh, "sleep", f"-A zoe {HEADERS}") == ["403"], 60, "an adapter that answers")
        ask = [f"-A {user} {HEADERS}" for user in ("ann", "bob", "ann")]
        assert call(mesh, "sleep", *ask) == ["200", "403", "200"]
        wait_for(lambda: mesh.count("istio_by_team", team="anns") == 2, 60, "reports of anns")
        wait_for(lambda: mesh.count("istio_by_team", team="bobs") == 1, 60, "the report of a request that was refused")
    assert call(mesh, "sleep", f"-A bob {HEADERS}") == ["200"]
