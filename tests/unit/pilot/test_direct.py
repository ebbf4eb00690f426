"""Pods that are called by their address: which of them under mutual TLS, and what a change of pods costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from argosy.api.mesh_config import MeshConfig
from argosy.core.names import DIRECT_CLUSTER, PASSTHROUGH_CLUSTER, ObjectKey
from argosy.pilot.build.direct import Direct
from argosy.pilot.build.resource import CLUSTER, LISTENER, VIRTUAL_HOST
from argosy.pilot.mesh import MeshSettings
from argosy.testing.worlds import MeshWorld

SETTINGS = MeshSettings(captured_network="10.88.0.0/17")
WEB = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
"""
POD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: SPACE}
spec:
  template:
    metadata: {labels: {app: NAME}}
    spec: {serviceAccountName: NAME, containers: [{name: app}]}
"""
POLICY = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: SPACE}
spec: {WHAT}
"""


def pod(name: str, namespace: str = "default") -> str:
    return POD.replace("NAME", name).replace("SPACE", namespace)


def policy(namespace: str, what: str) -> str:
    return POLICY.replace("SPACE", namespace).replace("WHAT", what)


def world(*texts: str, settings: MeshSettings = SETTINGS) -> MeshWorld:
    return MeshWorld(WEB, pod("web"), pod("api", "shop"), *texts, settings=settings)


def direct(one: MeshWorld) -> Direct | None:
    one.connect("web-0")
    return one.mesh.engine.get(one.model.outbound.listeners.direct, "")


def address(one: MeshWorld, name: str, namespace: str = "default") -> str:
    found = one.mesh.engine.get(one.mesh.pods, ObjectKey(namespace, f"{name}-0"))
    assert found is not None
    return str(found.spec.pod_ip)


@pytest.mark.parametrize(
    "settings",
    [MeshSettings(), replace(SETTINGS, config=MeshConfig(enable_auto_mtls=False))],
    ids=["no such range", "no automatic mutual TLS"],
)
def test_where_addresses_say_nothing_pods_are_called_as_any_unknown_address(settings: MeshSettings) -> None:
    one = world(settings=settings)
    assert direct(one) is None
    assert DIRECT_CLUSTER not in one.resources(CLUSTER, "web-0")
    (host,) = (body for name, body in one.resources(VIRTUAL_HOST, "web-0").items() if body["domains"] == ["*"])
    assert [route["route"]["cluster"] for route in host["routes"]] == [PASSTHROUGH_CLUSTER]


def test_calls_of_the_range_go_out_under_mutual_tls_whatever_they_carry() -> None:
    one = world()
    listeners = one.resources(LISTENER, "web-0")
    capture = {chain["name"]: chain for chain in listeners["virtualOutbound"]["filter_chains"]}
    assert capture["pod"]["filters"][-1]["typed_config"]["cluster"] == DIRECT_CLUSTER
    ranges = [{"address_prefix": "10.88.0.0", "prefix_len": 17}]
    shared = {chain["name"]: chain for chain in listeners["0.0.0.0_8080"]["filter_chains"]}
    assert {name: shared[name]["filter_chain_match"]["prefix_ranges"] for name in ("pod", "http-pod")} == {
        "pod": ranges,
        "http-pod": ranges,
    }
    (host,) = (body for body in one.resources(VIRTUAL_HOST, "web-0").values() if body["domains"] == ["*"])
    assert [route["route"]["cluster"] for route in host["routes"]] == [DIRECT_CLUSTER, PASSTHROUGH_CLUSTER]
    cluster = one.resources(CLUSTER, "web-0")[DIRECT_CLUSTER]
    context = cluster["transport_socket"]["typed_config"]["common_tls_context"]["combined_validation_context"]
    (name,) = context["default_validation_context"]["match_typed_subject_alt_names"]
    assert name["matcher"] == {"prefix": "spiffe://cluster.local/"}


def test_who_takes_plaintext_only_is_called_so() -> None:
    one = world(policy("shop", "mtls: {mode: DISABLE}"))
    assert direct(one) == Direct("10.88.0.0/17", (address(one, "api", "shop"),))
    chains = {chain["name"]: chain for chain in one.resources(LISTENER, "web-0")["virtualOutbound"]["filter_chains"]}
    assert chains["plain-pod"]["filters"][-1]["typed_config"]["cluster"] == PASSTHROUGH_CLUSTER


def test_a_pod_with_one_port_for_plaintext_is_called_so_on_all() -> None:
    ports = "selector: {matchLabels: {app: web}}, portLevelMtls: {9000: {mode: DISABLE}}"
    one = world(policy("default", ports))
    assert direct(one) == Direct("10.88.0.0/17", (address(one, "web"),))


def test_where_the_whole_mesh_takes_plaintext_nobody_is_listed() -> None:
    assert direct(world(policy("istio-system", "mtls: {mode: DISABLE}"))) is None


def test_nothing_is_passed_where_unknown_traffic_is_refused() -> None:
    one = world(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n"
        'data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}'
    )
    (chain,) = one.resources(LISTENER, "web-0")["virtualOutbound"]["filter_chains"]
    assert chain["name"] == "virtualOutbound-blackhole"


def test_pods_that_come_and_go_change_no_listener() -> None:
    one = world()
    before = one.resources(LISTENER, "web-0")
    outcome = one.apply(pod("new"))
    assert not {"direct", "capture", "port_listener", "route"} & set(outcome.commit.ran)
    assert one.resources(LISTENER, "web-0") == before
