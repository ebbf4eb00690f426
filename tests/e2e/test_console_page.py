"""The graph page in a real headless Chromium, over a real mesh: nodes, the 90/10 split, padlocks, and a picture."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import ssl
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.calls import body, in_pod
from tests.e2e.certificates import Authority
from tests.e2e.harness import EXAMPLES, ROOT, Mesh, running, wait_for
from tests.e2e.pages import PAGE, RED, fetch, settled

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1440,900", "--virtual-time-budget=3000",
)  # fmt: skip
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.needs_browser,
    pytest.mark.timeout(180),
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="no Chromium on this machine"),
]

BOOKINFO = EXAMPLES / "bookinfo"
ARTIFACTS = ROOT / "artifacts"
PAGES = 800
NODES = {"istio-ingressgateway", "productpage:v1", "details:v1", "reviews:v1", "reviews:v3", "ratings:v1"}
EDGES = {
    "istio-ingressgateway->productpage-v1",
    "productpage-v1->details-v1",
    "productpage-v1->reviews-v1",
    "productpage-v1->reviews-v3",
    "reviews-v3->ratings-v1",
}
PLAIN = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: legacy}
spec:
  selector: {matchLabels: {app: legacy}}
  template:
    metadata: {labels: {app: legacy, version: v1}, annotations: {sidecar.istio.io/inject: "false"}}
    spec: {containers: [{name: sh, image: argosy/curl, command: [/bin/sleep, infinity]}]}
"""
HOST = "graph.example.com"
PORT_FOO = """apiVersion: v1
kind: Service
metadata: {name: details, labels: {app: details, service: details}}
spec: {selector: {app: details}, ports: [{name: foo, port: 9080}]}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    home = tmp_path_factory.mktemp("console")
    (home / "plain.yaml").write_text(PLAIN)
    names = ("bookinfo.yaml", "gateway.yaml", "destination-rules.yaml", "all-v1.yaml")
    with running(
        home / "mesh", *(BOOKINFO / name for name in names), home / "plain.yaml", console_hosts=[HOST]
    ) as found:
        found.apply(BOOKINFO / "reviews-90-10.yaml")
        yield found


@pytest.fixture(scope="module")
def pages(mesh: Mesh) -> Counter[str]:
    """Traffic that the graph is about: what was sent, counted by what it showed."""
    seen = fetch(mesh.gateway() + PAGE, PAGES)
    for reporter in ("source", "destination"):
        settled(mesh, PAGES, reporter=reporter, source_workload="istio-ingressgateway")
        settled(mesh, seen[RED], reporter=reporter, destination_workload="ratings-v1")
    return seen


def browse(url: str, profile: Path, *more: str) -> str:
    """What Chromium makes of the page, or its picture."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", *more, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def elements(page: str, kind: str) -> dict[str, dict[str, str]]:
    """Attributes of all elements whose `data-test` is `kind:...`, by what follows."""
    found = {}
    for tag in re.findall(r"<[a-z]+ [^>]*>", page):
        attributes = {name: html.unescape(value) for name, value in re.findall(r'([a-z-]+)="([^"]*)"', tag)}
        if attributes.get("data-test", "").startswith(f"{kind}:"):
            found[attributes["data-test"].removeprefix(f"{kind}:")] = attributes
    return found


def test_the_page_shows_nodes_the_split_and_padlocks(mesh: Mesh, pages: Counter[str], tmp_path: Path) -> None:
    """A window that holds the whole traffic, so that rates stand to each other as counts do."""
    page = browse(f"{mesh.console}#window=300", tmp_path, "--dump-dom")
    assert set(elements(page, "node")) == NODES
    edges = elements(page, "edge")
    assert set(edges) == EDGES
    rates = {name: float(edge["data-rps"]) for name, edge in edges.items()}
    total = rates["istio-ingressgateway->productpage-v1"]
    shares = {name: rate / total for name, rate in rates.items()}
    red = pages[RED] / PAGES
    # The page rounds rates to hundredths, of less than three requests a second.
    assert shares["productpage-v1->details-v1"] == pytest.approx(1, abs=0.01)
    assert shares["productpage-v1->reviews-v3"] == pytest.approx(red, abs=0.01)
    assert shares["reviews-v3->ratings-v1"] == pytest.approx(red, abs=0.01)
    assert shares["productpage-v1->reviews-v1"] == pytest.approx(1 - red, abs=0.01)
    # Five standard deviations of what chance does to 800 pages.
    assert red == pytest.approx(0.1, abs=0.053)
    assert {edge["data-mtls"] for edge in edges.values()} == {"1"}
    assert {edge["data-health"] for edge in edges.values()} == {"healthy"}
    assert page.count('data-test="lock:closed"') == len(EDGES)
    assert 'data-test="lock:open"' not in page


def test_a_picture_of_the_page_is_kept(mesh: Mesh, pages: Counter[str], tmp_path: Path) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    picture = ARTIFACTS / "graph.png"
    picture.unlink(missing_ok=True)
    browse(mesh.console, tmp_path, f"--screenshot={picture}")
    assert picture.stat().st_size > 60_000, "a blank page is smaller"


def test_plaintext_is_drawn_with_an_open_lock_and_a_warning(mesh: Mesh, pages: Counter[str], tmp_path: Path) -> None:
    """After the traffic above: a pod without sidecar calls, and is told apart at a glance."""
    for _ in range(5):
        body(mesh, "legacy", "http://details:9080/details/0")
    settled(mesh, 5, source_workload="legacy")
    page = browse(mesh.console, tmp_path, "--dump-dom")
    edge = elements(page, "edge")["legacy->details-v1"]
    assert (edge["data-mtls"], "plaintext" in edge["class"]) == ("0", True)
    assert page.count('data-test="lock:open"') == 1
    assert "no sidecar" in page
    browse(mesh.console, tmp_path, f"--screenshot={ARTIFACTS / 'graph-plaintext.png'}")


def test_the_page_loads_nothing_from_elsewhere(mesh: Mesh, tmp_path: Path) -> None:
    """Every address in the page and its files is its own."""
    page = browse(mesh.console, tmp_path, "--dump-dom")
    addresses = re.findall(r'(?:src|href)="([^"#][^"]*)"', page)
    assert addresses
    assert all(address.startswith("static/") for address in addresses), addresses


def shown(mesh: Mesh, profile: Path, *, show: str = "", more: tuple[str, ...] = ("--dump-dom",)) -> str:
    """The page over all that happened here; the console looks at the configuration every two seconds."""
    return browse(f"{mesh.console}#window=600&show={show}", profile, *more)


def test_badges_say_what_rules_a_node_and_what_is_wrong_with_that(
    mesh: Mesh, pages: Counter[str], tmp_path: Path
) -> None:
    """Kiali's KIA0601 and KIA1102: a port named foo, and a VirtualService without its Gateway, until mended."""
    wrong = tmp_path / "wrong.yaml"
    routes = (BOOKINFO / "gateway.yaml").read_text()
    wrong.write_text(
        f"{PORT_FOO}---\n{routes.replace('gateways: [bookinfo-gateway]', 'gateways: [bookinfo-gateway-invalid]')}"
    )
    assert "bookinfo-gateway-invalid" in wrong.read_text()
    mesh.cli("apply", "-f", str(wrong), "--wait")
    page = wait_for(lambda: (p := shown(mesh, tmp_path)) and "ARG0216" in p and p, 60, "the page knows of the change")
    nodes = elements(page, "node")
    assert nodes["reviews:v1"]["data-badges"] == "VS DR"
    assert (nodes["productpage:v1"]["data-badges"], nodes["productpage:v1"]["data-findings"]) == ("VS DR", "ARG0203")
    assert nodes["details:v1"]["data-findings"] == "ARG0216"
    listed = elements(shown(mesh, tmp_path, show="findings"), "finding")
    assert {code: (one["data-level"], one["data-object"]) for code, one in listed.items()} == {
        "ARG0203": ("warning", "VirtualService default/bookinfo"),
        "ARG0216": ("info", "Service default/details"),
    }
    line = next(n for n, text in enumerate(wrong.read_text().splitlines(), 1) if text == "kind: VirtualService") - 1
    assert listed["ARG0203"]["data-origin"] == f"{wrong}:{line}"
    narrow = (f"--screenshot={ARTIFACTS / 'graph-findings.png'}", "--window-size=700,900")
    shown(mesh, tmp_path, show="findings", more=narrow)
    mesh.cli("apply", "-f", str(BOOKINFO / "bookinfo.yaml"), "-f", str(BOOKINFO / "gateway.yaml"), "--wait")
    wait_for(lambda: not elements(shown(mesh, tmp_path, show="findings"), "finding"), 60, "nothing is wrong any more")


def test_a_shift_is_shown_first_and_then_moves_the_traffic(mesh: Mesh) -> None:
    """Kiali's wizard: what would change, then the change, then the pages, to the last one."""
    revisions = mesh.cli("history", "-o", "json").stdout
    assert "weight: 100" in mesh.cli("shift", "reviews", "v3=100").stdout
    assert mesh.cli("history", "-o", "json").stdout == revisions
    mesh.cli("shift", "reviews", "v3=100", "--apply", "--wait")
    assert fetch(mesh.gateway() + PAGE, 60) == {RED: 60}


def way_in(folder: Path, authority: Authority) -> str:
    """The console behind the ingress gateway, by its host, as Istio's task has it: HTTP, and HTTPS ended there."""
    pair = authority.issue(HOST)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "graph-credential", "namespace": "istio-system"},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key},
    }
    return f"""{json.dumps(secret)}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: graph-gateway, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - {{port: {{number: 8080, name: http-graph, protocol: HTTP}}, hosts: [{HOST}]}}
  - port: {{number: 443, name: https-graph, protocol: HTTPS}}
    tls: {{mode: SIMPLE, credentialName: graph-credential}}
    hosts: [{HOST}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: graph-vs, namespace: istio-system}}
spec:
  hosts: [{HOST}]
  gateways: [graph-gateway]
  http: [{{route: [{{destination: {{host: argosy-console, port: {{number: 20001}}}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: graph, namespace: istio-system}}
spec: {{host: argosy-console, trafficPolicy: {{tls: {{mode: DISABLE}}}}}}
"""


def test_the_page_works_behind_the_ingress_gateway_by_its_host(mesh: Mesh, pages: Counter[str], tmp_path: Path) -> None:
    """HTTP and HTTPS. Other hosts lead where they led, and a pod that calls the console itself is refused."""
    authority = Authority("outside")
    (tmp_path / "graph.yaml").write_text(way_in(tmp_path, authority))
    told = mesh.cli("apply", "-f", str(tmp_path / "graph.yaml"), "--wait")
    assert "warning" not in told.stderr
    plain, secure = (int(mesh.gateway(port).rpartition(":")[2]) for port in (8080, 8443))
    (tmp_path / "root.pem").write_text(authority.pem)
    trust = ssl.create_default_context(cafile=str(tmp_path / "root.pem"))
    with httpx.Client(verify=trust, headers={"host": HOST}, timeout=60) as client:
        for address, sni in (
            (f"http://127.0.0.1:{plain}", {}),
            (f"https://127.0.0.1:{secure}", {"sni_hostname": HOST}),
        ):
            for path in ("/", "/static/app.js", "/api/graph?window=600"):
                answer = client.get(address + path, extensions=sni)
                assert (answer.status_code, answer.headers["server"]) == (200, "istio-envoy"), (address, path)
            assert client.post(f"{address}/api/v2/spans", json=[], extensions=sni).status_code == 404
    assert 'data-test="page-pod"' in httpx.get(mesh.gateway() + PAGE, timeout=60).text
    rules = f"--host-resolver-rules=MAP {HOST} 127.0.0.1"
    for url in (f"http://{HOST}:{plain}/#window=600", f"https://{HOST}:{secure}/#window=600"):
        page = browse(url, tmp_path / "profile", "--dump-dom", rules, "--ignore-certificate-errors")
        assert set(elements(page, "node")) >= NODES, url
    # The pod without a sidecar: nobody speaks for it.
    curl = f"curl -s -o /dev/null -w '%{{http_code}}' -H 'Host: {HOST}' http://10.88.0.1:20001/"
    assert in_pod(mesh, "legacy", "sh", "-c", curl) == "403"
