"""ClusterRbacConfig, RbacConfig, ServiceRole, ServiceRoleBinding: is what they say possible?

Given the typed object, adds findings to a `Check`. What no call could ever fulfil is refused. Conditions that nobody
knows are taken, as Istio 1.4 took them, and fulfilled by nobody: it passed over such constraints, so that the role
allowed more than it said. Source: Istio's rbac v1alpha1.
"""

from __future__ import annotations

from dataclasses import replace

from argosy.api.rbac import CONFIG_NAME, AccessRule, RbacConfig, ServiceRole, ServiceRoleBinding, Subject, Target
from argosy.api.security import Condition, Operation, Source
from argosy.authz.roles import (
    ALL_AUTHENTICATED,
    CONSTRAINTS,
    EVERYBODY,
    FILTERS,
    OF_WORKLOAD,
    PRINCIPALS,
    PROPERTIES,
    is_known_constraint,
    is_known_property,
    is_of_workload,
)
from argosy.core.errors import Level
from argosy.galley.validate.authorization import (
    NEVER,
    validate_condition,
    validate_operation,
    validate_pattern,
    validate_principal,
    validate_source,
)
from argosy.galley.validate.check import Check, member

_TARGETS = {"ON_WITH_INCLUSION": "inclusion", "ON_WITH_EXCLUSION": "exclusion"}


def validate_rbac_config(check: Check, config: RbacConfig) -> None:
    """All rules about the configuration of roles."""
    if check.obj.name != CONFIG_NAME:
        message = f"{check.obj.kind} is only read under the name {CONFIG_NAME}"
        check.error("ARG0119", "metadata.name", message, f"write {CONFIG_NAME}")
    for name, target in (("inclusion", config.inclusion), ("exclusion", config.exclusion)):
        if target is not None:
            _validate_target(check, f"spec.{name}", target)
    wanted = _TARGETS.get(config.mode, "")
    if wanted and getattr(config, wanted) is None:
        check.error("ARG0110", "spec", f"{config.mode} needs {wanted}", f"write `{wanted}: {{}}` for none")
    for name in set(_TARGETS.values()) - {wanted}:
        if getattr(config, name) is not None:
            check.warn("ARG0198", f"spec.{name}", f"{name} does nothing with mode {config.mode}", "remove it")


def _validate_target(check: Check, at: str, target: Target) -> None:
    for index, service in enumerate(target.services):
        check.host(f"{at}.services[{index}]", service)
        if service and "." not in service:
            message = f"{service!r} is no whole host, so it would never be met"
            check.error("ARG0119", f"{at}.services[{index}]", message, f"write {service}.default.svc.cluster.local")
    for index, namespace in enumerate(target.namespaces):
        check.dns_label(f"{at}.namespaces[{index}]", namespace, "namespace")


def validate_service_role(check: Check, role: ServiceRole) -> None:
    """All rules about one ServiceRole."""
    check.not_empty("spec.rules", role.rules, "at least one rule")
    for index, rule in enumerate(role.rules):
        at = f"spec.rules[{index}]"
        check.not_empty(f"{at}.services", rule.services, 'at least one service (["*"] is every one)')
        _validate_access(check, at, rule)
    _insist(check)


def validate_service_role_binding(check: Check, binding: ServiceRoleBinding) -> None:
    """All rules about one ServiceRoleBinding."""
    check.not_empty("spec.subjects", binding.subjects, "at least one subject")
    for index, subject in enumerate(binding.subjects):
        _validate_subject(check, f"spec.subjects[{index}]", subject)
    given = {
        "roleRef": binding.role_ref is not None,
        "role": bool(binding.role),
        "actions": bool(binding.actions),
    }
    check.one_of("spec", given)
    if binding.role_ref is not None:
        if binding.role_ref.kind != "ServiceRole":
            message = f"kind {binding.role_ref.kind!r} cannot be bound"
            check.error("ARG0119", "spec.roleRef.kind", message, "write ServiceRole")
        check.not_empty("spec.roleRef.name", binding.role_ref.name, "the role's name")
        if "/" in binding.role_ref.name:
            message = "a roleRef names a role of the binding's own namespace"
            check.error("ARG0119", "spec.roleRef.name", message, "`role: /name` is one of the root namespace")
    if binding.role and "/" in binding.role[1:] + "/" * (binding.role == "/"):
        check.error("ARG0119", "spec.role", f"{binding.role!r} names no role", "write name, or /name")
    for index, rule in enumerate(binding.actions):
        if rule == AccessRule():
            check.error("ARG0110", f"spec.actions[{index}]", "a rule needs at least one field", 'services: ["*"]')
        _validate_access(check, f"spec.actions[{index}]", rule)
    _insist(check)


def _insist(check: Check) -> None:
    """What never matches is refused."""
    check.findings = [
        replace(one, code="ARG0119", level=Level.ERROR) if one.code == NEVER else one for one in check.findings
    ]


# -- what may be done -----------------------------------------------------------------------------------------------


def _validate_access(check: Check, at: str, rule: AccessRule) -> None:
    for index, service in enumerate(rule.services):
        validate_pattern(check, f"{at}.services[{index}]", service)
    for name, numbers in (("ports", rule.ports), ("notPorts", rule.not_ports)):
        for index, number in enumerate(numbers):
            check.port(f"{at}.{name}[{index}]", number)
    allowed = Operation(hosts=rule.hosts, methods=rule.methods, paths=rule.paths)
    left_out = Operation(not_hosts=rule.not_hosts, not_methods=rule.not_methods, not_paths=rule.not_paths)
    if allowed != Operation():
        inner = Check(check.obj)
        validate_operation(inner, at, allowed)
        for found in inner.findings:
            # What never matches allows nothing, which harms nobody; Istio 1.4 took it.
            if found.code in ("ARG0119", NEVER):
                check.warn("ARG0199", found.field, found.message, found.hint)
            else:
                check.error(found.code, found.field, found.message, found.hint)
    if left_out != Operation():
        validate_operation(check, at, left_out)
    for name, paths in (("paths", rule.paths), ("notPaths", rule.not_paths)):
        for index, path in enumerate(paths):
            if "{*}" in path or "{**}" in path:
                message = "roles have no path templates"
                check.error("ARG0119", f"{at}.{name}[{index}]", message, "an AuthorizationPolicy has")
    check.unique(f"{at}.constraints", [(f"[{n}].key", one.key) for n, one in enumerate(rule.constraints)], "constraint")
    for index, one in enumerate(rule.constraints):
        _validate_constraint(check, f"{at}.constraints[{index}]", one.key, one.values)


def _validate_constraint(check: Check, at: str, key: str, values: tuple[str, ...]) -> None:
    check.not_empty(f"{at}.key", key, "the constraint's key")
    check.not_empty(f"{at}.values", values, "at least one value")
    if is_of_workload(key):
        for index, value in enumerate(values):
            validate_pattern(check, f"{at}.values[{index}]", value)
    elif is_known_constraint(key):
        if values:
            validate_condition(check, at, Condition(key=key, values=values))
    else:
        known = ", ".join((*OF_WORKLOAD, *CONSTRAINTS))
        hint = f"known: {known}, destination.labels[name], request.headers[name], {FILTERS}name[key]"
        message = f"nobody knows a constraint {key!r}: the rule allows nothing"
        check.warn("ARG0199", f"{at}.key", message, hint)


# -- who ------------------------------------------------------------------------------------------------------------


def _validate_subject(check: Check, at: str, subject: Subject) -> None:
    if subject == Subject():
        check.error("ARG0110", at, "a subject needs at least one field", 'user: "*" is everybody')
    if subject.user and subject.user != EVERYBODY:
        validate_principal(check, f"{at}.user", subject.user)
    for name, values in (("names", subject.names), ("notNames", subject.not_names)):
        for index, value in enumerate(values):
            if value == EVERYBODY or (value == ALL_AUTHENTICATED and name == "notNames"):
                hint = f'user: "*" is everybody, names: ["{ALL_AUTHENTICATED}"] whoever has an identity'
                check.error("ARG0119", f"{at}.{name}[{index}]", f"{value!r} is no name", hint)
    source = Source(
        principals=tuple(name for name in subject.names if name not in (EVERYBODY, ALL_AUTHENTICATED)),
        namespaces=subject.namespaces,
        not_namespaces=subject.not_namespaces,
    )
    if source != Source():
        validate_source(check, at, source)
    for index, value in enumerate(subject.not_names):
        validate_principal(check, f"{at}.notNames[{index}]", value)
    for name, values in (("ips", subject.ips), ("notIps", subject.not_ips)):
        for index, value in enumerate(values):
            check.network(f"{at}.{name}[{index}]", value)
    groups = ((".group", (subject.group,) if subject.group else ()),)
    for suffix, values in (*groups, *_indexed("groups", subject.groups), *_indexed("notGroups", subject.not_groups)):
        for value in values:
            validate_pattern(check, f"{at}{suffix}", value)
    for key, value in subject.properties.items():
        _validate_property(check, member(f"{at}.properties", key), key, value)


def _indexed(name: str, values: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    return [(f".{name}[{index}]", (value,)) for index, value in enumerate(values)]


def _validate_property(check: Check, at: str, key: str, value: str) -> None:
    if not is_known_property(key):
        hint = f"known: {', '.join(PROPERTIES)}, request.headers[name], request.auth.claims[name]"
        check.warn("ARG0199", at, f"nobody knows a property {key!r}: the subject is nobody", hint)
        return
    meant = "source.principal" if key in PRINCIPALS else key
    inner = Check(check.obj)
    validate_condition(inner, at, Condition(key=meant, values=(value,)))
    # A property has one value, and its own name is the field.
    for one in inner.findings:
        check.error(one.code, at, one.message, one.hint)
