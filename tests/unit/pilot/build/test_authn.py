"""The JWT filter and its configuration."""

from typing import Any

from tests.unit.pilot.build.test_authn_requirements import config, policy, rule

from argosy.api.security import ClaimToHeader, JWTRule
from argosy.envoy import api
from argosy.pilot.build.authn import NAME, authn_filter
from argosy.pilot.build.resource import EXTENSION, LISTENER, ORDER, VIRTUAL_HOST


def test_the_filter_waits_for_its_configuration() -> None:
    """Until it has come no listener opens: what is not known yet must not let anything pass."""
    made = api.to_dict(authn_filter())
    assert made["name"] == NAME
    source = made["config_discovery"]["config_source"]
    assert (source["ads"], source["initial_fetch_timeout"]) == ({}, "0s")
    assert ORDER.index(EXTENSION) < ORDER.index(LISTENER) < ORDER.index(VIRTUAL_HOST)


def test_without_rules_it_asks_for_nothing() -> None:
    assert set(config()) == set(config(policy())) == {"@type"}


def test_a_rule_becomes_a_provider() -> None:
    one = JWTRule(
        issuer="i",
        jwks="x",
        audiences=("a",),
        forward_original_token=True,
        output_payload_to_header="x-payload",
        output_claim_to_headers=(ClaimToHeader(header="x-b", claim="b.c"),),
        space_delimited_claims=("roles", "scope"),
    )
    made = config(policy(one), routes=True)["providers"]["default/p[0]"]
    assert {name: made[name] for name in made if not name.startswith("from_")} == {
        "issuer": "i",
        "audiences": ["a"],
        "local_jwks": {"inline_string": '{"keys":[]}'},
        "forward": True,
        "forward_payload_header": "x-payload",
        "claim_to_headers": [{"header_name": "x-b", "claim_name": "b.c"}],
        "payload_in_metadata": "payload",
        "normalize_payload_in_metadata": {"space_delimited_claims": ["scope", "permission", "roles"]},
        "clear_route_cache": True,
    }


def test_only_a_required_token_makes_an_exception_for_preflights() -> None:
    assert len(config(policy(rule("i")))["rules"]) == 1
    first, second = config(policy(rule("i"), require="true"))["rules"]
    assert [one["name"] for one in first["match"]["headers"]] == [":method", "origin", "access-control-request-method"]
    assert first["requires"] == config(policy(rule("i")))["rules"][0]["requires"]
    assert "headers" not in second["match"]


def test_faults_are_told_where_a_policy_audits() -> None:
    def told(require: str) -> Any:
        return config(policy(rule("i"), require=require))["providers"]["default/p[0]"].get("failed_status_in_metadata")

    assert [told("audit"), told("true"), told("")] == ["failed", None, None]
