"""G5: the client's address is found once, at the edge; one policy at a workload is right behind every gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.calls import body, call
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

CLIENT, NEAR = "203.0.113.7", "198.51.100.1"
TOLD = "x-argosy-client-address"
ONE_HOP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}"}
---
"""
# A second gateway behind two proxies; both lead everything to httpbin.
GATEWAYS = """
apiVersion: v1
kind: Service
metadata: {name: far, namespace: istio-system}
spec: {selector: {gateway: far}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: far, namespace: istio-system}
spec:
  selector: {matchLabels: {gateway: far}}
  template:
    metadata:
      labels: {gateway: far}
      annotations:
        inject.istio.io/templates: gateway
        proxy.istio.io/config: "gatewayTopology: {numTrustedProxies: 2}"
    spec: {containers: [{name: istio-proxy, image: auto}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: near}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: far}
spec:
  selector: {gateway: far}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: all}
spec:
  hosts: ["*"]
  gateways: [near, far]
  http: [{route: [{destination: {host: httpbin, port: {number: 8000}}}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: plain}
spec:
  selector: {matchLabels: {app: plain}}
  template:
    metadata: {labels: {app: plain, sidecar.istio.io/inject: "false"}}
    spec: {containers: [{name: sh, image: argosy/curl, command: [/bin/sleep, infinity]}]}
---
"""
POLICY = f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: one-client}}
spec:
  selector: {{matchLabels: {{app: httpbin}}}}
  action: ALLOW
  rules: [{{from: [{{source: {{remoteIpBlocks: [{CLIENT}]}}}}]}}]
"""
DIRECT = "http://httpbin.default:8000/ip"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("client")
    (folder / "gateways.yaml").write_text(ONE_HOP + GATEWAYS + POLICY)
    samples = [EXAMPLES / "httpbin" / "httpbin.yaml", EXAMPLES / "sleep" / "sleep.yaml"]
    with running(folder / "mesh", *samples, folder / "gateways.yaml") as found:
        yield found


def by(mesh: Mesh, gateway: str, *forwarded: str) -> list[str]:
    """Answers to requests through a gateway with each of these chains of earlier hops."""
    url = f"http://{gateway}.istio-system/ip"
    return call(mesh, "plain", *(f"-H 'x-forwarded-for: {one}' {url}" for one in forwarded))


def test_one_policy_is_right_behind_a_gateway_of_one_hop_and_one_of_two(mesh: Mesh) -> None:
    near = (CLIENT, f"6.6.6.6, {CLIENT}", f"{CLIENT}, 6.6.6.6", "6.6.6.6")
    assert by(mesh, "istio-ingressgateway", *near) == ["200", "200", "403", "403"]
    far = (f"{CLIENT}, {NEAR}", f"6.6.6.6, {CLIENT}, {NEAR}", f"{CLIENT}, 6.6.6.6, {NEAR}", f"6.6.6.6, {NEAR}", CLIENT)
    assert by(mesh, "far", *far) == ["200", "200", "403", "403", "403"]


def test_nobody_within_the_mesh_passes_for_a_client(mesh: Mesh) -> None:
    """By no header of the chain of hops, nor by the one by which gateways tell servers; also not to a gateway."""
    headers = [f"-H 'x-forwarded-for: {CLIENT}'", f"-H '{TOLD}: {CLIENT}'", f"-H 'x-envoy-external-address: {CLIENT}'"]
    spoofed = [*headers, " ".join(headers)]
    for caller in ("sleep", "plain"):
        assert call(mesh, caller, *(f"{one} {DIRECT}" for one in spoofed)) == ["403"] * 4, caller
    for gateway in ("istio-ingressgateway", "far"):
        url = f"http://{gateway}.istio-system/ip"
        assert call(mesh, "plain", f"-H '{TOLD}: {CLIENT}' {url}") == ["403"]


def test_nobodys_requests_are_counted_as_anothers(mesh: Mesh) -> None:
    """A caller in plaintext that says it calls for another pod is named itself."""
    address = mesh.pods("sleep")[0]["status"]["podIP"]

    def counted(source: str) -> float:
        labels = {"reporter": "destination", "connection_security_policy": "none", "destination_workload": "httpbin"}
        return mesh.count(source_workload=source, **labels)

    before = counted("sleep"), counted("plain")
    assert call(mesh, "plain", f"-H 'x-forwarded-for: {address}' {DIRECT}") == ["403"]
    wait_for(lambda: counted("plain") - before[1] >= 1, 60, "it is counted")
    assert counted("sleep") == before[0]


def test_the_application_hears_of_the_client_from_the_gateway_alone(mesh: Mesh) -> None:
    mesh.delete(POLICY)
    url = "http://istio-ingressgateway.istio-system/headers"
    said = body(mesh, "plain", f"-H '{TOLD}: 6.6.6.6' -H 'x-forwarded-for: {CLIENT}' {url}")
    assert f'"{CLIENT}"' in said
    assert "6.6.6.6" not in said
    for caller in ("sleep", "plain"):
        assert "6.6.6.6" not in body(mesh, caller, f"-H '{TOLD}: 6.6.6.6' {DIRECT.replace('/ip', '/headers')}")
