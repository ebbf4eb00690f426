"""F20, F21, C04, C05, C06: what a program in a pod gets from the control plane, and from a port that is STRICT.

The programs run in pods, as applications do; the certificates are those that the pods' own proxies have at that moment,
which in real life no application can read: here root reads them for the thief.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.calls import in_pod
from tests.e2e.certificates import Authority
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for

from argosy.agent.bootstrap import PROXY_DIR
from argosy.edge.config_client import CONFIG_SERVICE
from argosy.edge.xds_server import ADS
from argosy.galley.publish import config_type_url
from argosy.pilot.build.resource import LISTENER, SECRET

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

THIEF = str(Path(__file__).with_name("thief.py"))
PILOT = "10.88.0.1:15012"
DELTA, SOTW = f"/{ADS}/DeltaAggregatedResources", f"/{ADS}/StreamAggregatedResources"
CONFIGURATION = f"/{CONFIG_SERVICE}/DeltaAggregatedResources"
DENIED = "PERMISSION_DENIED"
TRIES = 1000
POD = """---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: {namespace}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}, sidecar.istio.io/inject: "{inject}"}}}}
    spec:
      serviceAccountName: {name}
      containers: [{{name: sh, image: argosy/curl, command: [/bin/sleep, infinity]}}]
"""
STRICT = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
"""
GATEWAY = """---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [shop.example.com]
    tls: {mode: SIMPLE, credentialName: shop}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("fetch")
    pods = (("thief", "default", "true"), ("victim", "elsewhere", "true"),
            ("legacy", "default", "false"), ("plain", "default", "false"))  # fmt: skip
    text = "".join(POD.format(name=name, namespace=namespace, inject=inject) for name, namespace, inject in pods)
    (folder / "pods.yaml").write_text(text + STRICT + GATEWAY)
    pair = Authority("shops").issue("shop.example.com")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "shop", "namespace": "istio-system"},
        "stringData": {"tls.crt": pair.certificate, "tls.key": pair.key},
    }
    with running(folder / "mesh", EXAMPLES / "httpbin" / "httpbin.yaml", folder / "pods.yaml") as found:
        found.apply(secret)
        yield found


@pytest.fixture
def thief(mesh: Mesh) -> Thief:
    return Thief(mesh)


class Thief:
    """A program in the pod `thief` (or another one) with certificates of its choice."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    def secrets(self, workload: str) -> dict[str, str]:
        """What the proxy of a workload has: `chain`, `key`, `roots`."""
        folder = Path(f"/proc/{self.mesh.envoy_pid(workload)}/root{PROXY_DIR}")
        own, roots = (
            json.loads((folder / file).read_text())["resources"][0] for file in ("certificate.json", "roots.json")
        )
        tls = own["tls_certificate"]
        return {
            "chain": tls["certificate_chain"]["inline_string"],
            "key": tls["private_key"]["inline_string"],
            "roots": roots["validation_context"]["trusted_ca"]["inline_string"],
        }

    def node(self, workload: str) -> str:
        """The node id that the proxy of a workload has."""
        (pod,) = self.mesh.pods(workload)
        meta, role = pod["metadata"], "router" if "gateway" in workload else "sidecar"
        name, namespace = meta["name"], meta["namespace"]
        return f"{role}~{pod['status']['podIP']}~{name}.{namespace}~{namespace}.svc.cluster.local"

    def ask(
        self, certificates: dict[str, str], *calls: dict[str, Any], server: str = "pilot", pod: str = "thief"
    ) -> list[dict[str, Any]]:
        """Answers to calls with `certificates`, from within a pod."""
        asked = {"address": PILOT, "server_name": f"{server}.istio-system.svc", **certificates, "calls": calls}
        said = in_pod(self.mesh, pod, sys.executable, THIEF, json.dumps(asked))
        found: list[dict[str, Any]] = json.loads(said.splitlines()[-1])
        return found

    def call(self, node: str, type_url: str = LISTENER, method: str = DELTA, **more: Any) -> dict[str, Any]:
        """One call."""
        return {"method": method, "node": node, "type": type_url, **more}


def denied(mesh: Mesh) -> float:
    return mesh.count("argosy_denied_calls_total")


def test_a_proxys_own_certificate_gets_its_own_configuration(thief: Thief) -> None:
    """What the other tests see refused would else have been given."""
    calls = [thief.call(thief.node("thief"), method=method) for method in (DELTA, SOTW)]
    answers = thief.ask(thief.secrets("thief"), *calls)
    assert [one["status"] for one in answers] == ["SERVED", "SERVED"]
    assert "virtualInbound" in answers[0]["names"]
    assert len(answers[1]["names"]) == len(answers[0]["names"])


def test_without_a_certificate_there_is_no_connection(thief: Thief) -> None:
    """F20: from a pod with a sidecar and from one without."""
    nobody = {**thief.secrets("thief"), "chain": "", "key": ""}
    for pod in ("thief", "legacy"):
        (answer,) = thief.ask(nobody, thief.call(thief.node("thief")), pod=pod)
        assert (answer["status"], answer["names"]) == ("UNAVAILABLE", [])


def test_a_certificate_is_good_for_its_own_pod_only(mesh: Mesh, thief: Thief) -> None:
    """C04, F20: another namespace's, another account's and the gateway's node are refused, each time and counted."""
    before = denied(mesh)
    own = thief.secrets("thief")
    others = [thief.node("victim"), thief.node("httpbin"), thief.node("istio-ingressgateway")]
    lied = thief.node("victim").replace(".elsewhere~elsewhere", ".default~default")
    calls = [thief.call(node, method=method) for node in others for method in (DELTA, SOTW)]
    answers = thief.ask(own, *calls)
    assert {one["status"] for one in answers} == {DENIED}
    assert not any(one["names"] for one in answers)
    # Its own pod and namespace written into a node id of nobody is nobody's.
    assert [one["names"] for one in thief.ask(own, thief.call(lied), thief.call("victim"))] == [[], []]
    assert denied(mesh) - before == len(calls)
    log = mesh.home / "logs" / "argosy.log"
    wait_for(lambda: "ns/default/sa/thief" in log.read_text(), 60, "it is told")


def test_the_stolen_certificate_of_another_opens_that_ones_door_only(mesh: Mesh, thief: Thief) -> None:
    before = denied(mesh)
    answers = thief.ask(
        thief.secrets("victim"), thief.call(thief.node("victim")), thief.call(thief.node("thief")), pod="legacy"
    )
    assert [one["status"] for one in answers] == ["SERVED", DENIED]
    assert denied(mesh) - before == 1


def test_secrets_of_others_come_to_nobody(thief: Thief) -> None:
    """C05: by name, by names like paths, by a huge list, by none. The gateway does get the one that it serves with."""
    names = ["shop", "kubernetes://shop", "istio-system/shop", "../istio-system/shop", "../../ca/ca-key.pem", "", "*",
             "default", "ROOTCA", "/etc/shadow", "kubernetes://istio-system/shop"]  # fmt: skip
    own, node = thief.secrets("thief"), thief.node("thief")
    answers = thief.ask(
        own,
        *(thief.call(node, SECRET, method, names=names, more=more) for method in (DELTA, SOTW) for more in (0, 20_000)),
        thief.call(node, SECRET),
    )
    assert [(one["status"], one["names"]) for one in answers] == [("SERVED", [])] * 5
    (served,) = thief.ask(
        thief.secrets("istio-ingressgateway"), thief.call(thief.node("istio-ingressgateway"), SECRET, names=["shop"])
    )
    assert served["names"] == ["shop"]


def test_the_configuration_is_for_the_control_plane_only(mesh: Mesh, thief: Thief) -> None:
    """C06: Galley's objects, Secrets among them, and reports about pods: refused to every proxy."""
    before = denied(mesh)
    calls = [
        thief.call("", config_type_url("Secret"), CONFIGURATION, names=["istio-system/shop"]),
        thief.call("", config_type_url("VirtualService"), CONFIGURATION),
        thief.call("", "", "/argosy.galley.v1.Galley/ReportPods"),
    ]
    for workload in ("thief", "istio-ingressgateway"):
        answers = thief.ask(thief.secrets(workload), *calls, server="galley")
        assert [(one["status"], one["names"]) for one in answers] == [(DENIED, [])] * 3
    assert denied(mesh) - before == 6


SCAN = """
import json, socket, sys
found = []
for port in range(1, 65536):
    with socket.socket() as one:
        one.settimeout(60)
        found += [] if one.connect_ex((sys.argv[1], port)) else [port]
print(json.dumps(found))
"""


def test_a_pods_network_reaches_no_page_of_the_mesh_itself(mesh: Mesh) -> None:
    """C06: no console, control API, metrics or admin page: of the node only DNS and TLS are open."""
    found = json.loads(in_pod(mesh, "legacy", sys.executable, "-c", SCAN, "10.88.0.1"))
    assert found == [53, 15012, 15013, 15053]
    for port in (15012, 15013):
        for path in ("/metrics", "/v1/objects/Secret", "/debug/configz", "/config_dump"):
            said = in_pod(mesh, "legacy", "sh", "-c", f"curl -s -m 60 http://10.88.0.1:{port}{path}; echo $?")
            assert said.strip() in ("1", "52", "56"), said
    sockets = in_pod(mesh, "legacy", "sh", "-c", f"ls -A {mesh.home} 2>&1")
    assert "run" not in sockets.split()
    # Of another pod: no admin page of its Envoy, and of the proxy itself only whether it is ready and what it counts.
    (pod,) = mesh.pods("httpbin")
    address = pod["status"]["podIP"]

    def codes(port: int, *requests: str) -> list[str]:
        ask = f"curl -s -m 60 -o /dev/null -w '%{{http_code}} ' http://{address}:{port}"
        return in_pod(mesh, "legacy", "sh", "-c", "; ".join(f"{ask}{one}" for one in requests)).split()

    for port in (15000, 15001, 15006):
        assert codes(port, "/config_dump") == ["000"], port
    inside = ("/config_dump", "/stats", "/quitquitquit", "/prometheus/targets", "/merged")
    assert codes(15021, "/healthz/ready", *inside) == ["200"] + ["404"] * len(inside)
    for port in (15020, 15090):
        found = codes(
            port, "/stats/prometheus", "/stats/prometheus -X POST", "/stats/prometheus/../../config_dump", *inside
        )
        assert found == ["200"] + ["404"] * (2 + len(inside)), port


MANY = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor
def one(number):
    try:
        with socket.create_connection((sys.argv[1], 8080), 120) as connection:
            connection.sendall(b"GET /headers HTTP/1.1\\r\\nHost: httpbin\\r\\nConnection: close\\r\\n\\r\\n")
            return len(connection.recv(65536))
    except ConnectionError:
        return 0
with ThreadPoolExecutor(50) as pool:
    said = list(pool.map(one, range(int(sys.argv[2]))))
print(len(said), sum(said))
"""


def test_a_thousand_tries_in_plaintext_are_refused_and_counted_and_none_arrives(mesh: Mesh) -> None:
    """F21."""

    def refused() -> float:
        labels = {"response_flags": "PLAINTEXT_REFUSED", "source_workload": "plain", "reporter": "destination"}
        return mesh.count("istio_tcp_connections_closed_total", destination_workload="httpbin", **labels)

    def arrived() -> float:
        return mesh.count("istio_requests_total", destination_workload="httpbin", reporter="destination")

    before = refused(), arrived()
    (pod,) = mesh.pods("httpbin")
    said = in_pod(mesh, "plain", sys.executable, "-c", MANY, pod["status"]["podIP"], str(TRIES))
    assert said.split() == [str(TRIES), "0"]
    wait_for(lambda: refused() - before[0] == TRIES, 60, f"{TRIES} refusals are counted")
    assert arrived() == before[1]
    log = mesh.cli("logs", "deploy/httpbin").stdout
    assert "/headers" not in log
