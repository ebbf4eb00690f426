import json
from dataclasses import replace

import pytest
from tests.unit.local.objects import deployment, wish

from argosy.agent.pod import PodPlan, Probe, Role
from argosy.local.plans import Planner

PLANNER = Planner("node-1")


def plan(wished, labels=None):
    made = PLANNER.plan(wished, name="cart-1", ip="10.88.0.7", namespace_labels=labels)
    assert isinstance(made, PodPlan), made
    return made


def test_a_plan_is_complete():
    made = plan(deployment())
    assert (made.role, made.owner, made.node_id.split("~")[0]) == (Role.SIDECAR, "cart", "sidecar")
    assert made.containers[0].argv[1:] == ("-m", "argosy.samples.httpbin", "80")
    assert [p.port for p in made.containers[0].ports] == [80]


def test_a_namespace_can_switch_injection_off():
    assert plan(deployment(), {"istio-injection": "disabled"}).role is Role.NONE


@pytest.mark.parametrize(
    "annotations, namespace, answer",
    [
        ({}, {"istio-injection": "enabled"}, True),
        ({}, {"istio-injection": "disabled"}, False),
        ({"inject.istio.io/templates": "gateway"}, {"istio-injection": "enabled"}, False),
        ({"traffic.sidecar.istio.io/includeInboundPorts": "*"}, {"istio-injection": "enabled"}, True),
        ({"traffic.sidecar.istio.io/includeInboundPorts": "80"}, {"istio-injection": "enabled"}, False),
        ({"traffic.sidecar.istio.io/includeInboundPorts": ""}, {"istio-injection": "enabled"}, False),
        ({"traffic.sidecar.istio.io/excludeInboundPorts": "22"}, {"istio-injection": "enabled"}, False),
    ],
)
def test_whether_a_sidecar_takes_all_that_comes(annotations, namespace, answer):
    metadata = {"labels": {"app": "a"}, "annotations": annotations}
    spec = {"template": {"metadata": metadata, "spec": {"containers": [{"name": "app", "image": "argosy/curl"}]}}}
    meta = {"name": "a", "namespace": "shop"}
    text = json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})
    assert PLANNER.captures_all(wish(text), namespace) is answer


def test_environment_takes_fields_of_the_pod_and_earlier_variables():
    made = plan(
        wish("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  template:
    metadata: {labels: {app: cart}}
    spec:
      serviceAccountName: carter
      containers:
      - name: app
        image: httpbin
        env:
        - {name: A, value: one}
        - {name: B, value: "$(A)-two"}
        - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: NS, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
        - {name: SA, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
        - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
        - {name: WHAT, valueFrom: {fieldRef: {fieldPath: status.unheardOf}}}
""")
    )
    env = dict(made.containers[0].env)
    wanted = {"A": "one", "B": "one-two", "IP": "10.88.0.7", "NS": "shop", "SA": "carter", "APP": "cart", "WHAT": ""}
    assert wanted.items() <= env.items()
    assert made.service_account == "carter"


def test_probes_resolve_named_ports():
    text = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  template:
    spec:
      containers:
      - name: app
        image: httpbin
        ports: [{containerPort: 8080, name: web}]
        readinessProbe: {httpGet: {path: /healthy, port: PORT}, periodSeconds: 3, failureThreshold: 2}
"""
    made = plan(wish(text.replace("PORT", "web")))
    assert made.containers[0].probe == Probe(8080, "/healthy", period_s=3.0, failures_max=2)
    (finding,) = PLANNER.plan(wish(text.replace("PORT", "nope")), name="x", ip="i", namespace_labels=None)
    assert "nope" in finding.message


def test_every_kind_of_probe_is_planned():
    text = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  template:
    spec:
      containers:
      - {name: app, image: httpbin, ports: [{containerPort: 8080, name: web}], readinessProbe: PROBE}
"""

    def planned(probe):
        return plan(wish(text.replace("PROBE", probe))).containers[0].probe

    assert planned("{grpc: {port: 9}}") == Probe(9, grpc="", period_s=10.0)
    assert planned("{grpc: {port: 9, service: a.B}, timeoutSeconds: 4}") == Probe(
        9, grpc="a.B", period_s=10.0, timeout_s=4.0
    )
    assert planned("{exec: {command: [test, -f, /tmp/up]}, successThreshold: 2}") == Probe(
        command=("test", "-f", "/tmp/up"), period_s=10.0, successes_min=2
    )
    assert planned("{tcpSocket: {port: web}}") == Probe(8080, period_s=10.0)
    secure = "{httpGet: {port: web, path: /up, scheme: HTTPS, httpHeaders: [{name: Host, value: shop}]}}"
    assert planned(secure) == Probe(8080, "/up", (("Host", "shop"),), tls=True, period_s=10.0)
    assert planned("null") is None


def test_all_problems_of_a_template_are_found_at_once_and_name_it():
    bad = deployment(image="corp/unknown", annotations='{traffic.sidecar.istio.io/excludeInboundPorts: "x"}')
    findings = PLANNER.plan(bad, name="x", ip="i", namespace_labels=None)
    assert [(f.kind, f.namespace, f.name) for f in findings] == [("Deployment", "shop", "cart")] * 2


def test_a_gateway_has_no_program():
    gateway = deployment(image="auto", annotations="{inject.istio.io/templates: gateway}")
    container = replace_container(gateway, "istio-proxy")
    made = plan(container)
    assert (made.role, made.containers) == (Role.ROUTER, ())


def replace_container(wished, name):
    text = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: gw, namespace: istio-system}}
spec:
  template:
    metadata: {{annotations: {{inject.istio.io/templates: gateway}}}}
    spec: {{containers: [{{name: {name}, image: auto}}]}}
"""
    return wish(text)


def test_a_bare_pod_has_no_owner():
    assert plan(replace(deployment(), bare=True)).owner == ""
