"""What tests of traffic that leaves the mesh share: a mesh in a world of its own, objects, and the proxies' logs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from tests.e2e import outside
from tests.e2e.calls import in_pod
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for

FREE = """---
apiVersion: apps/v1
kind: Deployment
metadata: {name: free}
spec:
  selector: {matchLabels: {app: free}}
  template:
    metadata:
      labels: {app: free}
      annotations: {traffic.sidecar.istio.io/excludeOutboundIPRanges: 10.88.0.0/16}
    spec: {containers: [{name: sleep, image: argosy/curl}]}
"""
REGISTRY_ONLY = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
"""


@contextlib.contextmanager
def running_mesh(home: Path) -> Iterator[Mesh]:
    """A mesh with `sleep`, `httpbin` and `free` (whose traffic to pods is not captured), and the world around it."""
    (home / "mesh").mkdir()
    outside.certificates(home / "mesh")
    (home / "outside.yaml").write_text(outside.manifests(home / "mesh") + FREE)
    files = [EXAMPLES / "httpbin/httpbin.yaml", EXAMPLES / "sleep/sleep.yaml", home / "outside.yaml"]
    # What a public authority is to the internet, this one is to the world of these tests.
    trusting = ["env", f"SSL_CERT_FILE={home}/mesh/ca.pem"]
    with running(home / "mesh", *files, prefix=trusting) as found:
        outside.announce(found)
        for workload in ("sleep", "free"):
            pem = (home / "mesh" / "ca.pem").read_text()
            in_pod(found, workload, "sh", "-c", f"echo '{pem}' > /tmp/ca.pem")
        yield found


def entry(name: str, host: str, ports: str, rest: str = "resolution: DNS") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec: {{hosts: ["{host}"], ports: [{ports}], location: MESH_EXTERNAL, {rest}}}
"""


def rule(name: str, host: str, rest: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}}}
spec: {{host: {host}, {rest}}}
"""


HTTP = "{number: 80, name: http, protocol: HTTP}"
TLS = "{number: 443, name: tls, protocol: TLS}"
CNN = entry("cnn", "edition.cnn.com", f"{HTTP}, {TLS}")
HTTPBIN = entry("httpbin-ext", "httpbin.org", HTTP)
CA = "--cacert /tmp/ca.pem"


def proxy_log(mesh: Mesh, workload: str = "sleep") -> list[str]:
    (pod,) = mesh.pods(workload)
    meta = pod["metadata"]
    return mesh.cli("logs", meta["name"], "-n", meta["namespace"], "-c", "istio-proxy").stdout.splitlines()


def logged(mesh: Mesh, *words: str, workload: str = "sleep") -> str:
    """The last line of a proxy's log that holds all the words; it may take a moment until it is written."""

    def found() -> str:
        return next((line for line in reversed(proxy_log(mesh, workload)) if all(word in line for word in words)), "")

    try:
        return str(wait_for(found, 60, f"a line with {words}"))
    except AssertionError as error:
        raise AssertionError(f"{error}: {proxy_log(mesh, workload)[-8:]}") from None


WIKIPEDIA = entry("wikipedia", "*.wikipedia.org", TLS, "resolution: NONE")


def client_secret(mesh: Mesh, namespace: str = "default") -> str:
    files = {"tls.crt": "client.pem", "tls.key": "client.key", "ca.crt": "ca.pem"}
    data = {key: (mesh.home / file).read_text() for key, file in files.items()}
    metadata = {"name": "client-credential", "namespace": namespace}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})


MUTUAL = "{mode: MUTUAL, credentialName: client-credential, sni: my-nginx.example.net}"
