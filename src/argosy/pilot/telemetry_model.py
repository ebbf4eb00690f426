"""Which Telemetry objects concern a workload, and what they come to.

The derived functions over the collections of a `Model`. Three objects may speak of a workload: the root namespace's,
its namespace's, and its own. What the narrower one says of a field replaces what the wider one says: entries are given
in that order, the widest object's first, for those who know what a field means to fold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from argosy.api.meta import Object
from argosy.api.telemetry import AccessLogging, Metrics, Telemetry, Tracing
from argosy.core.frozen import FrozenMap
from argosy.core.names import ROOT_NAMESPACE
from argosy.incr import Derived, Reader
from argosy.pilot.mesh import Mesh
from argosy.pilot.selecting import about_all, selecting, selector_of


@dataclass(frozen=True, slots=True)
class Said:
    """What Telemetry objects say of one workload: the entries of each part, the widest object's first."""

    metrics: tuple[Metrics, ...] = ()
    tracing: tuple[Tracing, ...] = ()
    access_logging: tuple[AccessLogging, ...] = ()


NOTHING_SAID = Said()


class TelemetryModel:
    """The derived functions of Telemetry objects."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        derive = mesh.engine.derived
        self.of_workload: Derived[tuple[str, FrozenMap[str, str]], Said] = derive("telemetry", self._of_workload)
        """By namespace and labels of a workload."""

    def said(self, read: Reader, namespace: str, labels: FrozenMap[str, str]) -> Said:
        """What is said of the workload with these labels."""
        return read.get(self.of_workload, (namespace, labels)) or NOTHING_SAID

    def _of_workload(self, read: Reader, key: tuple[str, FrozenMap[str, str]]) -> Said:
        namespace, labels = key
        found = about_all(read, self.mesh.telemetries, ROOT_NAMESPACE)[:1]
        own = selecting(read, self.mesh.telemetries, namespace, labels)
        if namespace != ROOT_NAMESPACE:
            found += [one for one in own if not selector_of(one)][:1]
        # Of several with a selector the first by name counts; galley says so to their authors.
        found += [one for one in own if selector_of(one)][:1]
        return _together(found)


def _together(found: Iterable[Object[Telemetry]]) -> Said:
    specs = [one.spec for one in found]
    return Said(
        metrics=tuple(entry for spec in specs for entry in spec.metrics),
        tracing=tuple(entry for spec in specs for entry in spec.tracing),
        access_logging=tuple(entry for spec in specs for entry in spec.access_logging),
    )
