"""Checks as the 2019 Bookinfo policy tasks want them."""

from dataclasses import replace

import pytest

from argosy.core.names import ObjectKey
from argosy.mixer.check import check
from argosy.mixer.request import CheckFacts, request_attributes
from argosy.mixer.rules import CheckPolicy, resolve_rules

from .mesh import DIRECTORY, TRUST, node
from .test_rules import handler, instance, rule

FACTS = CheckFacts(
    node=node("ratings-v1"), source_principal=f"{TRUST}/default/sa/bookinfo-reviews", source_address="10.88.0.5",
    destination_address="10.88.0.6", destination_port=9080, method="GET", path="/ratings/7", headers={"X-User": "john"},
)  # fmt: skip
FROM_V2 = replace(FACTS, source_address="10.88.0.4")
DENY_V3 = (
    'destination.labels["app"] == "ratings" && source.labels["app"]=="reviews" && source.labels["version"] == "v3"'
)


def decide(policy: CheckPolicy, facts: CheckFacts = FACTS) -> tuple[int, str]:
    decision = check(policy, request_attributes(facts, DIRECTORY))
    return decision.http_status, decision.body


def denying(match: str) -> CheckPolicy:
    return resolve_rules([rule(match), instance(), handler(status={"code": 7, "message": "Not allowed"})])


def test_denial_by_label_hits_reviews_v3_only() -> None:
    assert decide(denying(DENY_V3)) == (403, "PERMISSION_DENIED:deny.default:Not allowed")
    assert decide(denying(DENY_V3), FROM_V2) == (200, "")


def test_denial_by_service_account() -> None:
    policy = denying('source.user == "cluster.local/ns/default/sa/bookinfo-reviews"')
    assert decide(policy)[0] == 403
    assert decide(policy, replace(FACTS, source_principal="", source_address="10.88.0.8"))[0] == 200


def test_denial_by_header() -> None:
    assert decide(denying('(request.headers["x-user"] | "") == "john"'))[0] == 403
    assert decide(denying('(request.headers["x-user"] | "") == "john"'), replace(FACTS, headers={}))[0] == 200


def whitelist(value: str, **params: object) -> CheckPolicy:
    return resolve_rules(
        [
            rule('destination.labels["app"] == "ratings"', to="staticversion", of=("value",)),
            instance("value", template="listentry", value=value),
            handler("staticversion", adapter="listchecker", **params),
        ]
    )


def test_whitelist_by_version_names_the_value() -> None:
    policy = whitelist('source.labels["version"]', overrides=["v1", "v2"], blacklist=False)
    assert decide(policy) == (403, "PERMISSION_DENIED:staticversion.default:v3 is not whitelisted")
    assert decide(policy, FROM_V2) == (200, "")


def test_whitelist_by_address() -> None:
    policy = whitelist('source.ip | ip("0.0.0.0")', overrides=["10.57.0.0/16"], entryType="IP_ADDRESSES")
    assert decide(policy) == (403, "PERMISSION_DENIED:staticversion.default:10.88.0.5 is not whitelisted")


def test_a_value_that_is_missing_is_refused_not_skipped() -> None:
    policy = whitelist('source.labels["version"]', overrides=["v1"])
    status, body = decide(policy, replace(FACTS, source_principal="", source_address="10.99.0.1"))
    assert status == 403
    assert "no value to check" in body


def test_a_match_without_a_value_does_not_match_and_is_reported() -> None:
    decision = check(denying('source.labels["nope"] == "x"'), request_attributes(FACTS, DIRECTORY))
    assert decision.allowed
    assert "does not match" in decision.events[0]


def test_a_rule_of_another_namespace_is_not_asked() -> None:
    policy = resolve_rules([rule(namespace="shop", to="deny.default", of=("nothing.default",)), instance(), handler()])
    assert decide(policy)[0] == 200


def test_the_decision_names_its_rule_and_how_long_it_holds() -> None:
    policy = resolve_rules([rule(), instance(), handler(validDuration="2s", validUseCount=5)])
    decision = check(policy, request_attributes(FACTS, DIRECTORY))
    assert (decision.rule, decision.valid_duration_s, decision.valid_use_count) == (ObjectKey("default", "r"), 2, 5)


@pytest.mark.parametrize("address", ["10.88.0.4", "10.88.0.7", "10.99.0.1"])
def test_an_address_cannot_lend_another_pods_labels_to_a_certificate(address: str) -> None:
    """The certificate says ratings; the address belongs to someone else: no labels are believed."""
    facts = replace(FACTS, source_principal=f"{TRUST}/default/sa/bookinfo-ratings", source_address=address)
    attributes = request_attributes(facts, DIRECTORY)
    assert attributes["source.labels"] == {}
    assert attributes["source.principal"] == "cluster.local/ns/default/sa/bookinfo-ratings"
    assert "source.workload.name" not in attributes
