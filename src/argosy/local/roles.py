"""What roles (RBAC v1alpha1) come to at the ports of a pod, from the objects themselves: for those that look at one
pod at a time (the command line, the guard of connections). Pilot does the same by what changed (`pilot.roles_model`).

Given objects by kind and a pod, gives policies. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.api.kubernetes import Service
from argosy.api.meta import Object
from argosy.api.rbac import CONFIG_NAME, RbacConfig
from argosy.api.security import AuthorizationPolicy
from argosy.authz.roles import Grant, Served, chosen_config, policies_of_roles, superseded
from argosy.core.frozen import FrozenMap
from argosy.core.hosts import service_host
from argosy.core.labels import selects
from argosy.core.names import ROOT_NAMESPACE, ObjectKey

KINDS = ("ClusterRbacConfig", "RbacConfig", "ServiceRole", "ServiceRoleBinding")
ANY_PORT = 0

ByKind = Mapping[str, Collection[Object[Any]]]


@dataclass(frozen=True, slots=True)
class Pod:
    """Whose roles are asked for."""

    namespace: str
    labels: Mapping[str, str]
    service_account: str


def policies_of_pod(
    objects: ByKind, pod: Pod, others: Collection[Object[AuthorizationPolicy]], port: int = ANY_PORT
) -> tuple[Object[AuthorizationPolicy], ...]:
    """What roles come to at one port of a pod, or at any of its ports. `others`: its AuthorizationPolicies."""
    if superseded(others):
        return ()
    config = config_of(objects)
    if config is None:
        return ()
    hosts = tuple(dict.fromkeys(_hosts(objects["Service"], pod, port)))
    served = Served(pod.namespace, hosts, FrozenMap(pod.labels), pod.service_account)
    return policies_of_roles(config, grants(objects, pod.namespace), served)


def config_of(objects: ByKind) -> Object[RbacConfig] | None:
    """The configuration that says where roles hold."""
    cluster = next((one for one in objects["ClusterRbacConfig"] if one.name == CONFIG_NAME), None)
    return chosen_config(cluster, objects["RbacConfig"])


def grants(objects: ByKind, namespace: str) -> Iterator[Grant]:
    """The bindings of a namespace with their roles; those without a role give nothing."""
    roles = {one.key: one for one in objects["ServiceRole"]}
    for binding in sorted(objects["ServiceRoleBinding"], key=lambda one: one.key):
        if binding.namespace != namespace:
            continue
        bound = binding.spec.bound
        if not bound:
            yield Grant(binding)
            continue
        where = ROOT_NAMESPACE if bound.startswith("/") else namespace
        role = roles.get(ObjectKey(where, bound.removeprefix("/")))
        if role is not None:
            yield Grant(binding, role)


def _hosts(services: Collection[Object[Service]], pod: Pod, port: int) -> Iterator[str]:
    for service in services:
        if service.namespace != pod.namespace or not service.spec.selector:
            continue
        if not selects(service.spec.selector, pod.labels):
            continue
        targets = {
            one.target_port if isinstance(one.target_port, int) and one.target_port else one.port
            for one in service.spec.ports
        }
        if port in (ANY_PORT, *targets):
            yield service_host(service.name, service.namespace)
