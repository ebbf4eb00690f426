"""The agent's watch over workloads that are no pods: whom it asks, what it reports, what a restart keeps."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

from tests.virtual_time import run_in_virtual_time

from argosy.agent.health import HealthCheck
from argosy.api import Object, decode_object, parse_documents
from argosy.api.workload import HEALTH
from argosy.app.workloads import Workloads, WorkloadsPorts
from argosy.core.names import ObjectKey

GROUP = """
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: vms}
spec: {template: {}, probe: {tcpSocket: {port: 80}, periodSeconds: 1, failureThreshold: 1}}
"""
ENTRY = """
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: one, annotations: {istio.io/autoRegistrationGroup: vms}}
spec: {address: 10.1.1.1}
"""
REPORTED = ENTRY + 'status: {conditions: [{type: Healthy, status: "STATUS", message: before}]}\n'


def objects(*texts: str) -> list[tuple[str, ObjectKey, Object[Any]]]:
    found = []
    for document in parse_documents("---".join(texts)):
        one = decode_object(document)
        one = replace(one, kind=HEALTH) if one.status else one
        found.append((one.kind, one.key, one))
    return found


class Rig:
    """A mesh's workloads that answer as they are told (True: well), and what was reported of them, with the time."""

    def __init__(self) -> None:
        self.well: dict[str, bool] = {}
        self.asked: list[tuple[float, str]] = []
        self.reports: list[tuple[float, dict[str, str]]] = []
        self.deaf = False
        self.workloads = Workloads(WorkloadsPorts(self._ask, self._report))

    async def _ask(self, check: HealthCheck) -> str:
        self.asked.append((asyncio.get_running_loop().time(), check.host))
        return "" if self.well.get(check.host) else "refused"

    async def _report(self, documents: list[dict[str, Any]]) -> None:
        if self.deaf:
            self.deaf = False
            raise OSError("galley is away")
        status = {one["metadata"]["name"]: one["status"]["conditions"][0]["status"] for one in documents}
        self.reports.append((round(asyncio.get_running_loop().time(), 1), status))

    async def run(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.workloads.run()


def test_a_workload_is_reported_when_its_health_turns() -> None:
    async def story(rig: Rig) -> None:
        rig.workloads.apply(objects(GROUP, ENTRY), synced=True)
        running = asyncio.create_task(rig.run(10))
        await asyncio.sleep(2.5)
        rig.well["10.1.1.1"] = True
        await running

    rig = Rig()
    run_in_virtual_time(story(rig))
    assert rig.reports == [(0.0, {}), (0.0, {"one": "False"}), (3.0, {"one": "True"})]
    assert len(rig.asked) == 10


def test_nobody_is_asked_before_the_configuration_is_complete() -> None:
    async def story(rig: Rig) -> None:
        rig.workloads.apply(objects(ENTRY, GROUP), synced=False)
        await rig.run(5)

    rig = Rig()
    run_in_virtual_time(story(rig))
    assert (rig.asked, rig.reports) == ([], [])


def test_what_was_reported_before_a_restart_stands_until_answers_say_otherwise() -> None:
    async def story(rig: Rig) -> None:
        late = GROUP.replace("periodSeconds: 1", "initialDelaySeconds: 5")
        rig.workloads.apply(objects(late, ENTRY, REPORTED.replace("STATUS", "True")), synced=True)
        await rig.run(8)

    rig = Rig()
    run_in_virtual_time(story(rig))
    assert rig.reports == [(0.0, {"one": "True"}), (5.0, {"one": "False"})]


def test_a_workload_at_another_address_is_another_one() -> None:
    async def story(rig: Rig) -> None:
        rig.well = {"10.1.1.1": True}
        rig.workloads.apply(objects(GROUP, ENTRY), synced=True)
        running = asyncio.create_task(rig.run(4))
        await asyncio.sleep(1.5)
        rig.workloads.apply(objects(ENTRY.replace("10.1.1.1", "10.1.1.2")), synced=True)
        await running

    rig = Rig()
    run_in_virtual_time(story(rig))
    assert rig.reports[-2:] == [(1.5, {}), (1.5, {"one": "False"})]


def test_another_probe_keeps_what_is_known_meanwhile() -> None:
    async def story(rig: Rig) -> None:
        rig.well = {"10.1.1.1": True}
        rig.workloads.apply(objects(GROUP, ENTRY), synced=True)
        running = asyncio.create_task(rig.run(4))
        await asyncio.sleep(1.5)
        rig.workloads.apply(objects(GROUP.replace("port: 80", "port: 81")), synced=True)
        await running

    rig = Rig()
    run_in_virtual_time(story(rig))
    assert [status for _time, status in rig.reports] == [{}, {"one": "True"}]


def test_workloads_without_a_probe_or_without_an_entry_are_forgotten() -> None:
    async def story(rig: Rig) -> None:
        rig.workloads.apply(objects(GROUP, ENTRY), synced=True)
        running = asyncio.create_task(rig.run(5))
        await asyncio.sleep(1.5)
        rig.workloads.apply([("WorkloadEntry", ObjectKey("default", "one"), None)], synced=True)
        await running

    rig = Rig()
    run_in_virtual_time(story(rig))
    assert rig.reports[-1] == (1.5, {})
    assert len(rig.asked) == 2


def test_a_report_that_was_not_taken_comes_again() -> None:
    async def story(rig: Rig) -> None:
        rig.deaf = True
        rig.workloads.apply(objects(GROUP, ENTRY), synced=True)
        await rig.run(5)

    rig = Rig()
    run_in_virtual_time(story(rig))
    assert rig.reports == [(1.0, {"one": "False"})]
