"""EnvoyFilters over what is generated."""

from __future__ import annotations

import json

from argosy.pilot.build.resource import CLUSTER, LISTENER, VIRTUAL_HOST
from argosy.testing.worlds import MeshWorld, as_json

WEB = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other}
spec: {template: {metadata: {labels: {app: other}}, spec: {containers: [{name: c}]}}}
"""
OWN = "outbound|80||web.default.svc.cluster.local"


def patched(patch: str, *, selector: str = "") -> str:
    chosen = f"workloadSelector: {{labels: {{{selector}}}}}, " if selector else ""
    return f"""
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {{name: patch}}
spec: {{{chosen}configPatches: [{patch}]}}
"""


def test_only_selected_proxies_are_patched_and_the_others_go_on_sharing() -> None:
    patch = "{applyTo: CLUSTER, patch: {operation: MERGE, value: {alt_stat_name: mine}}}"
    world = MeshWorld(WEB, patched(patch, selector="app: web"))
    assert as_json(world.snapshot("web-0").of(CLUSTER)[OWN])["alt_stat_name"] == "mine"
    assert "alt_stat_name" not in as_json(world.snapshot("other-0").of(CLUSTER)[OWN])


def test_what_is_removed_is_gone_and_comes_back_with_the_patch() -> None:
    patch = "{applyTo: CLUSTER, match: {cluster: {portNumber: 80}}, patch: {operation: REMOVE}}"
    world = MeshWorld(WEB, patched(patch))
    found = world.snapshot("other-0").of(CLUSTER)
    assert OWN not in found
    assert OWN not in list(found)
    assert len(found) == len(list(found))
    world.delete("EnvoyFilter", "default", "patch")
    assert OWN in world.snapshot("other-0").of(CLUSTER)


def test_a_change_elsewhere_patches_only_what_changed() -> None:
    world = MeshWorld(WEB, patched("{applyTo: CLUSTER, patch: {operation: MERGE, value: {alt_stat_name: mine}}}"))
    world.connect("web-0")
    outcome = world.apply(WEB.replace("port: 80", "port: 81"))
    assert outcome.commit.ran["patched"] <= 12


def test_what_a_namespace_has_of_its_own_stands_before_what_all_have_patched_or_not() -> None:
    """Once the patched resource of all proxies hid that of the namespace: short names were lost with any such patch."""
    merge = "patch: {operation: MERGE, value: {request_headers_to_remove: [x-a]}}"
    for title in ("", "vhost: {name: 'elsewhere:80'}"):
        match = f"match: {{context: SIDECAR_OUTBOUND, routeConfiguration: {{{title}}}}}"
        world = MeshWorld(WEB, patched(f"{{applyTo: VIRTUAL_HOST, {match}, {merge}}}"))
        found = world.resources(VIRTUAL_HOST, "web-0")["80/web.default.svc.cluster.local"]
        assert "web" in found["domains"]
        assert ("x-a" in found.get("request_headers_to_remove", [])) is (title == "")


def test_what_a_workload_traces_is_patched_too() -> None:
    telemetry = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: own}
spec: {selector: {matchLabels: {app: web}}, tracing: [{randomSamplingPercentage: 77}]}
"""
    chain = "listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}"
    value = "typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3."
    value += "HttpConnectionManager, max_request_headers_kb: 90}"
    match = f"match: {{context: SIDECAR_OUTBOUND, {chain}}}"
    patch = f"{{applyTo: NETWORK_FILTER, {match}, patch: {{operation: MERGE, value: {{{value}}}}}}}"
    world = MeshWorld(WEB, patched(patch), telemetry)
    for pod, sampled in (("web-0", True), ("other-0", False)):
        text = json.dumps(world.resources(LISTENER, pod)["0.0.0.0_80"])
        assert ('"numerator": 770000' in text, '"max_request_headers_kb": 90' in text) == (sampled, True)


def test_filters_are_put_where_they_were_asked_for() -> None:
    lua = (
        "{name: lua, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, "
        "default_source_code: {inline_string: x}}}"
    )
    names = []
    for operation, below in (("INSERT_FIRST", ""), ("INSERT_AFTER", "envoy.filters.http.cors"), ("ADD", "")):
        match = (
            "listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager, "
            f"subFilter: {{name: '{below}'}}}}}}}}"
        )
        patch = f"{{applyTo: HTTP_FILTER, match: {{{match}}}, patch: {{operation: {operation}, value: {lua}}}}}"
        shown = as_json(MeshWorld(WEB, patched(patch)).snapshot("other-0").of(LISTENER)["0.0.0.0_80"])
        manager = shown["filter_chains"][0]["filters"][0]["typed_config"]
        names.append([one["name"].rpartition(".")[2] for one in manager["http_filters"]])
        assert '"patchedBy": "default/patch"' in json.dumps(shown)
    assert names == [
        ["lua", "cors", "fault", "grpc_stats", "router"],
        ["cors", "lua", "fault", "grpc_stats", "router"],
        ["cors", "fault", "grpc_stats", "lua", "router"],
    ]


def test_a_filter_that_somebody_configures_works_for_all_requests() -> None:
    """Others sleep where routes have no settings for them."""
    value = (
        "{name: envoy.filters.http.fault, typed_config: {'@type': "
        "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault, max_active_faults: 7}}"
    )
    below = "{name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.fault}}"
    match = f"{{listener: {{filterChain: {{filter: {below}}}}}}}"
    patch = f"{{applyTo: HTTP_FILTER, match: {match}, patch: {{operation: MERGE, value: {value}}}}}"
    shown = as_json(MeshWorld(WEB, patched(patch)).snapshot("other-0").of(LISTENER)["0.0.0.0_80"])
    filters = shown["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    found = {one["name"].rpartition(".")[2]: one.get("disabled", False) for one in filters}
    assert found == {"cors": True, "fault": False, "grpc_stats": True, "router": False}


def test_filters_are_found_by_their_former_names_too() -> None:
    """Such patches matched nothing, and nothing was said."""
    lua = (
        "{name: lua, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, "
        "default_source_code: {inline_string: x}}}"
    )
    chain = "listener: {filterChain: {filter: {name: envoy.http_connection_manager, subFilter: {name: envoy.cors}}}}"
    patch = f"{{applyTo: HTTP_FILTER, match: {{{chain}}}, patch: {{operation: INSERT_BEFORE, value: {lua}}}}}"
    shown = as_json(MeshWorld(WEB, patched(patch)).snapshot("other-0").of(LISTENER)["0.0.0.0_80"])
    manager = shown["filter_chains"][0]["filters"][0]["typed_config"]
    assert [one["name"] for one in manager["http_filters"]][:2] == ["lua", "envoy.filters.http.cors"]


def test_clusters_can_be_added() -> None:
    patch = "{applyTo: CLUSTER, patch: {operation: ADD, value: {name: extra, type: STATIC}}}"
    assert "extra" in MeshWorld(WEB, patched(patch)).snapshot("other-0").of(CLUSTER)


def test_only_members_that_a_patch_may_be_about_are_patched() -> None:
    """A patch of one host's clusters looks at those and at nothing else that comes from Services."""
    one = "{applyTo: CLUSTER, match: {cluster: {service: other.default.svc.cluster.local}}, "
    value = "patch: {operation: MERGE, value: {alt_stat_name: mine}}}"
    world = MeshWorld(WEB, WEB.replace("web", "other"), patched(one + value))
    world.connect("web-0")
    patched_hosts = {key[1][1][1] for key in world.model.members["patched"].nodes if key[1][0] == "clusters"}
    assert patched_hosts == {"other.default.svc.cluster.local"}
