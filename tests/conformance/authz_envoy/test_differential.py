"""Random policies against random calls: the plain evaluation of what policies mean, and real Envoy, agree.

`ARGOSY_AUTHZ_PAIRS` sets how many pairs (2,000 without it; the thorough tier runs 20,000), `ARGOSY_AUTHZ_SEED` where
they start. Pairs that once disagreed stay in `kept.yaml`.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tests.conformance.authz_envoy.cases import (
    DOMAINS,
    PROVIDER,
    Case,
    case_of,
    random_call,
    random_case,
    random_connection,
)
from tests.conformance.authz_envoy.rig import Answer, Rig, case_address, free_ports, show
from tests.property.test_roles import HOSTS, LABELS, made, random_rule, random_subject

from argosy.authz.call import Call
from argosy.authz.evaluate import NONE, MeshRules, Speaks, Verdict, evaluate
from argosy.authz.roles import Grant, Served, policies_of_roles
from argosy.core.frozen import FrozenMap

PAIRS = int(os.environ.get("ARGOSY_AUTHZ_PAIRS", "2000"))
SEED = int(os.environ.get("ARGOSY_AUTHZ_SEED", "1"))
CALLS = 40
"""For each case."""
CASES_MAX = 200
"""In one Envoy."""


def meant(case: Case, call: Call) -> Verdict:
    mesh = MeshRules(DOMAINS, FrozenMap({PROVIDER: Speaks.GRPC}), case.default_action)
    return evaluate(case.policies, call, mesh)


def difference(case: Case, call: Call, answer: Answer) -> str:
    """What Envoy did otherwise than meant; empty where nothing."""
    verdict = meant(case, call)
    if verdict.allowed != answer.allowed:
        return f"meant {verdict}, got {answer}"
    if not verdict.allowed and answer.details != f"rbac_access_denied_matched_policy[{verdict.rule}]":
        return f"meant {verdict.rule}, got {answer.details}"
    noted = dict(verdict.notes)
    told = {"AUDIT": "x-audit", "DENY": "x-dry-deny", "ALLOW": "x-dry-allow"}
    for action, header in told.items():
        if action in noted:
            wanted = noted[action]
            result, rule = answer.noted[header]
            matched = result == ("allowed" if action == "ALLOW" else "denied")
            if (rule if matched else NONE) != wanted:
                return f"meant to note {action} {wanted}, got {result} {rule}"
    asked = answer.noted["x-custom"]
    if ([rule for _name, rule in verdict.asks] or [NONE])[0] != (asked[1] if asked[0] == "denied" else NONE):
        return f"meant to ask {verdict.asks}, got {asked}"
    return ""


def test_pairs_that_once_disagreed_agree(tmp_path: Path) -> None:
    kept = yaml.safe_load((Path(__file__).parent / "kept.yaml").read_text())
    rig = Rig(tmp_path, free_ports(3), free_ports(1)[0])
    cases = [case_of(one["policies"]) for one in kept]
    calls = [Call(**{"destination_port": rig.ports[0], **one["call"]}) for one in kept]
    with rig.running(cases):
        answers = [rig.ask(number, [call])[0] for number, call in enumerate(calls)]
    told = zip(kept, cases, calls, answers, strict=True)
    wrong = [f"{one['name']}: {found}" for one, case, call, answer in told if (found := difference(case, call, answer))]
    assert wrong == []
    assert [answer.allowed for answer in answers] == [one["allowed"] for one in kept]


@pytest.mark.timeout(3000)
def test_envoy_does_what_policies_mean_for_requests(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    rig = Rig(tmp_path, free_ports(3), free_ports(1)[0])
    left, wrong, seen = PAIRS * 9 // 10, [], {True: 0, False: 0}
    while left > 0:
        cases = [random_case(rng, rig.ports) for _ in range(min(CASES_MAX, -(-left // CALLS)))]
        with rig.running(cases):
            for number, case in enumerate(cases):
                calls = [random_call(rng, rig.ports) for _ in range(CALLS)]
                for call, answer in zip(calls, rig.ask(number, calls), strict=True):
                    left -= 1
                    seen[answer.allowed] += 1
                    if found := difference(case, call, answer):
                        wrong.append(f"{found}\n{show(case, call)}")
    assert not wrong, f"{len(wrong)} of {PAIRS}\n" + "\n\n".join(wrong[:5])
    # A test in which everything passes, or nothing, shows little.
    assert min(seen.values()) > sum(seen.values()) / 5


@pytest.mark.timeout(3000)
def test_envoy_does_what_policies_mean_for_connections(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    rig = Rig(tmp_path, free_ports(3), free_ports(1)[0])
    cases = [random_case(rng, [rig.tcp_port]) for _ in range(PAIRS // 100)]
    results: list[tuple[Case, Call, bool, str]] = []
    with rig.running([], cases):
        for number, case in enumerate(cases):
            for _ in range(10):
                call = replace(random_connection(rng, rig.tcp_port), destination_ip=case_address(number))
                results.append((case, call, *rig.connect(number, call)))
    refused = rig.rules_of_refused()
    wrong = []
    for case, call, allowed, caller in results:
        verdict = meant(case, call)
        details = refused.get(caller, "")
        if verdict.allowed != allowed or (
            not allowed and details != f"rbac_access_denied_matched_policy[{verdict.rule}]"
        ):
            wrong.append(f"meant {verdict}, got {allowed} {details}\n{show(case, call)}")
    assert not wrong, f"{len(wrong)} of {len(results)}\n" + "\n\n".join(wrong[:5])


def roles_case(rng: random.Random, ports: list[int]) -> Case:
    """What some roles come to at some ports; some of them are only tried."""
    config = made("ClusterRbacConfig", "default", {"mode": "ON"})
    served = Served("shop", HOSTS, LABELS, "web")
    grants, told = [], []
    for number in range(rng.randint(1, 3)):
        rules = [{**random_rule(rng), "services": ["*"], "ports": ports} for _ in range(rng.randint(1, 2))]
        role = made("ServiceRole", f"r{number}", {"rules": rules})
        mode = rng.choice(("ENFORCED", "ENFORCED", "PERMISSIVE"))
        subjects = json.loads(json.dumps([random_subject(rng)]).replace("cluster.local/", f"{DOMAINS[0]}/"))
        spec = {"subjects": subjects, "mode": mode, "role": role.name}
        grants.append(Grant(made("ServiceRoleBinding", f"b{number}", spec), role))
        told.append(f"{rules} {spec}")
    return Case(policies_of_roles(config, grants, served), "ALLOW", "\n".join(told))


@pytest.mark.timeout(3000)
def test_envoy_does_what_roles_mean(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    rig = Rig(tmp_path, free_ports(3), free_ports(1)[0])
    cases = [roles_case(rng, rng.sample(rig.ports, 2)) for _ in range(PAIRS // 100)]
    wrong, seen = [], {True: 0, False: 0}
    with rig.running(cases):
        for number, case in enumerate(cases):
            calls = [random_call(rng, rig.ports) for _ in range(CALLS)]
            for call, answer in zip(calls, rig.ask(number, calls), strict=True):
                seen[answer.allowed] += 1
                if found := difference(case, call, answer):
                    wrong.append(f"{found}\n{show(case, call)}")
    assert not wrong, f"{len(wrong)}\n" + "\n\n".join(wrong[:5])
    # A test in which nothing passes shows little.
    assert min(seen.values()) > 0, seen
