"""Pods that are scraped: by whom they allow, with their applications' metrics; and a Prometheus in the mesh that does.

One mesh. Prometheus is the real one, with the file of `examples/prometheus`, behind the ingress gateway.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.e2e.calls import applied, body, call, in_pod
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for
from tests.e2e.prometheus import PACE, Prometheus, require_prometheus
from tests.e2e.test_metrics import telemetry

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

HOST = "prometheus.example.com"
# An application that counts for itself, once open to those who scrape and once hardened.
APPLICATIONS = "".join(
    f"""---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8000}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "8000"
        prometheus.io/path: /own/metrics
{more}    spec:
      containers:
      - name: app
        image: argosy/curl
        command:
        - python3
        - -c
        - |
          import http.server
          class Handler(http.server.BaseHTTPRequestHandler):
              def do_GET(self):
                  self.send_response(200)
                  self.end_headers()
                  self.wfile.write(b"orders_total 41\\n" if self.path == "/own/metrics" else b"hello\\n")
          http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
        ports: [{{containerPort: 8000}}]
"""
    for name, more in (
        ("open", ""),
        (
            "hardened",
            """        prometheus.istio.io/secure-port: "15092"
        proxy.istio.io/config: |
          proxyMetadata:
            ENVOY_SECURE_METRICS_PORT: "15091"
            ENVOY_SECURE_MERGED_METRICS_PORT: "15092"
            METRICS_LOCALHOST_ACCESS_ONLY: "true"
""",
        ),
    )
)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    require_prometheus()
    home = tmp_path_factory.mktemp("scraping")
    (home / "applications.yaml").write_text(APPLICATIONS)
    shipped = (EXAMPLES / "prometheus" / "in-mesh.yaml").read_text()
    assert "15s" in shipped
    (home / "prometheus.yaml").write_text(shipped.replace("15s", PACE))
    files = [home / "applications.yaml", home / "prometheus.yaml", EXAMPLES / "sleep" / "sleep.yaml"]
    with running(home / "mesh", *files) as found:
        yield found


@pytest.fixture(scope="module")
def prometheus(mesh: Mesh) -> Iterator[Prometheus]:
    """Through the gateway, by its host."""
    found = Prometheus(mesh.gateway(), host=HOST)
    wait_for(found.ready, 60, "prometheus answers through the gateway")
    yield found
    found.close()


def address(mesh: Mesh, workload: str) -> str:
    """The address of a workload's pod."""
    return str(mesh.pods(workload)[0]["status"]["podIP"])


def page(mesh: Mesh, workload: str, port: int) -> str:
    """What the pod of `prometheus`, whose sidecar takes no calls to pods, is told there."""
    return body(mesh, "prometheus", f"http://{address(mesh, workload)}:{port}/stats/prometheus")


def requests(text: str) -> list[tuple[dict[str, str], float]]:
    """The series of `istio_requests_total` on a page."""
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("istio_requests_total{")]
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)) for labels, _, value in lines]


def test_a_pod_tells_its_own_metrics_with_istios_labels_and_telemetrys_tags(mesh: Mesh) -> None:
    tags = """
    - match: {metric: REQUEST_COUNT}
      tagOverrides:
        request_host: {value: request.host}
        destination_port: {value: string(destination.port)}
"""
    with applied(mesh, telemetry("tags", tags)):
        assert set(call(mesh, "sleep", *["http://open/"] * 5)) == {"200"}

        def told() -> list[tuple[dict[str, str], float]]:
            found = requests(page(mesh, "open", 15090))
            return [one for one in found if one[0].get("request_host") == "open" and one[1] >= 1]

        ((labels, _),) = wait_for(told, 60, "the calls with their tags")
    assert labels["destination_port"] == "8000"
    ends = {"reporter": "destination", "source_workload": "sleep", "destination_service_name": "open"}
    assert ends.items() <= labels.items()
    assert (labels["source_canonical_service"], labels["connection_security_policy"]) == ("sleep", "mutual_tls")
    text = page(mesh, "open", 15090)
    assert "envoy_server_uptime" in text
    assert "orders_total" not in text
    assert 'call="' not in text
    assert len(re.findall("^# TYPE istio_requests_total ", text, re.MULTILINE)) == 1
    assert set(requests(page(mesh, "sleep", 15090))[0][0]) >= {"reporter", "response_code", "destination_app"}
    # The command that Istio's pages have, in the proxy's own container.
    assert "istio_requests_total{" in body(mesh, "open", "http://localhost:15090/stats/prometheus")


def test_the_applications_metrics_stand_beside_the_proxys(mesh: Mesh) -> None:
    # A page goes without what an application does not tell soon enough.
    text = wait_for(lambda: found if "\norders_total 41\n" in (found := page(mesh, "open", 15020)) else "", 60, "both")
    assert "\nistio_requests_total{" in text
    assert call(mesh, "prometheus", f"http://{address(mesh, 'open')}:15020/healthz/ready") == ["200"]
    assert call(mesh, "prometheus", f"http://{address(mesh, 'open')}:15020/prometheus/targets") == ["404"]


def test_a_hardened_pod_is_scraped_under_mutual_tls_alone(mesh: Mesh) -> None:
    at = address(mesh, "hardened")
    plain = [f"http://{at}:{port}/stats/prometheus" for port in (15020, 15090, 15091, 15092)]
    assert call(mesh, "prometheus", *plain) == ["000"] * 4
    certs = "-k --cert /etc/prom-certs/cert-chain.pem --key /etc/prom-certs/key.pem"
    secure = [f"https://{at}:{port}/stats/prometheus" for port in (15091, 15092)]
    assert call(mesh, "prometheus", *(f"-k {one}" for one in secure)) == ["000"] * 2
    assert call(mesh, "prometheus", *(f"{certs} {one}" for one in secure)) == ["200"] * 2
    own, merged = (lambda one=one: body(mesh, "prometheus", f"{certs} {one}") for one in secure)
    wait_for(lambda: "orders_total" in merged(), 60, "the application's metrics")
    assert "orders_total" not in own()
    inside = lambda: body(mesh, "hardened", "http://127.0.0.1:15020/stats/prometheus")  # noqa: E731
    wait_for(lambda: "orders_total 41" in inside(), 60, "the application's metrics within the pod")
    assert in_pod(mesh, "prometheus", "stat", "-c", "%a", "/etc/prom-certs/key.pem").strip() == "600"


def test_prometheus_in_the_mesh_finds_pods_by_their_annotations(mesh: Mesh, prometheus: Prometheus) -> None:
    """Behind the gateway, by its host."""

    def up() -> dict[str, tuple[str, float]]:
        return {labels["app"]: (labels["job"], value) for labels, value in prometheus.query("up") if "app" in labels}

    wanted = {
        "open": ("kubernetes-pods", 1.0),
        "sleep": ("kubernetes-pods", 1.0),
        "prometheus": ("kubernetes-pods", 1.0),
        "hardened": ("kubernetes-pods-secure", 1.0),
    }
    wait_for(lambda: wanted.items() <= up().items(), 60, f"every pod is scraped: {up()}")

    def orders() -> dict[str, float]:
        return {labels["app"]: value for labels, value in prometheus.query("orders_total")}

    # A scrape goes without what an application does not tell yet.
    wait_for(lambda: orders() == {"open": 41.0, "hardened": 41.0}, 60, "the applications' own metrics")
    assert set(call(mesh, "sleep", *["http://hardened/"] * 7)) == {"200"}
    sums = [
        f'sum(istio_requests_total{{reporter="{side}", destination_service_name="hardened"}})'
        for side in ("source", "destination")
    ]
    wait_for(lambda: [prometheus.number(one) for one in sums] == [7.0, 7.0], 60, "what was sent is counted")
    targets = prometheus.get("targets")["activeTargets"]
    (secure,) = (one for one in targets if one["scrapePool"] == "kubernetes-pods-secure")
    assert secure["scrapeUrl"] == f"https://{address(mesh, 'hardened')}:15092/stats/prometheus"
    assert call(mesh, "sleep", "http://prometheus:9090/-/ready") == ["200"]
