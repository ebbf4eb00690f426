"""The JWT filter and its configuration."""

from typing import Any

import pytest
import re2
from tests.unit.pilot.build.test_authn_requirements import config, policy, rule

from argosy.api.security import ClaimToHeader, JWTHeader, JWTRule
from argosy.envoy import api
from argosy.pilot.build.authn import NAME, authn_filter
from argosy.pilot.build.authn_requirements import spellings
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


@pytest.mark.parametrize("require", ["", "true"])
def test_a_preflight_is_asked_for_no_token_and_tells_no_claims(require: str) -> None:
    """As in Istio, an expired token beside it does not matter."""
    asked = config(policy(rule("i"), require=require))
    first, last = asked["rules"][0], asked["rules"][-1]
    assert [one["name"] for one in first["match"]["headers"]] == [":method", "origin", "access-control-request-method"]
    cleared, passed = first["requires"]["requires_any"]["requirements"]
    assert asked["providers"][cleared["provider_name"]]["local_jwks"] == {"inline_string": ""}
    assert passed == {"allow_missing_or_failed": {}}
    assert "headers" not in last["match"]


@pytest.mark.parametrize(
    "line,odd",
    [
        ("Bearer x.y.z", False),
        ("bearer x.y.z", False),
        ("BEARER x.y.z", False),
        ("Basic bEaReR", False),
        ("bEaReR x.y.z", True),
        ("Bearer\tx.y.z", True),
        ("Bearer x.y.z,bEaReR x.y.z", True),
        ("Basic YTpi, BeareR x.y.z", True),
    ],
)
def test_a_token_that_only_the_application_would_look_at_is_refused(line: str, odd: bool) -> None:
    asked = config(policy(rule("i")))
    first = asked["rules"][1]
    assert bool(re2.fullmatch(first["match"]["headers"][0]["string_match"]["safe_regex"]["regex"], line)) is odd
    provider = asked["providers"][first["requires"]["provider_name"]]
    assert provider["local_jwks"] == {"inline_string": ""}


def test_nobody_cares_how_a_scheme_is_written_where_no_rule_looks() -> None:
    own = JWTRule(issuer="i", jwks="x", from_headers=(JWTHeader(name="x-token"),))
    assert len(config(policy(own))["rules"]) == 2
    assert len(config(policy(rule("i"), require="audit"))["rules"]) == 1


def test_what_only_the_filter_may_set_is_taken_away_in_all_its_spellings() -> None:
    one = JWTRule(issuer="i", jwks="x", output_claim_to_headers=(ClaimToHeader(header="X-A-B", claim="b"),))
    removed = config(policy(one))["providers"]["sanitizer"]["claim_to_headers"]
    assert [each["header_name"] for each in removed] == ["x-a-b", "x-a_b", "x_a-b", "x_a_b"]
    assert spellings("x-" * 9 + "y") == ("x-" * 9 + "y", "x_" * 9 + "y")


def test_faults_are_told_where_a_policy_audits() -> None:
    def told(require: str) -> Any:
        return config(policy(rule("i"), require=require))["providers"]["default/p[0]"].get("failed_status_in_metadata")

    assert [told("audit"), told("true"), told("")] == ["failed", None, None]
