"""Which proxies report, and what a switch touches."""

from collections.abc import Sequence
from typing import Any

from argosy.api.meta import Object
from argosy.incr import Change, Engine
from argosy.pilot.build.report import runtime_key
from argosy.pilot.build.resource import LISTENER, RUNTIME
from argosy.pilot.mesh import SETTINGS_KEY, Mesh, MeshSettings, Unconcerned
from argosy.pilot.model import Model
from argosy.pilot.reporting import NO_MORE, Destination, ReportedHeaders, Switches, Unreported
from argosy.pilot.world import World
from argosy.testing.worlds import MeshWorld, gateway_manifest

WORKLOADS = [
    f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{serviceAccountName: {name}, containers: [{{name: app}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}]}}
"""
    for name in ("a", "b")
]
RULE = """
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: one, namespace: default}
spec: {actions: [{handler: h, instances: [i]}]}
"""
NAME = "argosy.report"


class OnlyA(Unreported):
    """Any rule wants the workload `a` to report, with a header."""

    def policy(self, objects: Sequence[Object[Any]]) -> bool:
        return bool(objects)

    def sides(self, policy: bool, workload: Destination) -> Switches:
        return Switches(inbound=policy and workload.workload == "a")

    def headers(self, policy: bool) -> ReportedHeaders:
        return ReportedHeaders(request=("x-test",)) if policy else NO_MORE


def layer(world: MeshWorld, pod: str, namespace: str = "default") -> dict[str, int]:
    """What the runtime of a pod's proxy says."""
    found = world.resources(RUNTIME, pod, namespace)
    assert list(found) == [NAME]
    return dict(found[NAME].get("layer", {}))


def test_nobody_reports_until_somebody_asks_and_all_share_one_runtime() -> None:
    world = MeshWorld(*WORKLOADS, gateway_manifest())
    pods = [("a-0", "default"), ("b-0", "default"), ("istio-ingressgateway-0", "istio-system")]
    assert [layer(world, pod, namespace) for pod, namespace in pods] == [{}, {}, {}]
    assert len({id(world.snapshot(pod, namespace).of(RUNTIME)[NAME]) for pod, namespace in pods}) == 1


def test_a_watcher_touches_the_runtime_of_those_whom_he_watches_and_nothing_else() -> None:
    world = MeshWorld(*WORKLOADS)
    for pod in ("a-0", "b-0"):
        world.connect(pod)
    outcome = world.world.commit([Change(world.mesh.watchers, ("default", "a"), Switches(inbound=True))])
    assert [
        (dict(offer.proxy_class.labels), offer.changes and dict(offer.changes.names)) for offer in outcome.offers
    ] == [({"app": "a"}, {RUNTIME: frozenset({NAME})})]
    assert outcome.commit.ran == {"wanted_reports": 1, "group_members": 1}
    assert layer(world, "a-0") == {runtime_key("inbound"): 100}
    assert layer(world, "b-0") == {}
    world.world.commit([Change(world.mesh.watchers, ("", ""), Switches(outbound=True))])
    assert layer(world, "a-0") == {runtime_key("inbound"): 100, runtime_key("outbound"): 100}
    assert layer(world, "b-0") == {runtime_key("outbound"): 100}
    gone = [Change(world.mesh.watchers, key, None) for key in (("", ""), ("default", "a"))]
    world.world.commit(gone)
    assert (layer(world, "a-0"), layer(world, "b-0")) == ({}, {})


def test_rules_choose_who_reports_and_which_headers() -> None:
    """A header that no logger tells yet changes the loggers; which side reports never does."""
    world = MeshWorld()
    world.mesh = Mesh(Engine(), Unconcerned(), OnlyA())
    world.model = Model(world.mesh)
    world.world = World(world.model)
    world.world.commit([Change(world.mesh.settings, SETTINGS_KEY, MeshSettings())])
    world.apply(*WORKLOADS)
    before = world.resources(LISTENER, "a-0")
    assert "x-test" not in str(before)
    world.apply(RULE)
    assert (layer(world, "a-0"), layer(world, "b-0")) == ({runtime_key("inbound"): 100}, {})
    assert "x-test" in str(world.resources(LISTENER, "a-0")["virtualInbound"])
    world.delete("rule", "default", "one")
    assert world.resources(LISTENER, "a-0") == before
    assert layer(world, "a-0") == {}
