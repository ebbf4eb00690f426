"""What VirtualServices and DestinationRules do, in a few words."""

from typing import Any

import pytest

from argosy.api import decode_object, parse_documents
from argosy.graph.ruling import says_destination_rule, says_virtual_service


def spec(kind: str, text: str) -> Any:
    head = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {text}\n"
    [document] = parse_documents(head)
    return decode_object(document).spec


V1 = "{destination: {host: r, subset: v1}, weight: 90}"
V3 = "{destination: {host: r, subset: v3}, weight: 10}"


@pytest.mark.parametrize(
    "rules, words",
    [
        (f"http: [{{route: [{V1}]}}]", ()),
        (f"http: [{{route: [{V1}, {V3}]}}]", ("traffic shifting 90/10 (v1, v3)",)),
        (f"tcp: [{{route: [{V1}, {V3}]}}]", ("TCP traffic shifting 90/10 (v1, v3)",)),
        (f"tls: [{{match: [{{sniHosts: [r]}}], route: [{V1}, {V3}]}}]", ("TLS traffic shifting 90/10 (v1, v3)",)),
        (
            f"http: [{{match: [{{uri: {{prefix: /a}}}}], route: [{V1}], fault: {{abort: {{httpStatus: 500}}}}}}, "
            f"{{match: [{{uri: {{prefix: /b}}}}], timeout: 1.5s, retries: {{attempts: 2}}, mirror: {{host: m}}, "
            f"route: [{V1}]}}]",
            ("request routing", "fault injection", "request timeout 1.5 s", "retries 2", "mirroring"),
        ),
        ("http: [{redirect: {uri: /x}}]", ("redirect",)),
        ("http: [{directResponse: {status: 403}}]", ("answers 403",)),
    ],
)
def test_a_virtual_service_is_told_by_what_it_does(rules: str, words: tuple[str, ...]) -> None:
    assert says_virtual_service(spec("VirtualService", f"{{hosts: [r], {rules}}}")) == words


def test_a_destination_rule_is_told_by_its_subsets_and_policies() -> None:
    text = (
        "{host: r, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 1}, tls: {mode: ISTIO_MUTUAL}}, subsets: ["
        "{name: v1, labels: {version: v1}}, "
        "{name: v3, labels: {version: v3}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}]}"
    )
    words = ("subsets v1, v3", "circuit breaker", "TLS ISTIO_MUTUAL", "load balancing")
    assert says_destination_rule(spec("DestinationRule", text)) == words
    assert says_destination_rule(spec("DestinationRule", "{host: r}")) == ()
