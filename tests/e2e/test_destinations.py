"""DestinationRule, ServiceEntry and Gateway TLS do what they say, on a real mesh."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

LEGACY = """
apiVersion: v1
kind: Namespace
metadata: {name: legacy, labels: {istio-injection: disabled}}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: legacy}
spec:
  selector: {app: outside}
  ports: [{name: http, port: 8000, targetPort: 8080}, {name: tcp, port: 9000}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: outside, namespace: legacy}
spec:
  selector: {matchLabels: {app: outside}}
  template:
    metadata: {labels: {app: outside}}
    spec:
      containers:
      - {name: httpbin, image: argosy/go-httpbin, ports: [{containerPort: 8080}]}
      - {name: echo, image: argosy/tcp-echo, args: ["9000", far], ports: [{containerPort: 9000}]}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    home = tmp_path_factory.mktemp("destinations")
    (home / "legacy.yaml").write_text(LEGACY)
    files = [EXAMPLES / "httpbin/httpbin.yaml", EXAMPLES / "sleep/sleep.yaml", EXAMPLES / "helloworld/helloworld.yaml"]
    with running(home / "mesh", *files, home / "legacy.yaml") as found:
        yield found


@pytest.fixture
def applied(mesh: Mesh) -> Iterator[list[str]]:
    """Texts that a test applied; deleted again after it."""
    texts: list[str] = []
    yield texts
    for text in reversed(texts):
        mesh.delete(text)


def curl(mesh: Mesh, *arguments: str, workload: str = "sleep") -> str:
    """What curl in a pod prints."""
    return mesh.exec(workload, "curl", "-s", "--max-time", "60", *arguments, check=False).stdout


def codes(mesh: Mesh, url: str, count: int, *arguments: str) -> Counter[str]:
    """Status codes of `count` requests, sent in one run of curl."""
    text = curl(mesh, "-o", "/dev/null", "-w", "%{http_code}\n", *arguments, f"{url}?n=[1-{count}]")
    return Counter(text.split())


def rule(host: str, policy: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: under-test}}
spec:
  host: {host}
  trafficPolicy: {policy}
"""


def test_requests_with_one_header_value_always_reach_one_pod(mesh: Mesh, applied: list[str]) -> None:
    mesh.cli("scale", "deploy/helloworld-v1", "3")
    mesh.wait_pods()
    url = "http://helloworld:5000/hello"
    applied.append(rule("helloworld", "{loadBalancer: {consistentHash: {httpHeaderName: x-user}}}"))
    mesh.apply(applied[0])
    for user in ("ann", "bob", "cid"):
        answers = set(curl(mesh, "-H", f"x-user: {user}", f"{url}?n=[1-15]").splitlines())
        assert len(answers) == 1, (user, answers)
    spread = set(curl(mesh, f"{url}?n=[1-40]").splitlines())
    assert len(spread) > 1, "without the header requests are spread"


def test_clients_upgrade_to_http2_and_the_application_does_not_notice(mesh: Mesh, applied: list[str]) -> None:
    """Its sidecar used to call it in HTTP/2 as well, which it does not speak."""
    rule = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin}
spec: {host: httpbin, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}}
"""
    mesh.apply(rule)
    applied.append(rule)
    answer = mesh.exec(
        "sleep", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://httpbin:8000/get?upgraded"
    )
    assert answer.stdout == "200"

    def logged() -> list[str]:
        text = mesh.cli("logs", "deploy/httpbin", "-c", "istio-proxy").stdout
        return [line for line in text.splitlines() if "/get?upgraded" in line]

    (line,) = wait_for(logged, 60, "the request in the server's log")
    assert "HTTP/2" in line


def test_a_full_pool_refuses_at_once(mesh: Mesh, applied: list[str]) -> None:
    pool = "{connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}}"
    applied.append(rule("httpbin", pool))
    mesh.apply(applied[0])
    text = curl(mesh, "-Z", "--parallel-immediate", "--parallel-max", "8", "-o", "/dev/null",
                "-w", "%{http_code}\n", "http://httpbin:8000/delay/3?n=[1-8]")  # fmt: skip
    found = Counter(text.split())
    assert found["503"] >= 4, found
    assert found["200"] >= 1, found


def test_a_failing_endpoint_is_ejected(mesh: Mesh, applied: list[str]) -> None:
    limits = "maxEjectionPercent: 100, minHealthPercent: 0"
    outliers = f"{{outlierDetection: {{consecutive5xxErrors: 2, interval: 0.1s, baseEjectionTime: 60s, {limits}}}}}"
    applied.append(rule("httpbin", outliers))
    mesh.apply(applied[0])
    assert codes(mesh, "http://httpbin:8000/status/500", 3)["500"] >= 2
    url = "http://httpbin:8000/status/200"
    wait_for(lambda: codes(mesh, url, 3) == {"503": 3}, 60, "the only endpoint is ejected, so there is no healthy one")


def test_tls_disable_sends_plaintext_and_strict_refuses_it(mesh: Mesh, applied: list[str]) -> None:
    url = "http://httpbin:8000/headers"
    assert "X-Forwarded-Client-Cert" in curl(mesh, url), "automatic mTLS tells the application who called"
    applied.append(rule("httpbin", "{tls: {mode: DISABLE}}"))
    mesh.apply(applied[0])
    assert "X-Forwarded-Client-Cert" not in curl(mesh, url)
    applied.append(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\n"
        "spec: {mtls: {mode: STRICT}}\n"
    )
    mesh.apply(applied[1])
    # A connection that stands is ended with the next answer on it; no new one is taken.
    codes(mesh, url, 1)
    assert codes(mesh, url, 3) == {"503": 3}


@pytest.mark.parametrize("resolution", ["STATIC", "DNS"])
def test_a_service_entry_names_a_host_outside(mesh: Mesh, applied: list[str], resolution: str) -> None:
    (pod,) = mesh.pods("outside")
    address = pod["status"]["podIP"] if resolution == "STATIC" else "outside.legacy.svc.cluster.local"
    host = f"{resolution.lower()}.example.com"
    port = 8080 if resolution == "STATIC" else 8000
    applied.append(f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: outside-{resolution.lower()}}}
spec:
  hosts: [{host}]
  location: MESH_EXTERNAL
  resolution: {resolution}
  ports:
  - {{number: 80, name: http, protocol: HTTP, targetPort: {port}}}
  - {{number: 9000, name: tcp, protocol: TCP}}
  endpoints: [{{address: {address}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: outside-{resolution.lower()}}}
spec:
  hosts: [{host}]
  http:
  - match: [{{uri: {{prefix: /delay}}}}]
    timeout: 0.5s
    route: [{{destination: {{host: {host}}}}}]
  - route: [{{destination: {{host: {host}}}}}]
""")
    mesh.apply(applied[0])
    # A name is looked up once the cluster is there.
    wait_for(lambda: codes(mesh, f"http://{host}/status/204", 3) == {"204": 3}, 60, "the host outside answers")
    assert codes(mesh, f"http://{host}/delay/3", 1) == {"504": 1}, "the rule's timeout holds for the host outside"
    script = f"import socket; s = socket.create_connection(('{host}', 9000), 60); s.sendall(b'x\\n'); print(s.recv(99))"
    assert "far x" in mesh.exec("sleep", "python3", "-c", script).stdout


def test_a_host_that_nobody_declares_is_passed_through(mesh: Mesh) -> None:
    (pod,) = mesh.pods("outside")
    assert codes(mesh, f"http://{pod['status']['podIP']}:8080/status/204", 1) == {"204": 1}


def test_a_gateway_ends_tls_by_server_name_and_takes_a_new_certificate(mesh: Mesh, tmp_path: Path) -> None:
    for name in ("one", "two"):
        _make_certificate(tmp_path, name)
    mesh.apply(_gateway(tmp_path, "one"))
    assert _https(mesh, tmp_path / "one.pem") == 200
    with pytest.raises(subprocess.CalledProcessError):
        _https(mesh, tmp_path / "two.pem")
    mesh.apply(_gateway(tmp_path, "two"))
    assert _https(mesh, tmp_path / "two.pem") == 200
    with pytest.raises(subprocess.CalledProcessError):
        _https(mesh, tmp_path / "one.pem")
    mesh.delete(_gateway(tmp_path, "two"))


def _make_certificate(folder: Path, name: str) -> None:
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=httpbin.example.com",
    ]
    command += ["-addext", "subjectAltName=DNS:httpbin.example.com"]
    subprocess.run(
        [*command, "-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")],
        check=True,
        capture_output=True,
    )
    ssl.create_default_context(cafile=str(folder / f"{name}.pem"))


def _gateway(folder: Path, name: str) -> str:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "httpbin-cert", "namespace": "istio-system"},
        "type": "kubernetes.io/tls",
        "stringData": {
            "tls.crt": (folder / f"{name}.pem").read_text(),
            "tls.key": (folder / f"{name}.key").read_text(),
        },
    }
    return f"""{json.dumps(secret)}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: secure}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 443, name: https, protocol: HTTPS}}
    hosts: [httpbin.example.com]
    tls: {{mode: SIMPLE, credentialName: httpbin-cert}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: secure}}
spec:
  hosts: [httpbin.example.com]
  gateways: [secure]
  http:
  - match: [{{uri: {{prefix: /status}}}}]
    route: [{{destination: {{host: httpbin, port: {{number: 8000}}}}}}]
"""


def _https(mesh: Mesh, root: Path) -> int:
    port = mesh.host_port(8443)
    done = subprocess.run(
        ["curl", "-s", "--cacert", str(root), "--resolve", f"httpbin.example.com:{port}:127.0.0.1", "-o", "/dev/null",
         "-w", "%{http_code}", f"https://httpbin.example.com:{port}/status/200"],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return int(done.stdout)
