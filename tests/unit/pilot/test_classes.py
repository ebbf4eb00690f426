"""Proxy classes: replicas share one, and what policies tell apart does not."""

from __future__ import annotations

import pytest

from argosy.api import decode_object, parse_documents
from argosy.api.mesh_config import parse_mesh_config
from argosy.pilot.classes import ROUTER, SIDECAR, UNSAID, ProxyClass, class_of_pod
from argosy.pilot.mesh import MeshSettings


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


def test_a_gateway_may_say_how_many_proxies_stand_before_it() -> None:
    def said(config: str, templates: str = "gateway") -> int:
        text = f"""
apiVersion: v1
kind: Pod
metadata:
  name: gate
  namespace: shop
  annotations: {{inject.istio.io/templates: {templates}, proxy.istio.io/config: "{config}"}}
spec: {{containers: [{{name: istio-proxy, image: auto}}]}}
"""
        return class_of_pod(decode_object(parse_documents(text)[0])).trusted_proxies

    assert said("gatewayTopology: {numTrustedProxies: 2}") == 2
    assert said("gatewayTopology: {numTrustedProxies: 0}") == 0
    assert said("concurrency: 1") == said("gatewayTopology: 3") == said("") == UNSAID
    assert said("gatewayTopology: {numTrustedProxies: 2}", templates="sidecar") == UNSAID


def test_a_gateways_own_number_goes_before_the_meshs() -> None:
    mesh = MeshSettings(
        config=parse_mesh_config("defaultConfig: {concurrency: 3, gatewayTopology: {numTrustedProxies: 1}}")
    )
    assert mesh.of_gateway(UNSAID) is mesh
    own = mesh.of_gateway(0).config.default_config
    assert (own.trusted_proxies, own.concurrency) == (0, 3)
    assert mesh.of_gateway(2).config.default_config.trusted_proxies == 2
