"""Which Telemetry objects concern a workload, and in which order they count."""

from __future__ import annotations

from argosy.api import decode_object, parse_documents
from argosy.core.frozen import FrozenMap
from argosy.incr import Change, Engine
from argosy.pilot.mesh import Mesh
from argosy.pilot.model import Model

APP_A = ("default", FrozenMap({"app": "a", "version": "v1"}))
APP_B = ("default", FrozenMap({"app": "b"}))
OTHER = ("other", FrozenMap({"app": "a"}))


class World:
    """An engine with Telemetry objects alone."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.mesh = Mesh(self.engine, lambda *_: False)
        self.model = Model(self.mesh).telemetry
        for key in (APP_A, APP_B, OTHER):
            self.engine.observe(self.model.of_workload, key)

    def apply(self, *texts: str) -> set[tuple[str, FrozenMap[str, str]]]:
        """Apply objects; gives the workloads of which something else is said now."""
        objects = [decode_object(one) for text in texts for one in parse_documents(text)]
        commit = self.engine.commit([Change(self.mesh.kinds["Telemetry"], one.key, one) for one in objects])
        return set(commit.changed.get(self.model.of_workload, {}))

    def providers(self, key: tuple[str, FrozenMap[str, str]]) -> list[str]:
        """The providers of a workload's tracing, the widest object's first."""
        said = self.engine.observe(self.model.of_workload, key)
        self.engine.release(self.model.of_workload, key)
        return [one.providers[0].name for one in said.tracing]


def telemetry(name: str, namespace: str = "default", selector: str = "") -> str:
    chosen = f"selector: {{matchLabels: {{{selector}}}}}, " if selector else ""
    return f"""
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{{chosen}tracing: [{{providers: [{{name: {name}}}]}}]}}
"""


def test_the_mesh_then_the_namespace_then_the_workload() -> None:
    world = World()
    world.apply(telemetry("wide", "istio-system"), telemetry("space"), telemetry("own", selector="app: a"))
    assert world.providers(APP_A) == ["wide", "space", "own"]
    assert world.providers(APP_B) == ["wide", "space"]
    assert world.providers(OTHER) == ["wide"]


def test_of_several_for_one_workload_the_oldest_counts() -> None:
    def at(text: str, year: int) -> str:
        return text.replace("metadata: {", f'metadata: {{creationTimestamp: "{year}-01-02T03:04:05Z", ')

    world = World()
    for namespace in ("istio-system", "default"):
        world.apply(at(telemetry(f"z-{namespace}", namespace), 2024), at(telemetry(f"a-{namespace}", namespace), 2025))
    world.apply(at(telemetry("y", selector="app: a"), 2024), at(telemetry("b", selector="version: v1"), 2025))
    assert world.providers(APP_A) == ["z-istio-system", "z-default", "y"]


def test_of_those_of_one_moment_the_first_by_name_counts() -> None:
    world = World()
    world.apply(
        telemetry("z"), telemetry("y"), telemetry("w", selector="version: v1"), telemetry("v", selector="app: a")
    )
    assert world.providers(APP_A) == ["y", "v"]


def test_a_selector_in_the_root_namespace_is_about_that_namespace() -> None:
    world = World()
    assert world.apply(telemetry("a", "istio-system", "app: a")) == set()


def test_a_change_concerns_those_whom_it_is_about() -> None:
    world = World()
    assert world.apply(telemetry("own", selector="app: b")) == {APP_B}
    assert world.apply(telemetry("space", "other")) == {OTHER}
    assert world.apply(telemetry("wide", "istio-system")) == {APP_A, APP_B, OTHER}
