"""RBAC v1alpha1 as AuthorizationPolicies: what roles and their bindings come to at one port of one workload.

    policies = policies_of_roles(config, grants, served)

Where roles hold, everything is refused that none allows: the configuration comes to an ALLOW policy without rules, and
each binding to an ALLOW policy. With PERMISSIVE they are
only tried. What a role says of the workload itself (`services`, `destination.labels[...]`) is decided here, the rest
by the proxy. Source: istio.io rbac v1alpha1 as of 1.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from argosy.api.meta import Object
from argosy.api.rbac import AccessRule, RbacConfig, ServiceRole, ServiceRoleBinding, Subject, Target
from argosy.api.security import (
    DRY_RUN,
    AuthorizationPolicy,
    Condition,
    From,
    Operation,
    Rule,
    Source,
    To,
    is_dry_run,
)
from argosy.authz.conditions import wildcard
from argosy.authz.rule_names import BINDING_KIND, ROLE
from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.hosts import resolve_host
from argosy.core.names import ROOT_NAMESPACE

EVERYBODY = "*"
ALL_AUTHENTICATED = "allAuthenticatedUsers"
GROUPS = "request.auth.claims[groups]"
LABELS = "destination.labels["
OF_WORKLOAD = ("destination.name", "destination.namespace", "destination.user")
"""Keys of constraints that are about the workload itself, beside its labels."""
PRINCIPALS = ("source.principal", "source.user")
CONSTRAINTS = ("destination.ip", "destination.port", "connection.sni")
PROPERTIES = (
    "source.ip",
    "source.namespace",
    *PRINCIPALS,
    "request.auth.audiences",
    "request.auth.presenter",
    "request.auth.principal",
)
HEADERS, CLAIMS, FILTERS = "request.headers[", "request.auth.claims[", "experimental.envoy.filters."


Conditions = tuple[Condition, ...]


class Posture(StrEnum):
    """Whether roles hold somewhere."""

    OFF = "OFF"
    ENFORCED = "ENFORCED"
    PERMISSIVE = "PERMISSIVE"


@dataclass(frozen=True, slots=True)
class Served:
    """What a role is about: one port of a workload, with the hosts of the Services that lead there."""

    namespace: str
    hosts: tuple[str, ...] = ()
    labels: FrozenMap[str, str] = EMPTY
    service_account: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """A binding, and the role that it binds (None where it has rules of its own)."""

    binding: Object[ServiceRoleBinding]
    role: Object[ServiceRole] | None = None

    @property
    def rules(self) -> tuple[AccessRule, ...]:
        """What it allows."""
        return self.role.spec.rules if self.role is not None else self.binding.spec.actions


# -- where roles hold -----------------------------------------------------------------------------------------------


def chosen_config(
    cluster: Object[RbacConfig] | None, configs: Iterable[Object[RbacConfig]] = ()
) -> Object[RbacConfig] | None:
    """The configuration that counts: ClusterRbacConfig, else an RbacConfig, that of the root namespace first."""
    if cluster is not None:
        return cluster
    return min(configs, key=lambda one: (one.namespace != ROOT_NAMESPACE, one.namespace), default=None)


def posture(config: Object[RbacConfig] | None, namespace: str, hosts: tuple[str, ...]) -> Posture:
    """Whether roles hold at a port of a namespace to which `hosts` lead.

    Of several hosts one that is included is enough, and all must be excluded: what is not certain is refused.
    """
    if config is None or config.spec.mode == "OFF":
        return Posture.OFF
    spec = config.spec
    if spec.mode == "ON_WITH_INCLUSION" and not _some(spec.inclusion, namespace, hosts):
        return Posture.OFF
    if spec.mode == "ON_WITH_EXCLUSION" and _all(spec.exclusion, namespace, hosts):
        return Posture.OFF
    return Posture.PERMISSIVE if spec.enforcement_mode == "PERMISSIVE" else Posture.ENFORCED


def _some(target: Target | None, namespace: str, hosts: tuple[str, ...]) -> bool:
    return target is not None and (namespace in target.namespaces or any(host in target.services for host in hosts))


def _all(target: Target | None, namespace: str, hosts: tuple[str, ...]) -> bool:
    if target is None:
        return False
    return namespace in target.namespaces or (bool(hosts) and all(host in target.services for host in hosts))


def superseded(policies: Iterable[Object[AuthorizationPolicy]]) -> bool:
    """Whether AuthorizationPolicies of a workload stand in for its roles: an ALLOW policy that is enforced does.

    Istio 1.4 had no others. One that refuses, notes or asks leaves everything refused that no role allows.
    """
    return any(one.spec.action == "ALLOW" and not is_dry_run(one) for one in policies)


# -- what they come to ----------------------------------------------------------------------------------------------


def policies_of_roles(
    config: Object[RbacConfig] | None, grants: Iterable[Grant], served: Served
) -> tuple[Object[AuthorizationPolicy], ...]:
    """The policies by which roles hold at a port; none where they do not."""
    here = posture(config, served.namespace, served.hosts)
    if config is None or here is Posture.OFF:
        return ()
    tried = here is Posture.PERMISSIVE
    default = Object(
        config.kind, config.namespace, config.name, EMPTY, _notes(tried), AuthorizationPolicy(), config.origin
    )
    return (default, *(made for one in grants if (made := _policy(one, served, tried=tried)) is not None))


def _policy(grant: Grant, served: Served, *, tried: bool) -> Object[AuthorizationPolicy] | None:
    """A binding at a port; None where no rule of its role is about that."""
    binding = grant.binding
    rules = tuple(rules_of(grant, served))
    if not rules:
        return None
    tried = tried or binding.spec.mode == "PERMISSIVE"
    notes = _notes(tried, binding.spec.bound if grant.role is not None else "")
    spec = AuthorizationPolicy(rules=rules)
    return Object(BINDING_KIND, binding.namespace, binding.name, EMPTY, notes, spec, binding.origin)


def _notes(tried: bool, role: str = "") -> FrozenMap[str, str]:
    return FrozenMap({**({DRY_RUN: "true"} if tried else {}), **({ROLE: role} if role else {})})


def rules_of(grant: Grant, served: Served) -> Iterator[Rule]:
    """The rules of a binding at a port."""
    return combined([one for one in grant.rules if is_about(one, served)], grant.binding.spec.subjects)


def combined(rules: Iterable[AccessRule], subjects: Iterable[Subject]) -> Iterator[Rule]:
    """All rules for all subjects, without what they say of the workload itself.

    What differs in nothing but callers and operations stands in one rule, so that they add up instead of multiplying.
    """
    operations: dict[Conditions, list[Operation]] = {}
    for access in rules:
        operation, when = _called(access)
        operations.setdefault(when, []).append(operation)
    sources: dict[Conditions, list[Source]] = {}
    for subject in subjects:
        if all(map(is_known_property, subject.properties)):
            source, when = _caller(subject)
            sources.setdefault(when, []).append(source)
    for called, to in operations.items():
        for caller, from_ in sources.items():
            yield _rule(from_, to, (*caller, *called))


def is_about(access: AccessRule, served: Served) -> bool:
    """Whether a rule of a role is about a port, by what it says of services and of the workload itself."""
    if access.services and not any(_names(service, served) for service in access.services):
        return False
    if not all(is_known_constraint(one.key) for one in access.constraints):
        return False
    return all(_is_so(one.key, one.values, served) for one in access.constraints if is_of_workload(one.key))


def _names(service: str, served: Served) -> bool:
    if service == EVERYBODY:
        return True
    pattern = service if "*" in service else resolve_host(service, served.namespace)
    return any(wildcard(pattern, host) for host in served.hosts)


def _named(key: str, before: str) -> bool:
    return key.startswith(before) and key.endswith("]") and len(key) > len(before) + 1


def is_known_constraint(key: str) -> bool:
    """Whether anybody knows what a constraint is about; of any other no value is ever right."""
    return is_of_workload(key) or key in CONSTRAINTS or _named(key, HEADERS) or key.startswith(FILTERS)


def is_known_property(key: str) -> bool:
    """Whether anybody knows what a property is about; who has any other is nobody."""
    return key in PROPERTIES or _named(key, HEADERS) or _named(key, CLAIMS)


def is_of_workload(key: str) -> bool:
    """Whether a constraint is about the workload itself."""
    return _named(key, LABELS) or key in OF_WORKLOAD


def _is_so(key: str, values: tuple[str, ...], served: Served) -> bool:
    if key.startswith(LABELS):
        name = key.removeprefix(LABELS).removesuffix("]")
        found = [served.labels[name]] if name in served.labels else []
    elif key == "destination.namespace":
        found = [served.namespace]
    elif key == "destination.user":
        found = [served.service_account]
    else:
        found = [host.partition(".")[0] for host in served.hosts]
    return any(value == EVERYBODY or wildcard(value, one) for value in values for one in found)


def rule_of(access: AccessRule, subject: Subject) -> Rule:
    """One rule of a role for one subject, without what it says of the workload itself."""
    (operation, called), (source, caller) = _called(access), _caller(subject)
    return _rule([source], [operation], (*caller, *called))


def _rule(sources: Sequence[Source], operations: Sequence[Operation], when: Conditions) -> Rule:
    return Rule(
        from_=() if Source() in sources else tuple(From(source=one) for one in dict.fromkeys(sources)),
        to=() if Operation() in operations else tuple(To(operation=one) for one in dict.fromkeys(operations)),
        when=when,
    )


def _called(access: AccessRule) -> tuple[Operation, Conditions]:
    """What is called, as far as the proxy decides that."""
    operation = Operation(
        hosts=access.hosts,
        not_hosts=access.not_hosts,
        methods=access.methods,
        not_methods=access.not_methods,
        paths=access.paths,
        not_paths=access.not_paths,
        ports=tuple(map(str, access.ports)),
        not_ports=tuple(map(str, access.not_ports)),
    )
    own = [one for one in access.constraints if not is_of_workload(one.key)]
    return operation, tuple(Condition(key=one.key, values=one.values) for one in own)


def _caller(subject: Subject) -> tuple[Source, Conditions]:
    """Who a subject is. What a source has no second place for stands among the conditions."""
    names = [_authenticated(subject.names)] if subject.names else []
    if subject.user and subject.user != EVERYBODY:
        names.append(_authenticated((subject.user,)))
    names += [(value,) for key, value in subject.properties.items() if key in PRINCIPALS]
    namespaces = [subject.namespaces] if subject.namespaces else []
    namespaces += [(value,) for key, value in subject.properties.items() if key == "source.namespace"]
    source = Source(
        principals=names[0] if names else (),
        not_principals=subject.not_names,
        namespaces=namespaces[0] if namespaces else (),
        not_namespaces=subject.not_namespaces,
        ip_blocks=subject.ips,
        not_ip_blocks=subject.not_ips,
    )
    when = [Condition(key="source.principal", values=values) for values in names[1:]]
    when += [Condition(key="source.namespace", values=values) for values in namespaces[1:]]
    when += [Condition(key=GROUPS, values=values) for values in ((subject.group,), subject.groups) if any(values)]
    if subject.not_groups:
        when.append(Condition(key=GROUPS, not_values=subject.not_groups))
    known = (*PRINCIPALS, "source.namespace")
    when += [Condition(key=key, values=(value,)) for key, value in subject.properties.items() if key not in known]
    return source, tuple(when)


def _authenticated(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(EVERYBODY if name == ALL_AUTHENTICATED else name for name in names)
