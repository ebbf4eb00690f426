"""A proxy's log, traced to policies."""

from __future__ import annotations

import json

from argosy.api import decode_objects, parse_documents
from argosy.authz.own_rules import MEANINGS
from argosy.authz.refusals import ASKED_LINE, describe, explain, refusals
from argosy.authz.roles import Grant, Served, policies_of_roles

RULE = "ns[shop]-policy[no]-rule[0]"
TEXT_LINE = (
    '[2026-01-02T03:04:05.678Z] "GET /a HTTP/1.1" 403 - {details} - "-" 0 9 0 - "-" "a \\"7\\"" "{id}" "web:80" "-" '
    "inbound|80|| - 10.0.0.1:80 10.0.0.2:4000 - -"
)
POLICIES = decode_objects(
    parse_documents(
        """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: "no", namespace: shop}
spec: {action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow, namespace: shop}
spec: {rules: [{from: [{source: {namespaces: [a]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: shop}
spec: {action: CUSTOM, provider: {name: x}, rules: [{}]}
""",
        "p.yaml",
    )
)


def line(details: str, request_id: str = "id-1") -> str:
    return TEXT_LINE.format(details=details, id=request_id)


def test_refusals_are_found_in_text_and_in_json() -> None:
    data = {
        "start_time": "t",
        "method": "GET",
        "path": "/a",
        "response_code": 403,
        "request_id": "id-2",
        "response_code_details": f"rbac_access_denied_matched_policy[{RULE}]",
        "downstream_remote_address": "10.0.0.3:1",
    }
    lines = ["warning: something else", line(f"rbac_access_denied_matched_policy[{RULE}]"), json.dumps(data)]
    one, two = refusals([*lines, line("via_upstream"), '{"broken": "rbac_access_denied_matched_policy['])
    assert (one.rule, one.request, one.code, one.request_id, one.peer) == (
        RULE,
        "GET /a",
        "403",
        "id-1",
        "10.0.0.2:4000",
    )
    assert (two.rule, two.request, two.code, two.request_id, two.peer) == (RULE, "GET /a", "403", "id-2", "10.0.0.3:1")


def test_a_rule_is_told_with_its_policy_and_its_place() -> None:
    (found,) = refusals([line(f"rbac_access_denied_matched_policy[{RULE}]")])
    reason = explain(found, POLICIES, "shop", {})
    assert (reason.text, reason.rule) == ("DENY rule 0 matched: with method GET", 0)
    told = "AuthorizationPolicy shop/no (p.yaml:2), about all pods of namespace shop"
    assert [describe(one) for one in reason.policies] == [told]


def test_where_nobody_allowed_it_those_are_named_that_might_have() -> None:
    (found,) = refusals([line("rbac_access_denied_matched_policy[none]")])
    assert [one.name for one in explain(found, POLICIES, "shop", {}).policies] == ["allow"]
    assert "default action" in explain(found, [], "shop", {}).text


def test_an_authorizers_refusal_is_traced_to_the_rule_that_asked() -> None:
    notes = {"custom_x_shadow_effective_policy_id": "ns[shop]-policy[ask]-rule[0]", "other": 1}
    lines = [line("ext_authz_denied"), f'[t] {ASKED_LINE}{json.dumps(notes)} for "id-1"']
    (found,) = refusals(lines)
    reason = explain(found, POLICIES, "shop", {})
    assert reason.text == "x refused it (ext_authz_denied), asked by its CUSTOM rule 0: everything"
    (unknown,) = refusals(lines[:1])
    assert [one.name for one in explain(unknown, POLICIES, "shop", {}).policies] == ["ask"]


def test_what_the_mesh_itself_refuses_is_told_as_that() -> None:
    for name, meaning in MEANINGS.items():
        (found,) = refusals([line(f"rbac_access_denied_matched_policy[{name}]")])
        assert explain(found, POLICIES, "shop", {}).text == meaning


def test_a_policy_that_is_gone_is_told_so() -> None:
    (found,) = refusals([line(f"rbac_access_denied_matched_policy[{RULE}]")])
    assert "not there any more" in explain(found, [], "shop", {}).text


def test_where_roles_hold_those_bindings_are_named_that_might_have_allowed() -> None:
    objects = decode_objects(
        parse_documents(
            """
apiVersion: rbac.istio.io/v1alpha1
kind: ClusterRbacConfig
metadata: {name: default}
spec: {mode: "ON"}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRole
metadata: {name: reader, namespace: shop}
spec: {rules: [{services: ["*"], methods: [GET]}]}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: bind, namespace: shop}
spec: {subjects: [{user: a}], roleRef: {kind: ServiceRole, name: reader}}
---
apiVersion: rbac.istio.io/v1alpha1
kind: ServiceRoleBinding
metadata: {name: own, namespace: shop}
spec: {subjects: [{user: a}], actions: [{methods: [GET]}]}
""",
            "r.yaml",
        )
    )
    config, role, bind, own = objects
    policies = policies_of_roles(config, [Grant(bind, role), Grant(own)], Served("shop"))
    (found,) = refusals([line("rbac_access_denied_matched_policy[none]")])
    reason = explain(found, policies, "shop", {})
    assert reason.text == "no rule of a role that is bound here allows it"
    assert [describe(one) for one in reason.policies] == [
        "ClusterRbacConfig default (r.yaml:2) refuses here what no role allows",
        "ServiceRoleBinding shop/bind (r.yaml:12), binds ServiceRole reader",
        "ServiceRoleBinding shop/own (r.yaml:17), has rules of its own",
    ]
