"""Assignments: which addresses, with what labels and what the client must know of each."""

from __future__ import annotations

from typing import Any

from argosy.core.frozen import FrozenMap
from argosy.core.protocols import Protocol
from argosy.pilot.build.endpoints import build_assignment, workload_tag
from argosy.pilot.endpoint import Endpoint, HostPort
from argosy.testing.worlds import as_json

V1 = Endpoint("10.88.0.1", FrozenMap({"version": "v1"}), FrozenMap({"web": 8081}), "shop", "web", "web-v1", True)
V2 = Endpoint("10.88.0.2", FrozenMap({"version": "v2"}), FrozenMap({}), "shop", "web", "web-v2", False, 3)


def hosts(port: HostPort, labels: dict[str, str]) -> list[dict[str, Any]]:
    made = as_json(build_assignment(name="n", port=port, labels=labels, endpoints=((V1, True), (V2, False))))
    return [one for group in made.get("endpoints", []) for one in group["lb_endpoints"]]


def test_endpoints_carry_mode_weight_and_workload() -> None:
    first, second = hosts(HostPort(80, "http", Protocol.HTTP, 8080), {})
    assert first["endpoint"]["address"]["socket_address"] == {"address": "10.88.0.1", "port_value": 8080}
    assert first["metadata"]["filter_metadata"] == {
        "envoy.transport_socket_match": {"tlsMode": "istio"},
        "argosy": {"workload": workload_tag("shop", "web-v1")},
    }
    assert second["load_balancing_weight"] == 3
    assert second["metadata"]["filter_metadata"] == {"argosy": {"workload": "web-v2.shop.workload"}}


def test_a_subset_has_those_with_its_labels() -> None:
    (only,) = hosts(HostPort(80, "http", Protocol.HTTP), {"version": "v2"})
    assert only["endpoint"]["address"]["socket_address"]["address"] == "10.88.0.2"


def test_a_named_target_port_is_looked_up_in_each_pod() -> None:
    (only,) = hosts(HostPort(80, "http", Protocol.HTTP, "web"), {})
    assert only["endpoint"]["address"]["socket_address"] == {"address": "10.88.0.1", "port_value": 8081}


def test_without_endpoints_there_is_an_empty_assignment() -> None:
    made = build_assignment(name="n", port=HostPort(80, "http", Protocol.HTTP), labels={}, endpoints=())
    assert as_json(made) == {"cluster_name": "n"}
