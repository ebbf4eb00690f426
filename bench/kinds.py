"""What a change of each kind of object costs: functions run, resources encoded, messages and resources sent.

Given the size of a mesh, builds it in memory (Pilot's world and the xDS streams of some proxies, byte for byte as over
gRPC, without sockets), makes one change after the other, and counts. Counts are exact; CPU times are of one run.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass

from argosy.app.pilot import ENVOY_RULES
from argosy.core.names import ObjectKey
from argosy.testing import meshes
from argosy.testing.fake_envoy import FakeEnvoy, Reading, node_bytes
from argosy.testing.lines import Line
from argosy.testing.worlds import GATEWAY, MeshWorld, gateway_manifest
from argosy.xds.server import Interner
from bench.changes import TARGET, Change, changes, kinds_objects, kinds_size
from bench.measure import Encoded


@dataclass(frozen=True, slots=True)
class Cost:
    """What one change cost. `sent`: resources sent or taken away; `proxies`: those that were told anything."""

    title: str
    functions: dict[str, int]
    encoded: int
    messages: int
    sent: int
    proxies: int
    cpu_ms: float

    @property
    def ran(self) -> int:
        """How many functions ran."""
        return sum(self.functions.values())


class KindsRig:
    """A mesh with a gateway, clients and a server connected and in sync."""

    def __init__(self, services: int) -> None:
        self.size = kinds_size(services)
        self.world = MeshWorld(gateway_manifest())
        self.world.set(kinds_objects(self.size))
        reading, interner = Reading(), Interner()
        self.lines = [self._line(role, pod, reading, interner) for role, pod in self._pods()]
        self._encoded = Encoded()
        # What is measured is a change, not the collector's walk over the mesh.
        gc.collect()
        gc.freeze()

    def _pods(self) -> Iterator[tuple[str, ObjectKey]]:
        for key in meshes.client_keys(self.size):
            yield "sidecar", key
        yield "sidecar", meshes.endpoint(self.size, TARGET, 0).key
        yield "router", GATEWAY

    def _line(self, role: str, pod: ObjectKey, reading: Reading, interner: Interner) -> Line:
        found = self.world.world.class_of(pod)
        assert found is not None, pod
        node = node_bytes(role=role, address="127.0.0.1", pod=pod.name, namespace=pod.namespace)
        line = Line(self.world.world, found, FakeEnvoy(node, reading), ENVOY_RULES, interner)
        line.pump()
        return line

    def cost(self, change: Change) -> Cost:
        """Make a change and carry it to all proxies."""
        engine = self.world.mesh.engine
        before, ran, start = self._encoded.count, engine.runs(), time.process_time()
        if change.deleted is not None:
            outcome = self.world.delete(change.kind, change.deleted.namespace, change.deleted.name)
        else:
            outcome = self.world.set(change.objects)
        cpu_s = time.process_time() - start
        assert not outcome.commit.failures, outcome.commit.failures
        sent = []
        for line in self.lines:
            line.offer(outcome)
            sent.append(line.pump())
        return Cost(
            title=change.title,
            functions=dict(sorted((engine.runs() - ran).items())),
            encoded=self._encoded.count - before,
            messages=sum(len(one.responses) for one in sent),
            sent=sum(len(one.names) + len(one.removed) for one in sent),
            proxies=sum(1 for one in sent if one.responses),
            cpu_ms=cpu_s * 1e3,
        )


def measure_kinds(services: int) -> list[Cost]:
    """The cost of each change in a mesh of so many services."""
    rig = KindsRig(services)
    try:
        return [rig.cost(one) for one in changes(rig.size)]
    finally:
        gc.unfreeze()
