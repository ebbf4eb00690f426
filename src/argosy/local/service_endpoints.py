"""What stands behind which Service port: pods, or addresses that are listed for it.

Pure, over the pods of this node, which is the whole mesh here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.api.endpoints import DeclaredEndpoint, declared_endpoints, service_of
from argosy.api.kubernetes import Service, ServicePort
from argosy.api.meta import Object
from argosy.core.labels import selects
from argosy.core.names import ObjectKey


@dataclass(frozen=True, slots=True)
class PodFact:
    """What Services need to know of a pod. `named_ports`: container ports by name."""

    namespace: str
    name: str
    ip: str
    labels: Mapping[str, str]
    named_ports: Mapping[str, int]
    ready: bool


@dataclass(frozen=True, slots=True)
class Backend:
    """One Service port and the (address, port) pairs behind it, sorted."""

    address: str
    port: int
    protocol: str
    endpoints: tuple[tuple[str, int], ...]


def pods_of(service: Object[Service], pods: Iterable[PodFact]) -> list[PodFact]:
    """The pods that serve: selected, in the Service's namespace, and ready unless it publishes others as well."""
    if not service.spec.selector:
        return []
    return [
        pod
        for pod in pods
        if pod.namespace == service.namespace
        and (pod.ready or service.spec.publish_not_ready_addresses)
        and selects(service.spec.selector, pod.labels)
    ]


class Declared:
    """Endpoints and EndpointSlices by the Service that they belong to."""

    def __init__(self, objects: Iterable[Object[Any]] = ()) -> None:
        self._by_service: dict[ObjectKey, list[Object[Any]]] = {}
        for one in objects:
            self._by_service.setdefault(ObjectKey(one.namespace, service_of(one)), []).append(one)

    def of(self, service: Object[Service]) -> tuple[DeclaredEndpoint, ...]:
        """What they say of a Service; nothing of one that selects pods."""
        return () if service.spec.selector else declared_endpoints(self._by_service.get(service.key, ()))


NOTHING_DECLARED = Declared()


def backends(
    services: Iterable[Object[Service]], pods: Iterable[PodFact], declared: Declared = NOTHING_DECLARED
) -> tuple[Backend, ...]:
    """All ports of all Services that have a virtual address, sorted by address and port."""
    present = list(pods)
    found = []
    for service in services:
        if not service.spec.cluster_ip or service.spec.headless:
            continue
        serving = pods_of(service, present)
        listed = declared.of(service)
        found += [_backend(service.spec.cluster_ip, port, serving, listed) for port in service.spec.ports]
    return tuple(sorted(found, key=lambda b: (b.address, b.port, b.protocol)))


def _backend(address: str, port: ServicePort, pods: list[PodFact], declared: Iterable[DeclaredEndpoint]) -> Backend:
    pairs = {(pod.ip, target) for pod in pods if (target := _target(port, pod)) is not None}
    pairs.update((one.address, one.ports[port.name]) for one in declared if port.name in one.ports)
    return Backend(address, port.port, port.protocol, tuple(sorted(pairs)))


def _target(port: ServicePort, pod: PodFact) -> int | None:
    if isinstance(port.target_port, str):
        return pod.named_ports.get(port.target_port)
    return port.target_port or port.port
