"""Which objects a resource was made from."""

from __future__ import annotations

from argosy.core.errors import Origin
from argosy.pilot.build.origins import Owner, owners_of
from argosy.pilot.build.resource import CLUSTER, VIRTUAL_HOST
from argosy.testing.worlds import Manifests, MeshWorld

TEXT = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
"""
PATCH = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: patch}
spec: {configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: 3s}}}]}
"""
NAME = "web.default.svc.cluster.local"


def test_the_object_is_named_with_its_line() -> None:
    world = MeshWorld()
    world.set(Manifests().read(TEXT, "mesh.yaml"))
    snapshot = world.snapshot("web-0")
    service = Owner("Service", "default", "web", Origin("mesh.yaml", 2))
    assert owners_of(snapshot.of(CLUSTER)[f"outbound|80||{NAME}"]) == [service]
    (routes,) = owners_of(snapshot.of(VIRTUAL_HOST)[f"80/{NAME}"])
    assert (routes.kind, routes.name, str(routes.origin)) == ("VirtualService", "routes", "mesh.yaml:12")


def test_who_patched_it_comes_first() -> None:
    found = owners_of(MeshWorld(TEXT, PATCH).snapshot("web-0").of(CLUSTER)[f"outbound|80||{NAME}"])
    assert [(one.kind, one.name) for one in found] == [("EnvoyFilter", "patch"), ("Service", "web")]


def test_what_belongs_to_nobody_has_no_owner() -> None:
    assert owners_of(MeshWorld(TEXT).snapshot("web-0").of(CLUSTER)["PassthroughCluster"]) == []
