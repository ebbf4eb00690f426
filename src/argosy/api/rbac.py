"""`rbac.istio.io`: ClusterRbacConfig, RbacConfig, ServiceRole and ServiceRoleBinding, as Istio 1.0-1.4 authorizes.

Typed, frozen, strict shapes; no meaning (that is `authz.roles`). Source: Istio's API, rbac v1alpha1, as of 1.4.
"""

from __future__ import annotations

from typing import Literal

from argosy.api.meta import BothSpellings
from argosy.core.frozen import EMPTY, FrozenMap

CONFIG_NAME = "default"
"""The only name that a configuration may have."""
Enforcement = Literal["ENFORCED", "PERMISSIVE"]


class Target(BothSpellings, frozen=True, kw_only=True):
    """Services (whole hosts) and namespaces; one of them is enough."""

    services: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()


class RbacConfig(BothSpellings, frozen=True, kw_only=True):
    """Where roles hold. What they do not allow there is refused, or with PERMISSIVE only noted."""

    mode: Literal["OFF", "ON", "ON_WITH_INCLUSION", "ON_WITH_EXCLUSION"] = "OFF"
    inclusion: Target | None = None
    exclusion: Target | None = None
    enforcement_mode: Enforcement = "ENFORCED"


class Constraint(BothSpellings, frozen=True, kw_only=True):
    """One more condition on what is called; one of the values is enough."""

    key: str = ""
    values: tuple[str, ...] = ()


class AccessRule(BothSpellings, frozen=True, kw_only=True):
    """What may be called; the fields are anded, the values of one field ored. `*` may lead or trail a value."""

    services: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    not_ports: tuple[int, ...] = ()
    constraints: tuple[Constraint, ...] = ()


class ServiceRole(BothSpellings, frozen=True, kw_only=True):
    """What may be done by whom the role is bound to; one rule is enough."""

    rules: tuple[AccessRule, ...] = ()


class Subject(BothSpellings, frozen=True, kw_only=True):
    """Who calls; the fields are anded, the values of one field ored."""

    user: str = ""
    names: tuple[str, ...] = ()
    not_names: tuple[str, ...] = ()
    group: str = ""
    groups: tuple[str, ...] = ()
    not_groups: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    not_ips: tuple[str, ...] = ()
    properties: FrozenMap[str, str] = EMPTY


class RoleRef(BothSpellings, frozen=True, kw_only=True):
    """The ServiceRole that is bound, of the binding's own namespace."""

    kind: str = ""
    name: str = ""


class ServiceRoleBinding(BothSpellings, frozen=True, kw_only=True):
    """Gives a role to subjects: `role_ref`, or its name (`/name`: of the root namespace), or the rules themselves."""

    subjects: tuple[Subject, ...] = ()
    role_ref: RoleRef | None = None
    role: str = ""
    actions: tuple[AccessRule, ...] = ()
    mode: Enforcement = "ENFORCED"

    @property
    def bound(self) -> str:
        """The name of the role, with a slash before it if it is the root namespace's; empty for inline rules."""
        return self.role_ref.name if self.role_ref is not None else self.role
