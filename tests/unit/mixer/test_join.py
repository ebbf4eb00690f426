"""Few tags to Istio's labels (reference of the standard metrics)."""

from argosy.flow.directory import MeshDirectory
from argosy.flow.workload import UNKNOWN, ServiceRef
from argosy.mixer.join import STANDARD_LABELS, join

from .mesh import DIRECTORY, PODS, TRUST, node, tags


def test_source_report_has_istios_full_label_set() -> None:
    assert dict(join(DIRECTORY, node("productpage-v1"), tags()).labels) == {
        "reporter": "source",
        "source_workload": "productpage-v1",
        "source_workload_namespace": "default",
        "source_principal": f"{TRUST}/default/sa/bookinfo-productpage",
        "source_app": "productpage",
        "source_version": "v1",
        "source_canonical_service": "productpage",
        "source_canonical_revision": "v1",
        "source_cluster": "Kubernetes",
        "destination_workload": "reviews-v2",
        "destination_workload_namespace": "default",
        "destination_principal": f"{TRUST}/default/sa/bookinfo-reviews",
        "destination_app": "reviews",
        "destination_version": "v2",
        "destination_canonical_service": "reviews",
        "destination_canonical_revision": "v2",
        "destination_cluster": "Kubernetes",
        "destination_service": "reviews.default.svc.cluster.local",
        "destination_service_name": "reviews",
        "destination_service_namespace": "default",
        "request_protocol": "http",
        "response_code": "200",
        "response_flags": "-",
        "connection_security_policy": "unknown",
    }


def test_both_sides_agree_on_who_talks_to_whom() -> None:
    ours = dict(join(DIRECTORY, node("productpage-v1"), tags()).labels)
    theirs = dict(
        join(
            DIRECTORY,
            node("reviews-v2"),
            tags(
                reporter="destination", peer="productpage-v1.default.workload", security="mutual_tls",
                peer_id=f"{TRUST}/default/sa/bookinfo-productpage",
            ),
        ).labels
    )  # fmt: skip
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing == {"reporter", "connection_security_policy"}
    assert theirs["connection_security_policy"] == "mutual_tls"


def test_grpc_calls_have_a_status() -> None:
    labels = dict(join(DIRECTORY, node("productpage-v1"), tags(protocol="grpc", grpc="14")).labels)
    assert (labels["request_protocol"], labels["grpc_response_status"]) == ("grpc", "14")


def test_tcp_has_no_response_code() -> None:
    labels = dict(join(DIRECTORY, node("productpage-v1"), tags(protocol="tcp", code="")).labels)
    assert "response_code" not in labels
    assert labels["request_protocol"] == "tcp"


def test_a_plaintext_caller_is_named_by_the_registry_but_has_no_principal() -> None:
    joined = join(
        DIRECTORY, node("reviews-v2"), tags(reporter="destination", peer="", peer_id="", peer_ip="10.88.0.8:41234")
    )
    labels = dict(joined.labels)
    assert (labels["source_workload"], labels["source_principal"]) == ("client", "unknown")
    assert (labels["connection_security_policy"], labels["destination_principal"]) == ("none", "unknown")
    assert joined.flow.source_address == ""


def test_an_unknown_plaintext_caller_keeps_its_address_in_the_flow_only() -> None:
    joined = join(DIRECTORY, node("reviews-v2"), tags(reporter="destination", peer="", peer_id="", peer_ip="10.88.9.9"))
    assert dict(joined.labels)["source_workload"] == "unknown"
    assert (joined.flow.source, joined.flow.source_address) == (UNKNOWN, "10.88.9.9")


def test_a_peer_that_the_registry_does_not_know_keeps_its_certified_name() -> None:
    labels = dict(join(DIRECTORY, node("productpage-v1"), tags(peer="new-v1.shop.workload")).labels)
    assert (labels["destination_workload"], labels["destination_workload_namespace"]) == ("new-v1", "shop")
    assert labels["destination_app"] == "unknown"


def test_passthrough_and_blackhole_are_service_names() -> None:
    labels = dict(
        join(DIRECTORY, node("productpage-v1"), tags(peer="", peer_id="", service="PassthroughCluster")).labels
    )
    assert labels["destination_service_name"] == "PassthroughCluster"
    assert labels["destination_service"] == "unknown"


def test_a_call_that_reached_nobody_says_nothing_about_security() -> None:
    assert (
        join(DIRECTORY, node("productpage-v1"), tags(peer="", peer_id="", code="503", flags="UH")).flow.security
        == "unknown"
    )


def test_a_successful_call_without_certificate_was_plaintext() -> None:
    assert join(DIRECTORY, node("productpage-v1"), tags(peer_id="")).flow.security == "none"


def test_an_unknown_reporter_is_unknown_not_an_error() -> None:
    labels = dict(join(DIRECTORY, node("gone"), ()).labels)
    assert labels["destination_workload"] == "unknown"
    assert labels["destination_workload_namespace"] == "default"


def test_a_connection_that_ended_before_its_certificate_is_named_by_its_address() -> None:
    tag = tags(reporter="destination", peer="10.88.0.8", peer_id="", security="mutual_tls", flags="UF,URX")
    joined = join(DIRECTORY, node("reviews-v2"), tag)
    labels = dict(joined.labels)
    assert (labels["source_workload"], labels["source_principal"]) == ("client", "unknown")
    assert labels["connection_security_policy"] == "unknown", "nobody proved anything"
    assert joined.flow.security == "unknown"


def test_the_name_in_a_foreign_certificate_is_nobodys_address_and_no_proof_of_plaintext() -> None:
    joined = join(
        DIRECTORY, node("productpage-v1"), tags(peer="www.example.com", peer_id="", service="www.example.com")
    )
    assert joined.flow.destination == UNKNOWN
    assert joined.flow.security == "unknown"


def test_a_server_with_a_certificate_of_its_own_is_known_by_its_service() -> None:
    """Only where one workload alone can have answered."""
    host = "reviews.default.svc.cluster.local"
    services = [ServiceRef(host, "reviews", "default")]
    found = []
    for labels in ({"app": "reviews", "version": "v2"}, {"app": "reviews"}):
        directory = MeshDirectory(PODS, services, {host: labels})
        joined = join(directory, node("productpage-v1"), tags(peer="reviews.example.com", peer_id=""))
        found.append((joined.flow.destination.name, joined.flow.security))
    assert found == [("reviews-v2", "unknown"), ("", "unknown")]


def test_what_a_proxy_refuses_has_the_name_of_the_black_hole() -> None:
    labels = dict(join(DIRECTORY, node("productpage-v1"), tags(peer="", peer_id="", service="BlackHoleCluster")).labels)
    assert (labels["destination_service_name"], labels["destination_service"]) == ("BlackHoleCluster", "unknown")


def test_a_pod_that_is_called_by_its_address_is_known_by_its_certificate() -> None:
    joined = join(DIRECTORY, node("productpage-v1"), tags(service="PassthroughCluster"))
    assert joined.flow.destination.name == "reviews-v2"
    assert joined.flow.service.name == "PassthroughCluster"


def test_standard_labels_are_all_there_is() -> None:
    """Literally those of Istio's reference, and no more."""
    http = {name for name, _ in join(DIRECTORY, node("productpage-v1"), tags(protocol="grpc", grpc="0")).labels}
    assert http == STANDARD_LABELS
    tcp = {name for name, _ in join(DIRECTORY, node("productpage-v1"), tags(protocol="tcp")).labels}
    assert tcp == STANDARD_LABELS - {"response_code", "grpc_response_status"}
    plain = {name for name, _ in join(DIRECTORY, node("productpage-v1"), tags()).labels}
    assert plain == STANDARD_LABELS - {"grpc_response_status"}


def test_a_grpc_call_that_never_got_a_status_is_a_grpc_call() -> None:
    labels = dict(join(DIRECTORY, node("productpage-v1"), tags(protocol="grpc", grpc="")).labels)
    assert (labels["request_protocol"], labels["grpc_response_status"]) == ("grpc", "")


def test_telemetry_objects_remove_change_and_add_labels() -> None:
    """Attributes of the other end come from the directory; all else from the proxy."""
    given = (
        *tags(),
        ("drop", "source_version,response_flags"),
        ("request_host", "reviews"),
        ("destination_version", "next"),
        ("peer.destination_x", "labels:app:"),
        ("peer.who", "name::"),
        ("peer.none", "labels:nowhere:none at all"),
        ("tag.service", "mine"),
        ("empty", ""),
    )
    labels = dict(join(DIRECTORY, node("productpage-v1"), given).labels)
    assert not {"source_version", "response_flags", "drop"} & labels.keys()
    wanted = {
        "request_host": "reviews",
        "destination_version": "next",
        "destination_x": "reviews",
        "who": "reviews-v2-x",
        "none": "none at all",
        "service": "mine",
        "empty": "unknown",
    }
    assert wanted.items() <= labels.items()


def test_nothing_is_known_of_a_peer_that_the_directory_does_not_have() -> None:
    given = (*tags(peer=""), ("peer.destination_x", "labels:app:"))
    assert dict(join(DIRECTORY, node("productpage-v1"), given).labels)["destination_x"] == "unknown"
