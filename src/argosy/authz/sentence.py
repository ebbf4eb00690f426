"""An AuthorizationPolicy as a plain sentence: what it really does, however it is written.

    sentence(policy)    # "Refuses requests to pods of namespace shop with app=web that are GET requests."

Given one policy, gives text for people: findings, `argosy authz explain`, the console. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from argosy.api.meta import Object
from argosy.api.rbac import AccessRule
from argosy.api.security import AuthorizationPolicy, Condition, Operation, Rule, Source, is_dry_run
from argosy.authz.roles import EVERYBODY, Grant, is_of_workload, rule_of
from argosy.core.names import ROOT_NAMESPACE

_EVERYTHING = "everything"
_SOURCES = {
    "principals": "identity",
    "request_principals": "token of",
    "namespaces": "namespace",
    "service_accounts": "service account",
    "trust_domains": "trust domain",
    "ip_blocks": "address",
    "remote_ip_blocks": "client address",
}
_OPERATIONS = {"methods": "method", "hosts": "host", "paths": "path", "ports": "port"}
_DOES = {
    "ALLOW": ("Allows", "allows"),
    "DENY": ("Refuses", "refuses"),
    "AUDIT": ("Notes, without refusing anything,", "notes"),
}


def sentence(policy: Object[AuthorizationPolicy]) -> str:
    """What a policy does, in one sentence."""
    spec = policy.spec
    target = target_of(policy)
    if is_dry_run(policy):
        inner = _effect(policy, target)
        return f"Is only tried and refuses nothing; in force it would say: {inner[0].lower()}{inner[1:]}"
    if spec.action == "CUSTOM" and spec.rules:
        provider = spec.provider.name if spec.provider is not None else ""
        return f"Asks {provider} about {_what(spec.rules, target)}; what {provider} does not allow is refused."
    return _effect(policy, target)


def grant_sentence(grant: Grant) -> str:
    """What a binding of RBAC v1alpha1 does where roles hold, in one sentence."""
    parts = [
        f"requests to {_services(access)} {rule_text(rule_of(access, subject))}".replace(f" {_EVERYTHING}", "")
        for access in grant.rules
        for subject in grant.binding.spec.subjects
    ]
    what = parts[0] if len(parts) == 1 else "; or ".join(f"({n}) {text}" for n, text in enumerate(parts))
    if grant.binding.spec.mode == "PERMISSIVE":
        return f"Is only tried and allows nothing; in force it would say: allows {what}."
    return f"Allows, where roles hold, {what}."


def _services(access: AccessRule) -> str:
    own = [
        f"{one.key.removeprefix('destination.')} is {_list(one.values)}"
        for one in access.constraints
        if is_of_workload(one.key)
    ]
    services = "every service" if EVERYBODY in access.services or not access.services else _list(access.services)
    return services + (f" with {' and '.join(own)}" if own else "")


def _effect(policy: Object[AuthorizationPolicy], target: str) -> str:
    spec = policy.spec
    if not spec.rules:
        if spec.action == "ALLOW":
            return f"Allows nothing by itself: what no other ALLOW policy allows to {target} is refused."
        return f"Does nothing: it has no rules, so it never {_verb(spec.action)} a request to {target}."
    if spec.action == "ALLOW":
        if any(rule == Rule() for rule in spec.rules):
            return f"Allows every request to {target} that no DENY or CUSTOM policy refuses."
        return (
            f"Allows {_what(spec.rules, target)}; everything else to {target} that no other ALLOW policy allows "
            "is refused."
        )
    return f"{_DOES[spec.action][0]} {_what(spec.rules, target)}."


def _verb(action: str) -> str:
    return "asks anybody about" if action == "CUSTOM" else _DOES[action][1]


def _what(rules: Sequence[Rule], target: str) -> str:
    texts = [rule_text(rule) for rule in rules]
    if _EVERYTHING in texts:
        return f"every request to {target}"
    if len(texts) == 1:
        return f"requests to {target} {texts[0]}"
    return f"requests to {target} for which one of these holds: " + "; or ".join(
        f"({number}) {text}" for number, text in enumerate(texts)
    )


def target_of(policy: Object[AuthorizationPolicy]) -> str:
    """Whom a policy is about."""
    where = "the mesh" if policy.namespace == ROOT_NAMESPACE else f"namespace {policy.namespace}"
    labels = policy.spec.selector.match_labels if policy.spec.selector is not None else {}
    if not labels:
        return f"all pods of {where}"
    return f"pods of {where} with {', '.join(f'{key}={value}' for key, value in sorted(labels.items()))}"


def rule_text(rule: Rule) -> str:
    """When a rule holds: `from ..., with ..., when ...`; `everything` where it says nothing."""
    parts = []
    if rule.from_:
        parts.append("from " + _alternatives([_fields(one.source, _SOURCES) for one in rule.from_], "anybody"))
    if rule.to:
        parts.append("with " + _alternatives([_fields(one.operation, _OPERATIONS) for one in rule.to], "anything"))
    if rule.when:
        parts.append("when " + " and ".join(_condition(one) for one in rule.when))
    return ", ".join(parts) or _EVERYTHING


def _alternatives(texts: Sequence[str], nothing: str) -> str:
    filled = [text or nothing for text in texts]
    if len(filled) == 1:
        return filled[0]
    return " or ".join(f"({text})" for text in filled)


def _fields(value: Source | Operation, names: dict[str, str]) -> str:
    parts = []
    for name, word in names.items():
        if values := getattr(value, name):
            parts.append(f"{word} {_list(values)}")
        if values := getattr(value, f"not_{name}"):
            parts.append(f"{word} other than {_list(values)}")
    return " and ".join(parts)


def _condition(condition: Condition) -> str:
    parts = []
    if condition.values:
        parts.append(f"{condition.key} is {_list(condition.values)}")
    if condition.not_values:
        parts.append(f"{condition.key} is not {_list(condition.not_values)}")
    return " and ".join(parts)


def _list(values: Sequence[str]) -> str:
    return " or ".join("anything" if value == "*" else value for value in values)
