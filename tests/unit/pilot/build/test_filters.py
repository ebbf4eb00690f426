"""Connection managers and TCP proxies: hardening holds everywhere."""

from __future__ import annotations

from typing import Any

from argosy.api.mesh_config import parse_mesh_config
from argosy.envoy import api
from argosy.pilot.build.filters import (
    CLIENT_ADDRESS,
    SLEEPING,
    counted_messages,
    http_connection_manager,
    route_filters,
    tcp_proxy,
)
from argosy.pilot.mesh import MeshSettings


def config(made: Any) -> dict[str, Any]:
    return api.to_dict(made)["typed_config"]  # type: ignore[no-any-return]


def manager(**given: Any) -> dict[str, Any]:
    return config(
        http_connection_manager(stat_prefix="s", access_log=[], settings=MeshSettings(), route_name="r", **given)
    )


def test_paths_are_normalised_in_every_manager() -> None:
    for shown in (manager(), manager(edge=True), manager(mtls=True)):
        assert shown["normalize_path"] is True
        assert shown["http_filters"][-1]["name"] == "envoy.filters.http.router"


def test_who_is_not_trusted_cannot_forge_its_address_or_its_certificate() -> None:
    edge, inside = manager(edge=True), manager(mtls=True)
    assert (edge["use_remote_address"], edge["forward_client_cert_details"]) == (True, "SANITIZE_SET")
    assert edge["common_http_protocol_options"]["headers_with_underscores_action"] == "REJECT_REQUEST"
    assert edge["request_headers_timeout"] == "60s"
    assert (inside["use_remote_address"], inside["forward_client_cert_details"]) == (False, "SANITIZE_SET")


def test_the_operator_may_have_the_callers_word_kept() -> None:
    settings = MeshSettings(
        config=parse_mesh_config("defaultConfig: {proxyHeaders: {forwardedClientCert: APPEND_FORWARD}}")
    )
    made = http_connection_manager(stat_prefix="s", access_log=[], settings=settings, route_name="r", mtls=True)
    assert config(made)["forward_client_cert_details"] == "APPEND_FORWARD"


def test_slashes_are_merged_unless_the_mesh_says_otherwise() -> None:
    def folding(mode: str, edge: bool) -> tuple[bool, str]:
        settings = MeshSettings(config=parse_mesh_config(f"pathNormalization: {{normalization: {mode}}}"))
        made = http_connection_manager(stat_prefix="s", access_log=[], settings=settings, route_name="r", edge=edge)
        shown = config(made)
        return shown.get("merge_slashes", False), shown.get("path_with_escaped_slashes_action", "")

    assert folding("DEFAULT", False) == (True, "KEEP_UNCHANGED")
    assert folding("DEFAULT", True) == (True, "UNESCAPE_AND_REDIRECT")
    for edge in (False, True):
        assert folding("NONE", edge) == (False, "")
        assert folding("BASE", edge) == (False, "KEEP_UNCHANGED")
        assert folding("MERGE_SLASHES", edge) == (True, "KEEP_UNCHANGED")
        assert folding("DECODE_AND_MERGE_SLASHES", edge) == (True, "UNESCAPE_AND_FORWARD")


def test_strangers_get_bounds_and_neighbours_do_not() -> None:
    edge, inside = manager(edge=True), manager(mtls=True)
    assert edge["http2_protocol_options"]["max_concurrent_streams"] == 100
    assert (edge["stream_idle_timeout"], inside["stream_idle_timeout"]) == ("300s", "0s")
    assert "internal_address_config" in edge
    assert inside["http2_protocol_options"] == {"allow_connect": True}


def test_an_applications_own_sidecar_heeds_its_headers_and_adds_none() -> None:
    shown = manager(own=True)
    assert shown["use_remote_address"] is True
    assert [one["address_prefix"] for one in shown["internal_address_config"]["cidr_ranges"]] == ["0.0.0.0", "::"]
    assert (shown["skip_xff_append"], shown["xff_num_trusted_hops"]) == (True, 1)
    assert shown["preserve_external_request_id"] is True
    for other in (manager(), manager(edge=True), manager(mtls=True)):
        assert "cidr_ranges" not in other.get("internal_address_config", {})


def test_a_gateway_tells_whose_request_it_is_and_only_proxies_are_believed() -> None:
    """Any caller can write `x-forwarded-for`; it used to decide whom a policy, and the metrics, took it for."""
    edge, mesh, plain, own = (manager(**given) for given in ({"edge": True}, {"mtls": True}, {}, {"own": True}))
    (change,) = edge["http_filters"][0]["typed_config"]["mutations"]["request_mutations"]
    assert change["append"]["header"]["key"] == CLIENT_ADDRESS
    assert change["append"]["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"
    (by_header,) = mesh["original_ip_detection_extensions"]
    assert by_header["typed_config"]["header_name"] == CLIENT_ADDRESS
    (by_nobody,) = plain["original_ip_detection_extensions"]
    assert by_nobody["typed_config"]["xff_trusted_cidrs"]["cidrs"][0]["address_prefix"] == "255.255.255.255"
    for dropping in (plain, own):
        (early,) = dropping["early_header_mutation_extensions"]
        assert early["typed_config"]["mutations"] == [{"remove": CLIENT_ADDRESS}]


def test_filters_come_before_the_router_in_their_order() -> None:
    names = [one["name"] for one in manager(http_filters=route_filters())["http_filters"]]
    assert names == [f"envoy.filters.http.{name}" for name in ("cors", "fault", "grpc_stats", "router")]


def test_what_few_routes_need_costs_the_others_nothing() -> None:
    """Each filter that is made for a request costs about 2,000 instructions, the counter of messages 6,000."""
    sleeping = {one["name"]: one.get("disabled") for one in manager(http_filters=route_filters())["http_filters"]}
    assert [name for name, asleep in sleeping.items() if not asleep] == ["envoy.filters.http.router"]
    assert sleeping.keys() - {"envoy.filters.http.router"} == SLEEPING
    assert counted_messages().keys() <= SLEEPING


def test_one_target_needs_no_weight_and_none_of_zero_is_listed() -> None:
    assert config(tcp_proxy(stat_prefix="s", clusters={"a": 1}, access_log=[]))["cluster"] == "a"
    shown = config(tcp_proxy(stat_prefix="s", clusters={"a": 1, "b": 0, "c": 2}, access_log=[]))
    assert [one["name"] for one in shown["weighted_clusters"]["clusters"]] == ["a", "c"]
