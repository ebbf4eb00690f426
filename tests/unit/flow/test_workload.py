"""References of workloads."""

from argosy.flow.workload import UNKNOWN, WorkloadRef, workload_ref


def test_app_and_version_come_from_labels() -> None:
    assert workload_ref("default", "reviews-v2", {"app": "reviews", "version": "v2"}) == WorkloadRef(
        "default", "reviews-v2", "reviews", "v2", "reviews", "v2"
    )


def test_canonical_names_prefer_the_istio_label_then_kubernetes_then_app() -> None:
    labels = {"app": "a", "app.kubernetes.io/name": "b", "service.istio.io/canonical-name": "c"}
    assert workload_ref("n", "w", labels).canonical_service == "c"
    del labels["service.istio.io/canonical-name"]
    assert workload_ref("n", "w", labels).canonical_service == "b"


def test_a_workload_without_labels_is_its_own_canonical_service_at_latest() -> None:
    found = workload_ref("n", "w", {})
    assert (found.canonical_service, found.canonical_revision, found.app) == ("w", "latest", "")


def test_gateways_are_known_by_their_label() -> None:
    assert workload_ref("istio-system", "gw", {"istio": "ingressgateway"}).gateway == "ingressgateway"
    assert workload_ref("istio-system", "x", {"istio": "pilot"}).gateway == ""


def test_unknown_has_no_name() -> None:
    assert not UNKNOWN.known
