"""Which extensions concern a class of proxies, in the order in which they run; and what each runs.

Pure lookups with tracked reads. A change of what an extension runs touches one resource, which all whom it concerns
share; only where it stands is a matter of listeners.
"""

from __future__ import annotations

from argosy.api.meta import Object
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
        """The extensions of a class: higher priority first, then the root namespace's, then by name."""
        found: list[Object[object]] = []
        for kind, index in self.mesh.extensions.items():
            for namespace in dict.fromkeys((ROOT_NAMESPACE, proxies.namespace)):
                found += [one for one in selecting(read, index, namespace, proxies.labels) if one.kind == kind]
        found.sort(key=_order)
        made = (read.get(self.placed, (one.kind, one.key)) for one in found)
        return tuple(one for one in made if one is not None)

    def resources(self, read: Reader, key: ExtensionKey) -> tuple[Resource, ...]:
        """What one extension runs."""
        kind, name = key
        found = read.get(self.mesh.kinds[kind], name)
        if found is None:
            return ()
        source = source_of(found)
        module = read.get(self.mesh.modules, source) if source is not None else None
        return (build_extension(found, module.body if module is not None else None),)

    def _placed(self, read: Reader, key: ExtensionKey) -> Placed | None:
        found = read.get(self.mesh.kinds[key[0]], key[1])
        return placed(found) if found is not None else None


def _order(one: Object[object]) -> tuple[object, ...]:
    priority: int = getattr(one.spec, "priority", 0)
    return (-priority, one.namespace != ROOT_NAMESPACE, one.namespace, one.name, one.kind)
