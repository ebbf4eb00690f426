"""Attributes that rules make: from the registry, beside what is known."""

from __future__ import annotations

from argosy.mixer.attribute_generators import generate
from argosy.mixer.report_values import MetricValue

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
