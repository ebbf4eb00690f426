"""Outbound listeners: what they take, and where the rest goes."""

from __future__ import annotations

from typing import Any

from argosy.pilot.build.listeners import build_capture_listener, build_http_listener, build_tcp_listener
from argosy.testing.worlds import as_json
from argosy.xds.messages import Resource


def clusters(made: Resource) -> list[str]:
    return [ref.name for ref in made.requires]


def proxy(chain: dict[str, Any]) -> dict[str, Any]:
    return chain["filters"][-1]["typed_config"]  # type: ignore[no-any-return]


def test_what_is_captured_goes_to_the_listener_of_its_port_or_on() -> None:
    made = build_capture_listener(log=False)
    shown = as_json(made)
    assert shown["use_original_dst"] is True
    assert proxy(shown["default_filter_chain"])["cluster"] == "PassthroughCluster"
    (loop,) = shown["filter_chains"]
    assert (loop["filter_chain_match"], proxy(loop)["cluster"]) == ({"destination_port": 15001}, "BlackHoleCluster")
    assert clusters(made) == ["BlackHoleCluster", "PassthroughCluster"]


def test_an_http_port_is_shared_and_passes_on_what_is_not_http() -> None:
    shown = as_json(build_http_listener(8080, log=False))
    assert (shown["name"], shown["bind_to_port"]) == ("0.0.0.0_8080", False)
    (http,) = shown["filter_chains"]
    assert http["filter_chain_match"] == {"application_protocols": ["http/1.0", "http/1.1", "h2c"]}
    assert proxy(http)["rds"]["route_config_name"] == "8080"
    assert proxy(shown["default_filter_chain"])["cluster"] == "PassthroughCluster"


def test_a_tcp_service_has_a_listener_on_its_own_address() -> None:
    made = build_tcp_listener(
        address="10.96.0.9",
        port=9000,
        host="echo",
        clusters={"a": 80, "b": 20, "c": 0},
        origin={"kind": "VirtualService", "object": "shop/echo"},
        idle_timeout_s=60,
        log=True,
    )
    shown = as_json(made)
    assert shown["address"]["socket_address"] == {"address": "10.96.0.9", "port_value": 9000}
    assert shown["metadata"]["filter_metadata"]["argosy"]["object"] == "shop/echo"
    config = proxy(shown["filter_chains"][0])
    assert config["weighted_clusters"]["clusters"] == [{"name": "a", "weight": 80}, {"name": "b", "weight": 20}]
    assert config["idle_timeout"] == "60s"
    assert [one["name"] for one in config["access_log"]] == [
        "envoy.access_loggers.stats",
        "envoy.access_loggers.stdout",
    ]
    assert clusters(made) == ["a", "b", "c"]
