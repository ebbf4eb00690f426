"""Whose host it is: an object decides about another namespace's host only with that namespace's leave.

Without leave, a VirtualService about somebody else's host holds for the clients of its own namespace, and a
ServiceEntry cannot be a Service of another namespace. Objects of the root namespace are the mesh operator's and hold
everywhere. Leave is the annotation `argosy.io/hosts-open-to` of the owner's Namespace, Service or ServiceEntry:
namespaces, or `*`. The annotation `argosy.io/tenancy: open` of the mesh configuration brings Istio's behaviour, where
nobody owns a host.
"""

from __future__ import annotations

from typing import Any

from argosy.api.meta import Object
from argosy.core.hosts import service_of_host
from argosy.core.names import OPEN_ANNOTATION, ROOT_NAMESPACE, ObjectKey
from argosy.incr import Reader
from argosy.pilot.aspects import Aspect
from argosy.pilot.mesh import Mesh


def governs(read: Reader, mesh: Mesh, namespace: str, host: str) -> bool:
    """Whether objects of `namespace` decide about `host` for clients of all namespaces."""
    settings = read.get(mesh.aspects, Aspect.EXPORTS)
    if namespace == ROOT_NAMESPACE or (settings is not None and settings.open_tenancy):
        return True
    owners = _owners(read, mesh, host)
    return not owners or any(namespace == owner or _granted(read, mesh, owner, host, namespace) for owner in owners)


def _owners(read: Reader, mesh: Mesh, host: str) -> set[str]:
    """The namespaces that declare a host, or whose Service it would be."""
    service = service_of_host(host)
    if service is not None:
        return {service[0]}
    return {key.namespace for key in read.keys(mesh.entries_by_host, host)}


def _granted(read: Reader, mesh: Mesh, owner: str, host: str, namespace: str) -> bool:
    space = read.get(mesh.kinds["Namespace"], ObjectKey("", owner))
    declared: list[Object[Any] | None] = [space]
    service = service_of_host(host)
    if service is not None:
        declared.append(read.get(mesh.services, ObjectKey(*service)))
    else:
        declared += [entry for key, entry in read.select(mesh.entries_by_host, host) if key.namespace == owner]
    return any(one is not None and _opens(one, namespace) for one in declared)


def _opens(one: Object[Any], namespace: str) -> bool:
    granted = {part.strip() for part in one.annotations.get(OPEN_ANNOTATION, "").split(",")}
    return "*" in granted or namespace in granted
