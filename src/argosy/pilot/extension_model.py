"""Which extensions concern a class of proxies, in the order in which they run; and what each runs.

Pure lookups with tracked reads. A change of what an extension runs touches one resource, which all whom it concerns
share; only where it stands is a matter of listeners.
"""

from __future__ import annotations

from typing import Any

from argosy.api.attributegen import is_generator, parse_generator
from argosy.api.extensions import TrafficSelector, wasm_of
from argosy.api.meta import Object
from argosy.api.telemetry import Side
from argosy.core.frozen import FrozenMap
from argosy.core.generated_attributes import chain
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.incr import Derived, Reader
from argosy.pilot.build.extensions import Placed, build_extension, placed
from argosy.pilot.classes import ProxyClass
from argosy.pilot.mesh import Mesh
from argosy.pilot.modules import source_of
from argosy.pilot.selecting import selecting
from argosy.xds.messages import Resource

ExtensionKey = tuple[str, ObjectKey]


class ExtensionModel:
    """The derived functions of extensions, over the inputs of a `Mesh`."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.placed: Derived[ExtensionKey, Placed] = mesh.engine.derived("extension_place", self._placed)

    def about(self, read: Reader, proxies: ProxyClass) -> tuple[Placed, ...]:
        """The extensions of a class: higher priority first, those without any last; of equal ones the namespace's own
        before the root namespace's, then the older, then by name."""
        found = self._selecting(read, proxies.namespace, proxies.labels)
        made = (read.get(self.placed, (one.kind, one.key)) for one in found)
        return tuple(one for one in made if one is not None)

    def _selecting(self, read: Reader, namespace: str, labels: FrozenMap[str, str]) -> list[Object[Any]]:
        """All objects about a workload, in the order in which they run."""
        found: list[Object[Any]] = []
        for kind, index in self.mesh.extensions.items():
            for place in dict.fromkeys((ROOT_NAMESPACE, namespace)):
                found += [one for one in selecting(read, index, place, labels) if one.kind == kind]
        return sorted(found, key=_order)

    def resources(self, read: Reader, key: ExtensionKey) -> tuple[Resource, ...]:
        """What one extension runs."""
        kind, name = key
        found = read.get(self.mesh.kinds[kind], name)
        if found is None or is_generator(wasm_of(found.spec)):
            return ()
        source = source_of(found)
        module = read.get(self.mesh.modules, source) if source is not None else None
        return (build_extension(found, module.body if module is not None else None),)

    def _placed(self, read: Reader, key: ExtensionKey) -> Placed | None:
        found = read.get(self.mesh.kinds[key[0]], key[1])
        return placed(found) if found is not None and not is_generator(wasm_of(found.spec)) else None

    def generated(self, read: Reader, namespace: str, labels: FrozenMap[str, str], side: Side) -> dict[str, str]:
        """The attributes that attributegen makes of one side's requests of a workload, as expressions; of two objects
        that make the same one, the one that would run last counts."""
        made: dict[str, str] = {}
        for one in reversed(self._selecting(read, namespace, labels)):
            module = wasm_of(one.spec)
            if module is None or not is_generator(module) or not about_side(one.spec.match, side):
                continue
            for each in parse_generator(module):
                made.setdefault(each.name, chain((case.condition, case.value) for case in each.matches))
        return made


def about_side(selectors: tuple[TrafficSelector, ...], side: Side) -> bool:
    """Whether an extension sees requests of a side; without a word, those of both."""
    modes = {one.mode for one in selectors} or {"UNDEFINED"}
    return not modes.isdisjoint({"UNDEFINED", "CLIENT_AND_SERVER", side})


def _order(one: Object[Any]) -> tuple[object, ...]:
    priority: int | None = getattr(one.spec, "priority", None)
    first = (priority is None, -(priority or 0))
    return (*first, one.namespace == ROOT_NAMESPACE, one.created, one.namespace, one.name, one.kind)
