"""Workloads that are no pods, of a group with a probe: the agent asks them, and they are called while they are well."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from tests.e2e.calls import in_pod
from tests.e2e.harness import Mesh, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# Two machines, played by pods without a sidecar: each says who it is, and is well while the file `ready` is there.
MACHINE = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}, annotations: {sidecar.istio.io/inject: "false"}}
    spec:
      containers:
      - name: machine
        image: argosy/curl
        command: [sh, -c, "mkdir /tmp/www && echo NAME > /tmp/www/who && exec python3 -m http.server 8080 -d /tmp/www"]
        ports: [{containerPort: 8080}]
"""
CLIENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: sleep}
spec:
  selector: {matchLabels: {app: sleep}}
  template: {metadata: {labels: {app: sleep}}, spec: {containers: [{name: sleep, image: curlimages/curl}]}}
"""
GROUP = """
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: machines}
spec:
  metadata: {labels: {app: machines}}
  template: {}
"""
PROBE = """  probe:
    httpGet: {port: 8080, path: /ready}
    periodSeconds: 1
    failureThreshold: 2
    timeoutSeconds: 20
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: NAME, annotations: {istio.io/autoRegistrationGroup: machines}}
spec: {address: ADDRESS}
"""
HOST = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: machines}
spec:
  hosts: [machines.example.com]
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {app: machines}}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("groups")
    (folder / "apps.yaml").write_text("---".join([CLIENT, *(MACHINE.replace("NAME", name) for name in ("one", "two"))]))
    with running(folder / "mesh", folder / "apps.yaml") as found:
        yield found


def who_answers(mesh: Mesh) -> set[str]:
    """Those who answer some calls; `nobody` is among them if a call failed."""
    script = "for i in 1 2 3 4 5 6; do curl -sf -m 60 http://machines.example.com/who || echo nobody; done"
    return set(in_pod(mesh, "sleep", "sh", "-c", script).split())


def conditions(mesh: Mesh) -> dict[str, str]:
    """The health of each WorkloadEntry, as `argosy get` shows it."""
    rows = [line.split() for line in mesh.cli("get", "workloadentries").stdout.splitlines()]
    at = rows[0].index("HEALTHY")
    return {row[0]: row[at] for row in rows[1:]}


def until(mesh: Mesh, one: str, two: str) -> None:
    """Wait for this health of both, and for the client to call those who are well and nobody else."""
    wait_for(lambda: conditions(mesh) == {"one": one, "two": two}, 60, f"one: {one}, two: {two}")
    well = {name for name, healthy in (("one", one), ("two", two)) if healthy != "False"}
    wait_for(lambda: who_answers(mesh) == (well or {"nobody"}), 60, f"{well} answer")


def test_only_workloads_that_are_well_are_called(mesh: Mesh) -> None:
    entries = [
        ENTRY.replace("NAME", name).replace("ADDRESS", mesh.pods(name)[0]["status"]["podIP"]) for name in ("one", "two")
    ]
    mesh.apply(GROUP + PROBE, HOST, *entries)
    # Nobody is called before a first success.
    assert who_answers(mesh) == {"nobody"}
    until(mesh, "False", "False")
    in_pod(mesh, "one", "touch", "/tmp/www/ready")
    until(mesh, "True", "False")
    in_pod(mesh, "two", "touch", "/tmp/www/ready")
    until(mesh, "True", "True")
    in_pod(mesh, "one", "rm", "/tmp/www/ready")
    until(mesh, "False", "True")
    assert "/ready: answered 404" in mesh.cli("get", "we", "one", "-o", "yaml").stdout


def test_an_agent_that_starts_again_is_no_news_of_the_workloads(mesh: Mesh) -> None:
    """It asks again, and what is known stands meanwhile."""
    mesh.apply(GROUP + PROBE.replace("periodSeconds: 1", "periodSeconds: 1\n    initialDelaySeconds: 20"))
    old = mesh.host_pid("argosy.app.agent")
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: mesh.cli("ps", check=False).returncode == 0, 60, "another agent answers")
    assert mesh.host_pid("argosy.app.agent") != old
    assert conditions(mesh) == {"one": "False", "two": "True"}
    assert who_answers(mesh) == {"two"}
    in_pod(mesh, "one", "touch", "/tmp/www/ready")
    mesh.apply(GROUP + PROBE)
    until(mesh, "True", "True")


def test_without_a_probe_nobody_is_ill(mesh: Mesh) -> None:
    in_pod(mesh, "one", "rm", "/tmp/www/ready")
    until(mesh, "False", "True")
    mesh.apply(GROUP)
    until(mesh, "-", "-")
