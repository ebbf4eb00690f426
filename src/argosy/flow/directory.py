"""The directory: what the registry knows about pods, workloads and services, as telemetry asks for it.

`Directory` is the port that Mixer reads; `MeshDirectory` is the one implementation over plain references, built anew
on each change of pods or services (and numbered, so that readers know when to ask again).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from argosy.core.frozen import FrozenMap
from argosy.core.hosts import service_of_host
from argosy.core.labels import selects
from argosy.flow.workload import NO_SERVICE, PodRef, ServiceRef, WorkloadRef


class Directory(Protocol):
    """What telemetry and checks may ask. `revision` grows with every change of an answer."""

    @property
    def revision(self) -> int: ...

    def pod(self, namespace: str, name: str) -> PodRef | None: ...

    def pod_at(self, address: str) -> PodRef | None: ...

    def workload(self, namespace: str, name: str) -> WorkloadRef | None: ...

    def pods_of(self, namespace: str, workload: str) -> tuple[PodRef, ...]: ...

    def service(self, host: str) -> ServiceRef | None: ...

    def services_of(self, pod: PodRef) -> tuple[str, ...]: ...

    def only_workload_of(self, host: str) -> WorkloadRef | None: ...


class MeshDirectory:
    """A directory over given pods and services; immutable."""

    __slots__ = ("_at", "_of_pods", "_pods", "_selecting", "_services", "_workloads", "revision")

    def __init__(
        self,
        pods: Iterable[PodRef] = (),
        services: Iterable[ServiceRef] = (),
        selectors: Mapping[str, Mapping[str, str]] = FrozenMap(),
        *,
        revision: int = 0,
    ) -> None:
        """`selectors`: by host, the labels of the pods that a service leads to, where it says that by labels."""
        self.revision = revision
        ordered = sorted(pods, key=lambda pod: (pod.namespace, pod.name))
        self._pods = {(pod.namespace, pod.name): pod for pod in ordered}
        self._at = {pod.address: pod for pod in ordered if pod.address}
        self._workloads: dict[tuple[str, str], tuple[PodRef, ...]] = {}
        for pod in ordered:
            key = (pod.workload.namespace, pod.workload.name)
            self._workloads[key] = (*self._workloads.get(key, ()), pod)
        self._services = {service.host: service for service in services}
        self._selecting: dict[str, list[tuple[str, Mapping[str, str]]]] = {}
        for host, labels in selectors.items():
            if labels and host in self._services:
                self._selecting.setdefault(self._services[host].namespace, []).append((host, labels))
        self._of_pods: dict[tuple[str, str], tuple[str, ...]] = {}

    def pod(self, namespace: str, name: str) -> PodRef | None:
        """The pod of that name, or None."""
        return self._pods.get((namespace, name))

    def pod_at(self, address: str) -> PodRef | None:
        """The pod that has the IP address, or None."""
        return self._at.get(address)

    def workload(self, namespace: str, name: str) -> WorkloadRef | None:
        """The workload of that name, or None if no pod of it is known."""
        pods = self._workloads.get((namespace, name))
        return pods[0].workload if pods else None

    def pods_of(self, namespace: str, workload: str) -> tuple[PodRef, ...]:
        """All pods of a workload, by name."""
        return self._workloads.get((namespace, workload), ())

    def service(self, host: str) -> ServiceRef | None:
        """The service of that host, or None."""
        return self._services.get(host)

    def services_of(self, pod: PodRef) -> tuple[str, ...]:
        """The hosts of the services that lead to a pod, sorted. Found when first asked for: most pods are never."""
        key = (pod.namespace, pod.name)
        if key not in self._of_pods:
            services = self._selecting.get(pod.namespace, ())
            self._of_pods[key] = tuple(sorted(host for host, labels in services if selects(labels, pod.labels)))
        return self._of_pods[key]

    def only_workload_of(self, host: str) -> WorkloadRef | None:
        """The workload that a service leads to, if it is only one."""
        found = {pod.workload for pod in self._pods.values() if host in self.services_of(pod)}
        return found.pop() if len(found) == 1 else None


def service_ref(directory: Directory, host: str) -> ServiceRef:
    """How metrics write `host`: from the directory, else from the host's own form, else the host as its name."""
    if not host:
        return NO_SERVICE
    if found := directory.service(host):
        return found
    if parts := service_of_host(host):
        return ServiceRef(host=host, name=parts[1], namespace=parts[0])
    return ServiceRef(host=host, name=host)
