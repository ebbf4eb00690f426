"""Attributes of a request."""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

from argosy.core.spiffe import parse_spiffe_id
from argosy.flow.directory import MeshDirectory
from argosy.flow.workload import ContainerRef
from argosy.mixer.attributes import VOCABULARY
from argosy.mixer.request import destination_attributes, find_asker, is_constant, node_belongs, request_attributes

from .mesh import DIRECTORY, PODS, TRUST, node
from .test_check import FACTS


def test_a_full_request_has_every_attribute_in_istios_form() -> None:
    facts = replace(
        FACTS, service="ratings.default.svc.cluster.local", path="/ratings/7?a=1&b", host="ratings:9080", scheme="http",
        request_id="id-1", size=12, requested_server_name="sni", headers={"User-Agent": "curl", ":path": "/x"},
    )  # fmt: skip
    bag = request_attributes(facts, DIRECTORY)
    assert set(bag) <= set(VOCABULARY)
    assert {name: bag[name] for name in bag if name.startswith("source.")} == {
        "source.ip": ip_address("10.88.0.5"),
        "source.labels": {"app": "reviews", "version": "v3"},
        "source.principal": "cluster.local/ns/default/sa/bookinfo-reviews",
        "source.user": "cluster.local/ns/default/sa/bookinfo-reviews",
        "source.namespace": "default",
        "source.serviceAccount": "bookinfo-reviews",
        "source.owner": "kubernetes://apis/apps/v1/namespaces/default/deployments/reviews-v3",
        "source.name": "reviews-v3-x",
        "source.uid": "kubernetes://reviews-v3-x.default",
        "source.workload.name": "reviews-v3",
        "source.workload.namespace": "default",
        "source.workload.uid": "istio://default/workloads/reviews-v3",
    }
    assert bag["destination.service.uid"] == "istio://default/services/ratings"
    assert bag["destination.uid"] == "kubernetes://ratings-v1-x.default"
    assert bag["request.headers"] == {"user-agent": "curl"}
    assert bag["request.query_params"] == {"a": "1", "b": ""}
    assert (bag["request.path"], bag["request.url_path"], bag["request.size"]) == ("/ratings/7?a=1&b", "/ratings/7", 12)
    assert (bag["context.protocol"], bag["connection.mtls"]) == ("http", True)


def test_grpc_is_known_by_its_content_type() -> None:
    facts = replace(FACTS, headers={"content-type": "application/grpc+proto"})
    assert request_attributes(facts, DIRECTORY)["context.protocol"] == "grpc"


def test_a_check_knows_when_it_is_and_who_connected() -> None:
    """As in Istio 1.4: rules about the time of day, and `apikey` instances with a `timestamp`, need it."""
    bag = request_attributes(replace(FACTS, time=86_400.5), DIRECTORY)
    assert bag["request.time"] == datetime(1970, 1, 2, 0, 0, 0, 500_000, UTC)
    assert bag["origin.ip"] == ip_address(FACTS.source_address)
    assert "context.time" not in bag
    connection = request_attributes(replace(FACTS, protocol="tcp", time=60.0), DIRECTORY)
    assert connection["context.time"] == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)


def test_a_request_without_parameters_has_no_map_of_them() -> None:
    assert "request.query_params" not in request_attributes(replace(FACTS, path="/ratings/7"), DIRECTORY)
    bag = request_attributes(replace(FACTS, path="/ratings/7?key=good&key=bad"), DIRECTORY)
    assert bag["request.query_params"] == {"key": "good"}


def test_a_token_tells_who_sends_the_request() -> None:
    claims = {"iss": "shop", "sub": "kim", "aud": "till", "groups": ["sales", "night"], "level": 3.0}
    bag = request_attributes(replace(FACTS, claims=claims), DIRECTORY)
    assert {name: bag[name] for name in bag if name.startswith("request.auth.")} == {
        "request.auth.principal": "shop/kim",
        "request.auth.audiences": "till",
        "request.auth.claims": {"iss": "shop", "sub": "kim", "aud": "till", "groups": "sales,night"},
        "request.auth.raw_claims": '{"aud":"till","groups":["sales","night"],"iss":"shop","level":3,"sub":"kim"}',
    }
    assert set(bag) <= set(VOCABULARY)
    assert not [name for name in request_attributes(FACTS, DIRECTORY) if name.startswith("request.auth.")]


def test_tcp_has_no_request() -> None:
    bag = request_attributes(replace(FACTS, protocol="tcp", claims={"sub": "kim"}), DIRECTORY)
    assert not [name for name in bag if name.startswith("request.")]


def test_a_principal_that_is_no_spiffe_id_is_nobody() -> None:
    bag = request_attributes(replace(FACTS, source_principal="spiffe://bad domain/x"), DIRECTORY)
    assert "source.principal" not in bag
    assert bag["source.labels"] == {}


def test_a_workloads_constant_attributes() -> None:
    bag = destination_attributes(PODS[3])
    assert bag["destination.principal"] == "cluster.local/ns/default/sa/bookinfo-ratings"
    assert bag["destination.workload.name"] == "ratings-v1"
    assert "destination.name" not in bag


def test_a_node_belongs_to_its_pods_identity_only() -> None:
    reviews, other = (
        parse_spiffe_id(f"{TRUST}/default/sa/{name}") for name in ("bookinfo-reviews", "bookinfo-ratings")
    )
    assert node_belongs(DIRECTORY, reviews, node("reviews-v2"))
    assert not node_belongs(DIRECTORY, other, node("reviews-v2"))
    assert node_belongs(DIRECTORY, other, node("just-started"))
    assert not node_belongs(DIRECTORY, other, node("just-started", "prod"))


def test_who_asks_is_the_pod_at_the_address_with_the_callers_identity() -> None:
    ratings, gateway = (
        parse_spiffe_id(f"{TRUST}/default/sa/bookinfo-ratings"),
        parse_spiffe_id(f"{TRUST}/istio-system/sa/gateway"),
    )
    found = find_asker(DIRECTORY, ratings, "10.88.0.6")
    assert found is not None
    assert (found.namespace, found.pod) == ("default", "ratings-v1-x")
    assert find_asker(DIRECTORY, ratings, "10.88.0.5") is None
    assert find_asker(DIRECTORY, ratings, "10.99.0.1") is None
    asker = find_asker(DIRECTORY, gateway, "10.88.0.7")
    assert asker is not None
    assert asker.id.startswith("router~")


def test_at_a_gateway_the_gateway_is_the_source_and_nobody_the_destination() -> None:
    asker = find_asker(DIRECTORY, parse_spiffe_id(f"{TRUST}/istio-system/sa/gateway"), "10.88.0.7")
    assert asker is not None
    facts = replace(FACTS, node=asker, source_address="192.0.2.1", service="reviews.default.svc.cluster.local")
    bag = request_attributes(facts, DIRECTORY)
    assert (bag["context.reporter.kind"], bag["source.workload.name"]) == ("outbound", "istio-ingressgateway")
    assert (bag["source.ip"], bag["source.namespace"]) == (ip_address("192.0.2.1"), "istio-system")
    assert bag["source.principal"] == "cluster.local/ns/default/sa/bookinfo-reviews"
    assert bag["destination.service.name"] == "reviews"
    assert bag["destination.labels"]["app"] == ""  # type: ignore[index,call-overload]
    assert "destination.workload.name" not in bag


def test_a_pod_is_a_gateway_by_what_it_runs_and_not_by_its_labels() -> None:
    pod = replace(PODS[0], name="edge-x", address="10.88.0.99", router=True)
    asker = find_asker(MeshDirectory([pod]), parse_spiffe_id(pod.principal), pod.address)
    assert asker is not None
    assert asker.id.startswith("router~")


def test_the_container_is_the_one_that_listens_where_the_request_went() -> None:
    two = (ContainerRef("page", "shop/page", (8080,)), ContainerRef("admin", "shop/admin", (9090,)))
    directory = MeshDirectory([replace(one, containers=two) for one in PODS])
    for port, name in ((8080, "page"), (9090, "admin"), (1, None)):
        bag = request_attributes(replace(FACTS, destination_port=port), directory)
        assert bag.get("destination.container.name") == name
    assert not is_constant("destination.container.name", gateway=False)
