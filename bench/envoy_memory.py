"""What a real Envoy's memory grows to with the size of the mesh."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argosy.api import Document, Object, decode_object
from argosy.testing import meshes
from argosy.testing.meshes import Size
from bench.envoy import feeding

SEEN = 5
"""Services that the Sidecar of the scoped measurement lets through."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One Envoy in sync: proportional set and anonymous memory in megabytes, and the clusters that it has.

    The proportional set counts the program itself too, shared with whatever else runs it.
    """

    services: int
    scoped: bool
    pss_mb: float
    anonymous_mb: float
    clusters: int


def weigh(services: int, *, scoped: bool) -> Weight:
    """The memory of an Envoy in a mesh of so many services; `scoped`: with a Sidecar that lets five of them through."""
    return asyncio.run(_weigh(services, scoped=scoped))


async def _weigh(services: int, *, scoped: bool) -> Weight:
    size = Size(services, endpoints=2, namespaces=min(50, services), classes=1, proxies=1)
    objects = [*meshes.mesh_objects(size), *([_sidecar(size)] if scoped else [])]
    async with feeding(objects, meshes.client(size, 0)) as fed:
        pss_mb, anonymous_mb = _memory(fed.pid)
        clusters = (await fed.stats("cluster_manager"))["active_clusters"]
    return Weight(services, scoped, pss_mb, anonymous_mb, clusters)


def _sidecar(size: Size) -> Object[Any]:
    """Lets the clients' namespace call five services."""
    names = [(meshes.namespace_of(size, number), meshes.service_name(number)) for number in range(SEEN)]
    hosts = [f"{namespace}/{name}.{namespace}.svc.cluster.local" for namespace, name in names]
    meta = {"name": "default", "namespace": meshes.namespace_of(size, 0)}
    data = {"apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": meta}
    return decode_object(Document({**data, "spec": {"egress": [{"hosts": hosts}]}}))


def _memory(pid: int) -> tuple[float, float]:
    """Proportional set and anonymous memory of a process, in megabytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = dict(re.findall(r"^(\w+): +(\d+) kB", rollup, re.MULTILINE))
    return int(found["Pss"]) / 1e3, int(found["Anonymous"]) / 1e3
