"""Istio's tasks about traffic that leaves the mesh by a gateway; servers really are outside of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tests.e2e.calls import REFUSED, applied, body, call, in_pod
from tests.e2e.egress import (
    CA,
    CNN,
    MUTUAL,
    REGISTRY_ONLY,
    TLS,
    WIKIPEDIA,
    client_secret,
    entry,
    logged,
    rule,
    running_mesh,
)
from tests.e2e.harness import CORPUS, EXAMPLES, Mesh, require_corpus, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with running_mesh(tmp_path_factory.mktemp("egress")) as found:
        yield found


# -- egress-gateway -----------------------------------------------------------------------------------------------

GATEWAY = "istio-egressgateway.istio-system.svc.cluster.local"


def gateway(port: str, host: str, tls: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: egress}}
spec:
  selector: {{istio: egressgateway}}
  servers: [{{port: {port}, hosts: ["{host}"]{tls}}}]
"""


def by_gateway(kind: str, host: str, inner: int, outer: int, *, names: str = "", outside_host: str = "") -> str:
    """Routes from the mesh to the gateway, and from there to the host."""

    def hop(where: str, port: int, to: str, number: int) -> str:
        match = f"gateways: [{where}], port: {port}{names}"
        destination = f"destination: {{host: {to}, port: {{number: {number}}}}}"
        return f"{{match: [{{{match}}}], route: [{{{destination}, weight: 100}}]}}"

    first = inner if kind == "tls" else 80
    hops = f"{hop('mesh', first, GATEWAY, inner)}, {hop('egress', inner, outside_host or host, outer)}"
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: through-egress}}
spec: {{hosts: ["{host}"], gateways: [egress, mesh], {kind}: [{hops}]}}
"""


@pytest.fixture(scope="module")
def egress(mesh: Mesh) -> Iterator[Mesh]:
    """The mesh with its egress gateway, which some Gateway asks for."""
    asking = gateway("{number: 9999, name: tcp, protocol: TCP}", "*").replace("name: egress}", "name: asks}")
    with applied(mesh, asking):
        wait_for(lambda: mesh.pods("istio-egressgateway"), 60, "the gateway's pod")
        mesh.wait_pods()
        yield mesh


def test_requests_leave_by_the_gateway(egress: Mesh) -> None:
    open_80 = gateway("{number: 80, name: http, protocol: HTTP}", "edition.cnn.com")
    with applied(egress, REGISTRY_ONLY, CNN, open_80, by_gateway("http", "edition.cnn.com", 80, 80)):
        assert body(egress, "sleep", "-o /dev/null -w '%{http_code}' http://edition.cnn.com/politics") == "301"
        line = logged(egress, "GET /politics", workload="istio-egressgateway")
        assert "outbound|80||edition.cnn.com" in line
        assert f"outbound|80||{GATEWAY}" in logged(egress, "GET /politics")


def test_connections_leave_by_the_gateway_as_they_are(egress: Mesh) -> None:
    passing = gateway("{number: 443, name: tls, protocol: TLS}", "edition.cnn.com", ", tls: {mode: PASSTHROUGH}")
    routes = by_gateway("tls", "edition.cnn.com", 443, 443, names=", sniHosts: [edition.cnn.com]")
    with applied(egress, REGISTRY_ONLY, CNN, passing, routes):
        assert call(egress, "sleep", f"{CA} https://edition.cnn.com/politics") == ["200"]
        line = logged(egress, "outbound|443||edition.cnn.com", workload="istio-egressgateway")
        assert '"- - -" 0 - ' in line
        assert line.endswith(" edition.cnn.com -")


def test_the_gateway_has_an_identity_of_its_own(egress: Mesh) -> None:
    shown = admin(egress, "certs")
    assert "spiffe://cluster.local/ns/istio-system/sa/istio-egressgateway-service-account" in shown


def admin(mesh: Mesh, page: str) -> str:
    """What the gateway's Envoy says of itself."""
    curl = ("curl", "-s", "--unix-socket", "/etc/argosy/proxy/admin.sock", f"http://admin/{page}")
    pod = mesh.pods("istio-egressgateway")[0]["metadata"]["name"]
    return mesh.cli("exec", pod, "-n", "istio-system", "-c", "istio-proxy", "--", *curl).stdout


# -- egress-gateway-tls-origination -------------------------------------------------------------------------------


def test_the_gateway_makes_tls_of_requests(egress: Mesh) -> None:
    open_80 = gateway("{number: 80, name: http, protocol: HTTP}", "edition.cnn.com")
    ports = "{number: 80, name: http, protocol: HTTP}, {number: 443, name: https, protocol: HTTPS}"
    simple = rule(
        "cnn", "edition.cnn.com", "trafficPolicy: {portLevelSettings: [{port: {number: 443}, tls: {mode: SIMPLE}}]}"
    )
    routes = by_gateway("http", "edition.cnn.com", 80, 443)
    with applied(egress, REGISTRY_ONLY, entry("cnn", "edition.cnn.com", ports), open_80, simple, routes):
        found = body(egress, "sleep", "-w '%{http_code}' http://edition.cnn.com/sport")
        assert "tls=True sni=edition.cnn.com" in found
        assert found.endswith("200")
        assert "outbound|443||edition.cnn.com" in logged(egress, "GET /sport", workload="istio-egressgateway")


def test_the_gateway_shows_a_client_certificate_and_takes_mesh_tls_only(egress: Mesh) -> None:
    host = "my-nginx.example.net"
    mesh_tls = gateway("{number: 443, name: https, protocol: HTTPS}", host, ", tls: {mode: ISTIO_MUTUAL}")
    ports = "{number: 80, name: http, protocol: HTTP}, {number: 443, name: https, protocol: HTTPS}"
    to_gateway = rule(
        "egressgateway-for-nginx",
        GATEWAY,
        "subsets: [{name: nginx, trafficPolicy: {portLevelSettings: [{port: {number: 443}, "
        f"tls: {{mode: ISTIO_MUTUAL, sni: {host}}}}}]}}}}]",
    )
    to_nginx = rule(
        "originate-mtls-for-nginx",
        host,
        f"exportTo: [istio-system], trafficPolicy: {{portLevelSettings: [{{port: {{number: 443}}, tls: {MUTUAL}}}]}}",
    ).replace("metadata: {name:", "metadata: {namespace: istio-system, name:")
    routes = by_gateway("http", host, 443, 443).replace(f"{GATEWAY}, port", f"{GATEWAY}, subset: nginx, port")
    objects = [
        client_secret(egress, "istio-system"),
        entry("nginx", host, ports),
        mesh_tls,
        to_gateway,
        to_nginx,
        routes,
    ]
    with applied(egress, REGISTRY_ONLY, *objects):
        found = body(egress, "sleep", f"http://{host}/who")
        assert f"page of {host} tls=True sni={host}" in found
        assert f"outbound|443||{host}" in logged(egress, "GET /who", workload="istio-egressgateway")


# -- wildcard-egress-hosts, through the gateway --------------------------------------------------------------------


def test_hosts_of_a_wildcard_leave_by_the_gateway(egress: Mesh) -> None:
    passing = gateway("{number: 443, name: tls, protocol: TLS}", "*.wikipedia.org", ", tls: {mode: PASSTHROUGH}")
    routes = by_gateway(
        "tls", "*.wikipedia.org", 443, 443, names=', sniHosts: ["*.wikipedia.org"]', outside_host="www.wikipedia.org"
    )
    one = entry("www-wikipedia", "www.wikipedia.org", TLS)
    with applied(egress, REGISTRY_ONLY, WIKIPEDIA, one, passing, routes):
        requests = [f"{CA} https://{host}.wikipedia.org/" for host in ("en", "de")]
        assert call(egress, "sleep", *requests) == ["200", "200"]
        clusters = admin(egress, "clusters").splitlines()
        counts = [one for one in clusters if "outbound|443||www.wikipedia.org::" in one and "::cx_total::" in one]
        assert [one.rpartition("::")[2] for one in counts] == ["2"]


# -- egress_sni_monitoring_and_policies -----------------------------------------------------------------------------

SNI_GATEWAY = """
apiVersion: v1
kind: Service
metadata: {name: istio-egressgateway-with-sni-proxy, namespace: istio-system}
spec: {selector: {istio: egressgateway-with-sni-proxy}, ports: [{name: tls, port: 443, targetPort: 8443}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: istio-egressgateway-with-sni-proxy, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: egressgateway-with-sni-proxy}}
  template:
    metadata:
      labels: {app: istio-egressgateway-with-sni-proxy, istio: egressgateway-with-sni-proxy}
      annotations: {inject.istio.io/templates: gateway}
    spec: {containers: [{name: istio-proxy, image: auto}]}
"""


def test_mixer_decides_by_the_server_name_which_connections_leave(egress: Mesh) -> None:
    """The sample of 2019, unchanged: en.wikipedia.org is forbidden, others are not."""
    require_corpus()
    name = "istio-egressgateway-with-sni-proxy.istio-system.svc.cluster.local"
    passing = gateway("{number: 443, name: tls, protocol: TLS}", "*.wikipedia.org", ", tls: {mode: PASSTHROUGH}")
    routes = by_gateway(
        "tls", "*.wikipedia.org", 443, 443, names=', sniHosts: ["*.wikipedia.org"]', outside_host="www.wikipedia.org"
    )
    one = entry("www-wikipedia", "www.wikipedia.org", TLS)
    objects = [
        SNI_GATEWAY,
        passing.replace("istio: egressgateway", "istio: egressgateway-with-sni-proxy"),
        routes.replace(GATEWAY, name),
    ]
    requests = [f"{CA} https://{host}.wikipedia.org/" for host in ("en", "de")]
    with applied(egress, WIKIPEDIA, one, *objects):
        egress.wait_pods()
        assert call(egress, "sleep", *requests) == ["200", "200"]
        with applied(egress, CORPUS / "istio-1.4-samples" / "sleep" / "policy" / "sni-wikipedia.yaml"):
            assert call(egress, "sleep", *requests) == [REFUSED, "200"]
        assert call(egress, "sleep", *requests) == ["200", "200"]


def sleeper(name: str) -> str:
    return f"""---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{serviceAccountName: {name}, containers: [{{name: sleep, image: argosy/curl}}]}}
"""


def test_mixer_decides_by_account_and_server_name_which_connections_leave(egress: Mesh) -> None:
    """The sample of 2019, unchanged: mutual TLS to the gateway, and in it the client's own TLS, which nobody opens."""
    require_corpus()
    samples, host = CORPUS / "istio-1.4-samples" / "sleep", "istio-egressgateway-with-sni-proxy"
    name = f"{host}.istio-system.svc.cluster.local"
    inside = gateway("{number: 443, name: tls, protocol: TLS}", "*.wikipedia.org", ", tls: {mode: ISTIO_MUTUAL}")
    to_gateway = rule(
        "egressgateway-for-wikipedia",
        name,
        "subsets: [{name: wikipedia, trafficPolicy: {portLevelSettings: [{port: {number: 443}, "
        "tls: {mode: ISTIO_MUTUAL}}]}}]",
    )
    routes = f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: through-egress}}
spec:
  hosts: ["*.wikipedia.org"]
  gateways: [egress, mesh]
  tls:
  - match: [{{gateways: [mesh], port: 443, sniHosts: ["*.wikipedia.org"]}}]
    route: [{{destination: {{host: {name}, subset: wikipedia, port: {{number: 443}}}}}}]
  tcp:
  - match: [{{gateways: [egress], port: 443}}]
    route: [{{destination: {{host: www.wikipedia.org, port: {{number: 443}}}}}}]
"""
    objects = [
        SNI_GATEWAY,
        sleeper("sleep-us") + sleeper("sleep-canada"),
        entry("www-wikipedia", "www.wikipedia.org", TLS),
        inside.replace("istio: egressgateway", f"istio: {host.removeprefix('istio-')}"),
        to_gateway,
        routes,
        EXAMPLES / "mixer" / "forward-sni.yaml",
    ]
    requests = [f"{CA} https://{language}.wikipedia.org/" for language in ("en", "es", "fr", "de")]
    with applied(egress, WIKIPEDIA, *objects):
        egress.wait_pods()
        pem = (egress.home / "ca.pem").read_text()
        for workload in ("sleep-us", "sleep-canada"):
            in_pod(egress, workload, "sh", "-c", f"echo '{pem}' > /tmp/ca.pem")
        assert call(egress, "sleep-us", *requests) == ["200"] * 4
        with applied(
            egress, samples / "policy" / "sni-serviceaccount.yaml", samples / "telemetry" / "sni-logging.yaml"
        ):
            assert call(egress, "sleep-us", *requests) == ["200", "200", REFUSED, REFUSED]
            assert call(egress, "sleep-canada", *requests) == ["200", REFUSED, "200", REFUSED]
            assert call(egress, "sleep", *requests) == ["200"] * 4
            allowed = {"en.wikipedia.org", "es.wikipedia.org"}
            wait_for(lambda: accesses(egress, "sleep-us") >= allowed, 60, "lines of Mixer's output")
        assert call(egress, "sleep-us", *requests) == ["200"] * 4


def accesses(mesh: Mesh, account: str) -> set[str]:
    """The server names that Mixer's output tells of an account."""
    text = (mesh.home / "logs" / "argosy.log").read_text()
    whole = text.rpartition("\n")[0]  # the last line may be half written
    lines = [json.loads(line) for line in whole.splitlines() if line.startswith('{"level"')]
    wanted = f"cluster.local/ns/default/sa/{account}"
    return {one["requestedServerName"] for one in lines if one.get("sourcePrincipal") == wanted}
