"""Which listeners tell what a pod counts, to whom."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.agent.bootstrap_metrics import metrics_clusters, metrics_listeners
from argosy.agent.pod import Metrics
from argosy.envoy import api

HEALTH = {"match": {"path": "/healthz/ready"}, "route": {"cluster": "argosy-admin"}}
TLS = {"alpn_protocols": ["h2"]}


def listeners(metrics: Metrics) -> dict[str, dict[str, Any]]:
    """By address; Envoy's descriptors can read them."""
    made = metrics_listeners(metrics, "/proxy", HEALTH, TLS)
    for one in made:
        api.from_dict("envoy.config.listener.v3.Listener", one)
    return {address(one): one for one in made}


def address(listener: dict[str, Any]) -> str:
    place = listener["address"]
    if "pipe" in place:
        return str(place["pipe"]["path"])
    return f"{place['socket_address']['address']}:{place['socket_address']['port_value']}"


def rewrites(listener: dict[str, Any]) -> dict[str, str]:
    """What the paths of a listener become."""
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    return {one["match"]["path"]: one["route"].get("prefix_rewrite", "") for one in routes}


def test_a_pod_tells_its_own_metrics_and_all_together() -> None:
    made = listeners(Metrics())
    assert set(made) == {"0.0.0.0:15090", "0.0.0.0:15020"}
    assert rewrites(made["0.0.0.0:15090"]) == {"/stats/prometheus": "/stats/prometheus"}
    assert rewrites(made["0.0.0.0:15020"]) == {"/stats/prometheus": "/merged", "/healthz/ready": ""}
    assert len(metrics_clusters(Metrics(), "/proxy")) == 1


def test_the_application_is_asked_where_it_tells_something() -> None:
    metrics = Metrics(port=8000, path="/own")
    made = listeners(metrics)
    assert rewrites(made["/proxy/application.sock"]) == {"/stats/prometheus": "/own"}
    _, application = metrics_clusters(metrics, "/proxy")
    api.from_dict("envoy.config.cluster.v3.Cluster", application)
    assert "8000" in str(application)


@pytest.mark.parametrize("metrics", [Metrics(port=80, merged=False), Metrics(port=80, scheme="https"), Metrics()])
def test_otherwise_it_is_not(metrics: Metrics) -> None:
    assert not any("application" in one for one in listeners(metrics))
    assert len(metrics_clusters(metrics, "/proxy")) == 1


def test_a_hardened_pod_wants_certificates_from_outside() -> None:
    made = listeners(Metrics(secure_port=15091, secure_merged_port=15092, local_only=True))
    assert set(made) == {"127.0.0.1:15090", "127.0.0.1:15020", "0.0.0.0:15091", "0.0.0.0:15092"}
    for place, one in made.items():
        socket = one["filter_chains"][0].get("transport_socket")
        assert (socket is not None) is place.startswith("0.0.0.0")
        assert socket is None or socket["typed_config"]["require_client_certificate"] is True
    assert rewrites(made["0.0.0.0:15091"])["/stats/prometheus"] == "/stats/prometheus"
    assert rewrites(made["0.0.0.0:15092"])["/stats/prometheus"] == "/merged"


def test_who_asks_is_told_on_loopback_whom_to_scrape() -> None:
    assert "127.0.0.1:15004" in listeners(Metrics(targets=True))
