"""QuotaSpecs and their bindings."""

import pytest

from argosy.api.mixer import ServiceReference
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


def test_all_services_may_be_meant_and_charges_of_nothing_are_none() -> None:
    rules = [{"quotas": [{"quota": "a", "charge": 2}, {"quota": "b", "charge": 0}]}]
    bound, _findings = bind_quotas(
        [
            made_from("QuotaSpec", "default", "s", {"rules": rules}),
            made_from(
                "QuotaSpecBinding", "default", "b", {"quotaSpecs": [{"name": "s"}], "services": [{"service": "*"}]}
            ),
        ]
    )
    assert [(one.quota, one.amount) for one in bound[0].charges({})] == [("a", 2)]


@pytest.mark.parametrize("quota, told", [("a", False), ("a.instance.default", False), ("b", True)])
def test_a_charge_of_a_quota_that_is_not_there_is_told(quota: str, told: bool) -> None:
    spec = made_from("QuotaSpec", "default", "s", {"rules": [{"quotas": [{"quota": quota, "charge": 1}]}]})
    to = {"quotaSpecs": [{"name": "s"}], "services": [{"service": "*"}]}
    _bound, findings = bind_quotas(
        [
            spec,
            made_from("QuotaSpecBinding", "default", "b", to),
            made_from("QuotaSpecBinding", "default", "b2", to),
            made_from("instance", "default", "a", {"compiledTemplate": "quota", "params": {"dimensions": {}}}),
        ]
    )
    assert [(one.code, one.field) for one in findings] == (
        [("ARG0910", "spec.rules[0].quotas[0].quota")] if told else []
    )
