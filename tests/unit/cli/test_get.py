import json

import pytest
import yaml

from argosy.agent.pod import PodPlan

EVERYTHING = """\
apiVersion: v1
kind: Namespace
metadata: {name: prod, labels: {istio-injection: enabled}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [web.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ext}
spec: {hosts: [ext.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict}
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny}
spec: {action: DENY, selector: {matchLabels: {app: web}}, rules: [{to: [{operation: {methods: [GET]}}]}]}
---
apiVersion: v1
kind: Secret
metadata: {name: cert}
stringData: {key: hunter2}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: b}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: refuse}
spec: {compiledAdapter: denier, params: {status: {code: 7, message: denied}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: nothing}
spec: {compiledTemplate: checknothing}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: deny}
spec: {match: 'destination.labels["app"] == "web"', actions: [{handler: refuse, instances: [nothing]}]}
"""


@pytest.mark.parametrize(
    "kind, cells",
    [
        ("ns", ["prod", "enabled"]),
        ("dr", ["web", "web", "v1,v2"]),
        ("gw", ["web", "istio=ingressgateway", "80/HTTP", "web.example.com"]),
        ("pa", ["strict", "STRICT", "<none>"]),
        ("ap", ["deny", "DENY", "app=web", "1"]),
        ("secret", ["cert", "Opaque", "key"]),
        ("cm", ["settings", "a"]),
        ("handler", ["refuse", "denier"]),
        ("instance", ["nothing", "checknothing"]),
    ],
)
def test_each_kind_has_its_columns(mesh, kind: str, cells: list[str]):
    mesh.apply(EVERYTHING)
    lines = mesh.run("get", kind).stdout.splitlines()
    assert [line.split() for line in lines[1:]] == [cells]


def test_service_entries_show_the_address_that_was_chosen(mesh):
    mesh.apply(EVERYTHING)
    assert "MESH_EXTERNAL   DNS          240." in mesh.run("get", "se").stdout


def test_rules_of_mixer_show_match_and_handlers(mesh):
    mesh.apply(EVERYTHING)
    assert 'destination.labels["app"] == "web"   refuse' in mesh.run("get", "rules").stdout


def test_services_show_their_virtual_address(mesh, service):
    mesh.apply(service)
    lines = mesh.run("get", "svc", "-o", "wide").stdout.splitlines()
    assert lines[0].split() == ["NAME", "TYPE", "CLUSTER-IP", "PORTS", "SELECTOR", "ORIGIN"]
    assert "10.96." in lines[1]
    assert lines[1].endswith("app=web    <stdin>:1")


def test_deployments_count_their_ready_pods(mesh, deployment, pod: PodPlan):
    mesh.apply(deployment)
    mesh.add_pod(pod)
    assert mesh.run("get", "deploy").stdout.splitlines()[1].split() == ["web-v1", "1/2", "app=web,version=v1"]


@pytest.mark.parametrize(
    "ready, state, counted, status", [(True, "Ready", "2/2", "Running"), (False, "AppStarting", "1/2", "AppStarting")]
)
def test_pods_show_how_many_containers_are_ready(mesh, pod: PodPlan, ready, state, counted, status):
    mesh.add_pod(pod, ready=ready, state=state)
    line = mesh.run("get", "pods").stdout.splitlines()[1]
    assert line.split() == ["web-v1-abc-xyz", counted, status, "0", "10.88.0.5", "here"]


def test_what_names_of_hosts_mean_is_shown_in_full(mesh, route):
    mesh.apply(EVERYTHING)
    mesh.run("apply", "-f", "-", "-n", "prod", input=route)
    full = "web -> web.prod.svc.cluster.local"
    assert full in mesh.run("get", "vs/web", "-n", "prod", "-o", "wide").stdout
    assert full not in mesh.run("get", "vs/web", "-n", "prod").stdout
    assert "web -> web.default.svc.cluster.local" in mesh.run("get", "dr", "-o", "wide").stdout


def test_one_object_as_yaml_and_as_json_is_the_same_document(mesh, route):
    mesh.apply(route)
    as_yaml = yaml.safe_load(mesh.run("get", "vs/web", "-o", "yaml").stdout)
    assert as_yaml == mesh.json("get", "vs", "web")
    assert as_yaml["spec"]["hosts"] == ["web"]


def test_all_objects_as_json_are_a_list(mesh, route):
    mesh.apply(route)
    assert [item["metadata"]["name"] for item in mesh.json("get", "vs")["items"]] == ["web"]


def test_all_namespaces_get_a_column(mesh, service):
    mesh.apply(service)
    mesh.run("apply", "-f", "-", "-n", "prod", input=service)
    lines = mesh.run("get", "svc", "-A").stdout.splitlines()
    assert lines[0].split()[:2] == ["NAMESPACE", "NAME"]
    assert [line.split()[0] for line in lines[1:]] == ["default", "prod"]
    assert len(mesh.run("get", "svc", "-n", "prod").stdout.splitlines()) == 2


def test_nothing_found_is_a_message_not_data(mesh):
    result = mesh.run("get", "svc", "-n", "prod")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no services in namespace prod\n")


def test_values_of_secrets_are_masked(mesh):
    mesh.apply(EVERYTHING)
    text = mesh.run("get", "secret", "cert", "-o", "yaml").stdout
    assert yaml.safe_load(text)["stringData"] == {"key": "***"}


def test_a_missing_object_is_looked_for_in_other_namespaces(mesh, service):
    mesh.apply(service)
    result = mesh.run("get", "svc", "web", "-n", "prod")
    assert result.exit_code == 1
    assert "error ARG0302 Service prod/web: there is no such object" in result.stderr
    assert "hint: there is default/web" in result.stderr


def test_an_unknown_kind_gets_a_suggestion(mesh):
    result = mesh.run("get", "servic")
    assert result.exit_code == 1
    assert "error ARG0006: there is no kind 'servic'" in result.stderr
    assert "hint: did you mean Service?" in result.stderr


def test_two_names_are_a_usage_error(mesh):
    assert mesh.run("get", "vs/web", "web").exit_code == 2


def test_names_with_slashes_find_nothing_instead_of_something_else(mesh):
    result = mesh.run("get", "vs", "../../history")
    assert result.exit_code == 1
    assert json.loads(mesh.run("history", "-o", "json").stdout)["revisions"] == []
