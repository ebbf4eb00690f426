"""Envoy refuses what Mixer would refuse, with the same status, words and rule; and compiled checks ask nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conformance.refusals.cases import CASES, REQUESTS, Case, Request
from tests.conformance.refusals.rig import Rig
from tests.unit.mixer.mesh import DIRECTORY, PODS, node, objects

from argosy.mixer.check import Decision, begin_check
from argosy.mixer.handlers import make_handler
from argosy.mixer.refusals import CompiledChecks, compile_checks
from argosy.mixer.request import CheckFacts, destination_attributes, port_attributes, request_attributes
from argosy.mixer.rules import resolve_rules

RATINGS = next(pod for pod in PODS if pod.workload.name == "ratings-v1")
HOST, PORT = "ratings.default.svc.cluster.local", 9080
CALLED = port_attributes(HOST, PORT)
KNOWN = {**destination_attributes(RATINGS), **CALLED.known}


GRPC_STATUS = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
"""What Envoy tells a gRPC client where others are told the HTTP status. Here such answers are negative numbers."""


def compiled(case: Case) -> CompiledChecks:
    return compile_checks(resolve_rules(objects(case.text)), KNOWN, CALLED.is_known, "default")


def decided(case: Case, request: Request) -> Decision:
    """What Mixer says when it is asked."""
    policy = resolve_rules(objects(case.text))
    handlers = {
        ref: made for ref, one in policy.handlers.items() if (made := make_handler(one.spec.params)) is not None
    }
    facts = CheckFacts(
        node=node("ratings-v1"),
        source_principal=request.peer,
        source_address=request.address,
        destination_port=PORT,
        service=HOST,
        method=request.method,
        scheme="https" if request.peer else "http",
        path=request.path,
        host=request.host,
        requested_server_name=request.server_name,
        headers={**dict(request.headers), **request.joined},
    )
    decision = begin_check(
        policy, handlers, request_attributes(facts, DIRECTORY), namespace="default", now=0.0
    ).decision
    assert decision is not None
    return decision


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_compiled(case: Case) -> None:
    found = resolve_rules(objects(case.text))
    assert found.findings == ()
    made = compiled(case)
    assert (len(made.refusals), made.asks) == (case.refusals, case.asks)
    assert all(reason for _rule, reason in made.reasons)


def test_envoy_refuses_what_mixer_refuses(rig: Rig) -> None:
    differences, refused = [], 0
    for request in REQUESTS:
        answers = rig.ask(request)
        for case, answer in zip(CASES, answers, strict=True):
            decision = decided(case, request)
            if not answer.rule and (decision.allowed or case.asks):
                continue
            refused += 1
            status = decision.http_status
            if request.grpc:
                status = -GRPC_STATUS.get(status, 2)
            meant = (status, decision.body, str(decision.rule))
            if (answer.status, answer.body, answer.rule) != meant:
                differences.append((case.name, request, "meant", meant, "got", answer))
    assert differences == []
    assert refused > len(REQUESTS) * 20


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("envoy"), [compiled(case) for case in CASES])
    with made.running():
        yield made
