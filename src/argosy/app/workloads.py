"""Watches over workloads that are no pods: WorkloadEntries whose WorkloadGroup has a probe.

Given batches of configuration and a way to ask; keeps one task for each such workload, and reports the verdicts to
Galley, which serves them to Pilot. An agent that has just started takes what was last reported for true until answers
say otherwise: its restart is no news of the workloads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.agent.health import HealthCheck, Verdict, check_of
from argosy.api.meta import Object
from argosy.api.workload import GROUP_ANNOTATION, HEALTH, HEALTHY, WorkloadEntry, WorkloadGroup, health_of
from argosy.core.names import ObjectKey

_log = logging.getLogger("argosy.agent")
KINDS = ("WorkloadEntry", "WorkloadGroup", HEALTH)
REPORT_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkloadsPorts:
    """What the manager needs from outside: to ask one workload, and to report all verdicts."""

    ask: Callable[[HealthCheck], Awaitable[str]]
    report: Callable[[list[dict[str, Any]]], Awaitable[None]]


@dataclass(slots=True)
class _Watched:
    """One workload that is asked again and again."""

    address: str
    check: HealthCheck
    verdict: Verdict
    task: asyncio.Task[None] | None = None


class Workloads:
    """All workloads of the mesh that are asked from this node."""

    def __init__(self, ports: WorkloadsPorts) -> None:
        self._ports = ports
        self._objects: dict[str, dict[ObjectKey, Object[Any]]] = {kind: {} for kind in KINDS}
        self._watched: dict[ObjectKey, _Watched] = {}
        self._synced = False
        self._dirty = asyncio.Event()
        self._report_due = asyncio.Event()

    def apply(self, changes: Iterable[tuple[str, ObjectKey, Object[Any] | None]], *, synced: bool) -> None:
        """Take changed objects in."""
        for kind, key, found in changes:
            if found is None:
                self._objects[kind].pop(key, None)
            else:
                self._objects[kind][key] = found
        self._synced = self._synced or synced
        self._dirty.set()

    async def run(self) -> None:
        """Ask and report until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._report_loop())
            while True:
                await self._dirty.wait()
                self._dirty.clear()
                if self._synced:
                    self._reconcile(group)
                    self._report_due.set()

    def _reconcile(self, group: asyncio.TaskGroup) -> None:
        wanted = checks(self._objects["WorkloadEntry"], self._objects["WorkloadGroup"])
        for key in [one for one in self._watched if one not in wanted]:
            self._stop(self._watched.pop(key))
        for key, (address, check) in wanted.items():
            old = self._watched.get(key)
            if old is not None and (old.address, old.check) == (address, check):
                continue
            if old is not None:
                self._stop(old)
            watched = self._watched[key] = _Watched(address, check, self._known(key, address, old))
            watched.task = group.create_task(self._watch(watched), name=f"workload:{key}")

    def _known(self, key: ObjectKey, address: str, old: _Watched | None) -> Verdict:
        """What is known of the workload at `address` before it is asked (again)."""
        if old is not None:
            return Verdict(old.verdict.healthy, old.verdict.message) if old.address == address else Verdict()
        healthy, message = health_of(self._objects[HEALTH].get(key), address)
        return Verdict(healthy, message)

    @staticmethod
    def _stop(watched: _Watched) -> None:
        if watched.task is not None:
            watched.task.cancel()

    async def _watch(self, watched: _Watched) -> None:
        await asyncio.sleep(watched.check.initial_delay_s)
        while True:
            before = watched.verdict.healthy
            watched.verdict = watched.verdict.after(await self._ports.ask(watched.check), watched.check)
            if watched.verdict.healthy is not before:
                self._report_due.set()
            await asyncio.sleep(watched.check.period_s)

    async def _report_loop(self) -> None:
        last: list[dict[str, Any]] | None = None
        while True:
            await self._report_due.wait()
            self._report_due.clear()
            documents = self.documents()
            if documents == last:
                continue
            try:
                await self._ports.report(documents)
                last = documents
            except OSError as error:
                _log.warning("health of workloads not reported: %s", error)
                await asyncio.sleep(REPORT_RETRY_S)
                self._report_due.set()

    def documents(self) -> list[dict[str, Any]]:
        """A document for each workload of which something is known, sorted by key."""
        return [
            _document(key, watched)
            for key, watched in sorted(self._watched.items())
            if watched.verdict.healthy is not None
        ]


def checks(
    entries: Mapping[ObjectKey, Object[WorkloadEntry]], groups: Mapping[ObjectKey, Object[WorkloadGroup]]
) -> dict[ObjectKey, tuple[str, HealthCheck]]:
    """The address and the check of each workload that is to be asked."""
    found = {}
    for key, entry in entries.items():
        group = groups.get(ObjectKey(key.namespace, entry.annotations.get(GROUP_ANNOTATION, "")))
        if group is not None and group.spec.probe is not None:
            found[key] = (entry.spec.address, check_of(group.spec.probe, entry.spec.address))
    return found


def _document(key: ObjectKey, watched: _Watched) -> dict[str, Any]:
    verdict = watched.verdict
    condition = {"type": HEALTHY, "status": "True" if verdict.healthy else "False", "message": verdict.message}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "spec": {"address": watched.address},
        "status": {"conditions": [condition]},
    }
