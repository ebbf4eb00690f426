"""Acceptance 5, F08: certificates rotate under load, with mutual TLS demanded, and nothing breaks.

Certificates of pods and of the control plane live 30 s, so they are renewed every 15 s. Three kinds of clients run over
at least two rotations: HTTP whose upstream connections are renewed all the time (each handshake with what is current),
HTTP on kept connections, and one TCP connection that lives longer than the certificates that it was made with.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from .harness import EXAMPLES, Mesh, running, wait_for
from .loads import Flags, admin, both_ways, started

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

LIFE_S = 30.0
ROTATIONS = 2
WORKLOADS = ("sleep", "helloworld-v1", "tcp-echo-v1", "istio-ingressgateway")
STRICT = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "default", "namespace": "istio-system"},
    "spec": {"mtls": {"mode": "STRICT"}},
}
SHORT_CONNECTIONS = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "DestinationRule",
    "metadata": {"name": "helloworld", "namespace": "default"},
    "spec": {
        "host": "helloworld",
        "trafficPolicy": {"connectionPool": {"http": {"maxRequestsPerConnection": 5}}},
    },
}
ECHO = """
import socket, sys
s = socket.create_connection((sys.argv[1], 9000), timeout=60)
file = s.makefile("rw")
for line in sys.stdin:
    file.write(line); file.flush()
    print(file.readline(), end="", flush=True)
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh whose certificates live half a minute, and which takes mutual TLS only."""
    home = tmp_path_factory.mktemp("rotation") / "mesh"
    folders = ("helloworld", "sleep")
    files = [file for folder in folders for file in sorted((EXAMPLES / folder).glob("*.yaml"))]
    with running(home, *files, EXAMPLES / "tcp-echo" / "tcp-echo.yaml", certificate_ttl_s=LIFE_S) as found:
        found.apply(STRICT, SHORT_CONNECTIONS)
        yield found


def serials(envoy: int) -> set[str]:
    """Serial numbers of the certificates that an Envoy presents to clients and servers now."""
    contexts = json.loads(admin(envoy, "/certs"))["certificates"]
    return {one["serial_number"] for context in contexts for one in context.get("cert_chain", ())}


def address_of(mesh: Mesh, service: str) -> str:
    """A service's virtual address."""
    (found,) = (one for one in mesh.objects("Service") if one["metadata"]["name"] == service)
    return str(found["spec"]["clusterIP"])


def test_two_rotations_lose_no_request_and_no_connection(mesh: Mesh) -> None:
    envoys = {workload: mesh.envoy_pid(workload) for workload in WORKLOADS}
    seen: dict[str, set[str]] = {workload: serials(envoy) for workload, envoy in envoys.items()}
    flags = Flags(mesh)
    inside = envoys["sleep"]
    kept: dict[str, Any] = {
        "address": [address_of(mesh, "helloworld"), 5000],
        "host": "helloworld:5000",
        "path": "/hello",
        "rate": 20,
        "fresh": sys.maxsize,
    }
    with (
        both_ways(mesh, rate=100, host="helloworld", port=5000, path="/hello") as loads,
        started("kept", kept, network_of=inside) as long,
        subprocess.Popen(
            ["nsenter", "-t", str(inside), "-n", sys.executable, "-c", ECHO, address_of(mesh, "tcp-echo")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as echo,
    ):

        def look() -> bool:
            """One round: the old connection still carries bytes; note which certificates are in use."""
            assert echo.stdin is not None
            assert echo.stdout is not None
            print(time.time(), file=echo.stdin, flush=True)
            assert echo.stdout.readline()[:4] in ("one ", "two ")
            for workload, envoy in envoys.items():
                seen[workload] |= serials(envoy)
            return all(len(found) > ROTATIONS for found in seen.values())

        wait_for(look, LIFE_S * 8, "every pod has had its certificate rotated twice")
        ledgers = [one.assert_lossless() for one in (*loads, long)]
        assert echo.stdin is not None
        echo.stdin.close()
        assert echo.wait(60) == 0
    total = sum(one["sent"] for one in ledgers)
    assert flags.counted(total) == {"-": 2 * total}


def test_after_all_first_certificates_have_expired_the_mesh_still_takes_changes(mesh: Mesh) -> None:
    """New pods get certificates, configuration arrives, pods are reported: the programs' own certificates rotated."""
    with mesh.control() as client:
        own = lambda: client.get("/v1/status").json()["certificate"]["generation"]  # noqa: E731
        wait_for(lambda: own() > ROTATIONS, LIFE_S * 8, "the control plane's certificate has rotated twice")
    mesh.cli("scale", "deploy/helloworld-v2", "2")
    mesh.wait_pods()
    assert mesh.apply(SHORT_CONNECTIONS | {"metadata": {"name": "other", "namespace": "default"}})["laggards"] == []
    wait_for(lambda: all(one["state"] == "SYNCED" for one in mesh.proxies()), 60, "all run what is newest")


def test_a_rotation_asks_for_one_certificate(mesh: Mesh) -> None:
    """F08: at most one request for each rotation of each pod; `sleep` alone has its identity."""
    text = (mesh.home / "logs" / "argosy.log").read_text()
    times = [line.split(",")[0] for line in text.splitlines() if "sa/sleep to" in line]
    stamps = [time.mktime(time.strptime(one, "%Y-%m-%d %H:%M:%S")) for one in times]
    gaps = [later - earlier for earlier, later in pairwise(stamps)]
    assert len(gaps) >= ROTATIONS
    assert min(gaps) >= LIFE_S / 2 - 2
