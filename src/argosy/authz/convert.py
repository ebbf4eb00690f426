"""Bindings of RBAC v1alpha1 written as AuthorizationPolicies.

Given a binding with its role and the Services of its namespace, gives the policies as documents, one for each selector
of pods. What has no such form is left out: a constraint that labels alone do not decide. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from argosy.api.kubernetes import Service
from argosy.api.meta import Object
from argosy.api.rbac import AccessRule, RbacConfig
from argosy.api.security import DRY_RUN, Rule
from argosy.authz.roles import (
    EVERYBODY,
    LABELS,
    Grant,
    Posture,
    Served,
    combined,
    is_about,
    is_known_constraint,
    is_of_workload,
    posture,
)
from argosy.core.hosts import service_host

Labels = tuple[tuple[str, str], ...]


def defaults_instead(
    config: Object[RbacConfig] | None, namespace: str, services: Collection[Object[Service]]
) -> list[dict[str, Any]]:
    """The policies that refuse what no role allows, where roles hold in a namespace."""
    if config is None:
        return []
    found = {one.key: posture(config, namespace, (service_host(one.name, namespace),)) for one in services}
    tried = config.spec.enforcement_mode == "PERMISSIVE"
    if posture(config, namespace, ()) is not Posture.OFF and Posture.OFF not in found.values():
        return [_document(namespace, "allow-nothing", {}, [], tried=tried)]
    on = [one for one in services if found[one.key] is not Posture.OFF and one.spec.selector]
    return [_document(namespace, f"allow-nothing-{one.name}", one.spec.selector or {}, [], tried=tried) for one in on]


def policies_instead(
    grant: Grant, services: Collection[Object[Service]], *, tried: bool = False
) -> list[dict[str, Any]]:
    """The policies that say what a binding says, as documents; none where a part of it has no such form.

    `tried`: roles are PERMISSIVE altogether.
    """
    binding, about = grant.binding, dict[Labels, list[AccessRule]]()
    for access in grant.rules:
        if not all(is_known_constraint(one.key) for one in access.constraints):
            continue
        selectors = list(_selectors(access, binding.namespace, services))
        if not selectors:
            return []
        for labels in selectors:
            about.setdefault(labels, []).append(access)
    made = {labels: list(combined(found, binding.spec.subjects)) for labels, found in about.items()}
    rules = {labels: found for labels, found in made.items() if found}
    tried = tried or binding.spec.mode == "PERMISSIVE"
    many = len(rules) > 1
    return [
        _document(
            binding.namespace, f"{binding.name}-{number}" if many else binding.name, dict(labels), found, tried=tried
        )
        for number, (labels, found) in enumerate(sorted(rules.items()))
    ]


def _document(
    namespace: str, name: str, labels: Mapping[str, str], rules: list[Rule], *, tried: bool
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if tried:
        metadata["annotations"] = {DRY_RUN: "true"}
    selector = {"selector": {"matchLabels": dict(labels)}} if labels else {}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": metadata,
        "spec": {**selector, **({"rules": [_written(rule) for rule in rules]} if rules else {})},
    }


def _written(value: Any) -> Any:
    """A typed value as a person would write it: nothing that is left out anyway."""
    plain = msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
    if isinstance(plain, dict):
        return {key: _written(one) for key, one in plain.items() if one not in ((), [], "", None)}
    return [_written(one) for one in plain] if isinstance(plain, list | tuple) else plain


def _selectors(access: AccessRule, namespace: str, services: Collection[Object[Service]]) -> Iterator[Labels]:
    """The labels of the pods that a rule is about; none at all where labels cannot say it."""
    own = [one for one in access.constraints if is_of_workload(one.key)]
    if any(not one.key.startswith(LABELS) or any("*" in value for value in one.values) for one in own):
        return
    wanted: list[dict[str, str]] = [{}]
    for one in own:
        label = one.key.removeprefix(LABELS).removesuffix("]")
        wanted = [{**each, label: value} for each in wanted for value in one.values]
    if not access.services or EVERYBODY in access.services:
        yield from (tuple(sorted(each.items())) for each in wanted)
        return
    for service in services:
        host = service_host(service.name, namespace)
        bare = msgspec.structs.replace(access, constraints=())
        if service.spec.selector and is_about(bare, Served(namespace, (host,))):
            for each in wanted:
                if all(service.spec.selector.get(name, value) == value for name, value in each.items()):
                    yield tuple(sorted({**service.spec.selector, **each}.items()))
