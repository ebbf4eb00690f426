"""What an object does: which resources of which proxies would be others without it.

Given a copy of everything that Pilot was told, builds a world of its own, takes one object out, compares, and puts it
back: exact for every kind, since it asks the builders themselves. It touches nothing of the running world, so that it
may run in another thread. No I/O, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from argosy.api.meta import Object
from argosy.core.names import ObjectKey
from argosy.incr import Change, Engine
from argosy.pilot.classes import ProxyClass
from argosy.pilot.mesh import SETTINGS_KEY, ConcernPort, Mesh, MeshSettings
from argosy.pilot.model import Model
from argosy.pilot.reporting import ReportPort, Unreported
from argosy.pilot.world import World
from argosy.xds.messages import ResourceRef, Snapshot, changes_between

Effect = Mapping[ProxyClass, frozenset[ResourceRef]]


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a world follows from. `left_out`: EnvoyFilters in quarantine."""

    settings: MeshSettings
    concerns: ConcernPort
    objects: Mapping[tuple[str, ObjectKey], Object[Any]]
    left_out: Mapping[ObjectKey, Object[Any]]
    reporting: ReportPort = field(default_factory=Unreported)


class Effects:
    """A world to try things in, as proxies of some classes would see it."""

    def __init__(self, facts: Facts, classes: Iterable[ProxyClass]) -> None:
        self._facts = facts
        self._mesh = Mesh(Engine(), facts.concerns, facts.reporting)
        self._world = World(Model(self._mesh))
        given = [Change(self._mesh.kinds[kind], key, one) for (kind, key), one in facts.objects.items()]
        given += [Change(self._mesh.left_out, key, one) for key, one in facts.left_out.items()]
        self._world.commit([Change(self._mesh.settings, SETTINGS_KEY, facts.settings), *given])
        self._classes = tuple(dict.fromkeys(classes))
        for one in self._classes:
            self._world.join(one)

    def of(self, kind: str, key: ObjectKey) -> Effect:
        """What one object does; of a filter in quarantine: what it would do. Empty if nothing."""
        refused = self._facts.left_out.get(key) if kind == "EnvoyFilter" else None
        if refused is not None:
            self._world.commit([Change(self._mesh.left_out, key, None)])
        with_it = self._snapshots()
        self._world.commit([Change(self._mesh.kinds[kind], key, None)])
        without = self._snapshots()
        back: list[Change] = [Change(self._mesh.kinds[kind], key, self._facts.objects[kind, key])]
        self._world.commit([*back, *([Change(self._mesh.left_out, key, refused)] if refused is not None else [])])
        found = {
            one: _differing(with_it[one], without[one]) for one in self._classes if with_it[one] is not without[one]
        }
        return {one: refs for one, refs in found.items() if refs}

    def _snapshots(self) -> dict[ProxyClass, Snapshot]:
        return {one: self._world.current(one) for one in self._classes}


def _differing(one: Snapshot, other: Snapshot) -> frozenset[ResourceRef]:
    changes = changes_between(one, other)
    return frozenset(ResourceRef(url, name) for url, names in changes.names.items() for name in names)
