"""WorkloadEntry and WorkloadGroup."""

from __future__ import annotations

from tests.fields.cases import Case

ENTRY = "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm, annotations: {%s}}\nspec: "
GROUP = "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nmetadata: {name: vms}\nspec: "
SERVICE = """---
apiVersion: v1
kind: Service
metadata: {name: vm}
spec: {selector: {app: vm}, clusterIP: 10.96.9.9, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: eject}
spec: {host: vm, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 1}}}
"""
CLUSTER = "Cluster/outbound|80||vm.default.svc.cluster.local"
ENDPOINTS = "Endpoints/outbound|80||vm.default.svc.cluster.local*"
MEMBER = "---\n" + ENTRY % "istio.io/autoRegistrationGroup: vms" + "{address: 10.1.1.1}\n"
MTLS = "security.istio.io/tlsMode: istio"


def entry(field: str, spec: str, text: str, resource: str = ENDPOINTS) -> Case:
    objects = f"{ENTRY % ''}{{address: 10.1.1.1, labels: {{app: vm, {MTLS}}}, {spec}}}\n{SERVICE}"
    return Case("WorkloadEntry", (field,), objects, resource, text)


def template(field: str, spec: str, text: str, resource: str = ENDPOINTS) -> Case:
    objects = f"{GROUP}{{template: {{labels: {{app: vm, {MTLS}}}, {spec}}}}}\n{MEMBER}{SERVICE}"
    return Case("WorkloadGroup", (f"template.{field}",), objects, resource, text)


FIELDS = (
    ("ports", "ports: {http: 8088}", '"port_value":8088', ENDPOINTS),
    ("weight", "weight: 17", '"load_balancing_weight":17', ENDPOINTS),
    ("locality", "locality: region7/zone7", '"region":"region7"', ENDPOINTS),
    ("serviceAccount", "serviceAccount: robot", "sa/robot", CLUSTER),
    ("labels", "weight: 1", "10.1.1.1", ENDPOINTS),
)
PROBES = "tests/fields/test_probes.py::test_a_field_of_a_probe_decides"
PROBE_FIELDS = (
    "httpGet.port",
    "httpGet.path",
    "httpGet.host",
    "httpGet.scheme",
    "httpGet.httpHeaders[].name",
    "httpGet.httpHeaders[].value",
    "tcpSocket.port",
    "tcpSocket.host",
    "grpc.port",
    "grpc.service",
    "initialDelaySeconds",
    "periodSeconds",
    "timeoutSeconds",
    "successThreshold",
    "failureThreshold",
)

CASES: list[Case] = [
    entry("address", "weight: 1", "10.1.1.1"),
    *[entry(*one) for one in FIELDS],
    *[template(*one) for one in FIELDS],
    Case("WorkloadEntry", ("network",), f"{ENTRY % ''}{{address: 10.1.1.1, network: far}}", refused="one network"),
    Case(
        "WorkloadGroup",
        ("metadata.annotations",),
        f"{GROUP}{{metadata: {{annotations: {{a: b}}}}, template: {{}}}}",
        refused="a WorkloadEntry has its own; nothing reads those of a group",
    ),
    Case(
        "WorkloadGroup",
        ("template.address",),
        f"{GROUP}{{template: {{address: 10.1.1.1}}}}",
        refused="the address belongs to each workload",
    ),
    Case("WorkloadGroup", ("template.network",), f"{GROUP}{{template: {{network: far}}}}", refused="one network"),
    Case(
        "WorkloadGroup",
        ("probe",),
        f"{GROUP}{{template: {{labels: {{app: vm}}}}, probe: {{tcpSocket: {{port: 80}}}}}}\n{MEMBER}{SERVICE}",
        ENDPOINTS,
        "!10.1.1.1",
    ),
    *[Case("WorkloadGroup", (f"probe.{one}",), node=f"{PROBES}[{one}]") for one in PROBE_FIELDS],
    Case(
        "WorkloadGroup",
        ("probe.exec", "probe.exec.command"),
        f"{GROUP}{{template: {{}}, probe: {{exec: {{command: [check]}}}}}}",
        refused="a command would have to run on the workload's machine, where nothing of Argosy's is",
    ),
    Case(
        "WorkloadGroup",
        ("metadata.labels",),
        f"{GROUP}{{metadata: {{labels: {{app: vm}}}}, template: {{}}}}\n{MEMBER}{SERVICE}",
        ENDPOINTS,
        "10.1.1.1",
    ),
]
