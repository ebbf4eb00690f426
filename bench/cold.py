"""The cold build: everything from objects to encoded resources, once, in one process, in CPU seconds.

Given numbers of services, VirtualServices and DestinationRules; builds what a client in each of ten namespaces and an
ingress gateway hold, so all clusters, endpoints, routes and listeners of the mesh.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from argosy.api import Object
from argosy.testing import meshes
from argosy.testing.worlds import GATEWAY, MeshWorld, gateway_manifest
from bench.changes import kinds_size, rule
from bench.measure import Encoded


@dataclass(frozen=True, slots=True)
class Cold:
    """What a cold build cost."""

    services: int
    virtual_services: int
    destination_rules: int
    cpu_s: float
    functions: int
    encoded: int


def build_cold(services: int, virtual_services: int, destination_rules: int) -> Cold:
    """Build a mesh of so much, from decoded objects on."""
    size = kinds_size(services)
    objects = list(_objects(size, virtual_services, destination_rules))
    world, encoded = MeshWorld(gateway_manifest()), Encoded()
    start = time.process_time()
    world.set(objects)
    for pod in [*meshes.client_keys(size), GATEWAY]:
        world.connect(pod.name, pod.namespace)
    cpu_s = time.process_time() - start
    return Cold(services, virtual_services, destination_rules, cpu_s, world.mesh.engine.runs().total(), encoded.count)


def _objects(size: meshes.Size, virtual_services: int, destination_rules: int) -> Iterator[Object[Any]]:
    for one in meshes.mesh_objects(size):
        if one.kind != "VirtualService" or int(one.name.rpartition("-")[2]) < virtual_services:
            yield one
    for number in range(destination_rules):
        yield rule(size, number, "ROUND_ROBIN")
