"""Pods as processes in namespaces: real node, agent, control plane and Envoys, in both modes of telling Envoy apart."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from argosy.app.agent import AgentSettings
from argosy.app.control_settings import Settings
from argosy.edge.exec_api import AgentClient, Request
from argosy.edge.platform_check import check_platform
from argosy.edge.processes import NodeProcess, spawn_node
from argosy.envoy.api import envoy_binary
from argosy.local.node_spec import NODE_ADDRESS, ChildSpec, NodeSpec, kept_paths, node_argv

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MANIFEST = """
apiVersion: v1
kind: Namespace
metadata: {name: plain, labels: {istio-injection: disabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client, namespace: plain}
spec:
  template:
    metadata: {labels: {app: client}}
    spec: {containers: [{name: sh, image: curlimages/curl, command: [/bin/sleep, infinity]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client, namespace: shop}
spec:
  template:
    metadata: {labels: {app: client}}
    spec: {containers: [{name: sh, image: curlimages/curl, command: [/bin/sleep, infinity]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: httpbin, namespace: shop}
spec:
  template:
    metadata: {labels: {app: httpbin}}
    spec: {containers: [{name: httpbin, image: httpbin, ports: [{containerPort: 80, name: http}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: shop}
spec: {selector: {app: httpbin}, ports: [{port: 8000, targetPort: http, name: http}]}
"""


class Mesh:
    """A running node, and what a test wants to know of it."""

    def __init__(self, home: Path, node: NodeProcess) -> None:
        self.home = home
        self.node = node
        self.client = AgentClient(str(home / "run" / "agent.sock"))

    def pods(self) -> list[dict]:
        return self.client.ask(Request("list"))["pods"]

    def pod(self, namespace: str, owner: str) -> dict:
        (found,) = [p for p in self.pods() if (p["namespace"], p["owner"]) == (namespace, owner)]
        return found

    def wait_ready(self, count: int, *, within_s: float = 120.0) -> None:
        end = time.monotonic() + within_s
        state: object = "no answer"
        while time.monotonic() < end:
            try:
                pods = self.pods()
            except OSError as error:
                state = error
            else:
                state = pods
                if len(pods) == count and all(p["ready"] for p in pods):
                    return
            time.sleep(0.05)
        raise AssertionError(f"not ready: {state}\n{self.logs()}")

    def run(self, namespace: str, owner: str, script: str, *, container: str = "") -> tuple[int, str]:
        """Run a shell script in a pod; its exit code and output."""
        name = self.pod(namespace, owner)["name"]
        out, into = os.pipe()
        with open(out, "rb") as reading, open(os.devnull, "rb") as null, open(into, "wb") as writing:
            request = Request("exec", namespace, name, container, ("sh", "-c", script))
            answer = self.client.ask(request, (null.fileno(), writing.fileno(), writing.fileno()))
            writing.close()
            return answer["exit_code"], reading.read().decode()

    def logs(self) -> str:
        return "\n".join(f"--- {file.name}\n{file.read_text()[-3000:]}" for file in (self.home / "logs").glob("*.log"))

    def processes(self) -> list[int]:
        """All processes of the node, as the host sees them."""
        found: list[int] = []
        queue = [self._init()]
        while queue:
            found.append(queue.pop())
            queue += _children(found[-1])
        return found

    def _init(self) -> int:
        return _children(self.node.process.pid)[0]


def _children(pid: int) -> list[int]:
    """By the parent that each process names: a thread's list of children goes with the thread."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.name))
    return found


def _inode(pid: int, kind: str) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except OSError:
        return 0


def host_network() -> tuple[str, str]:
    """What of the host's network must stay as it is."""
    rules = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    counted = [line for line in rules.splitlines() if line.startswith("-A")]
    return "\n".join(counted), "\n".join(line.split(":")[1] for line in links.splitlines())


def start(home: Path, *, rootless: bool) -> Mesh:
    for folder in ("src", "run", "logs"):
        (home / folder).mkdir(mode=0o700)
    (home / "src" / "all.yaml").write_text(MANIFEST)
    main, tokens = f"{NODE_ADDRESS}:15012", f"{NODE_ADDRESS}:15013"
    keep = kept_paths([str(home), sys.prefix, str(Path(__file__).parents[2])])
    control = Settings(
        name="argosy",
        home=str(home),
        listen=main,
        citadel_listen=tokens,
        galley=main,
        citadel=tokens,
        sources=(str(home / "src"),),
        socket_mark=1337 if rootless else 0,
    )
    agent = AgentSettings(home=str(home), roots=str(home / "ca" / "root-cert.pem"), rootless=rootless, drain_s=0.3)
    children = []
    for rank, (name, settings) in enumerate([("agent", agent), ("control_plane", control)]):
        file = home / f"{name}.json"
        file.write_bytes(msgspec.json.encode(settings))
        argv = (sys.executable, "-m", f"argosy.app.{name}", str(file))
        children.append(ChildSpec(name, argv, stop_rank=rank, stop_grace_s=5.0))
    spec = NodeSpec(str(home), str(envoy_binary()), tuple(children), rootless=rootless, keep=keep)
    argv = node_argv([sys.executable, "-m", "argosy.app.node"], rootless=rootless)
    with open(home / "logs" / "node.log", "wb") as log:
        return Mesh(home, spawn_node(argv, msgspec.json.encode(spec), inherit=[], log=log.fileno()))


@pytest.fixture(scope="module", params=[False, True], ids=["uid", "mark"])
def mesh(request, tmp_path_factory):
    if findings := check_platform(rootless=request.param or os.getuid() != 0):
        pytest.skip(str(findings[0]))
    mesh = start(tmp_path_factory.mktemp("h"), rootless=request.param or os.getuid() != 0)
    try:
        mesh.wait_ready(3)
        yield mesh
    finally:
        mesh.node.kill()
        asyncio.run(mesh.node.wait())


CODE = "curl -s -o /dev/null -w '%{http_code}' --max-time 60"
# A sidecar hears of other pods shortly after they are ready: the first calls may find nobody yet.
PATIENT = 'for i in $(seq 600); do code=$(CODE URL); [ "$code" = 200 ] && break; sleep 0.05; done; echo -n $code'


def patient(path: str) -> str:
    return PATIENT.replace("CODE", CODE).replace("URL", f"http://httpbin:8000{path}")


def test_a_pod_with_sidecar_reaches_another_by_name(mesh):
    assert mesh.run("shop", "client", patient("/get")) == (0, "200")


def test_the_call_went_through_both_sidecars(mesh):
    mesh.run("shop", "client", patient("/uuid"))
    for owner in ("client", "httpbin"):
        name = mesh.pod("shop", owner)["name"]
        log = Path(mesh.client.ask(Request("logs", "shop", name))["files"]["istio-proxy"])
        end = time.monotonic() + 120
        while "/uuid" not in log.read_text() and time.monotonic() < end:
            time.sleep(0.05)
        assert "/uuid" in log.read_text(), owner


def test_a_pod_without_sidecar_reaches_services_by_their_address(mesh):
    code, text = mesh.run("plain", "client", f"{CODE} http://httpbin.shop:8000/get")
    assert (code, text) == (0, "200")


def test_unknown_names_do_not_exist_and_unserved_ports_refuse(mesh):
    assert mesh.run("plain", "client", f"{CODE} http://nosuch.example.com")[0] == 6
    assert mesh.run("plain", "client", f"{CODE} http://httpbin.shop:8001/")[0] == 7


def test_an_application_has_no_capability_and_sees_no_secret(mesh):
    script = "grep CapEff /proc/self/status; ls -A /etc/argosy/proxy; ls -A /run; ls -A $HOME_OF_ARGOSY 2>&1"
    script = script.replace("$HOME_OF_ARGOSY", str(mesh.home))
    _, text = mesh.run("shop", "client", script)
    assert text.splitlines()[0].split() == ["CapEff:", "0000000000000000"]
    assert "roots.json" not in text
    assert "ca" not in text.split()
    assert "identity" not in text
    envoy = mesh.pod("shop", "client")["name"]
    assert mesh.client.ask(Request("admin", "shop", envoy, path="/ready"))["status"] == 200


def test_the_application_cannot_change_the_rules_or_mark_packets(mesh):
    assert mesh.run("shop", "client", "iptables -t nat -F")[0] != 0
    mark = "import socket; s = socket.socket(); s.setsockopt(1, 36, 1337)"
    code, text = mesh.run("shop", "client", f'{sys.executable} -c "{mark}"')
    assert (code, "PermissionError" in text) == (1, True)


def test_a_crashed_envoy_comes_back_and_fails_closed_meanwhile(mesh):
    before = mesh.pod("shop", "client")
    pids = [pid for pid in mesh.processes() if b"/run/argosy/envoy" in _cmdline(pid) and _in_pod(mesh, pid, before)]
    os.kill(pids[0], signal.SIGKILL)
    end = time.monotonic() + 120
    while mesh.pod("shop", "client")["restarts"] == before["restarts"] and time.monotonic() < end:
        time.sleep(0.02)
    mesh.wait_ready(3)
    assert mesh.run("shop", "client", patient("/get")) == (0, "200")


def test_pods_outlive_their_agent(mesh):
    def named(word: bytes) -> set[int]:
        return {pid for pid in mesh.processes() if word in _cmdline(pid)}

    before = named(b"/run/argosy/envoy") | named(b"argosy.samples")
    names = sorted(p["name"] for p in mesh.pods())
    (agent,) = named(b"argosy.app.agent")
    os.kill(agent, signal.SIGKILL)
    end = time.monotonic() + 120
    while named(b"argosy.app.agent") in ({agent}, set()) and time.monotonic() < end:
        time.sleep(0.02)
    mesh.wait_ready(3)
    assert sorted(p["name"] for p in mesh.pods()) == names
    assert named(b"/run/argosy/envoy") | named(b"argosy.samples") == before
    assert mesh.run("shop", "client", f"{CODE} http://httpbin:8000/get") == (0, "200")


def test_a_stopped_pod_is_replaced(mesh):
    name = mesh.pod("shop", "client")["name"]
    mesh.client.ask(Request("stop", "shop", name))
    end = time.monotonic() + 120
    while any(p["name"] == name for p in mesh.pods()) and time.monotonic() < end:
        time.sleep(0.05)
    mesh.wait_ready(3)
    assert mesh.pod("shop", "client")["name"] != name


def test_a_rolling_update_loses_no_request(mesh):
    mesh.run("shop", "client", patient("/get"))
    before = mesh.pod("shop", "httpbin")["name"]
    changed = MANIFEST.replace("labels: {app: httpbin}}", 'labels: {app: httpbin}, annotations: {version: "2"}}')
    script = f"for i in $(seq 150); do {CODE} http://httpbin:8000/get; echo; sleep 0.01; done"
    with ThreadPoolExecutor() as pool:
        calls = pool.submit(mesh.run, "shop", "client", script)
        (mesh.home / "src" / "all.yaml").write_text(changed)
        end = time.monotonic() + 120
        while before in [p["name"] for p in mesh.pods()] and time.monotonic() < end:
            time.sleep(0.05)
        code, text = calls.result()
    mesh.wait_ready(3)
    assert before not in [p["name"] for p in mesh.pods()]
    assert code == 0
    assert text.split() == ["200"] * 150


def test_killing_the_node_leaves_nothing_behind(mesh, tmp_path):
    """Runs last of its module; starts a node of its own."""
    before = host_network()
    other = start(tmp_path, rootless=mesh.pods() == [] or os.getuid() != 0)
    other.wait_ready(3)
    pids = other.processes()
    assert len(pids) > 8
    assert host_network() == before
    os.kill(other.node.process.pid, signal.SIGKILL)
    asyncio.run(other.node.wait())
    end = time.monotonic() + 120
    while [pid for pid in pids if Path(f"/proc/{pid}").exists()] and time.monotonic() < end:
        time.sleep(0.02)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert host_network() == before


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _in_pod(mesh: Mesh, pid: int, pod: dict) -> bool:
    """Whether a process is in a pod's network, told by the pod's address."""
    argv = ["nsenter", "--net", f"--target={pid}", "ip", "-o", "-4", "addr"]
    user = (
        [f"--user=/proc/{pid}/ns/user", "--preserve-credentials"]
        if _inode(pid, "user") != _inode(os.getpid(), "user")
        else []
    )
    done = subprocess.run([argv[0], *user, *argv[1:]], capture_output=True, text=True, check=False)
    return f" {pod['ip']}/" in done.stdout
