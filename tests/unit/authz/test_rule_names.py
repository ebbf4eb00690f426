"""Names of rules: written for Envoy, read back from its logs."""

from __future__ import annotations

import pytest

from argosy.api.meta import Object
from argosy.api.security import AuthorizationPolicy
from argosy.authz.rule_names import ROLE, RuleName, parse_rule_name, rule_name
from argosy.core.frozen import EMPTY, FrozenMap


def named(kind: str, role: str = "") -> Object[AuthorizationPolicy]:
    notes = FrozenMap({ROLE: role}) if role else EMPTY
    return Object(kind, "a", "b-c.d", EMPTY, notes, AuthorizationPolicy())


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (named("AuthorizationPolicy"), "ns[a]-policy[b-c.d]-rule[12]"),
        (named("ServiceRoleBinding", "r.s"), "ns[a]-role[r.s]-binding[b-c.d]-rule[12]"),
        (named("ServiceRoleBinding", "/r"), "ns[a]-role[/r]-binding[b-c.d]-rule[12]"),
        (named("ServiceRoleBinding"), "ns[a]-binding[b-c.d]-rule[12]"),
    ],
)
def test_a_name_says_what_it_names(policy: Object[AuthorizationPolicy], text: str) -> None:
    assert rule_name(policy, 12) == text
    assert parse_rule_name(text) == RuleName(policy.kind, "a", policy.name, 12, policy.annotations.get(ROLE, ""))


@pytest.mark.parametrize("text", ["none", "", "ns[a]-policy[b]-rule[x]", "ns[a]-rule[1]", "policy[b]-rule[1]"])
def test_other_texts_name_nothing(text: str) -> None:
    assert parse_rule_name(text) is None
