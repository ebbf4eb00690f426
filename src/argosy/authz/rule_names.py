"""Names of rules, as Envoy's logs and counters give them and as people read them back.

A rule of an AuthorizationPolicy is `ns[a]-policy[b]-rule[0]`; what a ServiceRoleBinding comes to (`authz.roles`) is
`ns[a]-role[b]-binding[c]-rule[0]`, without the role where the binding has rules of its own.
"""

from __future__ import annotations

from typing import NamedTuple

from argosy.api.meta import Object
from argosy.api.security import AuthorizationPolicy

ROLE = "rbac.istio.io/role"
"""Annotation of what a ServiceRoleBinding comes to: the role that it binds."""
POLICY_KIND, BINDING_KIND = "AuthorizationPolicy", "ServiceRoleBinding"
_MARKS = {POLICY_KIND: "policy", BINDING_KIND: "binding"}


class RuleName(NamedTuple):
    """A rule's name, taken apart. `role` is empty but for bindings of one."""

    kind: str
    namespace: str
    name: str
    number: int
    role: str = ""


def rule_name(policy: Object[AuthorizationPolicy], number: int) -> str:
    """How Envoy's logs name a rule of a policy."""
    role = policy.annotations.get(ROLE, "")
    bound = f"-role[{role}]" if role else ""
    return f"ns[{policy.namespace}]{bound}-{_MARKS.get(policy.kind, 'policy')}[{policy.name}]-rule[{number}]"


def parse_rule_name(text: str) -> RuleName | None:
    """What a name says; None for any other text."""
    before, _, last = text.rpartition("]-rule[")
    number = last.removesuffix("]")
    if not before.startswith("ns[") or not number.isdecimal() or not last.endswith("]"):
        return None
    for kind, mark in _MARKS.items():
        where, found, name = before.removeprefix("ns[").partition(f"]-{mark}[")
        if found and name:
            namespace, _, role = where.partition("]-role[")
            return RuleName(kind, namespace, name, int(number), role)
    return None
