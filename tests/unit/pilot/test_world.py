"""The world: groups shared by classes, what is offered to whom, and that what nobody uses is freed."""

from __future__ import annotations

from argosy.core.names import ObjectKey
from argosy.pilot.build.resource import CLUSTER, LISTENER, ROUTE, VIRTUAL_HOST
from argosy.pilot.world import Layers
from argosy.testing.worlds import MeshWorld, as_json
from argosy.xds.messages import Resource, ResourceRef


def app(name: str, namespace: str) -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}, {{name: tcp, port: 90}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{serviceAccountName: {name}, containers: [{{name: app, ports: [{{containerPort: 80}}]}}]}}
"""


def route(host: str, namespace: str, *, more: str = "", to: str = "") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host}, namespace: {namespace}}}
spec: {{hosts: [{host}], http: [{{{more}route: [{{destination: {{host: {to or host}}}}}]}}]}}
"""


WEB, API = "80/web.a.svc.cluster.local", "80/api.b.svc.cluster.local"


def mesh() -> MeshWorld:
    return MeshWorld(app("web", "a"), app("api", "b"))


def domains(world: MeshWorld, pod: str, namespace: str, name: str) -> set[str]:
    held = world.snapshot(pod, namespace).of(VIRTUAL_HOST)[name]
    return {domain for domain in as_json(held)["domains"] if not domain.startswith("10.")}


def test_only_neighbours_call_by_short_names() -> None:
    world = mesh()
    assert "web" in domains(world, "web-0", "a", WEB)
    assert "web" not in domains(world, "api-0", "b", WEB)
    assert {"web.a", "web.a.svc"} <= domains(world, "api-0", "b", WEB)


def test_what_all_clients_see_alike_is_one_object() -> None:
    world = mesh()
    web, api = world.snapshot("web-0", "a"), world.snapshot("api-0", "b")
    for type_url, name in ((CLUSTER, "outbound|80||web.a.svc.cluster.local"), (LISTENER, "0.0.0.0_80"), (ROUTE, "80")):
        assert web.of(type_url)[name] is api.of(type_url)[name]
    assert web.of(VIRTUAL_HOST)["80/others"] is api.of(VIRTUAL_HOST)["80/others"]
    assert web.of(VIRTUAL_HOST)[WEB] is not api.of(VIRTUAL_HOST)[WEB]


def test_a_class_is_offered_only_what_changed_for_it() -> None:
    world = mesh()
    web, api = world.connect("web-0", "a"), world.connect("api-0", "b")
    outcome = world.apply(route("web", "a"))
    assert {one.proxy_class: one.changes and dict(one.changes.names) for one in outcome.offers} == {
        web: {VIRTUAL_HOST: {WEB}},
        api: {VIRTUAL_HOST: {WEB}},
    }
    strict = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: b}
spec: {mtls: {mode: STRICT}}
"""
    assert [one.proxy_class for one in world.apply(strict).offers] == [api]


def test_a_route_for_some_clients_is_built_for_each_namespace() -> None:
    world = mesh()
    world.apply(route("web", "a", more="match: [{sourceNamespace: b}], ", to="api.b.svc.cluster.local"))
    clusters = {
        namespace: [ref.name for ref in world.snapshot(pod, namespace).of(VIRTUAL_HOST)[WEB].requires]
        for pod, namespace in (("web-0", "a"), ("api-0", "b"))
    }
    # Whom no rule concerns, for those there is no VirtualService.
    assert clusters == {"a": ["outbound|80||web.a.svc.cluster.local"], "b": ["outbound|80||api.b.svc.cluster.local"]}


def test_labels_of_clients_make_scopes_only_where_a_route_reads_them() -> None:
    world = mesh()
    world.connect("web-0", "a")
    groups = [one["group"] for one in world.world.dump()["groups"]]
    assert not any("'own'" in one and "'app': 'web'" in one for one in groups)
    world.apply(route("api.b.svc.cluster.local", "a", more="match: [{sourceLabels: {app: web}}], "))
    groups = [one["group"] for one in world.world.dump()["groups"]]
    assert any("'own'" in one and "web" in one for one in groups)


def test_a_pod_whose_labels_change_moves() -> None:
    world = mesh()
    before = world.connect("web-0", "a")
    outcome = world.apply(app("web", "a").replace("labels: {app: web}", "labels: {app: web, tier: front}"))
    assert outcome.moved == (ObjectKey("a", "web-0"),)
    after = world.world.engine.get(world.model.pod_class, ObjectKey("a", "web-0"))
    assert after is not None
    assert after != before


def test_what_nobody_uses_is_freed() -> None:
    world = mesh()
    joined = world.connect("web-0", "a")
    world.world.leave(joined)
    world.world.forget_pod(ObjectKey("a", "web-0"))
    assert world.world.dump() == {"classes": [], "groups": []}
    assert {name: len(derived.nodes) for name, derived in world.model.members.items() if derived.nodes} == {}


def test_who_requires_a_cluster_is_known_without_a_search() -> None:
    world = mesh()
    ref = ResourceRef(CLUSTER, "outbound|80||api.b.svc.cluster.local")
    snapshot = world.snapshot("web-0", "a")
    assert [one.name for one in snapshot.requirers(ref)] == [API]
    world.apply(route("api", "b", to="web.a.svc.cluster.local"))
    assert list(world.snapshot("web-0", "a").requirers(ref)) == []
    gone = ResourceRef(CLUSTER, "outbound|80|later|web.a.svc.cluster.local")
    world.apply(route("api", "b", to="web.a.svc.cluster.local, subset: later"))
    assert world.snapshot("web-0", "a").is_dangling(gone)


def test_a_route_to_a_host_that_nobody_declares_waits_for_nothing() -> None:
    world = mesh()
    world.apply(route("api", "b", to="gone.b.svc.cluster.local"))
    gone = ResourceRef(CLUSTER, "outbound|80||gone.b.svc.cluster.local")
    assert not world.snapshot("web-0", "a").is_dangling(gone)


def test_layers_read_as_one_map_and_the_first_stands() -> None:
    a, b, c = (Resource("t", name, version, b"") for name, version in (("x", "1"), ("x", "2"), ("y", "1")))
    layers = Layers(({"x": a}, {"x": b, "y": c}, {"y": c}))
    assert dict(layers) == {"x": a, "y": c}
    assert layers["x"] is a
    assert (len(layers), "y" in layers, "z" in layers, layers.get("z")) == (2, True, False, None)


def test_a_pod_keeps_the_cluster_of_a_port_that_its_service_now_sends_to_another_version() -> None:
    """Requests on connections from before still arrive there; the port itself is served as if nobody named it."""
    service = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web, version: VERSION}, ports: [{name: http, port: 80, targetPort: 5000}]}
"""
    pod = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {metadata: {labels: {app: web, version: v1}}, spec: {containers: [{name: c}]}}}
"""
    world = MeshWorld(service.replace("VERSION", "v1"), pod)
    before = world.resources(CLUSTER, "web-0")["inbound|5000||"]
    world.apply(service.replace("VERSION", "v2"))
    assert world.resources(CLUSTER, "web-0")["inbound|5000||"] == before
    world.delete("Service", "default", "web")
    assert "inbound|5000||" not in world.resources(CLUSTER, "web-0")
