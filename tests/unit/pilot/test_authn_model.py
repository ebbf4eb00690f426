"""Whom a RequestAuthentication concerns, and what a change of policies or keys touches."""

from __future__ import annotations

from typing import Any

from argosy.api.jwks import KeySet
from argosy.incr import Change
from argosy.pilot.build.resource import EXTENSION, LISTENER, ROUTE
from argosy.pilot.key_sources import KeySource
from argosy.testing.worlds import GATEWAY, MeshWorld, gateway_manifest

JWT = "envoy.filters.http.jwt_authn"
KEYS = KeySource("https://i/keys")


def workload(name: str, namespace: str = "default") -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: app}}]}}
"""


def authentication(
    name: str, *, namespace: str = "default", selector: str = "", rule: str = "issuer: i, jwksUri: 'https://i/keys'"
) -> str:
    chosen = f"selector: {{matchLabels: {{{selector}}}}}, " if selector else ""
    return f"""
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{chosen}jwtRules: [{{{rule}}}]}}
"""


WORKLOADS = (gateway_manifest(), workload("a"), workload("b"), workload("c", "other"))


def issuers(world: MeshWorld, pod: str, namespace: str = "default") -> set[str]:
    found = providers(world, pod, namespace)
    return {one["issuer"] for one in found.values()} - {"argosy:none"}


def providers(world: MeshWorld, pod: str, namespace: str = "default") -> dict[str, Any]:
    config = world.resources(EXTENSION, pod, namespace)[JWT]["typed_config"]
    found: dict[str, Any] = config.get("providers", {})
    return found


def test_policies_hold_for_the_mesh_a_namespace_or_a_workload() -> None:
    world = MeshWorld(
        *WORKLOADS,
        authentication("mesh", namespace="istio-system", rule="issuer: mesh, jwksUri: 'https://i/keys'"),
        authentication("space", rule="issuer: space, jwksUri: 'https://i/keys'"),
        authentication("one", selector="app: a", rule="issuer: one, jwksUri: 'https://i/keys'"),
        authentication(
            "gateway",
            namespace="istio-system",
            selector="istio: ingressgateway",
            rule="issuer: edge, jwksUri: 'https://i/keys'",
        ),
    )
    assert issuers(world, "a-0") == {"mesh", "space", "one"}
    assert issuers(world, "b-0") == {"mesh", "space"}
    assert issuers(world, "c-0", "other") == {"mesh"}
    assert issuers(world, GATEWAY.name, GATEWAY.namespace) == {"mesh", "edge"}
    edge = providers(world, GATEWAY.name, GATEWAY.namespace)["istio-system/gateway[0]"]
    assert edge["clear_route_cache"] is True
    assert "clear_route_cache" not in providers(world, "a-0")["default/one[0]"]


def test_without_policies_all_classes_share_one_configuration() -> None:
    world = MeshWorld(*WORKLOADS)
    pods = (("a-0", "default"), ("c-0", "other"), (GATEWAY.name, GATEWAY.namespace))
    found = {id(world.snapshot(pod, namespace).of(EXTENSION)[JWT]) for pod, namespace in pods}
    assert len(found) == 1


def test_a_policy_touches_one_resource_of_those_whom_it_concerns() -> None:
    """No listener and no route: connections go on, and the next request is judged by the new policy."""
    world = MeshWorld(*WORKLOADS)
    for name in ("a", "b"):
        world.connect(f"{name}-0")
    outcome = world.apply(authentication("one", selector="app: a"))
    assert [
        (dict(offer.proxy_class.labels), offer.changes and dict(offer.changes.names)) for offer in outcome.offers
    ] == [({"app": "a"}, {EXTENSION: frozenset({JWT})})]


def test_headers_from_claims_are_watched_by_the_routes() -> None:
    world = MeshWorld(*WORKLOADS)
    before = world.resources(LISTENER, "a-0")
    rule = "issuer: i, jwksUri: 'https://i/keys', outputClaimToHeaders: [{header: x-a, claim: a}]"
    world.apply(authentication("one", selector="app: a", rule=rule))
    assert world.resources(LISTENER, "a-0") == before
    (host,) = world.resources(ROUTE, "a-0")["inbound|80||"]["virtual_hosts"]
    assert "x-a" in str(host["typed_per_filter_config"]["envoy.filters.http.rbac.deny"])


def test_new_keys_rebuild_only_what_uses_them() -> None:
    other = authentication("other", selector="app: b", rule="issuer: j, jwksUri: 'https://j/keys'")
    world = MeshWorld(*WORKLOADS, authentication("one", selector="app: a"), other)
    for name in ("a", "b"):
        world.connect(f"{name}-0")
    assert providers(world, "a-0")["default/one[0]"]["local_jwks"] == {"inline_string": ""}
    outcome = world.world.commit([Change(world.mesh.key_sets, KEYS, KeySet('{"keys":[1]}'))])
    assert outcome.commit.ran == {"request_authn": 1}
    (offer,) = outcome.offers
    assert dict(offer.proxy_class.labels) == {"app": "a"}
    assert offer.changes is not None
    assert dict(offer.changes.names) == {EXTENSION: frozenset({JWT})}
    assert providers(world, "a-0")["default/one[0]"]["local_jwks"] == {"inline_string": '{"keys":[1]}'}
    # None again: no key stands in for those that are gone.
    world.world.commit([Change(world.mesh.key_sets, KEYS, None)])
    assert providers(world, "a-0")["default/one[0]"]["local_jwks"] == {"inline_string": ""}
