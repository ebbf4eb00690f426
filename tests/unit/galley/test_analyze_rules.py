"""What DestinationRules of one host say for nobody; the rest is in the grid of warnings."""

from __future__ import annotations

from typing import Any

from argosy.api import Object, decode_object, parse_documents
from argosy.galley.analyze_rules import analyze_split_rules


def rule(name: str, spec: str, namespace: str = "shop") -> Object[Any]:
    text = (
        f"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}"
    )
    (document,) = parse_documents(f"{text}\nspec: {{{spec}}}")
    return decode_object(document)


def test_what_a_later_rule_repeats_is_lost_and_named() -> None:
    second = rule("b", "host: web, trafficPolicy: {tls: {mode: DISABLE}}, subsets: [{name: v2}, {name: v1}]")
    first = rule("a", "host: web.shop.svc.cluster.local, subsets: [{name: v1}]")
    third = rule("c", "host: web, trafficPolicy: {tls: {mode: SIMPLE}}")
    found = [(one.name, one.field, one.message) for one in analyze_split_rules([third, second, first])]
    assert found == [
        ("b", "spec.subsets[1].name", "not used: DestinationRule a defines subset 'v1'"),
        ("c", "spec.trafficPolicy", "not used: DestinationRule b has a policy for this host"),
    ]


def test_rules_of_other_namespaces_hosts_and_workloads_are_their_own() -> None:
    rules = [
        rule("a", "host: web, subsets: [{name: v1}]"),
        rule("b", "host: api, subsets: [{name: v1}]"),
        rule("c", "host: web.shop.svc.cluster.local, subsets: [{name: v1}]", "other"),
        rule("d", "host: web, workloadSelector: {matchLabels: {app: x}}, subsets: [{name: v1}]"),
    ]
    assert list(analyze_split_rules(rules)) == []
