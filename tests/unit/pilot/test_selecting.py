"""Objects with selectors are found by those whom they select, and read by nobody else."""

from __future__ import annotations

from argosy.api import Document, decode_object
from argosy.api.meta import Object
from argosy.core.names import ObjectKey
from argosy.incr import Change, Derived, Engine, Input, Reader
from argosy.pilot.selecting import about_all, selected_by, selecting, selector_of


def policy(name: str, **labels: str) -> Object[object]:
    spec = {"selector": {"matchLabels": labels}} if labels else {}
    meta = {"name": name, "namespace": "a"}
    return decode_object(
        Document({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": meta, "spec": spec})
    )


class Rig:
    def __init__(self) -> None:
        self.engine = Engine()
        self.policies: Input[ObjectKey, Object[object]] = self.engine.input("policies")
        self.index = self.engine.index("by_place", self.policies, selected_by)
        self.found: Derived[tuple[tuple[str, str], ...], tuple[str, ...]] = self.engine.derived("found", self._found)

    def _found(self, read: Reader, labels: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
        return tuple(one.name for one in selecting(read, self.index, "a", dict(labels)))

    def observe(self, **labels: str) -> tuple[str, ...] | None:
        return self.engine.observe(self.found, tuple(labels.items()))

    def set(self, one: Object[object]) -> dict[str, int]:
        return dict(self.engine.commit([Change(self.policies, one.key, one)]).ran)


def test_all_labels_of_a_selector_must_be_there() -> None:
    rig = Rig()
    for one in (policy("b", app="x"), policy("c", app="x", version="v1"), policy("a"), policy("d", version="v2")):
        rig.set(one)
    assert rig.observe(app="x", version="v1") == ("a", "b", "c")
    assert rig.observe(version="v1") == ("a",)
    assert rig.observe() == ("a",)


def test_a_change_concerns_only_who_may_be_selected() -> None:
    rig = Rig()
    rig.observe(app="x")
    rig.observe(app="y")
    assert rig.set(policy("one", app="x")) == {"found": 1}
    assert rig.set(policy("other", app="z")) == {}
    assert rig.set(policy("all")) == {"found": 2}


def test_those_about_all_are_those_without_a_selector() -> None:
    rig = Rig()
    rig.set(policy("one", app="x"))
    rig.set(policy("all"))
    found: Derived[str, tuple[str, ...]] = rig.engine.derived(
        "all", lambda read, _key: tuple(one.name for one in about_all(read, rig.index, "a"))
    )
    assert rig.engine.observe(found, "") == ("all",)
    assert (selector_of(policy("one", app="x")), selector_of(policy("all"))) == ({"app": "x"}, {})
