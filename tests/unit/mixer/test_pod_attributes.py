"""Pods and services as attributes."""

from __future__ import annotations

from argosy.core.frozen import FrozenMap
from argosy.flow.workload import ContainerRef, PodRef, ServiceRef
from argosy.mixer.attributes import Value
from argosy.mixer.pod_attributes import put_pod, put_service


def test_a_pod_has_names_identities_and_the_container_that_listens() -> None:
    web, log = ContainerRef("web", "example/web:1", (8080,)), ContainerRef("log", "example/log:1")
    pod = PodRef("ns", "web-1", "10.0.0.1", FrozenMap({"app": "web"}), "web", containers=(web, log))
    made: dict[str, Value] = {}
    put_pod(made, "destination", pod, port=8080)
    assert made == {
        "destination.labels": {"app": "web"},
        "destination.namespace": "ns",
        "destination.serviceAccount": "web",
        "destination.name": "web-1",
        "destination.uid": "kubernetes://web-1.ns",
        "destination.container.name": "web",
        "destination.container.image": "example/web:1",
    }
    # Two containers, of which none says that it listens there.
    assert pod.container(9090) is None


def test_a_host_outside_has_no_uid() -> None:
    made: dict[str, Value] = {}
    put_service(made, ServiceRef("example.com", "example.com"))
    assert made == {"destination.service.host": "example.com", "destination.service.name": "example.com"}
