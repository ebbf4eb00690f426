"""Proxy classes: replicas share one, and what policies tell apart does not."""

from __future__ import annotations

import pytest

from argosy.api import decode_object, parse_documents
from argosy.pilot.classes import ROUTER, SIDECAR, ProxyClass, class_of_pod


def class_of(
    *, name: str = "web-1", labels: str = "app: web", annotations: str = "", account: str = "web"
) -> ProxyClass:
    text = f"""
apiVersion: v1
kind: Pod
metadata:
  {{name: {name}, namespace: shop, labels: {{{labels}}}, annotations: {{{annotations}}},
   ownerReferences: [{{kind: Deployment, name: web}}]}}
spec:
  serviceAccountName: {account}
  containers: [{{name: app, ports: [{{containerPort: 8080, name: main}}, {{containerPort: 53, protocol: UDP}}]}}]
"""
    return class_of_pod(decode_object(parse_documents(text)[0]))


def test_replicas_share_a_class() -> None:
    one, other = (class_of(name=f"web-{n}", labels=f"app: web, pod-template-hash: h{n}") for n in (1, 2))
    assert one == other


@pytest.mark.parametrize("other", [class_of(labels="app: api"), class_of(account="api")])
def test_what_policies_select_on_tells_classes_apart(other: ProxyClass) -> None:
    assert other != class_of()


def test_a_gateways_template_makes_a_router() -> None:
    assert class_of().role == SIDECAR
    assert class_of(annotations="inject.istio.io/templates: gateway").role == ROUTER


def test_named_ports_are_known() -> None:
    found = class_of()
    assert found.ports == ((8080, "main"),)
    assert [found.port_number(target) for target in (80, "main", "none")] == [80, 8080, None]
