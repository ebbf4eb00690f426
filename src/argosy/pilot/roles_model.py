"""Which roles (RBAC v1alpha1) hold at each port of a class of proxies, as the policies that they come to.

A role is read by the ports that it names, a binding by those of its role, so a change of one touches no others. Where
no configuration turns roles on, nothing but that is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from argosy.api.meta import Object
from argosy.api.rbac import CONFIG_NAME, RbacConfig
from argosy.api.security import AuthorizationPolicy
from argosy.authz.roles import Grant, Posture, Served, chosen_config, policies_of_roles, posture, superseded
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.incr import Derived, Reader
from argosy.pilot.mesh import INLINE, PATTERN, ROOT_ROLE, SETTINGS_KEY, Mesh

Policies = tuple[Object[AuthorizationPolicy], ...]


class RolesModel:
    """The derived functions of roles, over the inputs of a `Mesh`."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        derive = mesh.engine.derived
        self.config: Derived[str, Object[RbacConfig]] = derive("rbac_config", self._config)
        self.posture: Derived[tuple[str, tuple[str, ...]], Posture] = derive("rbac_posture", self._posture)
        self.granted: Derived[Served, Policies] = derive("rbac_policies", self._granted)

    def are_on(self, read: Reader) -> bool:
        """Whether any configuration turns roles on somewhere."""
        return read.get(self.config, SETTINGS_KEY) is not None

    def policies(self, read: Reader, served: Served, others: Policies) -> Policies:
        """What roles come to at a port. `others`: the AuthorizationPolicies of the workload."""
        if superseded(others) or read.get(self.posture, (served.namespace, served.hosts)) in (None, Posture.OFF):
            return ()
        return read.get(self.granted, served) or ()

    def _config(self, read: Reader, _key: str) -> Object[RbacConfig] | None:
        cluster = read.get(self.mesh.kinds["ClusterRbacConfig"], ObjectKey("", CONFIG_NAME))
        older = self.mesh.kinds["RbacConfig"]
        others = [read.get(older, key) for key in read.all_keys(older)] if cluster is None else []
        found = chosen_config(cluster, [one for one in others if one is not None])
        return found if found is not None and found.spec.mode != "OFF" else None

    def _posture(self, read: Reader, key: tuple[str, tuple[str, ...]]) -> Posture:
        return posture(read.get(self.config, SETTINGS_KEY), *key)

    def _granted(self, read: Reader, served: Served) -> Policies:
        config = read.get(self.config, SETTINGS_KEY)
        return policies_of_roles(config, sorted(self._grants(read, served), key=_order), served)

    def _grants(self, read: Reader, served: Served) -> Iterator[Grant]:
        """Every binding whose role may be about a port."""
        namespace, mesh = served.namespace, self.mesh
        about = dict.fromkeys((*served.hosts, PATTERN))
        roles = {key: role for name in about for key, role in read.select(mesh.roles_by_service, (namespace, name))}
        for key, role in sorted(roles.items()):
            for _key, binding in read.select(mesh.bindings_by_role, (namespace, key.name)):
                yield Grant(binding, role)
        for _key, binding in read.select(mesh.bindings_by_role, (namespace, ROOT_ROLE)):
            root = ObjectKey(ROOT_NAMESPACE, binding.spec.bound.removeprefix(ROOT_ROLE))
            found: Object[Any] | None = read.get(mesh.kinds["ServiceRole"], root)
            if found is not None:
                yield Grant(binding, found)
        for _key, binding in read.select(mesh.bindings_by_role, (namespace, INLINE)):
            yield Grant(binding)


def _order(grant: Grant) -> tuple[str, str]:
    return grant.binding.name, grant.role.name if grant.role is not None else ""
