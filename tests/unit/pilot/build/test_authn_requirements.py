"""Requirements of the JWT filter, checked against a plain reading of what they are for.

`Filter` below does what Envoy's filter does with a requirement (`tests/e2e/test_jwt.py` shows that Envoy does): it is
asked about random rules and random tokens at random places, and must agree with `allowed`, which says in a few lines
what RequestAuthentication means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from argosy.api.jwks import KeySet
from argosy.api.meta import Object
from argosy.api.security import ClaimToHeader, JWTHeader, JWTRule, RequestAuthentication
from argosy.core.frozen import FrozenMap
from argosy.envoy import api
from argosy.pilot.build.authn import build_request_authentication
from argosy.pilot.build.authn_requirements import (
    REQUIRE_ANNOTATION,
    Demand,
    Place,
    claim_headers,
    demand,
    groups,
    named_rules,
)

KEYS = KeySet('{"keys":[]}')


def policy(*rules: JWTRule, name: str = "p", require: str = "") -> Object[RequestAuthentication]:
    annotations = {REQUIRE_ANNOTATION: require} if require else {}
    spec = RequestAuthentication(jwt_rules=rules)
    return Object("RequestAuthentication", "default", name, FrozenMap(), FrozenMap(annotations), spec)


def rule(issuer: str, *places: str) -> JWTRule:
    """Places: `h:name`, `p:name`, `c:name`."""
    return JWTRule(
        issuer=issuer,
        jwks="x",
        from_headers=tuple(JWTHeader(name=one[2:]) for one in places if one[0] == "h"),
        from_params=tuple(one[2:] for one in places if one[0] == "p"),
        from_cookies=tuple(one[2:] for one in places if one[0] == "c"),
        output_claim_to_headers=(
            ClaimToHeader(header=f"x-{issuer}", claim="a"),
            ClaimToHeader(header="x-who", claim="a"),
        ),
    )


def config(*policies: Object[RequestAuthentication], routes: bool = False) -> dict[str, Any]:
    made = build_request_authentication(policies, lambda _rule: KEYS, routes_by_claims=routes)
    body = api.to_dict(api.decode("envoy.config.core.v3.TypedExtensionConfig", made.body or b""))
    found: dict[str, Any] = body["typed_config"]
    return found


class Filter:
    """Envoy's filter, as far as these requirements go: a token is its issuer, or something that nobody signed."""

    def __init__(self, made: Mapping[str, Any], tokens: Mapping[str, str], headers: Mapping[str, str]) -> None:
        self.providers = made["providers"]
        self.tokens = dict(tokens)
        self.headers = dict(headers)
        self.passes = self.holds(made["rules"][-1]["requires"], ())

    def holds(self, one: Mapping[str, Any], siblings: tuple[str, ...]) -> bool:
        if "requires_all" in one:
            return all(self.holds(each, ()) for each in one["requires_all"]["requirements"])
        if "requires_any" in one:
            parts = one["requires_any"]["requirements"]
            names = tuple(each["provider_name"] for each in parts if "provider_name" in each)
            # Leave to miss is asked last.
            return any(self.holds(each, names) for each in sorted(parts, key=lambda each: "allow" in next(iter(each))))
        if "allow_missing_or_failed" in one:
            return True
        if "allow_missing" in one:
            # Of several tokens the last one counts here; for one that no provider takes that makes no difference.
            return not any(self.at(name) for name in siblings)
        return self.verifies(one["provider_name"])

    def at(self, name: str) -> list[str]:
        provider = self.providers[name]
        places = [f"h:{one['name']}" for one in provider.get("from_headers", ())]
        places += [f"p:{one}" for one in provider.get("from_params", ())]
        places += [f"c:{one}" for one in provider.get("from_cookies", ())]
        return [place for place in places if place in self.tokens]

    def verifies(self, name: str) -> bool:
        provider = self.providers[name]
        outputs = [one["header_name"] for one in provider.get("claim_to_headers", ())]
        for header in outputs:
            self.headers.pop(header, None)
        found = self.at(name)
        for place in found:
            if self.tokens[place] != provider["issuer"]:
                return False
            self.headers.update(dict.fromkeys(outputs, self.tokens[place]))
            if not provider.get("forward"):
                del self.tokens[place]
        return bool(found)


PLACES = ["h:x-a", "h:x-b", "p:t", "c:s"]
RULES = st.lists(
    st.tuples(st.sampled_from("ijk"), st.sets(st.sampled_from(PLACES), min_size=1)), min_size=1, max_size=4
)
TOKENS = st.dictionaries(st.sampled_from(PLACES), st.sampled_from(["i", "j", "k", "forged"]))


def allowed(rules: list[tuple[str, set[str]]], tokens: Mapping[str, str]) -> bool:
    """No token stands anywhere where some rule looks that no rule that looks there takes."""
    return all(
        any(issuer == token and place in places for issuer, places in rules)
        for place, token in tokens.items()
        if any(place in places for _issuer, places in rules)
    )


def looked_at(rules: list[tuple[str, set[str]]], tokens: Mapping[str, str]) -> dict[str, str]:
    return {place: token for place, token in tokens.items() if any(place in places for _issuer, places in rules)}


@given(RULES, TOKENS, st.sampled_from(["false", "true", "audit"]))
def test_every_token_is_verified_where_a_rule_looks_and_no_claim_is_forged(
    rules: list[tuple[str, set[str]]], tokens: dict[str, str], require: str
) -> None:
    """Stricter than that in one case only: rules that share places take tokens of one issuer there, not of several."""
    made = config(policy(*(rule(issuer, *sorted(places)) for issuer, places in rules), require=require))
    names = {"x-i", "x-j", "x-k", "x-who"}
    found = Filter(made, tokens, dict.fromkeys(names, "forged"))
    seen = looked_at(rules, tokens)
    passes = allowed(rules, tokens) and (require != "true" or bool(seen))
    if require == "audit":
        assert found.passes
    elif len(set(seen.values())) <= 1:
        assert found.passes is passes
    else:
        assert passes or not found.passes
    if found.passes:
        claimed = {name for issuer, _places in rules for name in (f"x-{issuer}", "x-who")}
        assert all(found.headers.get(name) != "forged" for name in claimed)
        # What an application learns is of a token that came.
        assert {found.headers[name] for name in claimed if name in found.headers} <= set(tokens.values())
    if found.passes and require != "audit" and len(set(seen.values())) == 1:
        # No header that a good token gave is taken away again, and no token stays that is not to be forwarded.
        (issuer,) = set(seen.values())
        assert found.headers[f"x-{issuer}"] == found.headers["x-who"] == issuer
        assert not set(seen) & set(found.tokens)


def test_rules_that_look_at_the_same_places_share_one_group() -> None:
    found = groups(named_rules([policy(rule("i"), rule("j"))]))
    assert [(len(one.places), [each.rule.issuer for each in one.rules]) for one in found] == [(2, ["i", "j"])]
    found = groups(named_rules([policy(rule("i", "h:a", "p:t"), rule("j", "h:a"))]))
    assert [(one.places, [each.rule.issuer for each in one.rules]) for one in found] == [
        ((Place("header", "a"),), ["i", "j"]),
        ((Place("param", "t"),), ["i"]),
    ]


def test_the_usual_place_is_the_bearers_in_any_case_and_the_query() -> None:
    made = config(policy(rule("i")))["providers"]["default/p[0]"]
    assert made["from_headers"] == [
        {"name": "authorization", "value_prefix": prefix} for prefix in ("Bearer ", "bearer ", "BEARER ")
    ]
    assert made["from_params"] == ["access_token"]
    other = JWTRule(issuer="i", jwks="x", from_headers=(JWTHeader(name="X-T", prefix="JWT "),))
    assert config(policy(other))["providers"]["default/p[0]"]["from_headers"] == [
        {"name": "x-t", "value_prefix": "JWT "}
    ]


def test_the_strictest_policy_of_a_workload_counts() -> None:
    def of(*modes: str) -> Demand:
        return demand([policy(rule("i"), name=f"p{n}", require=mode) for n, mode in enumerate(modes)])

    assert [of(""), of("false"), of("", "audit"), of("audit", "true")] == [
        Demand.OPTIONAL,
        Demand.OPTIONAL,
        Demand.AUDIT,
        Demand.REQUIRED,
    ]
    assert demand([policy(require="true")]) is Demand.OPTIONAL


def test_headers_of_all_rules_are_the_filters_own() -> None:
    two = JWTRule(issuer="j", jwks="x", output_payload_to_header="X-Payload")
    assert claim_headers([policy(rule("i")), policy(two)]) == ("x-i", "x-payload", "x-who")
