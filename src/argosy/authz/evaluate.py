"""What a set of AuthorizationPolicies says about a call: the verdict, and the rule that made it.

    verdict = evaluate(policies, call)

A rule whose conditions cannot all be known does not allow, and does refuse: both fail closed. Source: istio.io
AuthorizationPolicy; the order of actions is CUSTOM, DENY, ALLOW.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from argosy.api.meta import Object
from argosy.api.security import AuthorizationPolicy, Condition, Operation, Rule, Source, is_dry_run
from argosy.authz import conditions as c
from argosy.authz.call import Call
from argosy.authz.conditions import Answer, Setting
from argosy.authz.rule_names import rule_name
from argosy.core.frozen import FrozenMap
from argosy.core.names import DEFAULT_TRUST_DOMAIN

NONE = "none"
"""The rule of a verdict that no rule made."""


class Speaks(StrEnum):
    """How an external authorizer is asked."""

    GRPC = "grpc"
    HTTP = "http"


NOBODY: FrozenMap[str, Speaks] = FrozenMap()


@dataclass(frozen=True, slots=True)
class MeshRules:
    """What the mesh says: its trust domain and aliases, its authorizers, and what holds where no ALLOW policy is."""

    domains: tuple[str, ...] = (DEFAULT_TRUST_DOMAIN,)
    authorizers: Mapping[str, Speaks] = NOBODY
    default_action: str = "ALLOW"


PLAIN = MeshRules()


@dataclass(frozen=True, slots=True)
class Verdict:
    """`rule`: as Envoy's logs name it, `none` where none made the verdict. `asks`: authorizers (and for which rule)
    that must allow it too. `notes`: what rules that are not enforced say, by action: the rule, `none` if none matches.
    """

    allowed: bool
    rule: str = NONE
    asks: tuple[tuple[str, str], ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


def evaluate(policies: Iterable[Object[AuthorizationPolicy]], call: Call, mesh: MeshRules = PLAIN) -> Verdict:
    """The verdict on one call, of the policies that select its workload."""
    known = tuple(policies)
    asks, orphaned = _custom(known, call, mesh)
    notes = _notes(known, call, mesh)
    denied = first_match([*_of(known, "DENY"), *orphaned], call, mesh)
    if denied is not None:
        return Verdict(False, denied, asks, notes)
    allows = _of(known, "ALLOW")
    if not allows and mesh.default_action == "ALLOW":
        return Verdict(True, NONE, asks, notes)
    rule = first_match(allows, call, mesh)
    return Verdict(rule is not None, rule or NONE, asks, notes)


def first_match(policies: Iterable[Object[AuthorizationPolicy]], call: Call, mesh: MeshRules = PLAIN) -> str | None:
    """The first rule (by name, as Envoy tries them) that holds for a call."""
    found = (
        rule_name(policy, number)
        for policy in policies
        for number, rule in enumerate(policy.spec.rules)
        if matches(rule, call, policy, mesh)
    )
    return min(found, default=None)


def matches(rule: Rule, call: Call, policy: Object[AuthorizationPolicy], mesh: MeshRules = PLAIN) -> bool:
    """Whether a rule of a policy holds; where that is not known, as if it did, unless it allows.

    Of a connection, a rule that allows and asks about HTTP anywhere never holds: not by its other alternatives either.
    """
    if policy.spec.action == "ALLOW" and not call.http and c.needs_http(rule):
        return False
    setting = Setting(mesh.domains, policy.namespace)
    answers = [c.every(_condition(one, call, setting) for one in rule.when)]
    if rule.from_:
        answers.append(c.some(_source(one.source, call, setting) for one in rule.from_))
    if rule.to:
        answers.append(c.some(_operation(one.operation, call, setting) for one in rule.to))
    answer = c.every(answers)
    return policy.spec.action != "ALLOW" if answer is None else answer


def _of(
    policies: Iterable[Object[AuthorizationPolicy]], action: str, *, dry_run: bool = False
) -> list[Object[AuthorizationPolicy]]:
    return [one for one in policies if one.spec.action == action and is_dry_run(one) is dry_run]


def _custom(
    policies: tuple[Object[AuthorizationPolicy], ...], call: Call, mesh: MeshRules
) -> tuple[tuple[tuple[str, str], ...], list[Object[AuthorizationPolicy]]]:
    """Who is asked because of which rule; and the policies whose authorizer cannot be asked."""
    groups: dict[str, list[Object[AuthorizationPolicy]]] = {}
    for one in _of(policies, "CUSTOM"):
        groups.setdefault(one.spec.provider.name if one.spec.provider is not None else "", []).append(one)
    asks, orphaned = [], []
    for name, group in groups.items():
        speaks = mesh.authorizers.get(name)
        if speaks is None or (speaks is Speaks.HTTP and not call.http):
            orphaned += group
        elif (rule := first_match(group, call, mesh)) is not None:
            asks.append((name, rule))
    return tuple(asks), orphaned


def _notes(
    policies: tuple[Object[AuthorizationPolicy], ...], call: Call, mesh: MeshRules
) -> tuple[tuple[str, str], ...]:
    found = [("AUDIT", _of(policies, "AUDIT"))]
    found += [(action, _of(policies, action, dry_run=True)) for action in ("DENY", "ALLOW")]
    return tuple((action, first_match(group, call, mesh) or NONE) for action, group in found if group)


def _source(source: Source, call: Call, setting: Setting) -> Answer:
    return c.every(
        answer
        for name, one in c.SOURCES.items()
        for answer in _both(one, getattr(source, name), getattr(source, f"not_{name}"), call, setting)
    )


def _operation(operation: Operation, call: Call, setting: Setting) -> Answer:
    return c.every(
        answer
        for name, one in c.OPERATIONS.items()
        for answer in _both(one, getattr(operation, name), getattr(operation, f"not_{name}"), call, setting)
    )


def _condition(condition: Condition, call: Call, setting: Setting) -> Answer:
    if condition.key.startswith("request.headers["):
        name = condition.key.removeprefix("request.headers[").removesuffix("]")
        answers = [c.header(call, name, condition.values)] if condition.values else []
        answers += [c.no_such_header(call, name, condition.not_values)] if condition.not_values else []
        return c.every(answers)
    return c.every(_both(c.attribute(condition.key), condition.values, condition.not_values, call, setting))


def _both(
    one: c.Attribute, values: tuple[str, ...], others: tuple[str, ...], call: Call, setting: Setting
) -> list[Answer]:
    answers = [c.some(one(call, value, setting) for value in values)] if values else []
    return [*answers, c.negate(c.some(one(call, value, setting) for value in others))] if others else answers
