"""What an object does is what would be others without it: for every kind, and nothing else."""

from __future__ import annotations

import pytest

from argosy.api import Object
from argosy.core.names import ObjectKey
from argosy.pilot.classes import ProxyClass, class_of_pod
from argosy.pilot.effects import Effects, Facts
from argosy.pilot.mesh import MeshSettings, Unconcerned
from argosy.testing.worlds import Manifests

WORLD = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client}
spec: {template: {metadata: {labels: {app: client}}, spec: {containers: [{name: c}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: stranger, namespace: other}
spec: {template: {metadata: {labels: {app: stranger}}, spec: {containers: [{name: c}]}}}
---
"""
EVERYBODY = {"web", "client", "stranger"}
NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"
SELECT_WEB = "selector: {matchLabels: {app: web}}"
OF_CLIENT = "workloadSelector: {labels: {app: client}}"
RULE = "{host: web, trafficPolicy: {loadBalancer: {simple: RANDOM}}}"
ROUTE = "http: [{route: [{destination: {host: web}}]}]"
PATCH = "configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 3s}}}]"


def facts(objects: list[Object[object]], *left_out: Object[object]) -> Facts:
    return Facts(
        MeshSettings(),
        Unconcerned(),
        {(one.kind, one.key): one for one in objects},
        {one.key: one for one in left_out},
    )


def classes(objects: list[Object[object]]) -> dict[ProxyClass, str]:
    """Each proxy's class, and the Deployment that it belongs to."""
    return {class_of_pod(one): one.name.removesuffix("-0") for one in objects if one.kind == "Pod"}


def world(api: str, kind: str, spec: str, *, namespace: str = "default") -> list[Object[object]]:
    text = f"{WORLD}apiVersion: {api}\nkind: {kind}\nmetadata: {{name: it, namespace: {namespace}}}\nspec: {spec}\n"
    return [one for one in Manifests().read(text) if one.kind != "Deployment"]


@pytest.mark.parametrize(
    "api, kind, spec, concerned",
    [
        (NETWORKING, "VirtualService", f"{{hosts: [web], {ROUTE}}}", EVERYBODY),
        (NETWORKING, "VirtualService", f"{{hosts: [web], exportTo: [.], {ROUTE}}}", {"web", "client"}),
        (NETWORKING, "VirtualService", f"{{hosts: [web], gateways: [no-such], {ROUTE}}}", set()),
        (NETWORKING, "DestinationRule", RULE, EVERYBODY),
        (NETWORKING, "DestinationRule", "{host: nobody, subsets: [{name: a}]}", set()),
        (NETWORKING, "Sidecar", f"{{{OF_CLIENT}, egress: [{{hosts: [other/*]}}]}}", {"client"}),
        (SECURITY, "PeerAuthentication", f"{{{SELECT_WEB}, mtls: {{mode: STRICT}}}}", {"web"}),
        (SECURITY, "AuthorizationPolicy", f"{{{SELECT_WEB}, rules: [{{}}]}}", {"web"}),
        (SECURITY, "AuthorizationPolicy", "{selector: {matchLabels: {app: nobody}}}", set()),
        (f"{NETWORKING}alpha3", "EnvoyFilter", f"{{{OF_CLIENT}, {PATCH}}}", {"client"}),
        (NETWORKING, "WorkloadEntry", "{address: 10.1.1.1, labels: {app: web}}", EVERYBODY),
        (NETWORKING, "WorkloadEntry", "{address: 10.1.1.1, labels: {app: nobody}}", set()),
    ],
)  # fmt: skip
def test_an_object_concerns_those_who_would_have_another_configuration(
    api: str, kind: str, spec: str, concerned: set[str]
) -> None:
    objects = world(api, kind, spec)
    names = classes(objects)
    effect = Effects(facts(objects), names).of(kind, ObjectKey("default", "it"))
    assert {names[one] for one in effect} == concerned


def test_an_effect_names_the_resources_and_trying_leaves_nothing_behind() -> None:
    objects = world(NETWORKING, "DestinationRule", RULE)
    names = classes(objects)
    effects = Effects(facts(objects), names)
    first = effects.of("DestinationRule", ObjectKey("default", "it"))
    client = next(one for one, name in names.items() if name == "client")
    assert {ref.name for ref in first[client]} == {"outbound|80||web.default.svc.cluster.local"}
    assert effects.of("Service", ObjectKey("default", "web")).keys() == names.keys()
    assert effects.of("DestinationRule", ObjectKey("default", "it")) == first


def test_of_a_filter_in_quarantine_it_is_told_what_it_would_do() -> None:
    objects = world(f"{NETWORKING}alpha3", "EnvoyFilter", f"{{{OF_CLIENT}, {PATCH}}}")
    (it,) = (one for one in objects if one.kind == "EnvoyFilter")
    names = classes(objects)
    effects = Effects(facts(objects, it), names)
    for _again in range(2):
        assert {names[one] for one in effects.of("EnvoyFilter", it.key)} == {"client"}
