"""Which Telemetry objects concern a workload, and what they come to.

The derived functions over the collections of a `Model`. Three objects may speak of a workload: the root namespace's,
its namespace's, and its own. What the narrower one says of a field replaces what the wider one says: entries are given
in that order, the widest object's first, for those who know what a field means to fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from argosy.api.mesh_config import parse_proxy_config
from argosy.api.meta import Object
from argosy.api.telemetry import AccessLogging, Metrics, Side, Telemetry, Tracing
from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.generated_attributes import generated_names
from argosy.core.hosts import called_service
from argosy.core.names import ROOT_NAMESPACE, outbound_cluster
from argosy.incr import Derived, Reader
from argosy.pilot import registry
from argosy.pilot.classes import ProxyClass
from argosy.pilot.counted import counted_by
from argosy.pilot.mesh import MeshSettings
from argosy.pilot.observed import Observation
from argosy.pilot.observing import ClusterOf, log_rules, trace_rule
from argosy.pilot.selecting import about_all, selecting, selector_of

if TYPE_CHECKING:
    from argosy.pilot.model import Model

Workload = tuple[str, FrozenMap[str, str]]
"""A namespace and the labels of a workload in it."""


@dataclass(frozen=True, slots=True)
class Said:
    """What Telemetry objects say of one workload: the entries of each part, the widest object's first; of access logs
    object by object."""

    metrics: tuple[Metrics, ...] = ()
    tracing: tuple[Tracing, ...] = ()
    access_logging: tuple[tuple[AccessLogging, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Observed:
    """Whose traffic is observed, from which side. `tracing`: what the pod's annotation says of it, as text."""

    namespace: str
    labels: FrozenMap[str, str]
    tracing: str
    side: Side


NOTHING_SAID = Said()
_EVERYONE = Observed("", EMPTY, "", "CLIENT")


class TelemetryModel:
    """The derived functions of Telemetry objects."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.mesh = model.mesh
        derive = self.mesh.engine.derived
        self.of_workload: Derived[Workload, Said] = derive("telemetry", self._of_workload)
        self.observations: Derived[Observed, Observation] = derive("observation", self._observe)

    def said(self, read: Reader, namespace: str, labels: FrozenMap[str, str]) -> Said:
        """What is said of the workload with these labels."""
        return read.get(self.of_workload, (namespace, labels)) or NOTHING_SAID

    def observation(self, read: Reader, key: ProxyClass, side: Side) -> Observation:
        """What the proxies of a class log and trace of one side."""
        whose = Observed(key.namespace, key.labels, key.tracing, side)
        return read.get(self.observations, whose) or Observation()

    def own(self, read: Reader, key: ProxyClass) -> Observation | None:
        """What the proxies of a class log and trace of the calls that they make; None if it is what everyone does."""
        mine = self.observation(read, key, "CLIENT")
        return mine if mine != self._everyone(read) else None

    def settings(self, read: Reader, observation: Observation | None) -> MeshSettings:
        """The mesh's settings for what is built with an observation; None: with everyone's."""
        chosen = observation if observation is not None else self._everyone(read)
        return replace(registry.settings(read, self.mesh), observation=chosen)

    def _everyone(self, read: Reader) -> Observation:
        return read.get(self.observations, _EVERYONE) or Observation()

    def _of_workload(self, read: Reader, key: Workload) -> Said:
        namespace, labels = key
        found = _oldest_first(about_all(read, self.mesh.telemetries, ROOT_NAMESPACE))[:1]
        own = _oldest_first(selecting(read, self.mesh.telemetries, namespace, labels))
        if namespace != ROOT_NAMESPACE:
            found += [one for one in own if not selector_of(one)][:1]
        # Of several of one scope the oldest counts; galley says so to their authors.
        found += [one for one in own if selector_of(one)][:1]
        return _together(found)

    def _observe(self, read: Reader, key: Observed) -> Observation:
        said = self.said(read, key.namespace, key.labels)
        settings = registry.settings(read, self.mesh)
        cluster_of = self._cluster_of(read)
        file = settings.access_log and bool(settings.config.access_log_file)
        own = parse_proxy_config(key.tracing).tracing if key.tracing else None
        return Observation(
            logs=log_rules(said.access_logging, key.side, settings.config, file=file, cluster_of=cluster_of),
            tracing=trace_rule(said.tracing, key.side, settings.config, own, cluster_of=cluster_of),
            counting=counted_by(said.metrics, key.side, settings.config, made=self._generated(read, said, key)),
        )

    def _generated(self, read: Reader, said: Said, key: Observed) -> Mapping[str, str]:
        """What attributegen makes of one side's requests; asked only where a metric's tag names something of it."""
        tags = (tag for entry in said.metrics for one in entry.overrides for tag in one.tag_overrides.values())
        if not any(generated_names(tag.value) for tag in tags if tag.value):
            return EMPTY
        return self.model.extensions.generated(read, key.namespace, key.labels, key.side)

    def _cluster_of(self, read: Reader) -> ClusterOf:
        """How a provider's host becomes the cluster by which proxies reach it, if it is there."""

        def find(host: str, port: int) -> str:
            record = read.get(self.model.host, self.host_of(read, host))
            if record is None or record.port(port) is None:
                return ""
            return outbound_cluster(record.host, port)

        return find

    def host_of(self, read: Reader, name: str) -> str:
        """The host of the mesh that a provider's configuration means; empty if there is none."""
        for host in (name, called_service(name)):
            record = read.get(self.model.host, host) if host else None
            if record is not None:
                return record.alias or record.host
        return ""


def _oldest_first(found: Iterable[Object[Telemetry]]) -> list[Object[Telemetry]]:
    return sorted(found, key=lambda one: (one.created, one.key))


def _together(found: Iterable[Object[Telemetry]]) -> Said:
    specs = [one.spec for one in found]
    return Said(
        metrics=tuple(entry for spec in specs for entry in spec.metrics),
        tracing=tuple(entry for spec in specs for entry in spec.tracing),
        access_logging=tuple(spec.access_logging for spec in specs if spec.access_logging),
    )
