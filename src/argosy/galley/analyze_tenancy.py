"""Objects about hosts of other namespaces: without leave they hold for their own namespace's clients only.

Given all objects, gives a warning for each host that an object decides about in part. The rule itself is Pilot's
(`pilot/tenancy.py`), which needs no sets of all objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from argosy.api.meta import Object
from argosy.core.errors import Finding, Level
from argosy.core.hosts import host_matches, is_wildcard, resolve_host, service_host, service_of_host
from argosy.core.names import MESH_GATEWAY, OPEN_ANNOTATION, ROOT_NAMESPACE, TENANCY_ANNOTATION

FOREIGN_HOST = "ARG0221"


def analyze_tenancy(objects: Sequence[Object[Any]]) -> Iterator[Finding]:
    """Warnings about VirtualServices and ServiceEntries that name hosts of others."""
    if any(one.kind == "ConfigMap" and one.annotations.get(TENANCY_ANNOTATION) == "open" for one in objects):
        return
    declared = _declared(objects)
    spaces = {one.name: _opened(one) for one in objects if one.kind == "Namespace"}
    for one in objects:
        if one.namespace == ROOT_NAMESPACE:
            continue
        if one.kind == "VirtualService" and (not one.spec.gateways or MESH_GATEWAY in one.spec.gateways):
            yield from _of_routes(one, declared, spaces)
        elif one.kind == "ServiceEntry":
            yield from _of_entry(one, spaces)


def _declared(objects: Sequence[Object[Any]]) -> dict[str, list[Object[Any]]]:
    """Who declares each host."""
    found: dict[str, list[Object[Any]]] = {}
    for one in objects:
        names = one.spec.names if one.kind == "ServiceEntry" else ()
        if one.kind == "Service":
            names = (service_host(one.name, one.namespace),)
        for name in names:
            found.setdefault(name, []).append(one)
    return found


def _of_routes(
    one: Object[Any], declared: dict[str, list[Object[Any]]], spaces: dict[str, frozenset[str]]
) -> Iterator[Finding]:
    for index, name in enumerate(one.spec.hosts):
        pattern = resolve_host(name, one.namespace)
        hosts = [h for h in declared if host_matches(pattern, h)] if is_wildcard(pattern) else [pattern]
        hosts = [host for host in hosts if all(one.namespace != o.namespace for o in declared.get(host, ()))]
        owners = {
            owner.namespace for host in hosts for owner in declared.get(host, ()) if not _leaves(owner, one, spaces)
        }
        if owners:
            message = (
                f"{name} belongs to {', '.join(sorted(owners))}: these rules hold for clients of {one.namespace} only"
            )
            hint = f"for all clients, {min(owners)} opens it with the annotation {OPEN_ANNOTATION}: {one.namespace}"
            yield _warning(one, f"spec.hosts[{index}]", message, hint)


def _of_entry(one: Object[Any], spaces: dict[str, frozenset[str]]) -> Iterator[Finding]:
    for index, host in enumerate(one.spec.names):
        service = service_of_host(host)
        if service is None or service[0] == one.namespace or {"*", one.namespace} & spaces.get(service[0], frozenset()):
            continue
        message = f"{host} is a name of namespace {service[0]}: this entry is not used for it"
        yield _warning(
            one, f"spec.hosts[{index}]", message, f"the annotation {OPEN_ANNOTATION} of that Namespace opens it"
        )


def _leaves(owner: Object[Any], one: Object[Any], spaces: dict[str, frozenset[str]]) -> bool:
    """Whether the owner of a host leaves it to objects of that namespace."""
    opened = _opened(owner) | spaces.get(owner.namespace, frozenset())
    return bool(opened & {"*", one.namespace})


def _opened(one: Object[Any]) -> frozenset[str]:
    return frozenset(part.strip() for part in one.annotations.get(OPEN_ANNOTATION, "").split(",")) - {""}


def _warning(one: Object[Any], at: str, message: str, hint: str) -> Finding:
    return Finding(FOREIGN_HOST, Level.WARNING, message, one.kind, one.namespace, one.name, at, one.origin, hint)
