"""Start and stop: what an application may count on in its first and its last seconds. One mesh, real pods."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.calls import body
from tests.e2e.harness import Mesh, is_ready, local_addresses, running, wait_for
from tests.e2e.loads import admin

from argosy.agent.lifecycle import Timing

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PROGRAMS = Path(__file__).with_name("programs")
FLUSH_S = 4
STARTS = 20
SERVER = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: flusher}
spec: {selector: {app: flusher}, ports: [{name: http, port: 80, targetPort: 8080}]}
"""


def template(app: str, command: str, *, ports: str = "", more: str = "") -> str:
    text = f"{sys.executable} {PROGRAMS}/{command}" if command else ""
    annotations = f"annotations: {{argosy.io/command: '{text}'}}" if text else ""
    return f"""
    metadata:
      labels: {{app: {app}}}
      {annotations}
    spec:
      {more}
      containers: [{{name: {app}, image: argosy/curl, ports: [{ports}]}}]
"""


def deployment(name: str, command: str, *, replicas: int = 1, ports: str = "", more: str = "") -> str:
    made = template(name, command, ports=ports, more=more)
    return f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:{made}"""


def job(name: str, code: int, *, policy: str = "Never", failures: int = 0, completions: int = 1) -> str:
    made = template(name, f"worker.py job http://web {code}", more=f"restartPolicy: {policy}")
    return f"""---
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}}}
spec:
  backoffLimit: {failures}
  completions: {completions}
  template:{made}"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    home = tmp_path_factory.mktemp("lifecycle")
    port = "{containerPort: 8080}"
    (home / "mesh.yaml").write_text(
        SERVER + deployment("web", "knobs.py http:8080", ports=port) + deployment("sleep", "")
    )
    strict = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\n"
    (home / "strict.yaml").write_text(f"{strict}spec: {{mtls: {{mode: STRICT}}}}\n")
    with running(home / "mesh", home / "mesh.yaml", home / "strict.yaml") as found:
        yield found


def told(mesh: Mesh, start: str) -> dict[str, int]:
    """What programs have told the server whose word begins with `start`, and how often."""
    counts: dict[str, int] = json.loads(body(mesh, "sleep", "http://web/counts"))
    words = {key.partition(" ")[2]: count for key, count in counts.items()}
    return {word: count for word, count in words.items() if word.startswith(start)}


def finished(mesh: Mesh, name: str) -> list[dict[str, Any]]:
    """The pods of a Job that have ended."""
    return [pod for pod in mesh.pods(name) if pod["status"]["phase"] in ("Succeeded", "Failed")]


def exit_codes(pods: list[dict[str, Any]]) -> list[int]:
    return [one["state"]["terminated"]["exitCode"] for pod in pods for one in pod["status"]["containerStatuses"]]


def replaced(mesh: Mesh, name: str, before: set[str], count: int) -> Callable[[], bool]:
    """True once a Deployment has `count` ready pods, and none of those of before."""

    def check() -> bool:
        pods = mesh.pods(name)
        names = {one["metadata"]["name"] for one in pods}
        return len(pods) == count and all(map(is_ready, pods)) and not names & before

    return check


def test_an_applications_very_first_call_works(mesh: Mesh) -> None:
    """B1: the proxy has its whole configuration, under STRICT, before the application's first instruction."""
    mesh.apply(deployment("early", "worker.py early http://web", replicas=5, ports="{containerPort: 8080}"))
    before: set[str] = set()
    try:
        while len(seen := told(mesh, "first-")) < STARTS:
            wait_for(replaced(mesh, "early", before, 5), 90, "five new pods")
            before = {one["metadata"]["name"] for one in mesh.pods("early")}
            mesh.cli("restart", "deploy/early")
        assert all(one.startswith("first-200-") for one in seen), seen
    finally:
        mesh.delete(deployment("early", ""))


@pytest.mark.parametrize("code", [0, 3])
def test_a_job_ends_with_its_sidecar_and_its_code(mesh: Mesh, code: int) -> None:
    """B2."""
    name = f"job-{code}"
    mesh.apply(job(name, code))
    (pod,) = wait_for(lambda: finished(mesh, name), 60, "the pod has ended")
    assert told(mesh, f"job-{code}-") == {f"job-{code}-{pod['metadata']['name']}": 1}
    assert exit_codes([pod]) == [code]
    assert pod["status"]["phase"] == ("Failed" if code else "Succeeded")
    address = pod["status"]["podIP"]

    def sidecars() -> list[int]:
        envoys = [pid for pid, command in mesh._processes() if command.startswith("/run/argosy/envoy")]
        return [pid for pid in envoys if f"{address} " in local_addresses(pid)]

    wait_for(lambda: not sidecars(), 60, "its sidecar has ended, too")
    listed = mesh.cli("ps").stdout
    assert ("Error" if code else "Completed") in next(line for line in listed.splitlines() if name in line)
    assert mesh.cli("logs", pod["metadata"]["name"]).returncode == 0
    mesh.delete(job(name, code))
    wait_for(lambda: not mesh.pods(name), 60, "the pod is gone")


def test_a_job_tries_again_as_often_as_it_may_and_runs_as_often_as_it_shall(mesh: Mesh) -> None:
    mesh.apply(job("failing", 4, failures=1), job("twice", 0, completions=2))
    assert exit_codes(wait_for(lambda: (p := finished(mesh, "failing"))[1:] and p, 60, "two failures")) == [4, 4]
    assert exit_codes(wait_for(lambda: (p := finished(mesh, "twice"))[1:] and p, 60, "two successes")) == [0, 0]
    assert len(mesh.pods("failing")) == 2
    mesh.delete(job("failing", 4), job("twice", 0))


def test_a_finished_job_stays_finished_when_the_agent_restarts(mesh: Mesh) -> None:
    mesh.apply(job("once", 0))
    (pod,) = wait_for(lambda: finished(mesh, "once"), 60, "the pod has ended")
    old = mesh.host_pid("argosy.app.agent")
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: mesh.cli("ps", check=False).returncode == 0, 60, "another agent")
    wait_for(lambda: len(finished(mesh, "once")) == 1, 60, "still finished")
    assert told(mesh, "job-0-once") == {f"job-0-{pod['metadata']['name']}": 1}
    mesh.delete(job("once", 0))


def test_a_pod_is_withdrawn_before_it_is_asked_to_end_and_may_call_others_until_it_has(mesh: Mesh) -> None:
    """A2, B3, B4, B5: clients have dropped the endpoint at SIGTERM; calls out of the pod go on, on one connection."""
    command = f"worker.py flush http://web {FLUSH_S}"
    flusher = deployment("flusher", command)
    mesh.apply(flusher)
    wait_for(replaced(mesh, "flusher", set(), 1), 60, "the pod")
    (pod,) = mesh.pods("flusher")
    endpoint, client = f"{pod['status']['podIP']}:8080::", mesh.envoy_pid("sleep")
    last = 0.0

    def known() -> bool:
        nonlocal last
        at = time.time()
        found = endpoint in admin(client, "/clusters")
        last = at if found else last
        return found

    wait_for(known, 60, "the client has the endpoint")
    mesh.delete(flusher, wait_s=0)
    wait_for(lambda: not known(), 60, "the client has dropped the endpoint")
    wait_for(lambda: not mesh.pods("flusher"), 60, "the pod is gone")
    (asked,) = (float(one.split("-")[2]) for one in told(mesh, "term-flusher"))
    # Whoever looked after it was asked did not find it any more.
    assert asked > last
    flushed = told(mesh, "flush-")
    assert set(flushed) == {f"flush-200-1-{pod['metadata']['name']}"}, flushed
    assert sum(flushed.values()) > 2


def test_a_pod_is_not_asked_to_end_before_a_slow_client_has_dropped_it(mesh: Mesh) -> None:
    """A2: a proxy that is three seconds late still has the endpoint; it works as long as that."""
    slow = deployment("slow", "worker.py flush http://web 0")
    service = SERVER.split("---")[1].replace("flusher", "slow")
    mesh.apply(slow, service)
    wait_for(replaced(mesh, "slow", set(), 1), 60, "the pod")
    late = mesh.envoy_pid("sleep")
    os.kill(late, signal.SIGSTOP)
    try:
        mesh.delete(slow, wait_s=0)
        stopped = time.time()
        wait_for(lambda: time.time() > stopped + 4, 60, "the client is late")
        assert [pod["status"].get("reason") for pod in mesh.pods("slow")] == ["Terminating"]
    finally:
        resumed = time.time()
        os.kill(late, signal.SIGCONT)
    wait_for(lambda: not mesh.pods("slow"), 60, "the pod is gone")
    (asked,) = (float(one.split("-")[2]) for one in told(mesh, "term-slow"))
    # Because the client has it no more, not because the time for that is up.
    assert resumed < asked < stopped + Timing().drain_max_s


def test_a_killed_sidecars_pod_does_not_end(mesh: Mesh) -> None:
    """Only work that is done ends a pod; a proxy that crashed comes back."""
    os.kill(mesh.envoy_pid("web"), signal.SIGKILL)
    wait_for(lambda: body(mesh, "sleep", "http://web/") != "" and all(map(is_ready, mesh.pods("web"))), 60, "back")
