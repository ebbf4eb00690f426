"""Hosts of a wildcard that are resolved when they are called: cluster, routes and listeners of one mesh."""

from __future__ import annotations

from argosy.pilot.build.resource import CLUSTER, LISTENER
from argosy.testing.worlds import MeshWorld

ENTRY = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: any}
spec:
  hosts: ["*.example.org"]
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: tls, protocol: TLS, targetPort: 8443}
  resolution: DYNAMIC_DNS
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: any}
spec: {host: "*.example.org", trafficPolicy: {tls: {mode: SIMPLE}}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: client, annotations: {argosy.io/sidecar: "true"}}
spec: {containers: [{name: app}]}
status: {podIP: 10.88.0.2, conditions: [{type: Ready, status: "True"}]}
"""


def test_name_and_addresses_are_in_one_cache() -> None:
    world = MeshWorld(ENTRY, POD)
    cluster = world.resources(CLUSTER, "client")["outbound|443||*.example.org"]
    cache = cluster["cluster_type"]["typed_config"]["dns_cache_config"]
    listeners = world.resources(LISTENER, "client")
    (chain,) = [one for one in listeners["0.0.0.0_443"]["filter_chains"] if "server_names" in one["filter_chain_match"]]
    resolving, proxy = (one["typed_config"] for one in chain["filters"])
    assert chain["filter_chain_match"]["server_names"] == ["*.example.org"]
    assert (resolving["dns_cache_config"], resolving["port_value"]) == (cache, 8443)
    assert proxy["cluster"] == "outbound|443||*.example.org"
    (chain,) = listeners["0.0.0.0_80"]["filter_chains"]
    filters = {one["name"]: one for one in chain["filters"][0]["typed_config"]["http_filters"]}
    found = filters["envoy.filters.http.dynamic_forward_proxy"]["typed_config"]["dns_cache_config"]
    assert found == cache


def test_other_ports_have_no_filter_for_it() -> None:
    other = ENTRY.replace("DYNAMIC_DNS", "NONE")
    (chain,) = MeshWorld(other, POD).resources(LISTENER, "client")["0.0.0.0_80"]["filter_chains"]
    names = [one["name"] for one in chain["filters"][0]["typed_config"]["http_filters"]]
    assert "envoy.filters.http.dynamic_forward_proxy" not in names


def test_tls_that_the_proxy_makes_is_for_the_name_that_is_asked_for() -> None:
    world = MeshWorld(ENTRY, RULE, POD)
    cluster = world.resources(CLUSTER, "client")["outbound|80||*.example.org"]
    (options,) = cluster["typed_extension_protocol_options"].values()
    assert options["upstream_http_protocol_options"] == {"auto_sni": True, "auto_san_validation": True}
    assert "allow_insecure_cluster_options" not in cluster["cluster_type"]["typed_config"]
