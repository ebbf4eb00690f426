"""Istio's own networking samples, unchanged: each does what it says. (Bookinfo's rules about reviews: `test_bookinfo`.)

Where a sample needs an image, a database or the internet, a stand-in serves; it bears the labels and names that the
sample means. What stands below a folder `gateway-api` is another kind of API and not tried.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.calls import applied, in_pod
from tests.e2e.harness import CORPUS, Mesh, require_corpus, require_programs, running, wait_for
from tests.e2e.limits import in_one_window
from tests.e2e.pages import BLACK, NO_RATINGS, NO_STARS, PAGE, RED, fetch

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SAMPLES = CORPUS / "istio-samples"
BOOKINFO = SAMPLES / "bookinfo"
NETWORKING = BOOKINFO / "networking"
PROGRAMS = Path(__file__).with_name("programs")
# What each file is tried by: a test of this module, of another one, or (a folder) all of its files.
TRIED = {
    "bookinfo/networking/virtual-service-": "test_bookinfo",
    "bookinfo/networking/destination-rule-": "test_bookinfo",
    "bookinfo/networking/fault-injection-details-v1.yaml": "test_bookinfo",
    "bookinfo/networking/bookinfo-gateway.yaml": "test_bookinfo",
    "bookinfo/networking/certmanager-gateway.yaml": "test_challenges_go_to_the_resolver_of_certificates",
    "bookinfo/networking/egress-rule-google-apis.yaml": "test_a_plain_call_of_googles_books_leaves_as_tls",
    "bookinfo/policy/productpage_envoy_ratelimit.yaml": "test_the_product_page_is_limited_at_the_gateway",
    "helloworld/helloworld-gateway.yaml": "test_helloworld_through_its_gateway",
    "httpbin/httpbin-gateway.yaml": "test_httpbin_through_its_gateway",
    "tcp-echo/tcp-echo-all-v1.yaml": "test_connections_are_shared_as_the_sample_says",
    "tcp-echo/tcp-echo-20-v2.yaml": "test_connections_are_shared_as_the_sample_says",
    "websockets/route.yaml": "test_websockets_through_their_gateway",
    "ratelimit/local-rate-limit-service.yaml": "test_a_patch_for_another_port_changes_nothing_for_the_page",
    "extauthz/local-ext-authz.yaml": "test_an_authoriser_beside_the_application_is_called_at_its_own_address",
}
SERVICE = """---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: {port_name}, port: {port}}}]}}
"""
POD = """---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {app}, version: {version}}}}}
  template:
    metadata:
      labels: {{app: {app}, version: {version}}}
      annotations: {{{command}}}
    spec: {{containers: [{{name: app, image: {image}, ports: [{{containerPort: {port}}}]}}]}}
"""


LIMITS = """---
apiVersion: v1
kind: ConfigMap
metadata: {name: ratelimit-config}
data:
  config.yaml: |
    domain: productpage-ratelimit
    descriptors:
      - {key: PATH, value: /productpage, rate_limit: {unit: hour, requests_per_unit: 1}}
      - {key: PATH, rate_limit: {unit: hour, requests_per_unit: 100}}
"""


def stand_in(app: str, program: str, port: int, port_name: str, *, namespace: str = "default") -> str:
    """A Service and its pod, which runs one of our programs."""
    command = f"argosy.io/command: '{sys.executable} {PROGRAMS}/{program}'"
    pod = POD.format(name=app, app=app, version="v1", namespace=namespace, command=command, image="stand/in", port=port)
    return SERVICE.format(name=app, namespace=namespace, port=port, port_name=port_name) + pod


def version(app: str, label: str) -> str:
    """Bookinfo's v1 under the label of a version that needs a database or the internet."""
    image = f"argosy/examples-bookinfo-{app}-v1"
    return POD.format(
        name=f"{app}-{label}", app=app, version=label, namespace="default", command="", image=image, port=9080
    )


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    require_corpus()
    require_programs("redis-server")
    home = tmp_path_factory.mktemp("samples")
    others = [
        stand_in("tornado", "knobs.py http:8888", 8888, "http"),
        stand_in("cert-manager-resolver", "knobs.py http:8089", 8089, "http", namespace="istio-system"),
        LIMITS,
        version("details", "v2"),
        *(version("ratings", label) for label in ("v2", "v2-mysql", "v2-mysql-vm")),
    ]
    (home / "stand-ins.yaml").write_text("".join(others))
    files = (
        BOOKINFO / "platform/kube/bookinfo.yaml",
        NETWORKING / "bookinfo-gateway.yaml",
        NETWORKING / "destination-rule-all.yaml",
        SAMPLES / "helloworld/helloworld.yaml",
        SAMPLES / "httpbin/httpbin.yaml",
        SAMPLES / "tcp-echo/tcp-echo-services.yaml",
        SAMPLES / "ratelimit/rate-limit-service.yaml",
        home / "stand-ins.yaml",
    )
    with running(home / "mesh", *files) as found:
        yield found


def at_gateway(mesh: Mesh, path: str, status: int = 200) -> httpx.Response:
    """The answer of the ingress gateway, once it has that status: a new port of a gateway takes a moment."""

    def ask() -> httpx.Response | None:
        try:
            answer = httpx.get(f"{mesh.gateway()}{path}", timeout=60)
        except (httpx.TransportError, KeyError):
            return None
        return answer if answer.status_code == status else None

    found: httpx.Response = wait_for(ask, 60, f"{status} for {path}")
    return found


def requests_of(mesh: Mesh, workload: str) -> int:
    """How many requests a workload's sidecar has let in."""
    name = mesh.pods(workload)[0]["metadata"]["name"]
    return mesh.cli("logs", name, "-c", "istio-proxy").stdout.count("inbound|9080||")


def test_every_networking_sample_is_tried() -> None:
    require_corpus()
    files = [path for path in SAMPLES.rglob("*.y*ml") if "gateway-api" not in str(path)]
    ours = [str(one.relative_to(SAMPLES)) for one in files if "networking.istio.io" in one.read_text()]
    assert [one for one in ours if not one.startswith(tuple(TRIED))] == []
    defined = Path(__file__).read_text()
    assert all(f"def {name}(" in defined or name == "test_bookinfo" for name in TRIED.values())


def test_helloworld_through_its_gateway(mesh: Mesh) -> None:
    with applied(mesh, SAMPLES / "helloworld/helloworld-gateway.yaml"):
        text = "".join(at_gateway(mesh, "/hello").text for _ in range(20))
        assert set(re.findall("version: (v[12])", text)) == {"v1", "v2"}
        assert at_gateway(mesh, "/other", 404)


def test_httpbin_through_its_gateway(mesh: Mesh) -> None:
    with applied(mesh, SAMPLES / "httpbin/httpbin-gateway.yaml"):
        assert at_gateway(mesh, "/status/418", 418)
        assert "headers" in at_gateway(mesh, "/headers").json()


@pytest.mark.parametrize("file, least, most", [("tcp-echo-all-v1.yaml", 0, 0), ("tcp-echo-20-v2.yaml", 55, 145)])
def test_connections_are_shared_as_the_sample_says(mesh: Mesh, file: str, least: int, most: int) -> None:
    """500 connections; a fifth of them is 100, and five deviations are 45: once in a million runs by chance."""
    with applied(mesh, SAMPLES / "tcp-echo/tcp-echo-all-v1.yaml"):
        mesh.apply(SAMPLES / "tcp-echo" / file)
        wait_for(lambda: echo(mesh), 60, "the gateway's port is open")
        words = Counter(echo(mesh) for _ in range(500))
        assert set(words) <= {"one", "two"}
        assert least <= words["two"] <= most, words


def echo(mesh: Mesh) -> str:
    """The word that tcp-echo puts in front; empty if nothing answers."""
    try:
        with socket.create_connection(("127.0.0.1", mesh.host_port(31400)), 60) as opened:
            opened.settimeout(60)
            opened.sendall(b"line\n")
            return opened.recv(100).decode().partition(" ")[0]
    except (OSError, KeyError):
        return ""


def test_websockets_through_their_gateway(mesh: Mesh) -> None:
    from tests.e2e.programs.caller import ws

    with applied(mesh, SAMPLES / "websockets/route.yaml"):
        at_gateway(mesh, "/")
        port = mesh.gateway().rpartition(":")[2]
        assert asyncio.run(ws("127.0.0.1", port, "20")) == {"status": "101", "back": 20}


def test_challenges_go_to_the_resolver_of_certificates(mesh: Mesh) -> None:
    with applied(mesh, NETWORKING / "certmanager-gateway.yaml"):
        answer = at_gateway(mesh, "/.well-known/acme-challenge/token")
        assert answer.text.startswith("cert-manager-resolver-")
        assert at_gateway(mesh, "/other", 404)


@pytest.mark.parametrize(
    "file, workload, ready",
    [
        ("virtual-service-ratings-db.yaml", "ratings-v2", {BLACK, RED}),
        ("virtual-service-ratings-mysql.yaml", "ratings-v2-mysql", {BLACK, RED}),
        ("virtual-service-ratings-mysql-vm.yaml", "ratings-v2-mysql-vm", {BLACK, RED}),
        ("virtual-service-details-v2.yaml", "details-v2", None),
    ],
)
def test_the_version_with_the_database_is_asked(mesh: Mesh, file: str, workload: str, ready: set[str] | None) -> None:
    """Its subset has a pod here, so that the page is whole, and no other version is asked."""
    app = workload.partition("-")[0]
    with applied(mesh, NETWORKING / "virtual-service-all-v1.yaml"):
        mesh.apply(NETWORKING / file)
        first, others = requests_of(mesh, workload), requests_of(mesh, f"{app}-v1")
        details = lambda: sum(requests_of(mesh, f"details-{one}") for one in ("v1", "v2"))  # noqa: E731
        before = details()
        seen = set(fetch(mesh.gateway() + PAGE, 20))
        wait_for(lambda: requests_of(mesh, workload) >= first + 20, 60, "all requests in the log")
        assert requests_of(mesh, f"{app}-v1") == others
        # Every page asks for details: the next test begins when all of these are written.
        wait_for(lambda: details() >= before + 20, 60, "all requests for details in their logs")
        assert NO_RATINGS not in seen
        assert ready is None or seen <= ready


def test_the_product_page_is_limited_at_the_gateway(mesh: Mesh) -> None:
    """By an EnvoyFilter and a service that says how often: one call here, then 429; other paths are not concerned."""
    page = f"{mesh.gateway()}{PAGE}"
    with applied(mesh, BOOKINFO / "policy/productpage_envoy_ratelimit.yaml"):
        ask = lambda: [httpx.get(page, timeout=60).status_code for _ in range(3)]  # noqa: E731
        assert in_one_window(3600, ask) == [200, 429, 429]
        assert httpx.get(f"{mesh.gateway()}/login", timeout=60).status_code != 429
    assert httpx.get(page, timeout=60).status_code == 200


def test_a_patch_for_another_port_changes_nothing_for_the_page(mesh: Mesh) -> None:
    """The sample's limit is for port 8000; its filter is there, and without a limit it lets all through."""
    with applied(mesh, SAMPLES / "ratelimit/local-rate-limit-service.yaml"):
        table = mesh.cli("proxy-config", "listeners", "deploy/productpage-v1", "-o", "json").stdout
        assert "http_local_rate_limiter" in table
        assert httpx.get(f"{mesh.gateway()}{PAGE}", timeout=60).status_code == 200
        assert set(fetch(mesh.gateway() + PAGE, 20)) <= {NO_STARS, BLACK, RED}


def test_an_authoriser_beside_the_application_is_called_at_its_own_address(mesh: Mesh) -> None:
    """A ServiceEntry for each of the authoriser's two ports at 127.0.0.1."""
    only = (SAMPLES / "extauthz/local-ext-authz.yaml").read_text().split("---")
    entries = [one for one in only if "ServiceEntry" in one]
    assert entries
    with applied(mesh, *entries):
        table = mesh.cli("proxy-config", "clusters", "deploy/httpbin").stdout
        hosts = re.findall(r"^  - ([\w.-]+)$|hosts:\s*\n\s*- \"?([\w.-]+)", "\n".join(entries), re.MULTILINE)
        assert all((one or other) in table for one, other in hosts)


def test_a_plain_call_of_googles_books_leaves_as_tls(mesh: Mesh) -> None:
    """As far as it can be seen without the internet: an HTTP call takes the cluster of port 443, which begins TLS to
    that name and checks it. (TLS origination to servers that answer is tried by the egress tasks.)"""
    with applied(mesh, NETWORKING / "egress-rule-google-apis.yaml"):
        clusters = json.loads(mesh.cli("proxy-config", "clusters", "deploy/details-v1", "-o", "json").stdout)
        (cluster,) = [one for one in clusters if one["name"] == "outbound|443||www.googleapis.com"]
        context = cluster["transport_socket"]["typed_config"]
        assert context["sni"] == "www.googleapis.com"
        assert "www.googleapis.com" in json.dumps(context["common_tls_context"])
        in_pod(mesh, "details-v1", "curl", "-s", "-m", "60", "http://www.googleapis.com/books/v1/volumes")
        name = mesh.pods("details-v1")[0]["metadata"]["name"]
        lines = wait_for(
            lambda: [one for one in mesh.cli("logs", name, "-c", "istio-proxy").stdout.splitlines() if "/books" in one],
            60,
            "the call in the log",
        )
        assert "outbound|443||www.googleapis.com" in lines[-1]
