"""Whose host it is: others' objects hold for their own clients only, unless the owner or the mesh says otherwise."""

from __future__ import annotations

import pytest

from argosy.pilot.build.resource import CLUSTER, VIRTUAL_HOST
from argosy.testing.worlds import MeshWorld, as_json

from .test_world import app, route

API = "80/api.b.svc.cluster.local"
ROUTE = route("api.b.svc.cluster.local", "a", more="timeout: 7s, ", to="api.b.svc.cluster.local")
OPEN_SPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: b, annotations: {argosy.io/hosts-open-to: 'x, %s'}}\n"
MESH = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system, annotations: {argosy.io/tenancy: open}}
data: {mesh: ""}
"""


def timeouts(*more: str) -> dict[str, str]:
    """What clients of each namespace get of the route that namespace a wrote for b's host."""
    world = MeshWorld(app("web", "a"), app("api", "b"), app("shop", "c"), *more)
    found = {}
    for pod, namespace in (("web-0", "a"), ("api-0", "b"), ("shop-0", "c")):
        (one,) = as_json(world.snapshot(pod, namespace).of(VIRTUAL_HOST)[API])["routes"]
        found[namespace] = one["route"]["timeout"]
    return found


def test_an_others_route_holds_for_its_own_clients_only() -> None:
    assert timeouts() == {"a": "0s", "b": "0s", "c": "0s"}
    assert timeouts(ROUTE) == {"a": "7s", "b": "0s", "c": "0s"}
    assert timeouts(ROUTE.replace("namespace: a", "namespace: b")) == {"a": "7s", "b": "7s", "c": "7s"}


@pytest.mark.parametrize(
    "leave",
    [
        OPEN_SPACE % "a",
        OPEN_SPACE % "*",
        MESH,
        app("api", "b").replace("namespace: b", "namespace: b, annotations: {argosy.io/hosts-open-to: a}", 1),
    ],
    ids=["namespace", "everybody", "mesh", "service"],
)
def test_with_leave_it_holds_for_everybody(leave: str) -> None:
    assert timeouts(ROUTE, leave) == {"a": "7s", "b": "7s", "c": "7s"}
    assert timeouts(ROUTE, OPEN_SPACE % "d") == {"a": "7s", "b": "0s", "c": "0s"}


def test_the_operator_needs_no_leave() -> None:
    mesh_wide = ROUTE.replace("namespace: a", "namespace: istio-system")
    assert timeouts(mesh_wide) == {"a": "7s", "b": "7s", "c": "7s"}


def test_a_wildcard_reaches_no_further() -> None:
    wild = ROUTE.replace("hosts: [api.b.svc.cluster.local]", 'hosts: ["*.b.svc.cluster.local"]')
    assert timeouts(wild) == {"a": "7s", "b": "0s", "c": "0s"}


def entry(host: str, namespace: str) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: stolen, namespace: {namespace}}}
spec:
  hosts: [{host}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 1.2.3.4}}]
"""


def test_a_name_of_others_services_is_not_given_away() -> None:
    name = "outbound|80||new.b.svc.cluster.local"
    world = MeshWorld(app("web", "a"), entry("new.b.svc.cluster.local", "a"))
    assert name not in world.snapshot("web-0", "a").of(CLUSTER)
    world.apply(OPEN_SPACE % "a")
    assert name in world.snapshot("web-0", "a").of(CLUSTER)
    own = MeshWorld(app("api", "b"), entry("new.b.svc.cluster.local", "b"))
    assert name in own.snapshot("api-0", "b").of(CLUSTER)


def test_hosts_outside_belong_to_who_declares_them() -> None:
    world = MeshWorld(app("web", "a"), app("api", "b"), entry("bank.example.com", "b"))
    world.apply(route("bank.example.com", "a", more="timeout: 7s, ", to="bank.example.com"))
    held = {
        space: as_json(world.snapshot(pod, space).of(VIRTUAL_HOST)["80/bank.example.com"])["routes"][0]["route"][
            "timeout"
        ]
        for pod, space in (("web-0", "a"), ("api-0", "b"))
    }
    assert held == {"a": "7s", "b": "0s"}
