"""A VirtualService's `tls` routes: connections that the gateway does not end are routed by their server name."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

import pytest
from tests.e2e.calls import applied
from tests.e2e.harness import Mesh, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with running(tmp_path_factory.mktemp("passthrough") / "mesh") as found:
        yield found


TLS = """
apiVersion: v1
kind: Service
metadata: {name: secret}
spec:
  selector: {app: secret}
  ports: [{name: tls, port: 8443}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: secret}
spec:
  host: secret
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
"""
TLS_POD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: secret-VERSION}
spec:
  selector: {matchLabels: {app: secret, version: VERSION}}
  template:
    metadata: {labels: {app: secret, version: VERSION}}
    spec:
      containers:
      - name: tls
        image: argosy/curl
        command:
        - sh
        - -c
        - >-
          openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server-VERSION
          -keyout /tmp/key -out /tmp/certificate && exec openssl s_server -accept 8443 -www -cert /tmp/certificate
          -key /tmp/key
        ports: [{containerPort: 8443}]
"""
TLS_RULE = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: secret}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 8443, name: tls, protocol: TLS}, hosts: ["*.example.com"], tls: {mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: secret}
spec:
  hosts: [one.example.com, two.example.com]
  gateways: [secret]
  tls:
  - match: [{sniHosts: [one.example.com]}]
    route: [{destination: {host: secret, subset: v1}}]
  - match: [{sniHosts: [two.example.com], port: 8443}]
    route: [{destination: {host: secret, subset: v2}}]
"""


def certificate(mesh: Mesh, server_name: str) -> bytes:
    """The certificate that a server name gets to see at the gateway."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", mesh.host_port(8443)), timeout=60) as connection:
        with context.wrap_socket(connection, server_hostname=server_name) as secured:
            return secured.getpeercert(binary_form=True) or b""


def shown(mesh: Mesh, server_name: str) -> bytes:
    """The same, once the server behind it listens: a pod is ready before its program has made its key."""
    with contextlib.suppress(OSError):
        return certificate(mesh, server_name)
    return b""


def test_tls_that_is_passed_through_is_routed_by_its_server_name(mesh: Mesh) -> None:
    pods = [TLS_POD.replace("VERSION", version) for version in ("v1", "v2")]
    with applied(mesh, TLS, *pods, TLS_RULE):
        mesh.wait_pods()
        with mesh.control() as client:
            assert not client.post("/v1/wait", json={"wait_s": 80}).json()["laggards"]
        for name, server in (("one", b"server-v1"), ("two", b"server-v2")):
            assert server in wait_for(lambda name=name: shown(mesh, f"{name}.example.com"), 60, name)  # type: ignore[misc]
        with pytest.raises(OSError):
            certificate(mesh, "three.example.com")
