"""Outbound listeners: what they take, and where the rest goes."""

from __future__ import annotations

from typing import Any

from argosy.pilot.build.listeners import (
    ALLOW_ANY,
    REGISTRY_ONLY,
    TcpTarget,
    build_capture_listener,
    build_host_listener,
    build_port_listener,
)
from argosy.pilot.mesh import MeshSettings
from argosy.pilot.observed import MESH_FILE, LogRule, Observation
from argosy.testing.worlds import as_json
from argosy.xds.messages import Resource

SETTINGS = MeshSettings(access_log=False)


def host_listener(*targets: TcpTarget, route: str = "", settings: MeshSettings = SETTINGS) -> Resource:
    return build_host_listener(
        address="10.96.0.9", port=9000, host="echo", route=route, targets=targets, settings=settings
    )


def clusters(made: Resource) -> list[str]:
    return [ref.name for ref in made.requires]


def proxy(chain: dict[str, Any]) -> dict[str, Any]:
    return chain["filters"][-1]["typed_config"]  # type: ignore[no-any-return]


def test_what_is_captured_goes_to_the_listener_of_its_port_or_on() -> None:
    made = build_capture_listener(ALLOW_ANY, SETTINGS)
    shown = as_json(made)
    assert shown["use_original_dst"] is True
    assert proxy(shown["default_filter_chain"])["cluster"] == "PassthroughCluster"
    (loop,) = shown["filter_chains"]
    assert (loop["filter_chain_match"], proxy(loop)["cluster"]) == ({"destination_port": 15001}, "BlackHoleCluster")
    assert clusters(made) == ["BlackHoleCluster", "PassthroughCluster"]


def test_an_http_port_is_shared_and_passes_on_what_is_not_http() -> None:
    shown = as_json(build_port_listener(8080, http=True, targets=[], unknown=ALLOW_ANY, settings=SETTINGS))
    assert (shown["name"], shown["bind_to_port"]) == ("0.0.0.0_8080", False)
    (http,) = shown["filter_chains"]
    assert http["filter_chain_match"] == {
        "transport_protocol": "raw_buffer",
        "application_protocols": ["http/1.0", "http/1.1", "h2c"],
    }
    assert proxy(http)["rds"]["route_config_name"] == "8080"
    assert proxy(shown["default_filter_chain"])["cluster"] == "PassthroughCluster"


def test_a_tcp_service_has_a_listener_on_its_own_address() -> None:
    clusters_by_weight = {"a": 80, "b": 20, "c": 0}
    origin = {"kind": "VirtualService", "object": "shop/echo"}
    target = TcpTarget(clusters_by_weight, origin, idle_timeout_s=60)
    made = host_listener(target, settings=MeshSettings(observation=Observation(logs=(LogRule(MESH_FILE),))))
    shown = as_json(made)
    assert shown["address"]["socket_address"] == {"address": "10.96.0.9", "port_value": 9000}
    assert shown["metadata"]["filter_metadata"]["argosy"]["object"] == "shop/echo"
    config = proxy(shown["filter_chains"][0])
    assert config["weighted_clusters"]["clusters"] == [{"name": "a", "weight": 80}, {"name": "b", "weight": 20}]
    assert config["idle_timeout"] == "60s"
    counting = [one["name"] for one in config["access_log"] if one["name"] == "envoy.access_loggers.stats"]
    assert [one["name"] for one in config["access_log"]] == [
        *counting,
        "envoy.access_loggers.stdout",
        "envoy.access_loggers.tcp_grpc",
    ]
    assert clusters(made) == ["a", "b", "c"]


def test_connections_are_told_apart_by_server_name_and_the_rest_goes_on() -> None:
    named = TcpTarget({"a": 1}, {}, server_names=("a.example",))
    again = TcpTarget({"b": 1}, {}, server_names=("a.example", "b.example"))
    shown = as_json(host_listener(named, again, TcpTarget({"c": 1}, {})))
    names = [one["filter_chain_match"]["server_names"] for one in shown["filter_chains"]]
    assert names == [["a.example"], ["b.example"]]  # Envoy refuses a name that stands twice
    assert proxy(shown["default_filter_chain"])["cluster"] == "c"
    assert shown["listener_filters"][0]["name"] == "envoy.filters.listener.tls_inspector"


def test_a_port_of_unknown_protocol_is_looked_at_and_never_waited_for_long() -> None:
    shown = as_json(host_listener(TcpTarget({"a": 1}, {}, detected=True), route="9000"))
    (http,) = shown["filter_chains"]
    assert proxy(http)["rds"]["route_config_name"] == "9000"
    first, _proxy = shown["default_filter_chain"]["filters"]
    assert first["name"] == "envoy.filters.network.set_filter_state"
    assert shown["continue_on_listener_filters_timeout"] is True


def test_unknown_traffic_is_refused_where_only_the_registry_counts() -> None:
    shown = as_json(build_port_listener(443, http=False, targets=[], unknown=REGISTRY_ONLY, settings=SETTINGS))
    config = proxy(shown["default_filter_chain"])
    assert config["cluster"] == "BlackHoleCluster"
    formats = [
        one["typed_config"]["log_format"]
        for one in config["access_log"]
        if "and_filter" in one.get("filter", {}) and "log_format" in one["typed_config"]
    ]
    named, unnamed = (one["text_format_source"]["inline_string"] for one in formats)
    assert "REQUESTED_SERVER_NAME" in named
    assert "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" in unnamed
    assert all("ServiceEntry" in one for one in (named, unnamed))


def test_requests_to_unknown_hosts_are_logged_where_only_the_registry_counts() -> None:
    made = {
        unknown: as_json(build_port_listener(80, http=True, targets=[], unknown=unknown, settings=SETTINGS))
        for unknown in (ALLOW_ANY, REGISTRY_ONLY)
    }
    conditional = {
        unknown: [
            one
            for one in proxy(shown["filter_chains"][0])["access_log"]
            if "filter" in one and "log_format" in one["typed_config"]
        ]
        for unknown, shown in made.items()
    }
    assert not conditional[ALLOW_ANY]
    (refusal,) = conditional[REGISTRY_ONLY]
    assert "block_all" in refusal["filter"]["extension_filter"]["typed_config"]["expression"]


def test_a_clients_connections_go_to_one_server_where_they_are_hashed() -> None:
    """The cluster balanced by a hash that no connection had, so at random."""
    (chain,) = as_json(host_listener(TcpTarget({"a": 1}, {}, by_source=True)))["filter_chains"]
    assert proxy(chain)["hash_policy"] == [{"source_ip": {}}]
    (chain,) = as_json(host_listener(TcpTarget({"a": 1}, {})))["filter_chains"]
    assert "hash_policy" not in proxy(chain)
