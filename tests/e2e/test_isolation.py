"""Issue 4, 6: what an application can reach of other pods, its own proxy, the mesh and the machine: nothing."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from argosy.agent.bootstrap import ADMIN_SOCKET, PROXY_DIR

from .calls import in_pod
from .harness import EXAMPLES, ROOT, Mesh, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PROGRAMS = Path(__file__).with_name("programs")
FILES = (EXAMPLES / "httpbin" / "httpbin.yaml", EXAMPLES / "sleep" / "sleep.yaml")
PLAIN = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: plain}
spec:
  selector: {matchLabels: {app: plain}}
  template:
    metadata: {labels: {app: plain, sidecar.istio.io/inject: "false"}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: plain, image: argosy/curl, command: [/bin/sleep, infinity]}]
"""
RABBIT = """
import os, time
for _ in range(4):
    if not os.fork():
        os.setsid()
        while True:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(0.001)
"""
"""Four processes that are another one at each moment: no list of numbers is true long enough to kill them by."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    home = tmp_path_factory.mktemp("isolation")
    (home / "plain.yaml").write_text(PLAIN)
    with running(home / "mesh", *FILES, home / "plain.yaml") as found:
        yield found


def probe(mesh: Mesh, workload: str) -> dict[str, Any]:
    """What `prisoner.py` could do in a workload's pod."""
    every = [pid for pid, _command in mesh._processes()]
    pods = [f"/run/argosy/pods/{pod['status']['podIP']}" for pod in mesh.objects("Pod")]
    runs = [str(mesh.home / "run" / name) for name in ("agent.sock", "control.sock", "relay.sock")]
    given = {
        "pids": sorted({*every, *filter(None, map(number_in_node, every))}),
        "homes": [str(mesh.home), PROXY_DIR, "/run/argosy", "/run/argosy/pods", "/run/argosy/keep/0", *pods],
        "sockets": [*runs, f"{PROXY_DIR}/{ADMIN_SOCKET}", *(f"{pod}/proxy/{ADMIN_SOCKET}" for pod in pods)],
        "secrets": ["PRIVATE KEY"],
        "public": [str(ROOT), sys.prefix],
    }
    done = in_pod(mesh, workload, sys.executable, str(PROGRAMS / "prisoner.py"), json.dumps(given))
    answer: dict[str, Any] = json.loads(done)
    return answer


def number_in_node(pid: int) -> int:
    """The number by which the node knows a process of the machine; 0 if it has gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                numbers = [int(one) for one in line.split()[1:]]
                return numbers[min(1, len(numbers) - 1)]
    return 0


def namespace(pid: int) -> str:
    """The process namespace of a process; empty if it has gone."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/pid")
    return ""


def holder(mesh: Mesh, workload: str) -> int:
    """Process 1 of a workload's only pod, as the machine knows it."""
    inside = set(in_pod(mesh, workload, "readlink", "/proc/self/ns/pid").split())
    (found,) = [pid for pid, command in mesh._processes() if command == "sleep infinity " and namespace(pid) in inside]
    return found


def members(mesh: Mesh) -> set[tuple[int, str]]:
    """What must not be hurt from inside the pod of `sleep`: every other process of the mesh."""
    inside = namespace(holder(mesh, "sleep"))
    return {(pid, command) for pid, command in mesh._processes() if namespace(pid) != inside}


def lasting(mesh: Mesh) -> set[tuple[int, str]]:
    """Those `members` that do not come and go by themselves."""
    found = members(mesh)
    time.sleep(1)
    return found & members(mesh)


@pytest.fixture(scope="module")
def got(mesh: Mesh) -> dict[str, Any]:
    """What an application got that tried everything."""
    return probe(mesh, "sleep")


def test_an_application_sees_its_own_processes_only(got: dict[str, Any]) -> None:
    assert sorted(got["visible"].values()) == ["/bin/sleep infinity", "sleep infinity"]


def test_no_other_process_can_be_signalled_read_or_traced(got: dict[str, Any]) -> None:
    """Neither by the numbers of others nor by any number at all; process 1 of the pod keeps its secrets too."""
    assert (got["signalled"], got["others"], got["one"]) == ([], {}, [])


def test_the_probe_finds_what_is_open(mesh: Mesh) -> None:
    """What it says of others it would also say of what it may have."""
    functions = (PROGRAMS / "prisoner.py").read_text().rpartition("main()")[0]
    checks = "import subprocess; pid = subprocess.Popen(['sleep', '9']).pid; print(opened(pid), signalled([pid]))"
    text = in_pod(mesh, "sleep", sys.executable, "-c", f"{functions}\n{checks}; os.kill(pid, 9)")
    for word in ("environ", "mem", "root", "ns/mnt", "fd/0", "ptrace"):
        assert word in text
    assert "[]" not in text


def test_no_socket_of_the_mesh_and_no_admin_page_of_a_proxy_can_be_reached(got: dict[str, Any]) -> None:
    assert (got["connected"], got["abstract"], got["administered"]) == ([], [], [])


def test_no_key_token_or_state_of_the_mesh_can_be_read(got: dict[str, Any]) -> None:
    """Another pod's identity cannot be had: neither its certificate nor what tokens are made with is in reach."""
    assert (got["listed"], got["secrets"]) == ([], [])


def test_only_what_is_the_pods_own_can_be_written(got: dict[str, Any], mesh: Mesh) -> None:
    own = {"/dev/pts", "/dev/shm", "/etc/hosts", "/etc/resolv.conf", "/proc", "/run", "/tmp", str(mesh.home)}
    assert set(got["mounts"]) == own
    # Each opener of these has a trigger of its own; the memory type registers ask for a capability.
    harmless = ("/proc/pressure/", "/proc/mtrr")
    assert [one for one in got["kernel"] if not one.startswith(harmless)] == []


def test_devices_are_those_that_anyone_may_use(got: dict[str, Any]) -> None:
    usual = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert got["devices"] == usual.split()


def test_shared_memory_is_the_pods_own(mesh: Mesh) -> None:
    made = "import ctypes; print(ctypes.CDLL(None).shmget(4711, 64, 0o1666))"
    assert int(in_pod(mesh, "httpbin", sys.executable, "-c", made)) >= 0
    in_pod(mesh, "httpbin", "touch", "/dev/shm/mine")
    count = "wc -l < /proc/sysvipc/shm; ls /dev/shm"
    assert in_pod(mesh, "httpbin", "sh", "-c", count).split() == ["2", "mine"]
    assert in_pod(mesh, "sleep", "sh", "-c", count).split() == ["1"]


def test_terminals_are_the_pods_own(mesh: Mesh) -> None:
    spawn = "import pty, sys; pty.spawn(['tty'])"
    assert "/dev/pts/0" in in_pod(mesh, "sleep", sys.executable, "-c", spawn)


def test_a_proxy_sees_itself_only_and_no_other_proxys_key(mesh: Mesh) -> None:
    script = f"ps -eo args=; ls {PROXY_DIR}; ls -A /run/argosy/pods {mesh.home} 2>&1; kill -9 -1; kill -9 1; echo alive"
    before = lasting(mesh)
    done = mesh.cli("exec", "deploy/sleep", "-c", "istio-proxy", "--", "sh", "-c", script)
    assert "certificate.json" in done.stdout.split()
    assert len([line for line in done.stdout.splitlines() if line.startswith("/run/argosy/envoy")]) == 1
    assert "10.88." not in done.stdout
    assert "identity" not in done.stdout
    assert done.stdout.split()[-1] == "alive"
    assert before <= members(mesh)


def applications(mesh: Mesh) -> set[str]:
    """The numbers that the application of `sleep` has in its pod."""
    lines = in_pod(mesh, "sleep", "ps", "-eo", "pid=,args=").splitlines()
    return {line.split()[0] for line in lines if line.split()[1:] == ["/bin/sleep", "infinity"]}


def test_killing_all_that_can_be_killed_ends_the_own_application_only(mesh: Mesh) -> None:
    before, process_1, application = lasting(mesh), holder(mesh, "sleep"), applications(mesh)
    numbers = " ".join(str(number_in_node(pid)) for pid, _command in before)
    # The shell spares itself: its number in the pod may be one of theirs in the node.
    each = f"for one in {numbers} 1; do [ $one = $$ ] || kill -9 $one; done 2>&1"
    in_pod(mesh, "sleep", "sh", "-c", f"{each}; kill -9 -1")
    assert application
    assert not application & applications(mesh)
    wait_for(lambda: applications(mesh), 60, "it runs again")
    mesh.wait_pods()
    assert before <= members(mesh)
    assert holder(mesh, "sleep") == process_1
    code = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://httpbin:8000/get")
    assert in_pod(mesh, "sleep", *code) == "200"


def test_orphans_that_end_are_collected(mesh: Mesh) -> None:
    in_pod(mesh, "sleep", "sh", "-c", "for one in 1 2 3 4 5; do sh -c 'sleep 0.01 & :' & done; wait")
    wait_for(lambda: len(in_pod(mesh, "sleep", "ps", "-e", "-o", "pid=").split()) == 3, 60, "none is left")


def test_a_killed_pod_leaves_nothing_not_even_what_multiplies(mesh: Mesh) -> None:
    process_1 = holder(mesh, "plain")
    inside = namespace(process_1)
    multiply(mesh)
    assert len(inhabitants(inside)) >= 4
    os.kill(process_1, 9)
    wait_for(lambda: not inhabitants(inside), 60, "nothing is left in its process namespace")
    wait_for(lambda: str(process_1) not in os.listdir("/proc"), 60, "nor its process 1")

    def another() -> bool:
        # It is said to be ready until its end has been noticed.
        with contextlib.suppress(OSError, ValueError, StopIteration):
            return holder(mesh, "plain") != process_1
        return False

    wait_for(another, 60, "another process 1")
    mesh.wait_pods()
    # And a pod that is asked to end, with four of them:
    (pod,) = mesh.pods("plain")
    inside = namespace(holder(mesh, "plain"))
    multiply(mesh)
    mesh.cli("restart", "deploy/plain")
    wait_for(lambda: pod["metadata"]["name"] not in [one["metadata"]["name"] for one in mesh.pods("plain")], 60, "gone")
    wait_for(lambda: not inhabitants(inside), 60, "nothing is left in its process namespace")


def multiply(mesh: Mesh) -> None:
    """Let the rabbits loose in the pod of `plain`."""
    quiet = 'exec "$0" -c "$1" </dev/null >/dev/null 2>&1'
    in_pod(mesh, "plain", "sh", "-c", quiet, sys.executable, RABBIT)


def inhabitants(inside: str) -> list[int]:
    """Processes of a process namespace; several looks, because they may hide between two numbers."""
    found: set[int] = set()
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        found |= {int(one) for one in os.listdir("/proc") if one.isdigit() and namespace(int(one)) == inside}
    return sorted(found)
