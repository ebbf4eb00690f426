"""Attributes that rules make: from the registry, beside what is known."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.mixer.attribute_generators import generate
from argosy.mixer.report_rules import resolve_reports
from argosy.mixer.report_values import MetricValue
from argosy.mixer.rules import resolve_rules

from .adapters.sets import adapter_config, template
from .adapters.sets import objects as adapters
from .mesh import DIRECTORY
from .reports import (
    METRIC,
    deliveries,
    inbound,
    policy,
    said,
)

GENERATOR = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: env, namespace: istio-system}
spec: {compiledAdapter: kubernetesenv}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: attributes, namespace: istio-system}
spec:
  compiledTemplate: kubernetes
  params: {destination_uid: '"kubernetes://ratings-v1-x.default"', source_ip: 'source.ip | ip("0.0.0.0")'}
  attributeBindings:
    origin.uid: $out.destination_workload_name | "unknown"
    origin.user: $out.source_pod_name | "unknown"
    source.workload.name: $out.destination_workload_name
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: generate, namespace: istio-system}
spec: {actions: [{handler: env, instances: [attributes]}]}
"""


def test_generated_attributes_come_from_the_registry_and_replace_nothing() -> None:
    text = METRIC.replace('request.headers["end-user"]', "origin.uid").replace("VALUE", '"1"').replace("MATCH", "")
    text = (
        text.replace("NAMESPACE", "istio-system")
        .replace(", MORE", "")
        .replace("code: response.code | 0", "who: 'origin.user + source.workload.name'")
        .replace("label_names: [code]", "label_names: [who]")
    )
    found = policy(GENERATOR, text)
    assert found.findings == ()
    (one,) = deliveries(found, inbound())
    assert isinstance(one.value, MetricValue)
    assert one.value.dimensions == {"user": "ratings-v1", "who": "productpage-v1-xproductpage-v1"}


OLDER = """
apiVersion: config.istio.io/v1alpha2
kind: kubernetesenv
metadata: {name: handler, namespace: istio-system}
spec: {kubeconfig_path: ""}
---
apiVersion: config.istio.io/v1alpha2
kind: kubernetes
metadata: {name: attributes, namespace: istio-system}
spec:
  source_uid: source.uid | ""
  source_ip: source.ip | ip("0.0.0.0")
  destination_uid: '"kubernetes://ratings-v1-x.default"'
  destination_port: destination.port | 0
  attribute_bindings:
    destination.uid: $out.destination_pod_uid | "unknown"
    destination.labels: $out.destination_labels | emptyStringMap()
    source.uid: $out.source_pod_uid | "unknown"
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: generate, namespace: istio-system}
spec: {actions: [{handler: handler.kubernetesenv, instances: [attributes.kubernetes]}]}
"""


def test_a_lookup_of_its_own_kind_makes_attributes_too() -> None:
    found = policy(OLDER)
    assert found.findings == ()
    (generator,) = found.generators
    made = generate(generator, {}, DIRECTORY)
    assert made["destination.uid"] == "kubernetes://ratings-v1-x.default"
    assert made["source.uid"] == "unknown"
    assert made["destination.labels"]["app"] == "ratings"  # type: ignore[index, call-overload]  # a map


def test_bindings_must_fit_the_vocabulary() -> None:
    text = GENERATOR.replace("origin.uid:", "no.such:").replace(
        "origin.user: $out.source_pod_name", "origin.user: $out.nope"
    )
    assert [one[:2] for one in said(policy(text).findings)] == [
        ("ARG0911", "spec.attributeBindings.no.such"),
        ("ARG0911", "spec.attributeBindings.origin.user"),
    ]


def test_who_is_not_in_the_registry_makes_nothing() -> None:
    text = GENERATOR.replace("ratings-v1-x.default", "nobody.default")
    (generator,) = policy(text).generators
    made = generate(generator, {}, DIRECTORY)
    assert made == {"origin.uid": "unknown", "origin.user": "unknown"}


WHO = template((("user", 1, "string"),), variety=3, output=(("team", 2, "string"), ("level", 3, "int64")))
REMOTE = f"""
template who {{descriptor: "{WHO}"}}
adapter who {{templates: [who], config: "{adapter_config()}"}}
handler who {{adapter: who, connection: {{address: "who:9070"}}, params: {{table: {{a: b}}}}}}
instance who {{template: who, params: {{user: 'request.headers["user"]'}}, attributeBindings: BINDINGS}}
rule who {{match: 'request.method == "GET"', actions: [{{handler: who, instances: [who]}}]}}
attributemanifest own {{attributes: {{request.team: {{valueType: STRING}}, request.level: {{valueType: INT64}}}}}}
"""
BINDINGS = "{request.team: $out.team, request.level: $out.level + 1}"


def remote(bindings: str = BINDINGS) -> list[Any]:
    return adapters(REMOTE.replace("BINDINGS", bindings))


def test_an_adapter_is_asked_for_attributes_where_its_rule_matches_and_they_are_missing() -> None:
    found = resolve_rules(remote())
    assert (found.findings, resolve_reports(remote()).findings) == ((), ())
    assert found.rules == ()
    (generator,) = found.remote_generators
    assert resolve_reports(remote()).remote_generators == (generator,)
    assert generator.handler in found.handlers
    bag = {"request.method": "GET", "request.headers": {"user": "ann"}}
    call = generator.question(bag, "ns")
    assert call is not None
    assert (str(call.handler), str(call.instance), call.template, call.values) == (
        "who.handler.ns",
        "who.instance.ns",
        "who",
        {"user": "ann"},
    )
    assert generator.add(bag, {"team": "blue", "level": 3}) == {**bag, "request.team": "blue", "request.level": 4}
    assert generator.add({**bag, "request.team": "red"}, {"team": "blue"}) == {**bag, "request.team": "red"}
    for other, namespace in (
        ({**bag, "request.method": "POST"}, "ns"),
        (bag, "elsewhere"),
        ({"request.method": "GET"}, "ns"),
        ({**bag, "request.team": "", "request.level": 1}, "ns"),
        ({}, "ns"),
    ):
        assert generator.question(other, namespace) is None


@pytest.mark.parametrize(
    "bindings, field, words",
    [
        ("{request.level: $out.team}", "request.level", "must be INT64, is STRING"),
        ("{request.team: $out.tame}", "request.team", "unknown attribute output.tame"),
        ("{request.tame: $out.team}", "request.tame", "unknown attribute request.tame"),
    ],
)
def test_bindings_must_have_the_types_of_the_templates_output(bindings: str, field: str, words: str) -> None:
    (found,) = resolve_reports(remote(bindings)).findings
    assert (found.code, found.field) == ("ARG0911", f"spec.attributeBindings.{field}")
    assert words in found.message
    (generator,) = resolve_rules(remote(bindings)).remote_generators
    assert generator.bindings == {}
