"""A policy as a sentence: one for each way of writing that people take for something else."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.api import decode_object, parse_documents
from argosy.authz.roles import Grant
from argosy.authz.sentence import grant_sentence, rule_text, sentence


def said(spec: str, *, namespace: str = "shop", dry_run: bool = False) -> str:
    note = ', annotations: {istio.io/dry-run: "true"}' if dry_run else ""
    text = (
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        f"metadata: {{name: p, namespace: {namespace}{note}}}\nspec: {spec}"
    )
    return sentence(decode_object(parse_documents(text)[0]))


PODS = "pods of namespace shop with app=web"
SENTENCES = {
    "": f"Allows nothing by itself: what no other ALLOW policy allows to {PODS} is refused.",
    "rules: []": f"Allows nothing by itself: what no other ALLOW policy allows to {PODS} is refused.",
    "rules: [{}]": f"Allows every request to {PODS} that no DENY or CUSTOM policy refuses.",
    "action: DENY, rules: [{}]": f"Refuses every request to {PODS}.",
    "action: DENY": f"Does nothing: it has no rules, so it never refuses a request to {PODS}.",
    "action: DENY, rules: [{to: [{operation: {methods: [GET], notPaths: [/a]}}]}]": (
        f"Refuses requests to {PODS} with method GET and path other than /a."
    ),
    "rules: [{from: [{source: {namespaces: [a, b]}}]}, {to: [{operation: {methods: [GET]}}]}]": (
        f"Allows requests to {PODS} for which one of these holds: (0) from namespace a or b; or (1) with method GET; "
        f"everything else to {PODS} that no other ALLOW policy allows is refused."
    ),
    "action: AUDIT, rules: [{when: [{key: source.ip, notValues: [10.0.0.1]}]}]": (
        f"Notes, without refusing anything, requests to {PODS} when source.ip is not 10.0.0.1."
    ),
    "action: CUSTOM, provider: {name: x}, rules: [{to: [{operation: {ports: ['80']}}]}]": (
        f"Asks x about requests to {PODS} with port 80; what x does not allow is refused."
    ),
}


@pytest.mark.parametrize("spec", SENTENCES)
def test_a_policy_says_what_it_does(spec: str) -> None:
    selected = "selector: {matchLabels: {app: web}}"
    assert said(f"{{{selected}{', ' if spec else ''}{spec}}}") == SENTENCES[spec]


def test_a_policy_of_the_root_namespace_is_about_the_mesh() -> None:
    assert (
        said("{action: DENY, rules: [{}]}", namespace="istio-system")
        == "Refuses every request to all pods of the mesh."
    )


def test_a_tried_policy_says_that_it_is() -> None:
    assert said("{action: DENY, rules: [{}]}", dry_run=True) == (
        "Is only tried and refuses nothing; in force it would say: refuses every request to all pods of namespace shop."
    )


def test_alternatives_within_a_rule_are_told_apart() -> None:
    text = (
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\n"
        "spec: {rules: [{from: [{source: {principals: ['*']}}, {source: {ipBlocks: [10.0.0.0/8]}}]}]}"
    )
    (rule,) = decode_object(parse_documents(text)[0]).spec.rules
    assert rule_text(rule) == "from (identity anything) or (address 10.0.0.0/8)"


def test_a_binding_says_whom_it_lets_call_what() -> None:
    def one(kind: str, spec: str) -> Any:
        head = f"apiVersion: rbac.istio.io/v1alpha1\nkind: {kind}\nmetadata: {{name: r}}\n"
        return decode_object(parse_documents(f"{head}spec: {{{spec}}}")[0])

    role = one(
        "ServiceRole",
        "rules: [{services: [web]}, {services: ['*'], constraints: [{key: destination.user, values: [a]}]}]",
    )
    binding = one("ServiceRoleBinding", "subjects: [{namespaces: [shop]}], role: r")
    assert grant_sentence(Grant(binding, role)) == (
        "Allows, where roles hold, (0) requests to web from namespace shop; "
        "or (1) requests to every service with user is a from namespace shop."
    )
    tried = one("ServiceRoleBinding", "subjects: [{user: '*'}], actions: [{methods: [GET]}], mode: PERMISSIVE")
    assert grant_sentence(Grant(tried)) == (
        "Is only tried and allows nothing; in force it would say: allows requests to every service with method GET."
    )
