"""B6, F02, A7: a proxy that starts while the control plane is away comes up with what it ran last, and goes back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from .certificates import Authority, Pair
from .harness import EXAMPLES, Mesh, local_addresses, running, wait_for
from .loads import Load, admin, started
from .test_crashes import KEPT, STRICT, agent_lists, in_sync, kill

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SECURE_HOST = "secure.example.com"
PROXIES = ("helloworld-v1", "sleep", "istio-ingressgateway")
FILES = (
    *(EXAMPLES / "helloworld" / name for name in ("helloworld.yaml", "gateway.yaml")),
    EXAMPLES / "sleep" / "sleep.yaml",
)
DENY = {
    "apiVersion": "security.istio.io/v1",
    "kind": "AuthorizationPolicy",
    "metadata": {"name": "not-that", "namespace": "default"},
    "spec": {
        "action": "DENY",
        "selector": {"matchLabels": {"app": "helloworld"}},
        "rules": [{"when": [{"key": "request.headers[x-refuse]", "values": ["yes"]}]}],
    },
}


def named(name: str) -> dict[str, Any]:
    """The same policy by another name."""
    return {**DENY, "metadata": {"name": name, "namespace": "default"}}


def secure_gateway(pair: Pair) -> str:
    """The gateway's port 443 with a certificate that it gets from Pilot."""
    data = json.dumps({"tls.crt": pair.certificate, "tls.key": pair.key})
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: kept-credential, namespace: istio-system}}
type: kubernetes.io/tls
stringData: {data}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: secure, namespace: default}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 443, name: https, protocol: HTTPS}}
    hosts: [{SECURE_HOST}]
    tls: {{mode: SIMPLE, credentialName: kept-credential}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: secure, namespace: default}}
spec:
  hosts: [{SECURE_HOST}]
  gateways: [secure]
  http: [{{route: [{{destination: {{host: helloworld, port: {{number: 5000}}}}}}]}}]
"""


POISON = {
    "apiVersion": "networking.istio.io/v1alpha3",
    "kind": "EnvoyFilter",
    "metadata": {"name": "poison", "namespace": "default"},
    "spec": {
        "workloadSelector": {"labels": {"app": "sleep"}},
        "configPatches": [
            {
                "applyTo": "HTTP_FILTER",
                "match": {
                    "context": "SIDECAR_OUTBOUND",
                    "listener": {
                        "filterChain": {
                            "filter": {
                                "name": "envoy.filters.network.http_connection_manager",
                                "subFilter": {"name": "envoy.filters.http.router"},
                            }
                        }
                    },
                },
                "patch": {
                    "operation": "INSERT_BEFORE",
                    "value": {
                        "name": "script",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                            "default_source_code": {"inline_string": "this is no script ("},
                        },
                    },
                },
            }
        ],
    },
}


@dataclass
class Down:
    """The mesh while its control plane is away: what its API would tell was asked before."""

    mesh: Mesh
    addresses: dict[str, str]
    service: str
    """The address of helloworld."""

    def hold(self) -> None:
        """Kill the control plane and let it not come back."""
        self._settings.rename(self._aside)
        kill(self.mesh.host_pid("argosy.app.control_plane"))

    def release(self) -> None:
        """Let it come back."""
        if self._aside.exists():
            self._aside.rename(self._settings)

    @property
    def _settings(self) -> Path:
        return self.mesh.home / "settings" / "argosy.json"

    @property
    def _aside(self) -> Path:
        return self._settings.with_suffix(".away")

    @contextlib.contextmanager
    def loads(self) -> Iterator[list[Load]]:
        """100 requests a second, half through the gateway and half through the sidecar of sleep."""
        half: dict[str, Any] = {"rate": 50.0, "path": "/hello"}
        outside = {**half, "address": ["127.0.0.1", self.mesh.host_port(8080)], "host": "helloworld.example.com"}
        inside = {**half, "address": [self.service, 5000], "host": "helloworld:5000"}
        with (
            started("gateway", outside) as one,
            started("sidecar", inside, network_of=self.envoy("sleep")) as two,
        ):
            yield [one, two]

    def in_network(self, pid: int) -> list[int]:
        """The processes in the network of `pid`."""
        network = os.readlink(f"/proc/{pid}/ns/net")
        found = []
        for one, _ in self.mesh._processes():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if os.readlink(f"/proc/{one}/ns/net") == network:
                    found.append(one)
        return found

    def envoy(self, workload: str) -> int:
        """The pid of a workload's Envoy, 0 if it has none."""
        for pid, command in self.mesh._processes():
            if command.startswith("/run/argosy/envoy") and f"{self.addresses[workload]} " in local_addresses(pid):
                return pid
        return 0

    def kill_envoys(self) -> dict[str, int]:
        """Kill -9 every proxy; gives the new ones when all pods are ready again."""
        old = {workload: self.envoy(workload) for workload in PROXIES}
        for pid in old.values():
            kill(pid)
        wait_for(lambda: all(self.envoy(one) not in (0, old[one]) for one in PROXIES), 120, "other Envoys")
        wait_for(lambda: len(agent_lists(self.mesh)) == len(self.addresses), 120, "all pods are ready")
        return {workload: self.envoy(workload) for workload in PROXIES}

    def call(self, *options: str) -> str:
        """The status that helloworld gives to sleep."""
        url = "http://helloworld:5000/hello"
        done = self.mesh.exec("sleep", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *options, url)
        return done.stdout

    def plaintext(self) -> int:
        """The exit code of a call without a certificate."""
        enter = ["nsenter", "-t", str(self.mesh.host_pid("argosy.app.agent")), "-n"]
        url = f"http://{self.addresses['helloworld-v1']}:5000/hello"
        return subprocess.run([*enter, "curl", "-s", "-m", "60", "--noproxy", "*", url], capture_output=True).returncode

    def assert_works(self) -> None:
        """Traffic in the mesh and through the gateway, with its policies."""
        assert self.call() == "200"
        assert self.call("-H", "x-refuse: yes") == "403"
        assert httpx.get(f"{self.mesh.gateway()}/hello", timeout=60).status_code == 200
        url = f"https://127.0.0.1:{self.mesh.host_port(8443)}/hello"
        with httpx.Client(verify=False, timeout=60) as client:
            request = client.build_request(
                "GET", url, headers={"host": SECURE_HOST}, extensions={"sni_hostname": SECURE_HOST}
            )
            assert client.send(request).status_code == 200
        assert self.plaintext() in (52, 56), "closed or reset"

    def rows(self) -> dict[str, Any]:
        """What `argosy ps` says of the proxies."""
        rows = json.loads(self.mesh.cli("ps", "-o", "json").stdout)
        return {row["owner"]: row for row in rows}

    def stats(self) -> dict[str, dict[str, int]]:
        """`KEPT` of every proxy."""
        found = {}
        for workload in PROXIES:
            stats = json.loads(admin(self.envoy(workload), "/stats?format=json"))["stats"]
            found[workload] = {one["name"]: one["value"] for one in stats if KEPT.fullmatch(one.get("name", ""))}
        return found


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """helloworld v1 behind the gateway and a pod to call it from; mutual TLS only, and one policy."""
    with running(tmp_path_factory.mktemp("kept") / "mesh", *FILES) as found:
        found.cli("scale", "deploy/helloworld-v2", "0")
        found.apply(STRICT, DENY, secure_gateway(Authority("kept").issue(SECURE_HOST)))
        wait_for(lambda: len(agent_lists(found)) == len(PROXIES), 60, "three pods")
        yield found


def kept(mesh: Mesh) -> Down:
    """Change something, and wait until what the proxies run is kept."""
    wait_for(lambda: in_sync(mesh, len(PROXIES)), 60, "all proxies are in sync")
    addresses = {one: mesh.pods(one)[0]["status"]["podIP"] for one in PROXIES}
    (service,) = (one for one in mesh.objects("Service") if one["metadata"]["name"] == "helloworld")
    before = time.time()
    mesh.apply(named(f"at-{time.time_ns()}"))
    wait_for(lambda: kept_since(mesh, before), 60, "what the proxies run is kept")
    return Down(mesh, addresses, service["spec"]["clusterIP"])


@contextlib.contextmanager
def away(mesh: Mesh) -> Iterator[Down]:
    """Kill the control plane and keep it from coming back: without its settings it cannot start."""
    down = kept(mesh)
    down.hold()
    try:
        yield down
    finally:
        down.release()
    wait_for(lambda: in_sync(mesh, len(PROXIES)), 60, "all proxies are in sync with the new control plane")


def kept_since(mesh: Mesh, when: float, *, count: int = len(PROXIES)) -> bool:
    """True once something is kept of all `count` proxies, and of one of them something newer than `when`."""
    file = mesh.home / "kept.db"
    if not file.exists():
        return False
    # The file may have been made a moment ago, and be empty.
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(file)) as db:
        found, newest = db.execute("SELECT count(*), max(at) FROM proxies").fetchone()
        return bool(found == count and newest > when)
    return False


def test_proxies_start_without_a_control_plane_and_go_back_to_it_without_loss(mesh: Mesh) -> None:
    """B6, F02: sidecars of server and client and the gateway; then not one listener or cluster is touched."""
    with away(mesh) as down:
        killed = time.time()
        new = down.kill_envoys()
        down.assert_works()
        print("traffic runs after", time.time() - killed)
        wait_for(
            lambda: {(row["ready"], row["sync"].split()[0]) for row in down.rows().values()} == {(True, "KEPT")},
            60,
            "all proxies run what was kept",
        )
        status = json.loads(mesh.cli("proxy-status", "-o", "json").stdout)
        assert [one["state"] for one in status] == ["KEPT"] * len(PROXIES)
        assert all(0 <= one["kept_s"] < 600 for one in status)
        assert "KEPT" in mesh.cli("proxy-status").stdout
        assert stat.S_IMODE((mesh.home / "kept.db").stat().st_mode) == 0o600
        before = down.stats()
        with down.loads() as loads:
            down.release()
            wait_for(lambda: in_sync(mesh, len(PROXIES)), 60, "all proxies are in sync with the new control plane")
            down.assert_works()
            for load in loads:
                load.assert_lossless()
        assert {workload: down.envoy(workload) for workload in PROXIES} == new
        assert down.stats() == before
    wait_for(lambda: {row["sync"] for row in down.rows().values()} == {"SYNCED"}, 60, "nobody runs kept configuration")
    # Changes arrive again.
    policies = mesh.objects("AuthorizationPolicy")
    mesh.delete(*policies)
    assert down.call("-H", "x-refuse: yes") == "200"
    mesh.apply(DENY)
    down.assert_works()


def test_a_pod_whose_namespaces_are_lost_is_made_again_without_a_control_plane(mesh: Mesh) -> None:
    """Its certificate, too, is still good."""
    with away(mesh) as down:
        old = down.envoy("helloworld-v1")
        (holder,) = (pid for pid in down.in_network(old) if "sleep infinity" in command_of(pid))
        kill(holder)
        wait_for(lambda: down.envoy("helloworld-v1") not in (0, old), 60, "another Envoy")
        wait_for(lambda: len(agent_lists(mesh)) == len(PROXIES), 60, "all pods are ready")
        down.assert_works()


def test_a_stopped_control_plane_is_away_too(mesh: Mesh) -> None:
    """The kernel still takes connections for it."""
    down = kept(mesh)
    pid = mesh.host_pid("argosy.app.control_plane")
    os.kill(pid, signal.SIGSTOP)
    try:
        down.kill_envoys()
        down.assert_works()
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: in_sync(mesh, len(PROXIES)), 60, "all proxies are in sync")


def test_poison_is_not_kept_and_a_restarted_proxy_stays_on_what_was_good(mesh: Mesh) -> None:
    """A7: with a control plane, which names it, and without."""
    mesh.cli("apply", "-f", str(poison_file(mesh)), "--wait", check=False)
    down = Down(mesh, {one: mesh.pods(one)[0]["status"]["podIP"] for one in PROXIES}, "")
    down.kill_envoys()
    wait_for(lambda: in_sync(mesh, len(PROXIES)), 60, "all proxies are in sync")
    down.assert_works()
    wait_for(lambda: is_named(mesh), 60, "it is named")
    with away(mesh) as down:
        down.kill_envoys()
        down.assert_works()
    wait_for(lambda: is_named(mesh), 60, "the next control plane has found it, too")
    mesh.delete(POISON)


def is_named(mesh: Mesh) -> bool:
    """True if the poison is said to be left out."""
    told = mesh.cli("analyze", check=False)
    return "ARG0504 EnvoyFilter default/poison" in told.stdout + told.stderr


def poison_file(mesh: Mesh) -> Path:
    """The poison as a file."""
    file = mesh.home / "poison.json"
    file.write_text(json.dumps(POISON))
    return file


def command_of(pid: int) -> str:
    """The command line of a process; empty if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""
