"""Outbound clusters, from a record and the policy that governs it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from argosy.api.destination_rule import TCPKeepalive, TrafficPolicy
from argosy.api.mesh_config import MeshConfig
from argosy.api.scalars import decode_custom
from argosy.core.frozen import FrozenMap
from argosy.core.names import ObjectKey
from argosy.core.protocols import Protocol
from argosy.pilot.build.builtin_clusters import build_builtin_clusters, build_inbound_cluster
from argosy.pilot.build.clusters import ClusterContext, build_cluster
from argosy.pilot.build.resource import ENDPOINT
from argosy.pilot.endpoint import Endpoint, HostPort
from argosy.pilot.registry import HostRecord
from argosy.testing.worlds import as_json
from argosy.xds.messages import Resource, ResourceRef

WEB = HostPort(80, "http", Protocol.HTTP)
RECORD = HostRecord(
    "web.shop.svc.cluster.local", ObjectKey("shop", "web"), "Service", (WEB,), "EDS", selector=FrozenMap({"app": "web"})
)
POD = Endpoint("10.88.0.1", namespace="shop", workload="web", sidecar=True)


def built(policy: str = "{}", *, record: HostRecord = RECORD, port: HostPort = WEB, **given: Any) -> Resource:
    decoded = msgspec.convert(msgspec.json.decode(policy), TrafficPolicy, dec_hook=decode_custom)
    arguments: dict[str, Any] = {
        "subset": "",
        "rule": None,
        "assignment": "its-endpoints",
        "identities": ("spiffe://td/ns/shop/sa/web",),
        "endpoints": (),
        "connect_timeout_s": 10.0,
        "config": MeshConfig(),
    }
    return build_cluster(ClusterContext(record=record, port=port, policy=decoded, **(arguments | given)))


def cluster(policy: str = "{}", **given: Any) -> dict[str, Any]:
    return as_json(built(policy, **given))


def test_a_cluster_of_pods_gets_its_endpoints_by_name() -> None:
    made = built()
    assert (made.name, made.companions) == (
        "outbound|80||web.shop.svc.cluster.local",
        (ResourceRef(ENDPOINT, "its-endpoints"),),
    )
    shown = as_json(made)
    assert (shown["type"], shown["eds_cluster_config"]["service_name"]) == ("EDS", "its-endpoints")
    assert shown["lb_policy"] == "LEAST_REQUEST"
    assert shown["connect_timeout"] == "10s"


def test_each_endpoint_decides_whether_it_is_called_by_mutual_tls() -> None:
    matches = {one["name"]: one for one in cluster()["transport_socket_matches"]}
    assert matches["mesh-mtls"]["match"] == {"tlsMode": "istio"}
    assert matches["plaintext"].get("match", {}) == {}
    context = matches["mesh-mtls"]["transport_socket"]["typed_config"]
    assert context["sni"] == "outbound_.80_._.web.shop.svc.cluster.local"
    validation = context["common_tls_context"]["combined_validation_context"]["default_validation_context"]
    assert [one["matcher"] for one in validation["match_typed_subject_alt_names"]] == [
        {"exact": "spiffe://td/ns/shop/sa/web"}
    ]


@pytest.mark.parametrize(
    "mode,kept", [("DISABLE", []), ("ISTIO_MUTUAL", ["transport_socket"]), ("SIMPLE", ["transport_socket"])]
)
def test_a_rule_overrides_automatic_mutual_tls(mode: str, kept: list[str]) -> None:
    shown = cluster(f'{{"tls": {{"mode": "{mode}"}}}}')
    assert [key for key in ("transport_socket", "transport_socket_matches") if key in shown] == kept


def test_a_rule_says_of_keep_alive_what_the_mesh_does_not() -> None:
    """An empty `tcpKeepalive`, or one with another field, took away what the mesh configuration says."""
    mesh = MeshConfig(tcp_keepalive=TCPKeepalive(time_s=30, probes=4))
    for own, made in (
        ("{}", {"keepalive_time": 30, "keepalive_probes": 4}),
        ('{"time": "60s", "interval": "5s"}', {"keepalive_time": 60, "keepalive_probes": 4, "keepalive_interval": 5}),
    ):
        shown = cluster(f'{{"connectionPool": {{"tcp": {{"tcpKeepalive": {own}}}}}}}', config=mesh)
        assert shown["upstream_connection_options"]["tcp_keepalive"] == made


@pytest.mark.parametrize(
    "pool, idle",
    [('"tcp": {"idleTimeout": "7s"}', "7s"), ('"tcp": {"idleTimeout": "7s"}, "http": {"idleTimeout": "9s"}', "9s")],
)
def test_an_idle_time_of_tcp_holds_for_http_too(pool: str, idle: str) -> None:
    (options,) = cluster(f'{{"connectionPool": {{{pool}}}}}')["typed_extension_protocol_options"].values()
    assert options["common_http_protocol_options"]["idle_timeout"] == idle


def test_limits_are_what_the_rule_says_and_otherwise_none() -> None:
    (without,) = cluster()["circuit_breakers"]["thresholds"]
    assert without["max_connections"] == 4294967295
    shown = cluster(
        '{"connectionPool": {"tcp": {"maxConnections": 7, "connectTimeout": "250ms", "tcpKeepalive": {"time": "30s"}},'
        ' "http": {"http1MaxPendingRequests": 3, "maxRequestsPerConnection": 9, "idleTimeout": "1m"}}}'
    )
    (thresholds,) = shown["circuit_breakers"]["thresholds"]
    assert (thresholds["max_connections"], thresholds["max_pending_requests"]) == (7, 3)
    assert shown["connect_timeout"] == "0.250s"
    assert shown["upstream_connection_options"]["tcp_keepalive"] == {"keepalive_time": 30}
    (options,) = shown["typed_extension_protocol_options"].values()
    assert options["common_http_protocol_options"] == {"idle_timeout": "60s", "max_requests_per_connection": 9}
    assert list(options["explicit_http_config"]) == ["http_protocol_options"]


def test_grpc_is_spoken_over_http2() -> None:
    (options,) = cluster(port=HostPort(80, "grpc", Protocol.GRPC))["typed_extension_protocol_options"].values()
    assert options["explicit_http_config"] == {"http2_protocol_options": {}}


def test_bad_endpoints_are_ejected_as_the_rule_says() -> None:
    shown = cluster('{"outlierDetection": {"consecutive5xxErrors": 3, "interval": "2s", "maxEjectionPercent": 100}}')
    outlier = shown["outlier_detection"]
    assert (outlier["consecutive_5xx"], outlier["enforcing_consecutive_5xx"]) == (3, 100)
    assert (outlier["interval"], outlier["max_ejection_percent"]) == ("2s", 100)
    off = cluster('{"outlierDetection": {"consecutive5xxErrors": 0}}')["outlier_detection"]
    assert off["enforcing_consecutive_5xx"] == 0


@pytest.mark.parametrize(
    "balancer,policy,config",
    [
        ('{"simple": "ROUND_ROBIN"}', "ROUND_ROBIN", {}),
        ('{"simple": "LEAST_CONN"}', "LEAST_REQUEST", {}),
        ("{}", "LEAST_REQUEST", {}),
        (
            '{"consistentHash": {"useSourceIp": true}}',
            "RING_HASH",
            {"ring_hash_lb_config": {"minimum_ring_size": "1024"}},
        ),
        (
            '{"consistentHash": {"useSourceIp": true, "maglev": {"tableSize": 11}}}',
            "MAGLEV",
            {"maglev_lb_config": {"table_size": "11"}},
        ),
    ],
)
def test_load_balancing_is_the_rules(balancer: str, policy: str, config: dict[str, Any]) -> None:
    shown = cluster(f'{{"loadBalancer": {balancer}}}')
    assert shown.get("lb_policy", "ROUND_ROBIN") == policy  # the enum's first value is not written
    assert {key: shown[key] for key in shown if key.endswith("_lb_config")} == config


def test_passthrough_keeps_the_address_that_was_called() -> None:
    shown = cluster('{"loadBalancer": {"simple": "PASSTHROUGH"}}')
    assert (shown["type"], shown["lb_policy"]) == ("ORIGINAL_DST", "CLUSTER_PROVIDED")


def test_a_dns_entry_is_resolved_by_the_proxy() -> None:
    record = HostRecord("out.example", ObjectKey("shop", "out"), "ServiceEntry", (WEB,), "DNS")
    made = built(record=record, endpoints=(Endpoint("out.example"),))
    shown = as_json(made)
    assert (shown["type"], made.companions) == ("STRICT_DNS", ())
    ((host,),) = ([one["endpoint"] for one in group["lb_endpoints"]] for group in shown["load_assignment"]["endpoints"])
    assert host["address"]["socket_address"] == {"address": "out.example", "port_value": 80}
    assert "transport_socket_matches" not in shown


def test_a_headless_service_has_mutual_tls_if_all_its_pods_do() -> None:
    record = HostRecord("db.shop.svc.cluster.local", ObjectKey("shop", "db"), "Service", (WEB,), "NONE")
    assert "transport_socket" in cluster(record=record, endpoints=(POD,))
    plain = Endpoint("10.88.0.2", namespace="shop", workload="db", sidecar=False)
    assert "transport_socket" not in cluster(record=record, endpoints=(POD, plain))
    assert "transport_socket" not in cluster(record=record)


def test_every_proxy_has_clusters_for_what_is_unknown_and_refused() -> None:
    assert [one.name for one in build_builtin_clusters(0)] == [
        "BlackHoleCluster",
        "PassthroughCluster",
        "InboundPassthroughCluster",
    ]


def test_the_way_to_the_own_pod_is_not_captured_again() -> None:
    binding = as_json(build_inbound_cluster(8080, 1337))["upstream_bind_config"]
    assert binding["source_address"]["address"] == "127.0.0.6"
    assert [one["int_value"] for one in binding["socket_options"]] == ["1337"]
    assert "socket_options" not in as_json(build_inbound_cluster(8080, 0))["upstream_bind_config"]


@pytest.mark.parametrize("target, told", [(0, None), (9443, 9443), (9000, 9000)])
def test_who_goes_where_the_client_asked_goes_to_the_port_that_the_entry_names(target: int, told: int | None) -> None:
    """`targetPort` was ignored without resolution. Named, it holds for whatever port was called, its own too."""
    port = HostPort(9000, "http", Protocol.HTTP, target)
    record = HostRecord("far.example.com", ObjectKey("shop", "far"), "ServiceEntry", (port,), "NONE", external=True)
    made = cluster(record=record, port=port)
    assert made["type"] == "ORIGINAL_DST"
    assert made.get("original_dst_lb_config", {}).get("upstream_port_override") == told


def outside(host: str, resolution: str, policy: str, **more: Any) -> tuple[str, dict[str, Any], list[str]]:
    """The server name in TLS to a host outside, what is asked of it for each request, and names that are checked."""
    record = HostRecord(host, ObjectKey("shop", "far"), "ServiceEntry", (WEB,), resolution, external=True, **more)
    made = cluster(f'{{"tls": {policy}}}', record=record)
    context = made["transport_socket"]["typed_config"]
    (options,) = made["typed_extension_protocol_options"].values()
    checked = context["common_tls_context"].get("validation_context", {}).get("match_typed_subject_alt_names", [])
    names = list(dict.fromkeys(one["matcher"]["exact"] for one in checked))
    return context.get("sni", ""), options.get("upstream_http_protocol_options", {}), names


@pytest.mark.parametrize("resolution", ["STATIC", "DNS", "NONE"])
def test_tls_to_a_host_outside_asks_for_the_name_that_is_checked(resolution: str) -> None:
    """Servers at addresses were asked for no name, and those behind another name for that one."""
    assert outside("far.example.com", resolution, '{"mode": "SIMPLE"}') == ("far.example.com", {}, ["far.example.com"])
    told = '{"mode": "SIMPLE", "sni": "near.example.com"}'
    assert outside("far.example.com", resolution, told) == ("near.example.com", {}, ["near.example.com"])


@pytest.mark.parametrize(
    "policy, more, asked",
    [
        ('{"mode": "SIMPLE"}', {}, {"auto_sni": True, "auto_san_validation": True}),
        ('{"mode": "SIMPLE", "insecureSkipVerify": true}', {}, {"auto_sni": True}),
        ('{"mode": "SIMPLE", "subjectAltNames": ["a"]}', {}, {"auto_sni": True}),
        ('{"mode": "SIMPLE"}', {"subject_alt_names": ("a",)}, {"auto_sni": True}),
        ('{"mode": "SIMPLE", "caCertificates": "/roots"}', {}, {"auto_sni": True}),
        ('{"mode": "SIMPLE", "sni": "a"}', {}, {}),
    ],
)
def test_tls_to_hosts_of_many_names_is_for_the_one_that_a_request_is_for(
    policy: str, more: dict[str, Any], asked: dict[str, bool]
) -> None:
    """A certificate for whatever name was taken for every one of them."""
    _sni, found, _names = outside("*.example.com", "NONE", policy, **more)
    assert found == asked
