"""A change of any kind costs what it affects, however large the mesh is; a cold build costs what there is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bench.cold import build_cold
from bench.kinds import Cost, measure_kinds
from tests.cpu import slowness

from argosy.pilot.build import resource as resources

SMALL, LARGE = 100, 1000
COLD_CPU_S = 5.0
# Functions run, resources encoded, resources sent or taken away, and proxies (of twelve) that are told anything.
COSTS = {
    "endpoint: a pod is not ready any more": (5, 1, 12, 12),
    "Service: added": (27, 4, 35, 12),
    "Service: a port more": (21, 12, 79, 12),
    "Service: deleted": (24, 2, 92, 12),
    "VirtualService: rules changed": (4, 2, 11, 11),
    "VirtualService: rules at a gateway changed": (2, 1, 1, 1),
    "VirtualService: a host more at a gateway": (6, 4, 1, 1),
    "DestinationRule: added": (22, 10, 48, 12),
    "DestinationRule: changed": (10, 10, 48, 12),
    "Gateway: a port more": (8, 6, 4, 1),
    "ServiceEntry: added": (19, 3, 35, 12),
    "WorkloadGroup: added": (1, 0, 0, 0),
    "WorkloadEntry: added": (4, 1, 12, 12),
    "WorkloadGroup: changed": (4, 1, 12, 12),
    # Which VirtualServices hold for each of its five hosts is asked anew.
    "Sidecar: changed: it sees four": (20, 1, 5, 1),
    "Service: added, with the Sidecar there": (28, 4, 32, 11),
    "EnvoyFilter: added: one cluster of one workload": (11, 1, 2, 1),
    "ProxyConfig: added": (0, 0, 0, 0),
    "PeerAuthentication: added: one workload": (9, 3, 1, 1),
    "AuthorizationPolicy: added: one workload": (2, 3, 2, 1),
    "AuthorizationPolicy: deleted": (2, 3, 2, 1),
    # Each of the eleven classes of proxies with an inbound side is asked whether it is meant; one is built anew.
    "ClusterRbacConfig: roles hold for one service": (37, 3, 1, 1),
    "ClusterRbacConfig: they are only tried": (26, 3, 1, 1),
    "ServiceRole: bound: of that service": (4, 3, 1, 1),
    "ServiceRole: bound: of another service": (0, 0, 0, 0),
    "ClusterRbacConfig: deleted": (14, 3, 1, 1),
    "mesh configuration: unknown hosts are refused": (14, 8, 88, 11),
}


@pytest.fixture(scope="module")
def costs() -> Iterator[dict[int, dict[str, Cost]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "content_version", resources.content_version)  # put back what counts
        yield {size: {one.title: one for one in measure_kinds(size)} for size in (SMALL, LARGE)}


def counts(cost: Cost) -> tuple[int, int, int, int]:
    return cost.ran, cost.encoded, cost.sent, cost.proxies


@pytest.mark.timeout(300)
@pytest.mark.parametrize("title", COSTS)
def test_a_change_costs_what_it_affects(costs: dict[int, dict[str, Cost]], title: str) -> None:
    small, large = costs[SMALL][title], costs[LARGE][title]
    assert counts(small) == COSTS[title], small
    assert counts(large) == COSTS[title], large


def test_a_sidecar_costs_what_it_lets_through_and_takes_the_rest_away(costs: dict[int, dict[str, Cost]]) -> None:
    for size in (SMALL, LARGE):
        added = costs[size]["Sidecar: added: one workload sees five hosts"]
        assert (added.ran, added.encoded, added.proxies) == (43, 6, 1)
        deleted = costs[size]["Sidecar: deleted"]
        # Nobody else in its namespace has a proxy: the hosts that are called by short names from there are built anew.
        assert deleted.encoded <= size / 10 + 1
        assert deleted.proxies == 1


def test_a_default_of_all_routes_costs_all_routes_and_nothing_else(costs: dict[int, dict[str, Cost]]) -> None:
    for size in (SMALL, LARGE):
        cost = costs[size]["mesh configuration: other retries for all routes"]
        assert set(cost.functions) == {"mesh_settings", "settings_aspect", "virtual_hosts", "gateway_host"}
        assert cost.functions["virtual_hosts"] + cost.functions["gateway_host"] == cost.encoded == 3 * size + 4


def test_every_change_is_held_by_a_test(costs: dict[int, dict[str, Cost]]) -> None:
    others = {
        "Sidecar: added: one workload sees five hosts",
        "Sidecar: deleted",
        "mesh configuration: other retries for all routes",
    }
    assert set(costs[SMALL]) == COSTS.keys() | others


@pytest.mark.timeout(300)
def test_a_cold_build_of_a_thousand_services_takes_less_than_five_seconds_of_cpu() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resources, "content_version", resources.content_version)
        built = build_cold(1000, 1000, 500)
    print(built)
    # Of each service a cluster, endpoints and two virtual hosts, and of each subset the first two.
    assert built.encoded > 4 * 1000 + 2 * 500
    assert built.cpu_s < COLD_CPU_S * slowness()
