"""QuotaSpecs and their bindings."""

from typing import Any

import pytest

from argosy.api.meta import Object
from argosy.api.mixer import ServiceReference
from argosy.mixer.attributes import VOCABULARY, ValueType
from argosy.mixer.quota_specs import bind_quotas, host_of

from .test_rules import made_from


@pytest.mark.parametrize(
    "service, host",
    [
        (ServiceReference(name="a"), "a.default.svc.cluster.local"),
        (ServiceReference(name="a", namespace="b"), "a.b.svc.cluster.local"),
        (ServiceReference(name="a", namespace="b", domain="corp"), "a.b.corp"),
        (ServiceReference(service="*"), "*"),
        (ServiceReference(service="x.example.com"), "x.example.com"),
    ],
)
def test_a_service_of_a_binding_means_a_host(service: ServiceReference, host: str) -> None:
    assert host_of(service, "default") == host


def test_a_binding_to_no_spec_is_told() -> None:
    spec = {"quotaSpecs": [{"name": "gone", "namespace": "x"}], "services": [{"name": "a"}]}
    bound, findings = bind_quotas([made_from("QuotaSpecBinding", "default", "b", spec)])
    assert bound == ()
    assert [(one.code, one.field) for one in findings] == [("ARG0910", "spec.quotaSpecs[0]")]


def test_all_services_may_be_meant_and_a_charge_that_is_left_out_is_one() -> None:
    rules = [{"quotas": [{"quota": "a", "charge": 2}, {"quota": "b"}]}]
    bound, _findings = bind_quotas(
        [
            made_from("QuotaSpec", "default", "s", {"rules": rules}),
            made_from(
                "QuotaSpecBinding", "default", "b", {"quotaSpecs": [{"name": "s"}], "services": [{"service": "*"}]}
            ),
        ]
    )
    assert [(one.quota, one.amount) for one in bound[0].charges({})] == [("a", 2), ("b", 1)]


def test_a_clause_about_a_whole_map_holds_for_no_request() -> None:
    """As one about an attribute that a request does not have."""
    rules = [{"match": [{"clause": {"source.labels": {"prefix": ""}}}], "quotas": [{"quota": "a"}]}]
    named = {"quotaSpecs": [{"name": "s"}], "services": [{"service": "*"}]}
    bound, _findings = bind_quotas(
        [made_from("QuotaSpec", "default", "s", {"rules": rules}), made_from("QuotaSpecBinding", "default", "b", named)]
    )
    for attributes in ({"source.labels": {"app": "a"}}, {}):
        assert list(bound[0].charges(attributes)) == []


@pytest.mark.parametrize(
    "quota, rules, told",
    [
        ("a", ["a"], ""),
        ("A", ["a.instance"], ""),
        ("a.instance.default", ["a.default"], ""),
        ("b", ["a"], "no instance is named b, so nothing is charged"),
        ("a", [], "no rule gives a.instance.default to a handler, so nothing is charged"),
        ("a", ["b"], "no rule gives a.instance.default to a handler, so nothing is charged"),
    ],
)
def test_a_charge_that_nobody_counts_is_told(quota: str, rules: list[str], told: str) -> None:
    spec = made_from("QuotaSpec", "default", "s", {"rules": [{"quotas": [{"quota": quota, "charge": 1}]}]})
    to = {"quotaSpecs": [{"name": "s"}], "services": [{"service": "*"}]}
    _bound, findings = bind_quotas(
        [
            spec,
            made_from("QuotaSpecBinding", "default", "b", to),
            made_from("QuotaSpecBinding", "default", "b2", to),
            made_from("instance", "default", "a", {"compiledTemplate": "quota", "params": {"dimensions": {}}}),
            *(
                made_from("rule", "default", f"r{number}", {"actions": [{"handler": "h", "instances": [name]}]})
                for number, name in enumerate(rules)
            ),
        ]
    )
    assert [(one.code, one.field, one.message) for one in findings] == (
        [("ARG0910", "spec.rules[0].quotas[0].quota", told)] if told else []
    )


def _by_clause(clause: dict[str, object]) -> list[Object[Any]]:
    rules = [{"match": [{"clause": clause}], "quotas": [{"quota": "a"}]}]
    to = {"quotaSpecs": [{"name": "s"}], "services": [{"service": "*"}]}
    return [
        made_from("QuotaSpec", "default", "s", {"rules": rules}),
        made_from("QuotaSpecBinding", "default", "b", to),
    ]


@pytest.mark.parametrize("name", ["request.headers[end-user]", 'request.headers["End-User"]'])
@pytest.mark.parametrize("user, charged", [("jason", 1), ("paul", 0)])
def test_a_clause_may_be_about_one_header(name: str, user: str, charged: int) -> None:
    bound, _findings = bind_quotas(_by_clause({name: {"exact": "jason"}}))
    assert len(list(bound[0].charges({"request.headers": {"end-user": user}}))) == charged
    assert list(bound[0].charges({})) == []


def test_a_clause_about_an_attribute_that_no_request_has_is_told() -> None:
    given = _by_clause({"request.nope": {"exact": "x"}})
    field = 'spec.rules[0].match[0].clause["request.nope"]'
    assert ("ARG0911", field) in [(one.code, one.field) for one in bind_quotas(given)[1]]
    known = {**VOCABULARY, "request.nope": ValueType.STRING}
    assert "ARG0911" not in [one.code for one in bind_quotas(given, known)[1]]
