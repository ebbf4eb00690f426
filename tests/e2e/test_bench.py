"""The benchmark's promises, over real gRPC with mutual TLS, with a thousand proxies in a process of their own."""

from __future__ import annotations

import pytest
from bench.run import Run, measure

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PROXIES = 1000
SERVICES = 100
RSS_MB_MAX = 150


@pytest.fixture(scope="module")
def run() -> Run:
    return measure(SERVICES, PROXIES)


def test_an_endpoint_change_is_one_resource_for_each_proxy(run: Run) -> None:
    assert run.endpoint.ran == {"endpoints": 1, "identities": 1, "ruled_endpoints": 1, "assignments": 1}
    assert (run.endpoint.encoded, run.endpoint.messages, run.endpoint.resources_sent) == (1, PROXIES, PROXIES)


def test_a_route_change_is_one_resource_for_each_proxy(run: Run) -> None:
    assert run.route.ran == {"virtual_services": 2, "virtual_hosts": 2}
    assert (run.route.encoded, run.route.messages, run.route.resources_sent) == (2, PROXIES, PROXIES)


def test_proxies_that_connect_cost_no_building(run: Run) -> None:
    """Classes that were built are only sent: each type to each proxy in one response at this size."""
    assert (run.connect.encoded, run.connect.messages) == (0, 5 * PROXIES)
    assert run.reconnects == 0


def test_a_thousand_proxies_cost_little_memory(run: Run) -> None:
    assert run.rss_connected_mb - run.rss_built_mb <= RSS_MB_MAX
