"""Authorization: what becomes of each condition, and that what cannot be checked fails closed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from argosy.api import Object, decode_object, parse_documents
from argosy.api.security import AuthorizationPolicy
from argosy.core.frozen import FrozenMap
from argosy.envoy import api
from argosy.pilot.build.authz import Authorization, http_filters, route_settings, tcp_authorization


def policy(rules: str, action: str = "ALLOW") -> Object[AuthorizationPolicy]:
    text = (
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\n"
        f"spec: {{action: {action}, rules: {rules}}}"
    )
    return decode_object(parse_documents(text)[0])


def http(*policies: Object[AuthorizationPolicy]) -> dict[str, Any]:
    """The rules by action."""
    return {
        name.rpartition(".")[2]: api.to_dict(packed)["rbac"]["rules"]
        for name, packed in route_settings(Authorization(policies, ("td",))).items()
    }


def tcp(*policies: Object[AuthorizationPolicy]) -> list[dict[str, Any]]:
    return [
        api.to_dict(one)["typed_config"]["rules"] for one in tcp_authorization(Authorization(policies, ("td",)), "tcp.")
    ]


def only(rules: dict[str, Any]) -> dict[str, Any]:
    (found,) = rules["policies"].values()
    return found  # type: ignore[no-any-return]


def leaves(value: Any, key: str) -> list[Any]:
    """Every value under `key`, at any depth."""
    if isinstance(value, list):
        return [one for item in value for one in leaves(item, key)]
    if not isinstance(value, dict):
        return []
    return [*([value[key]] if key in value else []), *(one for item in value.values() for one in leaves(item, key))]


def test_without_policies_everything_passes() -> None:
    assert (http(), tcp()) == ({}, [])
    names = [one.name.removeprefix("envoy.filters.http.") for one in http_filters(())]
    assert names == ["rbac.audit", "rbac.dry_run_deny", "rbac.dry_run_allow", "rbac.deny", "rbac.allow"]


def test_denials_are_asked_before_permissions() -> None:
    allow, deny = policy("[{}]"), policy("[{}]", "DENY")
    assert list(http(allow, deny)) == ["deny", "allow"]
    assert [one.get("action", "ALLOW") for one in tcp(allow, deny)] == ["DENY", "ALLOW"]


def test_an_allow_without_rules_allows_nothing() -> None:
    assert http(policy("[]")) == {"allow": {}}


@pytest.mark.parametrize(
    "written,matcher",
    [
        ("td/ns/a/sa/b", {"exact": "spiffe://td/ns/a/sa/b"}),
        ("td/ns/a/*", {"prefix": "spiffe://td/ns/a/"}),
        ("'*/sa/b'", {"suffix": "/sa/b"}),
        ("'*'", {"prefix": "spiffe://"}),
    ],
)
def test_principals_are_matched_with_istios_wildcards(written: str, matcher: dict[str, str]) -> None:
    made = only(http(policy(f"[{{from: [{{source: {{principals: [{written}]}}}}]}}]"))["allow"])
    assert leaves(made, "principal_name") == [matcher]


def test_namespaces_are_read_from_the_certificate() -> None:
    made = only(http(policy("[{from: [{source: {namespaces: [a], notNamespaces: [b]}}]}]"))["allow"])
    # Who is not in a namespace must still be somebody.
    elsewhere_too = {"safe_regex": {"regex": "spiffe://[^/]+/ns/b/.*"}}
    names = [{"prefix": "spiffe://td/ns/a/"}, {"prefix": "spiffe://"}, elsewhere_too]
    assert leaves(made, "principal_name") == names
    assert len(leaves(made, "not_id")) == 1


def test_a_denial_of_an_identity_holds_for_callers_without_one() -> None:
    """ISTIO-SECURITY-2021-004."""
    made = only(http(policy("[{from: [{source: {namespaces: [a]}}]}]", "DENY"))["deny"])
    assert leaves(made, "not_id") == [{"authenticated": {"principal_name": {"prefix": "spiffe://"}}}]


def test_all_of_a_source_must_hold_and_any_of_a_list() -> None:
    """Two sources are alternatives; what stands within one is a conjunction."""
    made = only(
        http(policy("[{from: [{source: {principals: [a, b], ipBlocks: [10.0.0.0/8]}}, {source: {namespaces: [c]}}]}]"))[
            "allow"
        ]
    )
    assert len(made["principals"]) == 2
    both = made["principals"][0]["and_ids"]["ids"]
    assert len(both[0]["or_ids"]["ids"]) == 2
    assert both[1] == {"direct_remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}


def test_a_host_means_it_with_any_port() -> None:
    made = only(http(policy("[{to: [{operation: {hosts: [a.example]}}]}]", "DENY"))["deny"])
    assert [one["string_match"] for one in leaves(made, "header")] == [
        {"exact": "a.example", "ignore_case": True},
        {"prefix": "a.example:", "ignore_case": True},
        {"safe_regex": {"regex": r"(?s).*[^A-Za-z0-9._:\[\]-].*"}},
    ]
    # What allows takes only what is surely a port.
    made = only(http(policy("[{to: [{operation: {hosts: [a.example]}}]}]"))["allow"])
    (one,) = leaves(made, "header")
    assert one["string_match"]["safe_regex"]["regex"] == r"(?i)a\.example(?::[0-9]{1,5})?"


def test_a_condition_on_a_header_and_its_negation() -> None:
    made = only(http(policy('[{when: [{key: "request.headers[x-a]", values: [one], notValues: ["two*"]}]}]'))["allow"])
    matches = [one["string_match"] for one in leaves(made, "header")]
    assert matches[0] == {"exact": "one"}
    # Every line must be the value, none may hold the other, and none may hold what cannot be compared.
    assert len(matches) == 4
    assert len(leaves(made, "not_rule")) == 2


def test_what_is_tried_or_audited_is_noted_and_not_enforced() -> None:
    tried = replace(policy("[{}]", "DENY"), annotations=FrozenMap({"istio.io/dry-run": "true"}))
    settings = {
        name.rpartition(".")[2]: api.to_dict(packed)["rbac"]
        for name, packed in route_settings(Authorization((tried, policy("[{}]", "AUDIT")))).items()
    }
    assert sorted(settings) == ["audit", "dry_run_deny"]
    assert [sorted(one) for one in settings.values()] == [["shadow_rules", "shadow_rules_stat_prefix"]] * 2
    assert settings["audit"]["shadow_rules"]["action"] == "DENY"
    assert tcp(policy("[]", "DENY")) == [{"action": "DENY"}]


def test_the_default_posture_refuses_where_no_policy_allows() -> None:
    (made,) = route_settings(Authorization((), default_action="DENY")).values()
    assert api.to_dict(made)["rbac"]["rules"] == {}
    assert len(tcp_authorization(Authorization((), default_action="DENY"), "tcp.")) == 1


def test_on_tcp_an_allow_that_needs_http_never_matches() -> None:
    (rules,) = tcp(policy("[{to: [{operation: {methods: [GET]}}]}, {to: [{operation: {ports: ['80']}}]}]"))
    assert list(rules["policies"]) == ["ns[shop]-policy[p]-rule[1]"]


@pytest.mark.parametrize(
    "rule",
    [
        "{to: [{operation: {methods: [GET]}}, {operation: {ports: ['80']}}]}",
        "{from: [{source: {requestPrincipals: ['*']}}, {source: {namespaces: [shop]}}]}",
        "{to: [{operation: {ports: ['80']}}], when: [{key: 'request.headers[x-till]', notValues: [closed]}]}",
    ],
)
def test_on_tcp_no_alternative_of_a_rule_allows_if_one_needs_http(rule: str) -> None:
    """As in Istio: the rule is left out as a whole, and so it is where nothing but it would allow."""
    (rules,) = tcp(policy(f"[{rule}]"))
    assert "policies" not in rules


def test_on_tcp_a_denial_holds_without_its_http_conditions() -> None:
    (rules,) = tcp(policy("[{to: [{operation: {methods: [GET], ports: ['80']}}]}]", "DENY"))
    assert leaves(only(rules), "destination_port") == [80]
    assert leaves(only(rules), "header") == []


def test_claims_with_control_characters_are_refused_where_they_become_headers() -> None:
    """Envoy copies a claim with a line end as it is: over HTTP/1 the rest of it was a header of its own."""
    assert route_settings(Authorization()) == {}
    (name,) = found = route_settings(Authorization(), ("x-a", "x-b"))
    rules = api.to_dict(found[name])["rbac"]["rules"]
    assert (name, rules["action"]) == ("envoy.filters.http.rbac.deny", "DENY")
    (unsafe,) = rules["policies"].values()
    assert {one["header"]["name"] for one in unsafe["permissions"]} == {"x-a", "x-b"}
