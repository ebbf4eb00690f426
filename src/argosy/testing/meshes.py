"""Meshes of any size, as the objects that Pilot would be given: the same on every call.

Given a `Size`; gives Services with ready pods, a VirtualService each, and client pods in so many proxy classes. The
shape is a plain microservice mesh: HTTP services of two versions in several namespaces, that anyone may call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.api import Document, Object, decode_object
from argosy.core.names import ObjectKey

PORT = 9080


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything. `classes` client workloads share `proxies` client pods, spread over the namespaces."""

    services: int
    endpoints: int = 5
    namespaces: int = 50
    classes: int = 200
    proxies: int = 1000


def mesh_objects(size: Size) -> list[Object[Any]]:
    """All objects of such a mesh."""
    made: list[Object[Any]] = []
    for number in range(size.services):
        made += [service(size, number), virtual_service(size, number, first=90)]
        made += [endpoint(size, number, replica) for replica in range(size.endpoints)]
    made += [client(size, number) for number in range(size.proxies)]
    return made


def service_name(number: int) -> str:
    """The name of that service."""
    return f"service-{number}"


def namespace_of(size: Size, number: int) -> str:
    """The namespace of that service, or of that class of clients."""
    return f"team-{number % size.namespaces}"


def service(size: Size, number: int, *, more_ports: Sequence[int] = ()) -> Object[Any]:
    """One HTTP service."""
    more = [{"name": f"http-{port}", "port": port} for port in more_ports]
    spec = {
        "selector": {"app": service_name(number)},
        "clusterIP": _address("10.96", number),
        "ports": [{"name": "http", "port": PORT}, *more],
    }
    return _object("v1", "Service", namespace_of(size, number), service_name(number), spec=spec)


def virtual_service(size: Size, number: int, *, first: int) -> Object[Any]:
    """A route that sends `first` percent to the service itself and the rest to its neighbour."""
    here, there = (
        f"{service_name(n)}.{namespace_of(size, n)}.svc.cluster.local" for n in (number, _next(size, number))
    )
    route = [
        {"destination": {"host": here}, "weight": first},
        {"destination": {"host": there}, "weight": 100 - first},
    ]
    spec = {"hosts": [here], "http": [{"match": [{"uri": {"prefix": "/api"}}], "timeout": "5s", "route": route}]}
    api = "networking.istio.io/v1"
    return _object(api, "VirtualService", namespace_of(size, number), service_name(number), spec=spec)


def _next(size: Size, number: int) -> int:
    return (number + 1) % size.services


def endpoint(size: Size, number: int, replica: int, *, ready: bool = True) -> Object[Any]:
    """One pod behind a service."""
    name = service_name(number)
    version = f"v{1 + replica % 2}"
    return _pod(
        namespace_of(size, number),
        f"{name}-{version}-{replica}",
        f"{name}-{version}",
        {"app": name, "version": version},
        _address("10.88", number * size.endpoints + replica),
        ready=ready,
    )


def client(size: Size, number: int) -> Object[Any]:
    """One pod that only calls others; its proxy belongs to class `number % classes`."""
    group = number % size.classes
    workload = f"client-{group}"
    address = _address("10.200", number)
    return _pod(namespace_of(size, group), f"{workload}-{number}", workload, {"app": workload}, address)


def client_keys(size: Size) -> Iterator[ObjectKey]:
    """The client pods' keys, class after class and round again."""
    for number in range(size.proxies):
        group = number % size.classes
        yield ObjectKey(namespace_of(size, group), f"client-{group}-{number}")


def _pod(
    namespace: str, name: str, workload: str, labels: dict[str, str], address: str, *, ready: bool = True
) -> Object[Any]:
    return _object(
        "v1",
        "Pod",
        namespace,
        name,
        labels=labels,
        annotations={"argosy.io/sidecar": "true"},
        ownerReferences=[{"kind": "Deployment", "name": workload}],
        spec={
            "serviceAccountName": labels["app"],
            "containers": [{"name": "app", "ports": [{"containerPort": PORT}]}],
        },
        status={
            "podIP": address,
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    )


def _address(prefix: str, number: int) -> str:
    return f"{prefix}.{number // 250}.{number % 250 + 1}"


def _object(
    api: str, kind: str, namespace: str, name: str, *, spec: dict[str, Any], status: Any = None, **metadata: Any
) -> Object[Any]:
    data: dict[str, Any] = {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": spec,
    }
    if status is not None:
        data["status"] = status
    return decode_object(Document(data))
