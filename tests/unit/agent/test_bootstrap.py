import msgspec
import pytest

from argosy.agent.bootstrap import PROXY_DIR, Upstreams, build_bootstrap
from argosy.agent.pod import PodPlan, Role
from argosy.agent.privileges import Privileges
from argosy.envoy import api

PLAN = PodPlan("shop", "cart-1", "10.88.0.7", Role.SIDECAR, owner="cart", labels=(("app", "cart"), ("version", "v1")))
UPSTREAMS = Upstreams(pilot=("10.88.0.1", 15012), mixer=("10.88.0.1", 15016), resolver=("10.88.0.1", 15053))


@pytest.mark.parametrize("rootless", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_envoys_own_descriptors_read_the_bootstrap(rootless, kept):
    bootstrap = build_bootstrap(PLAN, UPSTREAMS, Privileges(rootless), kept=kept)
    assert api.from_dict("envoy.config.bootstrap.v3.Bootstrap", bootstrap).node.id == PLAN.node_id


def test_the_node_says_who_the_pod_is():
    node = build_bootstrap(PLAN, UPSTREAMS, Privileges(False))["node"]
    assert node["id"] == "sidecar~10.88.0.7~cart-1.shop~shop.svc.cluster.local"
    assert node["cluster"] == "cart.shop"
    assert node["metadata"]["LABELS"] == {"app": "cart", "version": "v1"}


def test_a_gateway_is_a_router():
    plan = PodPlan("istio-system", "gw", "10.88.0.9", Role.ROUTER)
    assert build_bootstrap(plan, UPSTREAMS, Privileges(False))["node"]["id"].startswith("router~10.88.0.9~gw.")


def test_each_control_plane_cluster_checks_its_servers_name():
    clusters = build_bootstrap(PLAN, UPSTREAMS, Privileges(False))["static_resources"]["clusters"]
    names = {c["name"]: c["transport_socket"]["typed_config"]["sni"] for c in clusters if "transport_socket" in c}
    mixer = dict.fromkeys(("argosy-mixer", "argosy-mixer-counts"), "mixer.istio-system.svc")
    assert names == {"argosy-pilot": "pilot.istio-system.svc", **mixer}
    ports = [
        c["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"]
        for c in clusters[:2]
    ]
    assert ports == [15012, 15016]


def test_a_proxy_reconnects_within_seconds_however_often_the_control_plane_was_away():
    """F01. A reconnect that is answered with nothing does not reset Envoy's back-off, so its maximum counts."""
    ads = build_bootstrap(PLAN, UPSTREAMS, Privileges(False))["dynamic_resources"]["ads_config"]
    (service,) = ads["grpc_services"]
    back_off = service["envoy_grpc"]["retry_policy"]["retry_back_off"]
    assert float(back_off["max_interval"].removesuffix("s")) <= 5


def test_without_an_own_uid_connections_are_marked():
    bootstrap = build_bootstrap(PLAN, UPSTREAMS, Privileges(rootless=True))
    (option,) = bootstrap["cluster_manager"]["upstream_bind_config"]["socket_options"]
    assert (option["name"], option["int_value"]) == (36, 1337)
    assert "cluster_manager" not in build_bootstrap(PLAN, UPSTREAMS, Privileges(rootless=False))


def test_the_admin_page_is_a_private_socket():
    pipe = build_bootstrap(PLAN, UPSTREAMS, Privileges(False))["admin"]["address"]["pipe"]
    assert pipe == {"path": f"{PROXY_DIR}/admin.sock", "mode": 0o600}


def test_statistics_that_are_asked_for_are_kept_besides_the_usual_ones() -> None:
    asked = (("prefix", "cluster.outbound"), ("suffix", "overflow"), ("regex", "a+"))
    plan = msgspec.structs.replace(PLAN, proxy_stats=asked)
    usual = build_bootstrap(PLAN, UPSTREAMS, Privileges(False))["stats_config"]["stats_matcher"]["inclusion_list"]
    found = build_bootstrap(plan, UPSTREAMS, Privileges(False))
    more = [{"prefix": "cluster.outbound"}, {"suffix": "overflow"}, {"safe_regex": {"regex": "a+"}}]
    assert found["stats_config"]["stats_matcher"]["inclusion_list"]["patterns"] == [*usual["patterns"], *more]
    assert api.from_dict("envoy.config.bootstrap.v3.Bootstrap", found)


def test_a_proxy_that_starts_without_pilot_also_asks_the_agent() -> None:
    """In turns, and without TLS: the socket is in its own private directory."""
    usual, kept = (
        build_bootstrap(PLAN, UPSTREAMS, Privileges(False), kept=kept)["static_resources"]["clusters"][0]
        for kept in (False, True)
    )
    (pilot,) = usual["load_assignment"]["endpoints"][0]["lb_endpoints"]
    (group,) = kept["load_assignment"]["endpoints"]
    assert group["lb_endpoints"][0] == pilot
    assert group["lb_endpoints"][1]["endpoint"]["address"] == {"pipe": {"path": f"{PROXY_DIR}/kept.sock"}}
    assert kept["transport_socket"] == usual["transport_socket"]
    (match,) = kept["transport_socket_matches"]
    assert match["match"] == group["lb_endpoints"][1]["metadata"]["filter_metadata"]["envoy.transport_socket_match"]


def test_counts_say_whose_they_are_and_few_of_them_wait():
    """A Mixer that does not answer must not fill the proxy's memory."""
    bootstrap = build_bootstrap(PLAN, UPSTREAMS, Privileges(False))
    (sink,) = bootstrap["stats_sinks"]
    service = sink["typed_config"]["grpc_service"]
    assert service["initial_metadata"] == [{"key": "argosy-node", "value": PLAN.node_id}]
    clusters = {one["name"]: one for one in bootstrap["static_resources"]["clusters"]}
    (limits,) = clusters[service["envoy_grpc"]["cluster_name"]]["circuit_breakers"]["thresholds"]
    assert limits["max_requests"] <= 10
    assert "circuit_breakers" not in clusters["argosy-mixer"]


def test_idle_statistics_are_looked_for_at_a_multiple_of_flushes():
    """Envoy refuses anything else."""
    bootstrap = build_bootstrap(PLAN, UPSTREAMS, Privileges(False))
    seconds = [float(bootstrap[f"stats_{name}_interval"].removesuffix("s")) for name in ("eviction", "flush")]
    assert seconds[0] % seconds[1] == 0
