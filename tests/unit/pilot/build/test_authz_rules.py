"""Rules: their names, and where a condition stands."""

from __future__ import annotations

import pytest

from argosy.api import decode_object, parse_documents
from argosy.authz.rule_names import rule_name
from argosy.envoy import api
from argosy.pilot.build.authz_rules import Where, build_rules, claim_path

TEXT = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: shop}
spec: {rules: [{to: [{operation: {ports: ["80"]}}]}, {when: [{key: destination.ip, values: [10.0.0.1]}]}]}
"""
POLICY = decode_object(parse_documents(TEXT)[0])


def test_rules_are_named_as_envoys_logs_name_them() -> None:
    assert rule_name(POLICY, 3) == "ns[shop]-policy[p]-rule[3]"
    made = api.to_dict(build_rules([POLICY], "ALLOW", Where(("td",), http=True)))
    assert sorted(made["policies"]) == [rule_name(POLICY, 0), rule_name(POLICY, 1)]


@pytest.mark.parametrize(
    "key,path",
    [
        ("request.auth.claims[a]", ("a",)),
        ("request.auth.claims[a][b.c]", ("a", "b.c")),
        ("request.auth.audiences", ("aud",)),
        ("request.auth.presenter", ("azp",)),
    ],
)
def test_a_claim_has_a_place_in_the_token(key: str, path: tuple[str, ...]) -> None:
    assert claim_path(key) == path
