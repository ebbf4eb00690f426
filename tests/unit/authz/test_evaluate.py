"""What policies mean, by hand-made cases; that Envoy does the same is shown against it (tests/conformance)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from argosy.api import Object, decode_object, parse_documents
from argosy.api.security import AuthorizationPolicy
from argosy.authz.call import Call, identity
from argosy.authz.evaluate import NONE, MeshRules, Speaks, Verdict, evaluate
from argosy.core.frozen import FrozenMap

WEB = "spiffe://cluster.local/ns/shop/sa/web"
CALL = Call(peer=WEB, method="GET", path="/a/b?x=1", host="Shop.example:80", headers=(("x-role", "user"),))


def policy(rules: str, action: str = "ALLOW", name: str = "p", **more: str) -> Object[AuthorizationPolicy]:
    extra = "".join(f", {key}: {value}" for key, value in more.items() if key != "annotations")
    note = f", annotations: {more['annotations']}" if "annotations" in more else ""
    text = (
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        f"metadata: {{name: {name}, namespace: shop{note}}}\nspec: {{action: {action}, rules: {rules}{extra}}}"
    )
    return decode_object(parse_documents(text)[0])


def rule(name: str = "p", number: int = 0) -> str:
    return f"ns[shop]-policy[{name}]-rule[{number}]"


def test_without_policies_the_mesh_decides() -> None:
    assert evaluate([], CALL) == Verdict(True)
    assert evaluate([], CALL, MeshRules(default_action="DENY")) == Verdict(False)


def test_deny_goes_before_allow_and_names_its_rule() -> None:
    allow, deny = policy("[{}]"), policy("[{to: [{operation: {methods: [PUT]}}]}, {}]", "DENY", "refuse")
    assert evaluate([allow, deny], CALL) == Verdict(False, rule("refuse", 1))
    assert evaluate([allow], CALL) == Verdict(True, rule())


def test_where_there_is_an_allow_one_must_match() -> None:
    assert evaluate([policy("[]")], CALL) == Verdict(False, NONE)
    assert evaluate([policy("[{to: [{operation: {methods: [PUT]}}]}]")], CALL) == Verdict(False, NONE)


CONDITIONS = {
    "from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]": True,
    "from: [{source: {principals: [cluster.local/ns/shop/sa/w*]}}]": True,
    "from: [{source: {notPrincipals: ['*/sa/web']}}]": False,
    "from: [{source: {namespaces: [shop], notNamespaces: [other]}}]": True,
    "from: [{source: {serviceAccounts: [web]}}]": True,
    "from: [{source: {serviceAccounts: [other/web]}}]": False,
    "from: [{source: {trustDomains: [cluster.local]}}]": True,
    "from: [{source: {requestPrincipals: ['*']}}]": False,
    "from: [{source: {notRequestPrincipals: ['*']}}]": True,
    "to: [{operation: {paths: [/a/b]}}]": True,
    "to: [{operation: {paths: ['/a/{*}']}}]": True,
    "to: [{operation: {paths: ['/{*}']}}]": False,
    "to: [{operation: {paths: ['/{**}/b']}}]": True,
    "to: [{operation: {hosts: ['*.example']}}]": True,
    "to: [{operation: {hosts: [shop.example], ports: ['81']}}]": False,
    "when: [{key: 'request.headers[X-Role]', values: [user]}]": True,
    "when: [{key: destination.port, notValues: ['80']}]": False,
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_holds_or_not(condition: str) -> None:
    assert evaluate([policy(f"[{{{condition}}}]")], CALL).allowed is CONDITIONS[condition]
    assert evaluate([policy(f"[{{{condition}}}]", "DENY")], CALL).allowed is not CONDITIONS[condition]


UNKNOWN = {
    "a plaintext caller's namespace": ("from: [{source: {notNamespaces: [bank]}}]", replace(CALL, peer="")),
    "a connection's method": ("to: [{operation: {methods: [PUT]}}]", replace(CALL, http=False)),
    "a header of two minds": (
        "when: [{key: 'request.headers[x-role]', values: [user]}]",
        replace(CALL, headers=(("x-role", "user"), ("x-role", "admin"))),
    ),
    "a header that lists": (
        "when: [{key: 'request.headers[x-role]', values: [user]}]",
        replace(CALL, headers=(("x-role", "a, user"),)),
    ),
    "a header of odd bytes": (
        "when: [{key: 'request.headers[x-role]', notValues: [user]}]",
        replace(CALL, headers=(("x-role", "\xe9"),)),
    ),
    "a host with a port that is none": ("to: [{operation: {hosts: [a.b]}}]", replace(CALL, host="a.b:c")),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_is_not_known_neither_allows_nor_slips_past_a_denial(case: str) -> None:
    condition, call = UNKNOWN[case]
    assert not evaluate([policy(f"[{{{condition}}}]")], call).allowed
    assert not evaluate([policy(f"[{{{condition}}}]", "DENY")], call).allowed


def test_claims_are_texts_or_lists_of_texts_at_any_depth() -> None:
    call = replace(CALL, claims={"iss": "i", "sub": "s", "groups": ["a", "b"], "deep": {"team": "blue"}, "aud": "x"})
    for condition in (
        "request.auth.claims[groups], values: [b]",
        "request.auth.claims[deep][team], values: ['bl*']",
        "request.auth.audiences, values: [x]",
        "request.auth.principal, values: [i/s]",
    ):
        key, _, values = condition.partition(", ")
        assert evaluate([policy(f"[{{when: [{{key: '{key}', {values}}}]}}]")], call).allowed


def test_an_authorizer_is_asked_about_what_matches_and_without_one_it_is_refused() -> None:
    custom = policy("[{to: [{operation: {paths: ['/a/*']}}]}]", "CUSTOM", provider="{name: x}")
    by_http = MeshRules(authorizers=FrozenMap({"x": Speaks.HTTP}))
    assert evaluate([custom], CALL, by_http) == Verdict(True, NONE, (("x", rule()),))
    assert evaluate([custom], replace(CALL, path="/c"), by_http) == Verdict(True)
    assert evaluate([custom], replace(CALL, http=False), by_http) == Verdict(False, rule())
    assert evaluate([custom], CALL) == Verdict(False, rule())


def test_what_is_not_enforced_is_noted() -> None:
    tried = policy("[{}]", "DENY", "tried", annotations='{istio.io/dry-run: "true"}')
    audit = policy("[{to: [{operation: {methods: [PUT]}}]}]", "AUDIT", "audit")
    assert evaluate([tried, audit], CALL) == Verdict(True, notes=(("AUDIT", NONE), ("DENY", rule("tried"))))


def test_an_identity_has_three_parts() -> None:
    assert identity(WEB) == ("cluster.local", "shop", "web")
    assert identity("spiffe://td/other") is None
    assert identity("https://td/ns/a/sa/b") is None


OLD_NAME = MeshRules(("corp.example", "old.example"))


@pytest.mark.parametrize(
    "written",
    [
        "cluster.local/ns/shop/sa/web",
        "cluster.local/ns/shop/*",
        "corp.example/ns/shop/sa/web",
        "'*.example/ns/shop/sa/web'",
        "'*corp.example/ns/shop/sa/web'",
    ],
)
@pytest.mark.parametrize("domain", ["corp.example", "old.example"])
def test_a_mesh_is_named_by_each_of_its_domains_and_as_cluster_local(written: str, domain: str) -> None:
    call = replace(CALL, peer=f"spiffe://{domain}/ns/shop/sa/web")
    condition = f"[{{from: [{{source: {{principals: [{written}]}}}}]}}]"
    assert evaluate([policy(condition)], call, OLD_NAME).allowed
    assert not evaluate([policy(condition, "DENY")], call, OLD_NAME).allowed
    other = replace(CALL, peer="spiffe://partner.org/ns/shop/sa/web")
    assert not evaluate([policy(condition)], other, OLD_NAME).allowed
    assert evaluate([policy(condition, "DENY")], other, OLD_NAME).allowed


def test_another_mesh_that_is_called_cluster_local_is_refused_by_that_name_and_not_allowed() -> None:
    call = replace(CALL, peer="spiffe://cluster.local/ns/shop/sa/web")
    condition = "[{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]"
    assert not evaluate([policy(condition)], call, OLD_NAME).allowed
    assert not evaluate([policy(condition, "DENY")], call, OLD_NAME).allowed


@pytest.mark.parametrize("condition", ["namespaces: [shop]", "serviceAccounts: [shop/web]", "notNamespaces: [shop]"])
def test_a_namespace_of_another_mesh_does_not_allow_and_does_refuse(condition: str) -> None:
    call = replace(CALL, peer="spiffe://partner.org/ns/shop/sa/web")
    rules = f"[{{from: [{{source: {{{condition}}}}}]}}]"
    assert not evaluate([policy(rules)], call).allowed
    assert not evaluate([policy(rules, "DENY")], call).allowed


NAMESPACES = {"s*p": True, "*h*": True, "s*x": False, "*": True, "sh*op": True, "sho*hop": False, "*shop*": True}


@pytest.mark.parametrize("written", NAMESPACES)
def test_a_star_stands_anywhere_in_a_namespace(written: str) -> None:
    assert (
        evaluate([policy(f"[{{from: [{{source: {{namespaces: ['{written}']}}}}]}}]")], CALL).allowed
        is NAMESPACES[written]
    )


TOKENS = {
    # (pattern, issuer, subject): allowed, refused
    ("https://id.example/staff/ann", "https://id.example/staff", "ann"): (True, True),
    ("https://id.example/staff/ann", "https://id.example", "staff/ann"): (False, True),
    ("https://id.example/*", "https://id.example", "ann"): (True, True),
    ("https://id.example/*", "https://id.example/guests", "ann"): (False, True),
    ("https://id.example/*", "https://id.example.org", "ann"): (False, False),
    ("*/ann", "https://id.example", "ann"): (True, True),
    ("*/ann", "https://id.example", "joe/ann"): (False, True),
    ("*nn", "https://id.example", "ann"): (True, True),
    ("https:*", "https://id.example", "ann"): (True, True),
    ("ann", "https://id.example", "ann"): (False, False),
    ("*", "https://id.example", "ann"): (True, True),
}


@pytest.mark.parametrize("case", TOKENS)
def test_a_request_principal_allows_by_its_last_slash_and_refuses_by_any(case: tuple[str, str, str]) -> None:
    pattern, issuer, subject = case
    call = replace(CALL, claims={"iss": issuer, "sub": subject})
    rules = f"[{{from: [{{source: {{requestPrincipals: ['{pattern}']}}}}]}}]"
    allowed, refused = evaluate([policy(rules)], call).allowed, not evaluate([policy(rules, "DENY")], call).allowed
    assert (allowed, refused) == TOKENS[case]


def test_of_a_connection_no_alternative_allows_if_one_needs_http() -> None:
    rules = "[{to: [{operation: {methods: [GET]}}, {operation: {ports: ['80']}}]}]"
    call = replace(CALL, http=False, destination_port=80)
    assert not evaluate([policy(rules)], call).allowed
    assert evaluate([policy("[{to: [{operation: {ports: ['80']}}]}]")], call).allowed
    assert not evaluate([policy(rules, "DENY")], call).allowed


STARS = {"/till/a*b": ("/till/a*b", "/till/axb"), "/*/till": ("/*/till", "/a/till"), "*a*": ("/a*", "/ba")}


@pytest.mark.parametrize("written", STARS)
def test_a_star_within_a_path_is_a_star(written: str) -> None:
    meant, other = STARS[written]
    for action, wanted in (("ALLOW", True), ("DENY", False)):
        made = [policy(f"[{{to: [{{operation: {{paths: ['{written}']}}}}]}}]", action)]
        assert evaluate(made, replace(CALL, path=meant)).allowed is wanted
        assert evaluate(made, replace(CALL, path=other)).allowed is not wanted


@pytest.mark.parametrize("text", ["true", "True", "t", "1"])
def test_each_spelling_of_true_only_tries(text: str) -> None:
    assert evaluate([policy("[{}]", "DENY", annotations=f"{{istio.io/dry-run: '{text}'}}")], CALL).allowed
    assert not evaluate([policy("[{}]", "DENY", annotations="{istio.io/dry-run: '0'}")], CALL).allowed


TEMPLATES = {
    ("/shop/{*}/bill/{**}.pdf", "/shop/till/bill/2026/may.pdf"): True,
    ("/shop/{*}/bill/{**}.pdf", "/shop/till/bill/.pdf"): True,
    ("/shop/{*}/bill/{**}.pdf", "/shop/till/bill/may"): False,
    ("/shop/{*}/bill/{**}.pdf", "/shop/a/b/bill/may.pdf"): False,
    ("/shop/{*}/bill/{**}.pdf", "/shop//bill/may.pdf"): False,
    ("/bill-{*}", "/bill-7"): True,
    ("/bill-{*}", "/bill-"): False,
    ("/bill-{*}", "/bill-7/pages"): False,
    ("/bill-{*}.pdf", "/bill-7.pdf"): True,
    ("/bill-{*}.pdf", "/bill-7%2Epdf"): True,
}


@pytest.mark.parametrize("case", TEMPLATES)
def test_a_template_may_have_text_beside_its_last_operator(case: tuple[str, str]) -> None:
    template, path = case
    made = policy(f"[{{to: [{{operation: {{paths: ['{template}']}}}}]}}]")
    assert evaluate([made], replace(CALL, path=path)).allowed is TEMPLATES[case]
