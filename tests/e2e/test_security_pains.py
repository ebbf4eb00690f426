"""What users of meshes suffer from when they turn STRICT on: probes and metrics have no identity of their own."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.calls import applied, body, call, in_pod
from tests.e2e.harness import Mesh, is_ready, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PROGRAM = f"{sys.executable} {Path(__file__).with_name('probed.py')}"
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
"""
CALLERS = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, sidecar.istio.io/inject: "{inject}"}}}}
    spec: {{containers: [{{name: sh, image: argosy/curl, command: [/bin/sleep, infinity]}}]}}
---
"""
# Once a second; a machine that is busy for longer than that is not ill.
OFTEN = "periodSeconds: 1, failureThreshold: 1, timeoutSeconds: 20"
PROBED = f"""
apiVersion: v1
kind: Service
metadata: {{{{name: {{name}}}}}}
spec: {{{{selector: {{{{app: {{name}}}}}}, ports: [{{{{name: http2, port: 80, targetPort: 8080}}}}]}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{{{name: {{name}}}}}}
spec:
  selector: {{{{matchLabels: {{{{app: {{name}}}}}}}}}}
  template:
    metadata:
      labels: {{{{app: {{name}}}}}}
      annotations:
        argosy.io/command.web: "{PROGRAM} h2c 8080"
        argosy.io/command.health: "{PROGRAM} grpc 9000 shop.Cart"
        argosy.io/command.metrics: "{PROGRAM} metrics 9090"
    spec:
      containers:
      - name: web
        image: example/web
        ports: [{{{{containerPort: 8080}}}}]
        readinessProbe: {{{{httpGet: {{{{port: 8080, path: {{path}}}}}}, {OFTEN}}}}}
      - name: health
        image: example/health
        ports: [{{{{containerPort: 9000}}}}]
        readinessProbe: {{{{grpc: {{{{port: 9000, service: {{service}}}}}}, {OFTEN}}}}}
      - name: metrics
        image: example/metrics
        ports: [{{{{containerPort: 9090}}}}]
        readinessProbe: {{{{tcpSocket: {{{{port: 9090}}}}, {OFTEN}}}}}
      - name: file
        image: argosy/curl
        command: [/bin/sleep, infinity]
        readinessProbe: {{{{exec: {{{{command: [test, "!", -f, /tmp/down]}}}}, {OFTEN}}}}}
---
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("pains")
    text = PROBED.format(name="shop", path="/healthz", service="shop.Cart")
    callers = {"inside": "true", "plain": "false"}
    text += "".join(CALLERS.format(name=name, inject=inject) for name, inject in callers.items())
    (folder / "pods.yaml").write_text(STRICT + METRICS_SERVICE + text)
    with running(folder / "mesh", folder / "pods.yaml") as found:
        yield found


def ready(mesh: Mesh, workload: str) -> bool:
    return all(is_ready(pod) for pod in mesh.pods(workload)) and bool(mesh.pods(workload))


# -- F3: probes -----------------------------------------------------------------------------------------------------


def test_every_kind_of_probe_of_every_container_works_under_strict(mesh: Mesh) -> None:
    """HTTP/2 only, gRPC's health service, a port, a command: the pod is ready, and no plaintext is let in for it."""
    mesh.wait_pods()
    assert call(mesh, "inside", "http://shop/healthz") == ["200"]
    assert call(mesh, "plain", "--http2-prior-knowledge http://shop/healthz", "http://shop/healthz") == ["000"] * 2
    in_pod(mesh, "shop", "touch", "/tmp/down")
    wait_for(lambda: not ready(mesh, "shop"), 60, "the command's probe fails")
    assert "readiness probe of file failed" in mesh.cli("ps", "-o", "json").stdout
    in_pod(mesh, "shop", "rm", "/tmp/down")
    wait_for(lambda: ready(mesh, "shop"), 60, "ready again")


def test_a_wrong_probe_fails(mesh: Mesh) -> None:
    """Each is made from a right one by one word, and a right one that is started after them is ready before them."""
    wrong = {"wrong-path": ("/wrong", "shop.Cart"), "wrong-service": ("/healthz", "shop.Wrong")}
    objects = [PROBED.format(name=name, path=path, service=service) for name, (path, service) in wrong.items()]
    right = PROBED.format(name="right", path="/healthz", service="shop.Cart")
    with applied(mesh, *objects):
        wait_for(lambda: all(serves(mesh, name) for name in wrong), 60, "their programs answer within the pods")
        with applied(mesh, right):
            wait_for(lambda: ready(mesh, "right"), 60, "the right one is ready")
            assert [name for name in wrong if ready(mesh, name)] == []
    wait_for(lambda: not any(mesh.pods(name) for name in (*wrong, "right")), 60, "they are gone")


def serves(mesh: Mesh, workload: str) -> bool:
    """True if a pod's own program says what a right probe would see."""
    for pod in mesh.pods(workload):
        script = "curl -s -m 60 --http2-prior-knowledge -o /dev/null -w '%{http_code}'"
        address = pod["status"].get("podIP", "")
        # The pod has an address before it runs, and then nobody can look inside.
        with contextlib.suppress(OSError):
            return (
                address != "" and in_pod(mesh, workload, "sh", "-c", f"{script} http://{address}:8080/healthz") == "200"
            )
    return False


# -- F2: metrics ----------------------------------------------------------------------------------------------------

METRICS_SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: shop-metrics}
spec: {clusterIP: None, selector: {app: shop}, ports: [{name: http-metrics, port: 9090}]}
---
"""
METRICS_PORT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: shop-metrics}
spec:
  selector: {matchLabels: {app: shop}}
  mtls: {mode: STRICT}
  portLevelMtls: {9090: {mode: PERMISSIVE}}
"""
ONLY_METRICS = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: shop-metrics}
spec:
  selector: {matchLabels: {app: shop}}
  action: DENY
  rules:
  - from: [{source: {notPrincipals: ["*"]}}]
    to: [{operation: {ports: ["9090"], notPaths: [/metrics]}}]
  - from: [{source: {notPrincipals: ["*"]}}]
    to: [{operation: {ports: ["9090"], notMethods: [GET]}}]
"""


def test_a_scraper_with_a_sidecar_reads_metrics_under_strict_and_one_without_does_not(mesh: Mesh) -> None:
    """By the address of each pod, as Prometheus does; a headless Service tells the scraper's sidecar who listens."""
    url = f"http://{mesh.pods('shop')[0]['status']['podIP']}:9090/metrics"
    assert "app_jobs_total 7" in body(mesh, "inside", url)
    assert call(mesh, "plain", url) == ["000"]


def test_one_port_is_opened_for_a_scraper_without_identity_and_nothing_else(mesh: Mesh) -> None:
    address = mesh.pods("shop")[0]["status"]["podIP"]
    url = f"http://{address}:9090/metrics"
    with applied(mesh, METRICS_PORT):
        assert "app_jobs_total 7" in body(mesh, "plain", url)
        assert "app_jobs_total 7" in body(mesh, "inside", url)
        assert call(mesh, "plain", "--http2-prior-knowledge http://shop/healthz") == ["000"]
        # Who has no identity may read the page, and nothing else of the port.
        with applied(mesh, ONLY_METRICS):
            asked = (url, f"-X POST {url}", f"http://{address}:9090/debug")
            assert call(mesh, "plain", *asked) == ["200", "403", "403"]
            assert call(mesh, "inside", *asked) == ["200"] * 3
    assert call(mesh, "plain", url) == ["000"]


def test_the_mesh_itself_needs_no_scraper_in_pods(mesh: Mesh) -> None:
    """Sidecars push what they count: it stands at the console, whatever the mode."""
    before = mesh.count(reporter="destination", destination_workload="shop", source_workload="inside")
    assert call(mesh, "inside", "http://shop/healthz") == ["200"]
    wait_for(
        lambda: mesh.count(reporter="destination", destination_workload="shop", source_workload="inside") > before,
        60,
        "counted by the server's sidecar",
    )
