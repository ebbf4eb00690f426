"""Which pods stand behind which Service port. Pure, over the pods of this node, which is the whole mesh here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from argosy.api.kubernetes import Service, ServicePort
from argosy.api.meta import Object
from argosy.core.labels import selects


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


def backends(services: Iterable[Object[Service]], pods: Iterable[PodFact]) -> tuple[Backend, ...]:
    """All ports of all Services that have a virtual address, sorted by address and port."""
    present = list(pods)
    found = []
    for service in services:
        if not service.spec.cluster_ip or service.spec.headless:
            continue
        serving = pods_of(service, present)
        found += [_backend(service.spec.cluster_ip, port, serving) for port in service.spec.ports]
    return tuple(sorted(found, key=lambda b: (b.address, b.port, b.protocol)))


def _backend(address: str, port: ServicePort, pods: list[PodFact]) -> Backend:
    pairs = {(pod.ip, target) for pod in pods if (target := _target(port, pod)) is not None}
    return Backend(address, port.port, port.protocol, tuple(sorted(pairs)))


def _target(port: ServicePort, pod: PodFact) -> int | None:
    if isinstance(port.target_port, str):
        return pod.named_ports.get(port.target_port)
    return port.target_port or port.port
