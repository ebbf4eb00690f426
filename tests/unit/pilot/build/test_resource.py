"""From messages to resources: deterministic, versioned by content, knowing what they need."""

from __future__ import annotations

from argosy.core.errors import Origin
from argosy.envoy.api import message
from argosy.pilot.build.resource import CLUSTER, LISTENER, ORDER, ROUTE, VIRTUAL_HOST, origin_fields, resource
from argosy.xds.messages import ResourceRef

CLUSTER_MESSAGE = "envoy.config.cluster.v3.Cluster"


def test_equal_content_has_an_equal_version() -> None:
    one, same = (resource("a", message(CLUSTER_MESSAGE)(name="a")) for _ in range(2))
    other = resource("a", message(CLUSTER_MESSAGE)(name="a", type="EDS"))
    assert one == same
    assert one != other
    assert one.type_url == CLUSTER


def test_clusters_are_required_once_each() -> None:
    made = resource("a", message(CLUSTER_MESSAGE)(name="a"), clusters=["y", "x", "y"])
    assert made.requires == (ResourceRef(CLUSTER, "x"), ResourceRef(CLUSTER, "y"))


def test_what_is_referred_to_comes_first() -> None:
    assert ORDER.index(CLUSTER) < ORDER.index(LISTENER) < ORDER.index(ROUTE) < ORDER.index(VIRTUAL_HOST)


def test_an_origin_names_object_and_line() -> None:
    assert origin_fields("Gateway", "shop", "front", Origin("a.yaml", 3)) == {
        "kind": "Gateway",
        "object": "shop/front",
        "origin": "a.yaml:3",
    }
    assert "origin" not in origin_fields("Gateway", "shop", "front", Origin())
