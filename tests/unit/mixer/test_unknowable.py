"""Attributes that are never known: told by name where an expression uses them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from argosy.core.frozen import FrozenMap
from argosy.flow.directory import MeshDirectory
from argosy.flow.workload import ContainerRef, ServiceRef
from argosy.mixer.access_record import AccessRecord, ConnectionEvent
from argosy.mixer.api_specs import with_apis
from argosy.mixer.attributes import VOCABULARY
from argosy.mixer.report_attributes import ByteDeltas, report_attributes
from argosy.mixer.request import CheckFacts, request_attributes
from argosy.mixer.rules import resolve_rules
from argosy.mixer.unknowable import CHECK, NEVER, OF_APIS, REPORT, unknowable

from .mesh import PODS, TRUST, node
from .mesh import objects as parsed
from .reports import connection, http_part, inbound
from .test_rules import handler, instance, made_from, rule

HOST = "reviews.default.svc.cluster.local"
SOMETHING = {"attributes": {name: {"stringValue": "x"} for name in ("api.service", "api.version", "api.operation")}}
API = [
    made_from("HTTPAPISpec", "default", "s", {"attributes": SOMETHING, "apiKeys": [{"header": "x-key"}]}),
    made_from("HTTPAPISpecBinding", "default", "b", {"apiSpecs": [{"name": "s"}], "services": [{"service": "*"}]}),
]
DIRECTORY = MeshDirectory(
    [replace(one, containers=(ContainerRef("c", "image"),)) for one in PODS],
    [ServiceRef(HOST, "reviews", "default"), ServiceRef("page.default.svc.cluster.local", "page", "default")],
    {"page.default.svc.cluster.local": {"app": "productpage"}},
)


def test_every_attribute_of_the_vocabulary_is_known_somewhere_or_told_never_to_be() -> None:
    """What checks and reports say of requests that have everything, and the lists of what is never known, are all."""
    apis = resolve_rules(API).apis
    claims = {"iss": "i", "sub": "s", "aud": "a", "azp": "p", "name": "n"}
    facts = CheckFacts(
        node=node("reviews-v2"), source_principal=f"{TRUST}/default/sa/bookinfo-productpage", service=HOST,
        source_address="10.88.0.2", destination_address="10.88.0.4", destination_port=9080, method="GET",
        scheme="http", path="/a?b=c", host="reviews", request_id="i", size=1, requested_server_name="s",
        headers={"user-agent": "u", "referer": "r", "x-key": "k"}, claims=claims,
    )  # fmt: skip
    known = set(with_apis(apis, request_attributes(facts, DIRECTORY)))
    known |= set(request_attributes(replace(facts, protocol="tcp"), DIRECTORY))
    assert known == set(VOCABULARY) - NEVER[CHECK]

    metadata = FrozenMap(
        {
            "envoy.filters.http.jwt_authn": {"payload": claims},
            "envoy.filters.http.rbac": {
                "dry_run_allow_shadow_engine_result": "denied", "dry_run_allow_shadow_effective_policy_id": "p",
            },
            "envoy.filters.http.ext_authz": {"argosy.check": {"code": 8, "message": "m", "charged": True}},
        }
    )  # fmt: skip
    headers = FrozenMap({"x-key": "k", "content-type": "application/grpc"})
    http = http_part(
        referer="r", grpc_status=0, request_headers=headers, response_headers=FrozenMap({"grpc-message": "m"})
    )
    records: list[AccessRecord] = [
        inbound(http=http, metadata=metadata, sni="s"),
        connection(ConnectionEvent.CLOSE, 1, 2),
    ]
    told: set[str] = set()
    for record in records:
        told |= set(with_apis(apis, report_attributes(record, ByteDeltas(), DIRECTORY)))
    assert told == set(VOCABULARY) - NEVER[REPORT]


def told(*objects: Any) -> list[tuple[str, str, str, str]]:
    return [(one.kind, one.field, one.level.value, one.message.split()[1]) for one in unknowable(objects)]


def logging(text: str, match: str = "") -> list[Any]:
    entry = {"compiledTemplate": "logentry", "params": {"severity": '"info"', "variables": {"x": text}}}
    return [
        made_from("instance", "default", "nothing", entry),
        made_from("handler", "default", "deny", {"compiledAdapter": "stdio", "params": {}}),
        rule(match),
    ]


@pytest.mark.parametrize(
    "objects, wanted",
    [
        (logging('source.metadata["x"]'), [("spec.params.variables.x", "warning", "source.metadata")]),
        (logging('origin.user | "nobody"'), [("spec.params.variables.x", "info", "origin.user")]),
        (logging("response.code"), []),
        (logging('check.error_message | "none"'), []),
        (logging("source.services", 'request.reason == "x"'), [("spec.match", "warning", "request.reason")]),
        ([rule("response.code == 200"), instance(), handler()], [("spec.match", "warning", "response.code")]),
        ([rule('request.auth.principal == ""'), instance(), handler()], []),
        ([rule('(request.auth.claims["a"] | request.auth.raw_claims) == ""'), instance(), handler()], []),
        ([rule('(response.headers["a"] | "") == ""'), instance(), handler()],
         [("spec.match", "info", "response.headers")]),
        ([rule('request.headers["x"] == "y"'), instance(), handler()], []),
        ([rule('api.operation == "get"'), instance(), handler()], [("spec.match", "warning", "api.operation")]),
        ([*API, rule('api.operation == "get" && request.api_key == "x"'), instance(), handler()], []),
        ([*logging("api.service")], [("spec.params.variables.x", "warning", "api.service")]),
        ([*API, *logging("api.service")], []),
        # Nobody asks for it.
        ([instance("q", template="listentry", value="response.code")], []),
    ],
)  # fmt: skip
def test_what_is_never_known_is_told_where_it_stands(objects: list[Any], wanted: list[tuple[str, ...]]) -> None:
    assert [one[1:] for one in told(*objects)] == wanted


def test_a_rule_that_does_both_is_judged_by_what_is_known_in_either() -> None:
    both = [*logging("response.code", "response.code == 200"), handler("no"), instance("all")]
    actions = [{"handler": "deny", "instances": ["nothing"]}, {"handler": "no", "instances": ["all"]}]
    spec = {"match": "response.code == 200", "actions": actions}
    objects = [one for one in both if one.kind != "rule"]
    assert told(*objects, made_from("rule", "default", "r", spec)) == []
    spec["match"] = 'request.reason == "x"'
    assert [one[3] for one in told(*objects, made_from("rule", "default", "r", spec))] == ["request.reason"]


def test_clauses_of_quotas_and_what_instances_bind() -> None:
    match = [{"clause": {"response.grpc_status": {"exact": "x"}, "request.auth.principal": {"exact": "GET"}}}]
    spec = made_from(
        "QuotaSpec", "default", "s", {"rules": [{"match": match, "quotas": [{"quota": "q", "charge": 1}]}]}
    )
    assert told(spec) == [
        ("QuotaSpec", 'spec.rules[0].match[0].clause["response.grpc_status"]', "warning", "response.grpc_status")
    ]
    binding = """
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: k}
spec:
  compiledTemplate: kubernetes
  params: {source_uid: source.uid}
  attributeBindings: {origin.user: $out.source_pod_name}
"""
    assert told(*parsed(binding), *logging("origin.user")) == []


def test_lists_name_attributes_of_the_vocabulary_only() -> None:
    assert (NEVER[CHECK] | NEVER[REPORT] | OF_APIS) <= set(VOCABULARY)
