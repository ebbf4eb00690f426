"""The directory."""

from argosy.core.frozen import FrozenMap
from argosy.flow.directory import MeshDirectory, service_ref
from argosy.flow.workload import NO_SERVICE, PodRef, ServiceRef, workload_ref

REVIEWS = workload_ref("default", "reviews-v1", {"app": "reviews"})
POD = PodRef("default", "reviews-v1-a", "10.88.0.2", workload=REVIEWS)
DIRECTORY = MeshDirectory([POD], [ServiceRef("db.example.com", "db.example.com", "prod")], revision=3)


def test_pods_are_found_by_name_and_by_address() -> None:
    assert DIRECTORY.pod("default", "reviews-v1-a") is POD
    assert DIRECTORY.pod_at("10.88.0.2") is POD
    assert DIRECTORY.pod_at("") is None


def test_workloads_are_known_by_their_pods() -> None:
    assert DIRECTORY.workload("default", "reviews-v1") == REVIEWS
    assert DIRECTORY.pods_of("default", "reviews-v1") == (POD,)
    assert DIRECTORY.workload("default", "ratings-v1") is None


def test_what_a_service_leads_to_is_told_where_it_is_one_workload() -> None:
    host, labels = "reviews.default.svc.cluster.local", FrozenMap({"app": "reviews"})
    other = workload_ref("default", "reviews-v2", labels)
    pods = [PodRef("default", f"{one.name}-a", "", labels=labels, workload=one) for one in (REVIEWS, other)]
    services = [ServiceRef(host, "reviews", "default")]
    assert MeshDirectory(pods[:1], services, {host: labels}).only_workload_of(host) == REVIEWS
    assert MeshDirectory(pods, services, {host: labels}).only_workload_of(host) is None
    assert MeshDirectory(pods, services).only_workload_of(host) is None


def test_services_are_named_by_the_registry_else_by_their_host() -> None:
    assert service_ref(DIRECTORY, "db.example.com").namespace == "prod"
    assert service_ref(DIRECTORY, "a.b.svc.cluster.local") == ServiceRef("a.b.svc.cluster.local", "a", "b")
    assert service_ref(DIRECTORY, "example.org") == ServiceRef("example.org", "example.org", "")
    assert service_ref(DIRECTORY, "") == NO_SERVICE
