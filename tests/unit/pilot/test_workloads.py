"""Workloads that are no pods, as endpoints: which of them may be called."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from argosy.api import Document, decode_object
from argosy.api.workload import HEALTH
from argosy.pilot.build.resource import ENDPOINT
from argosy.testing.worlds import MeshWorld

NETWORKING = "networking.istio.io/v1"
WORLD = """
apiVersion: v1
kind: Service
metadata: {name: vm}
spec: {selector: {app: vm}, clusterIP: 10.96.9.9, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client}
spec: {template: {metadata: {labels: {app: client}}, spec: {containers: [{name: c}]}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: one, annotations: {istio.io/autoRegistrationGroup: vms}}
spec: {address: 10.1.1.1}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: other}
spec: {address: 10.1.1.2, labels: {app: vm}}
"""
GROUP = """
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vms}
spec: {template: {labels: {app: vm}}%s}
"""
PROBE = ", probe: {tcpSocket: {port: 80}}"


def world(probe: str = PROBE) -> MeshWorld:
    made = MeshWorld(WORLD, GROUP % probe)
    made.connect("client-0")
    return made


def report(made: MeshWorld, status: str, address: str = "10.1.1.1") -> dict[str, int]:
    """Report the workload's health; gives which functions ran."""
    text = f"""
apiVersion: {NETWORKING}
kind: WorkloadEntry
metadata: {{name: one, namespace: default}}
spec: {{address: {address}}}
status: {{conditions: [{{type: Healthy, status: "{status}", message: m}}]}}
"""
    found = replace(decode_object(Document(yaml.safe_load(text))), kind=HEALTH)
    return dict(made.set([found]).commit.ran)


def addresses(made: MeshWorld) -> list[str]:
    text = str(made.resources(ENDPOINT, "client-0"))
    return [one for one in ("10.1.1.1", "10.1.1.2") if f"'{one}'" in text]


def test_a_workload_that_is_checked_serves_from_its_first_success_on() -> None:
    made = world()
    assert addresses(made) == ["10.1.1.2"]
    report(made, "True")
    assert addresses(made) == ["10.1.1.1", "10.1.1.2"]
    report(made, "False")
    assert addresses(made) == ["10.1.1.2"]


def test_a_workload_that_nobody_checks_serves() -> None:
    made = world("")
    report(made, "False")
    assert addresses(made) == ["10.1.1.1", "10.1.1.2"]


def test_what_was_found_at_another_address_says_nothing() -> None:
    made = world()
    report(made, "True", "10.1.1.9")
    assert addresses(made) == ["10.1.1.2"]


def test_a_probe_that_goes_takes_its_verdict_along() -> None:
    made = world()
    report(made, "False")
    made.apply(GROUP % "")
    assert addresses(made) == ["10.1.1.1", "10.1.1.2"]


@pytest.mark.parametrize("status", ["True", "False"])
def test_a_report_costs_one_hosts_endpoints(status: str) -> None:
    made = world()
    report(made, "Unknown")
    ran = report(made, status)
    assert sum(ran.values()) <= 6, ran
