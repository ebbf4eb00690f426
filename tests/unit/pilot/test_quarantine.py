"""Whose patch is to blame for a refusal, and who gets another chance."""

from __future__ import annotations

from argosy.api import Object, decode_object, parse_documents
from argosy.core.names import ObjectKey
from argosy.pilot.quarantine import Quarantine
from argosy.xds.messages import ResourceRef

LISTENER, CLUSTER = ResourceRef("Listener", "virtualInbound"), ResourceRef("Cluster", "web")
POD = ObjectKey("default", "web-1")


def key(name: str) -> ObjectKey:
    return ObjectKey("default", name)


def envoy_filter(name: str, priority: int = 0) -> Object[object]:
    head = f"apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: {name}}}\n"
    (document,) = parse_documents(f"{head}spec: {{priority: {priority}}}")
    return decode_object(document)


def with_filters(*names: str) -> Quarantine:
    made = Quarantine()
    for name in names:
        made.note(key(name), envoy_filter(name))
    return made


def refuse(one: Quarantine, ref: ResourceRef, *suspects: str) -> list[str]:
    return [found.name for found in one.judge(ref, [key(name) for name in suspects], POD, "no such thing")]


def test_the_filter_that_came_last_is_left_out() -> None:
    one = with_filters("a", "b")
    assert refuse(one, LISTENER, "a", "b") == ["b"]
    assert (one.held[key("b")].ref, one.held[key("b")].text) == (LISTENER, "no such thing")


def test_what_is_refused_without_patches_is_nobodys_fault() -> None:
    one = with_filters("a")
    assert refuse(one, LISTENER, "a") == ["a"]
    assert refuse(one, LISTENER) == ["a"]
    assert one.held == {}
    assert refuse(one, LISTENER, "a") == []
    assert refuse(one, CLUSTER, "a") == ["a"]


def test_what_is_refused_of_others_leaves_a_filter_where_it_is() -> None:
    one = with_filters("a")
    refuse(one, LISTENER, "a")
    assert refuse(one, CLUSTER) == []
    assert key("a") in one.held


def test_the_innocent_come_back_one_by_one() -> None:
    """Two guilty ones, and a newer one that is well."""
    one = with_filters("bad-1", "bad-2", "good")
    left_out = [refuse(one, LISTENER, "bad-1", "bad-2", "good"), refuse(one, LISTENER, "bad-1", "bad-2")]
    left_out.append(refuse(one, LISTENER, "bad-1"))
    assert left_out == [["good"], ["bad-2"], ["bad-1"]]
    assert one.accepted(LISTENER) == [key("good")]
    assert one.accepted(LISTENER) == [key("bad-2")]
    assert refuse(one, LISTENER, "good", "bad-2") == ["bad-2"]
    assert one.accepted(LISTENER) == [key("bad-1")]
    assert refuse(one, LISTENER, "good", "bad-1") == ["bad-1"]
    assert one.accepted(LISTENER) == []
    assert set(one.held) == {key("bad-1"), key("bad-2")}


def test_one_that_came_back_and_is_refused_again_stays_out() -> None:
    one = with_filters("bad-1", "bad-2")
    refuse(one, LISTENER, "bad-1", "bad-2")
    refuse(one, LISTENER, "bad-1")
    assert one.accepted(LISTENER) == [key("bad-2")]
    assert refuse(one, LISTENER, "bad-2") == ["bad-2"]
    assert one.accepted(LISTENER) == [key("bad-1")]
    assert refuse(one, LISTENER, "bad-1") == ["bad-1"]
    assert one.accepted(LISTENER) == []
    assert set(one.held) == {key("bad-1"), key("bad-2")}


def test_a_filter_that_is_edited_or_deleted_is_judged_anew() -> None:
    one = with_filters("a")
    refuse(one, LISTENER, "a")
    assert not one.note(key("a"), envoy_filter("a"))
    assert one.note(key("a"), envoy_filter("a", priority=1))
    assert refuse(one, LISTENER, "a") == ["a"]
    assert one.note(key("a"), None)
    assert one.held == {}
    assert refuse(one, LISTENER, "a") == []
