"""What roles (RBAC v1alpha1) come to among the other objects: bindings of nothing, roles that hold nowhere, policies
that stand in for them, HTTP's conditions on connections.

Given the whole set, gives findings. Pure. Source: istio.io rbac v1alpha1 as of 1.4.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from argosy.api.meta import Object
from argosy.api.rbac import CONFIG_NAME, AccessRule, RbacConfig, ServiceRole, ServiceRoleBinding, Subject
from argosy.api.security import AuthorizationPolicy
from argosy.authz.conditions import needs_http
from argosy.authz.convert import policies_instead
from argosy.authz.roles import EVERYBODY, Grant, Posture, Served, chosen_config, is_about, posture, rule_of, superseded
from argosy.core.errors import Finding, Level
from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.hosts import service_host
from argosy.core.labels import selects
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.core.protocols import Protocol, protocol_of_port
from argosy.galley.analyze_authorization import Surroundings

_ANYBODY = Subject(user=EVERYBODY)
_KINDS = ("RbacConfig", "ServiceRole", "AuthorizationPolicy")
_ONE_OF_TWO = "keep one of the two: write the roles as AuthorizationPolicies"


Wanted = Callable[[Object[Any]], bool]
"""Which objects are looked at."""


@dataclass(frozen=True, slots=True)
class _World:
    """What roles meet. `inline`: bindings with rules of their own; `policies`: those that may stand in for roles."""

    config: Object[RbacConfig] | None
    roles: dict[ObjectKey, Object[ServiceRole]]
    inline: list[Object[ServiceRoleBinding]]
    policies: list[Object[AuthorizationPolicy]]
    around: Surroundings
    known: dict[str, list[Served]] = field(default_factory=dict)

    def ports(self, namespace: str) -> list[Served]:
        """What there is to be called in a namespace."""
        if namespace not in self.known:
            self.known[namespace] = _ports(namespace, self.around)
        return self.known[namespace]


def analyze_rbac(objects: Iterable[Object[Any]], around: Surroundings, wanted: Wanted) -> Iterator[Finding]:
    """Findings about those roles, bindings, configurations and policies that are wanted."""
    found = list(objects)
    cluster = next((one for one in found if one.kind == "ClusterRbacConfig" and one.name == CONFIG_NAME), None)
    config = chosen_config(cluster, [one for one in found if one.kind == "RbacConfig"])
    roles = {one.key: one for one in found if isinstance(one.spec, ServiceRole)}
    inline = [one for one in found if isinstance(one.spec, ServiceRoleBinding) and not one.spec.bound]
    policies = [one for one in found if isinstance(one.spec, AuthorizationPolicy) and superseded([one])]
    world = _World(config, roles, inline, policies, around)
    for one in found:
        if not one.kind.startswith(_KINDS) or not wanted(one):
            continue
        if one.kind == "RbacConfig" and config is not None and one is not config:
            message = f"{config.kind} {config.key} counts, and this one is not read"
            yield _finding(one, "ARG0264", "metadata.name", message, "remove one of the two")
        elif isinstance(one.spec, ServiceRole):
            yield from _role(one, world)
        elif isinstance(one.spec, ServiceRoleBinding):
            yield from _binding(one, world)
        elif isinstance(one.spec, AuthorizationPolicy) and superseded([one]):
            yield from _instead(one, world)


def _role(role: Object[ServiceRole], world: _World) -> Iterator[Finding]:
    if role.namespace != ROOT_NAMESPACE or world.around.workloads.get(role.namespace):
        yield from _effect(role, role.spec.rules, "spec.rules", world)
    yield from _on_connections(role, role.spec.rules, (_ANYBODY,), "spec.rules", world)


def _binding(binding: Object[ServiceRoleBinding], world: _World) -> Iterator[Finding]:
    bound = binding.spec.bound
    role = None
    if bound:
        where = ROOT_NAMESPACE if bound.startswith("/") else binding.namespace
        key = ObjectKey(where, bound.removeprefix("/"))
        role = world.roles.get(key)
        if role is None:
            at = "spec.roleRef.name" if binding.spec.role_ref is not None else "spec.role"
            names = [one.name for one in world.roles if one.namespace == where]
            near = get_close_matches(key.name, names, n=1)
            hint = f"did you mean {near[0]}?" if near else ""
            yield _finding(binding, "ARG0261", at, f"there is no ServiceRole {key}: the binding allows nothing", hint)
            return
    else:
        yield from _effect(binding, binding.spec.actions, "spec.actions", world)
        yield from _on_connections(binding, binding.spec.actions, (_ANYBODY,), "spec.actions", world)
    grant = Grant(binding, role)
    plain = [rule for rule in grant.rules if not needs_http(rule_of(rule, _ANYBODY))]
    yield from _on_connections(binding, plain, binding.spec.subjects, "spec.subjects", world)
    yield from _replacement(grant, world)


# -- what has no effect ---------------------------------------------------------------------------------------------


def _effect(obj: Object[Any], rules: Iterable[AccessRule], at: str, world: _World) -> Iterator[Finding]:
    """Where roles are off altogether, or at all that these rules are about; or where a policy stands in for them."""
    hint = "a ClusterRbacConfig named default says where roles hold"
    if world.config is None or world.config.spec.mode == "OFF":
        what = "no ClusterRbacConfig turns roles on" if world.config is None else f"{world.config.kind} has mode OFF"
        yield _finding(obj, "ARG0260", at, f"{what}: this has no effect", hint)
        return
    about = [one for one in world.ports(obj.namespace) if any(is_about(rule, one) for rule in rules)]
    off = [one for one in about if posture(world.config, one.namespace, one.hosts) is Posture.OFF]
    if about and len(off) == len(about):
        message = f"{world.config.kind} {world.config.key} leaves out {_hosts(off)}: this has no effect"
        yield _finding(obj, "ARG0260", at, message, hint)
        return
    for policy in world.policies:
        ports = [one for one in about if one not in off and _stands_in(policy, one)]
        if ports:
            message = f"AuthorizationPolicy {policy.key} stands in for all roles at {_hosts(ports)}"
            yield _finding(obj, "ARG0262", at, message, _ONE_OF_TWO)


def _stands_in(policy: Object[AuthorizationPolicy], one: Served) -> bool:
    """Whether a policy takes the place of the roles at a port."""
    labels = policy.spec.selector.match_labels if policy.spec.selector is not None else {}
    here = policy.namespace in (one.namespace, ROOT_NAMESPACE)
    return here and selects(labels, one.labels)


def _instead(policy: Object[AuthorizationPolicy], world: _World) -> Iterator[Finding]:
    """The same, told of a policy."""
    ports: list[Served] = []
    for space in {one.namespace for one in (*world.roles.values(), *world.inline)}:
        rules = [rule for role in world.roles.values() if role.namespace == space for rule in role.spec.rules]
        rules += [rule for one in world.inline if one.namespace == space for rule in one.spec.actions]
        for one in world.ports(space):
            on = posture(world.config, space, one.hosts) is not Posture.OFF
            if on and _stands_in(policy, one) and any(is_about(rule, one) for rule in rules):
                ports.append(one)
    if ports:
        message = f"{_hosts(ports)} has roles, which do not count where this policy selects"
        yield _finding(policy, "ARG0262", "spec", message, _ONE_OF_TWO)


def _ports(namespace: str, around: Surroundings) -> list[Served]:
    """What there is to be called in a namespace: each Service with each of the workloads that it leads to."""
    found = []
    workloads = [dict(labels) for labels in around.workloads.get(namespace, ())]
    for service in around.services:
        if service.namespace != namespace or not service.spec.selector:
            continue
        host = (service_host(service.name, namespace),)
        mine = [FrozenMap(labels) for labels in workloads if selects(service.spec.selector, labels)]
        found += [Served(namespace, host, labels) for labels in sorted(mine)] or [Served(namespace, host, EMPTY)]
    return found


def _hosts(ports: Iterable[Served]) -> str:
    return ", ".join(sorted({host for one in ports for host in one.hosts}))


# -- connections ----------------------------------------------------------------------------------------------------


def _on_connections(
    obj: Object[Any], rules: Iterable[AccessRule], subjects: Iterable[Subject], at: str, world: _World
) -> Iterator[Finding]:
    """Conditions that only requests fulfil, about ports that are not HTTP."""
    tcp = _tcp_ports(obj.namespace, world)
    met: dict[int, set[str]] = {}
    parts = list(subjects)
    for number, rule in enumerate(rules):
        for index, subject in enumerate(parts):
            if not needs_http(rule_of(rule, subject)):
                continue
            place = index if at == "spec.subjects" else number
            for served in world.ports(obj.namespace):
                ports = [port for port in tcp.get(served.hosts[0], ()) if _reaches(rule, port)]
                if ports and is_about(rule, served):
                    met.setdefault(place, set()).update(f"{served.hosts[0]}:{port}" for port in ports)
    for place, where in sorted(met.items()):
        message = f"{', '.join(sorted(where))} is not HTTP, where this cannot be checked: it allows no connection there"
        yield _finding(obj, "ARG0230", f"{at}[{place}]", message, "connections need a role without conditions of HTTP")


def _reaches(rule: AccessRule, port: int) -> bool:
    numbers = [one.values for one in rule.constraints if one.key == "destination.port"]
    named = (not rule.ports or port in rule.ports) and port not in rule.not_ports
    return named and all(str(port) in values for values in numbers)


def _tcp_ports(namespace: str, world: _World) -> dict[str, list[int]]:
    """By host, the ports that Services declare as something else than HTTP."""
    found: dict[str, list[int]] = {}
    for service in world.around.services:
        if service.namespace != namespace:
            continue
        for port in service.spec.ports:
            protocol = protocol_of_port(port.name, port.app_protocol, port.protocol, port.port)
            if not protocol.is_http and protocol not in (Protocol.AUTO, Protocol.UDP):
                target = port.target_port if isinstance(port.target_port, int) and port.target_port else port.port
                found.setdefault(service_host(service.name, namespace), []).append(target)
    return found


# -- instead --------------------------------------------------------------------------------------------------------


def _replacement(grant: Grant, world: _World) -> Iterator[Finding]:
    """The AuthorizationPolicies that say the same."""
    binding = grant.binding
    found = policies_instead(grant, [one for one in world.around.services if one.namespace == binding.namespace])
    hint = f"`argosy authz convert` writes the {len(found)} AuthorizationPolicies that say the same" if found else ""
    if len(found) == 1:
        hint = f"the same as an AuthorizationPolicy: {json.dumps(found[0]['spec'])}"
    message = "rbac.istio.io ended with Istio 1.5, where AuthorizationPolicies say this"
    yield _finding(binding, "ARG0263", "apiVersion", message, hint, level=Level.INFO)


def _finding(
    obj: Object[Any], code: str, at: str, message: str, hint: str = "", *, level: Level = Level.WARNING
) -> Finding:
    return Finding(code, level, message, obj.kind, obj.namespace, obj.name, at, obj.origin, hint)
