"""Names that several packages agree on: keys and cluster names, there and back."""

import pytest

from argosy.core.names import (
    ClusterName,
    ObjectKey,
    gateway_key,
    gateway_name,
    inbound_cluster,
    outbound_cluster,
    parse_cluster_name,
    service_of_cluster,
    sni_cluster,
)


def test_a_key_is_written_with_its_namespace_if_it_has_one() -> None:
    assert str(ObjectKey("default", "reviews")) == "default/reviews"
    assert str(ObjectKey("", "default")) == "default"


def test_keys_are_ordered_by_namespace_and_then_by_name() -> None:
    keys = [ObjectKey("b", "a"), ObjectKey("a", "b"), ObjectKey("", "z"), ObjectKey("a", "a")]
    assert sorted(keys) == [("", "z"), ("a", "a"), ("a", "b"), ("b", "a")]


@pytest.mark.parametrize(
    "name, text, parts",
    [
        (
            outbound_cluster("reviews.default.svc.cluster.local", 9080, "v1"),
            "outbound|9080|v1|reviews.default.svc.cluster.local",
            ClusterName("outbound", 9080, "v1", "reviews.default.svc.cluster.local"),
        ),
        (outbound_cluster("a.com", 443), "outbound|443||a.com", ClusterName("outbound", 443, "", "a.com")),
        (outbound_cluster("*.a.com", 443), "outbound|443||*.a.com", ClusterName("outbound", 443, "", "*.a.com")),
        (inbound_cluster(8080), "inbound|8080||", ClusterName("inbound", 8080, "", "")),
    ],
)
def test_a_cluster_name_goes_there_and_back(name: str, text: str, parts: ClusterName) -> None:
    assert name == text
    assert parse_cluster_name(name) == parts
    assert str(parts) == name


@pytest.mark.parametrize(
    "name",
    ["", "PassthroughCluster", "outbound|80|v1", "outbound|80|v1|a|b", "outbound||v1|a", "outbound|x|v1|a", "a|-1|b|c"],
)
def test_other_names_have_no_parts(name: str) -> None:
    assert parse_cluster_name(name) is None


@pytest.mark.parametrize(
    ("cluster", "service"),
    [
        (outbound_cluster("a.shop.svc.cluster.local", 80, "v1"), "a.shop.svc.cluster.local"),
        (sni_cluster("a.shop.svc.cluster.local", 80, "v1"), "a.shop.svc.cluster.local"),
        (sni_cluster("*.a.com", 443), "*.a.com"),
        (inbound_cluster(8080), ""),
        ("PassthroughCluster", "PassthroughCluster"),
        ("DirectPodCluster", "PassthroughCluster"),
        ("BlackHoleCluster", "BlackHoleCluster"),
        ("InboundPassthroughCluster", "InboundPassthroughCluster"),
        ("somebodys-own", ""),
        ("", ""),
    ],
)
def test_a_cluster_says_which_service_is_called(cluster: str, service: str) -> None:
    assert service_of_cluster(cluster) == service


def test_a_digit_that_is_no_ascii_is_no_port() -> None:
    """`str.isdigit` takes a superscript for a digit, and `int` does not."""
    assert parse_cluster_name("outbound|²|v1|a.com") is None
    assert parse_cluster_name("outbound|٣|v1|a.com") is None


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("front", ("shop", "front")),
        ("front.v2", ("shop", "front.v2")),
        ("./front", ("shop", "front")),
        ("edge/front", ("edge", "front")),
        ("front.edge.svc.cluster.local", ("edge", "front")),
        ("a.front.edge.svc.cluster.local", ("shop", "a.front.edge.svc.cluster.local")),
    ],
)
def test_a_gateway_is_named_with_or_without_its_namespace(name: str, key: tuple[str, str]) -> None:
    assert gateway_key(name, "shop") == key
    assert gateway_name(name, "shop") == "/".join(key)


def test_the_mesh_is_no_gateway_of_a_namespace() -> None:
    assert gateway_name("mesh", "shop") == "mesh"
