"""Which proxies run which extensions, where they stand, and what a change of one touches."""

from typing import Any

import pytest

from argosy.core.names import ObjectKey
from argosy.envoy import api
from argosy.incr import Change
from argosy.pilot.build.extensions import extension_name, owner_of
from argosy.pilot.build.origins import Owner, owners_of
from argosy.pilot.build.resource import EXTENSION, LISTENER
from argosy.pilot.modules import Module, ModuleSource
from argosy.testing.worlds import MeshWorld, gateway_manifest

WORKLOADS = [
    f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{serviceAccountName: {name}, containers: [{{name: app}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}, {{name: tcp, port: 90}}]}}
"""
    for name in ("a", "b")
]
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
"""
LUA = "lua: {inlineCode: 'function envoy_on_request(h) end'}"
SOURCE = ModuleSource("file:///m.wasm")
MODULE = Module("1", b"\0asm-module")


def extension(name: str, spec: str, *, kind: str = "TrafficExtension", namespace: str = "default") -> str:
    head = f"apiVersion: extensions.istio.io/v1alpha1\nkind: {kind}\n"
    return f"{head}metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"


def filters(world: MeshWorld, listener: str, chain: str, pod: str = "a-0", namespace: str = "default") -> list[str]:
    """The filters of a chain: HTTP filters where it has a connection manager; those of users by the object's name."""
    shown = world.resources(LISTENER, pod, namespace)[listener]
    chains = [*shown["filter_chains"], *([shown["default_filter_chain"]] if "default_filter_chain" in shown else [])]
    (found,) = (one for one in chains if one["name"] == chain)
    last = found["filters"][-1]
    own = last["typed_config"]["http_filters"] if "http_filters" in last["typed_config"] else found["filters"]
    names = [one["name"].removeprefix("envoy.filters.http.").rpartition("/")[2] for one in own]
    # It counts messages wherever it stands.
    return [name for name in names if name != "grpc_stats"]


def sees(world: MeshWorld, pod: str = "a-0", namespace: str = "default") -> set[str]:
    """Listeners of a pod that have the extension `it`."""
    found = world.resources(LISTENER, pod, namespace)
    return {name for name, shown in found.items() if "extensions.istio.io/trafficextension/default/it" in str(shown)}


def test_an_extension_concerns_whom_it_selects_and_nobody_else() -> None:
    world = MeshWorld(*WORKLOADS)
    for pod in ("a-0", "b-0"):
        world.connect(pod)
    other = world.resources(LISTENER, "b-0")
    outcome = world.apply(extension("it", f"selector: {{matchLabels: {{app: a}}}}, {LUA}"))
    assert [dict(offer.proxy_class.labels) for offer in outcome.offers] == [{"app": "a"}]
    assert sees(world) == {"virtualInbound", "0.0.0.0_80"}
    assert world.resources(LISTENER, "b-0") == other
    world.delete("TrafficExtension", "default", "it")
    assert sees(world) == set()
    name = extension_name("TrafficExtension", ObjectKey("default", "it"))
    assert name not in world.snapshot("a-0").of(EXTENSION)


def test_the_root_namespace_is_about_the_whole_mesh() -> None:
    world = MeshWorld(*WORKLOADS, gateway_manifest(), GATEWAY, extension("all", LUA, namespace="istio-system"))
    for pod, namespace in (("a-0", "default"), ("b-0", "default"), ("istio-ingressgateway-0", "istio-system")):
        assert "istio-system/all" in str(world.resources(LISTENER, pod, namespace))


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("match: [{mode: SERVER}]", {"virtualInbound"}),
        ("match: [{mode: CLIENT}]", {"0.0.0.0_80"}),
        ("match: [{mode: CLIENT_AND_SERVER}]", {"virtualInbound", "0.0.0.0_80"}),
        ("match: [{mode: SERVER}, {mode: CLIENT, ports: [{number: 81}]}]", {"virtualInbound"}),
        ("match: [{ports: [{number: 80}]}]", {"virtualInbound", "0.0.0.0_80"}),
        ("match: [{ports: [{number: 81}, {number: 82}]}]", set()),
    ],
)
def test_direction_and_ports(match: str, expected: set[str]) -> None:
    assert sees(MeshWorld(*WORKLOADS, extension("it", f"{match}, {LUA}"))) == expected


def test_a_gateways_port_is_the_public_one_or_the_one_that_it_binds() -> None:
    for number, expected in ((80, {"0.0.0.0_8080"}), (8080, {"0.0.0.0_8080"}), (443, set())):
        world = MeshWorld(*WORKLOADS, gateway_manifest(), GATEWAY)
        spec = (
            f"selector: {{matchLabels: {{istio: ingressgateway}}}}, match: [{{ports: [{{number: {number}}}]}}], {LUA}"
        )
        world.apply(extension("it", spec, namespace="istio-system"))
        found = world.resources(LISTENER, "istio-ingressgateway-0", "istio-system")
        assert {name for name, shown in found.items() if "istio-system/it" in str(shown)} == expected


def test_phases_are_places_in_the_chain() -> None:
    made = [extension(phase.lower(), f"phase: {phase}, {LUA}") for phase in ("AUTHN", "AUTHZ", "STATS")]
    world = MeshWorld(*WORKLOADS, *made, extension("rest", LUA), gateway_manifest(), GATEWAY)
    inbound = filters(world, "virtualInbound", "80-plaintext")
    assert inbound[:3] == ["authn", "jwt_authn", "authz"]
    assert inbound[-3:] == ["stats", "rest", "router"]
    assert len(inbound) > 6
    # A client's side authenticates nobody.
    assert filters(world, "0.0.0.0_80", "http") == ["authn", "authz", "stats", "rest", "cors", "fault", "router"]
    world.apply(
        *(extension(name, f"phase: {name.upper()}, {LUA}", namespace="istio-system") for name in ("authn", "authz"))
    )
    gateway = filters(world, "0.0.0.0_8080", "http.8080", "istio-ingressgateway-0", "istio-system")
    assert gateway[:4] == ["header_mutation", "authn", "jwt_authn", "authz"]
    world.apply(extension("late", f"phase: STATS, {LUA}", namespace="istio-system"))
    gateway = filters(world, "0.0.0.0_8080", "http.8080", "istio-ingressgateway-0", "istio-system")
    assert gateway[-4:] == ["late", "cors", "fault", "router"]


def test_higher_priority_runs_first_then_the_namespaces_own() -> None:
    """Without a priority an object is behind those that have one, be it negative, as in Istio."""
    world = MeshWorld(
        *WORKLOADS,
        extension("b", LUA),
        extension("a", "url: 'file:///m.wasm'", kind="WasmPlugin"),
        extension("high", f"priority: 5, {LUA}"),
        extension("low", f"priority: -1, {LUA}", namespace="istio-system"),
        extension("root", LUA, namespace="istio-system"),
    )
    assert filters(world, "0.0.0.0_80", "http")[:5] == ["high", "low", "a", "b", "root"]


def runs(world: MeshWorld, kind: str = "WasmPlugin", name: str = "it") -> dict[str, Any]:
    """What an extension's filter runs in the pod `a-0`."""
    prefix = f"extensions.istio.io/{kind.lower()}/default/{name}"
    (found,) = (one for own, one in world.resources(EXTENSION, "a-0").items() if own.startswith(prefix))
    return dict(found["typed_config"])


def test_a_changed_script_touches_one_resource_and_no_listener() -> None:
    world = MeshWorld(*WORKLOADS, extension("it", LUA))
    world.connect("a-0")
    world.connect("b-0")
    outcome = world.apply(extension("it", "lua: {inlineCode: 'function envoy_on_response(h) end'}"))
    assert outcome.commit.ran == {"extension": 1, "extension_place": 1, "patch_scope": 2}
    assert {frozenset(offer.changes.names) for offer in outcome.offers if offer.changes} == {frozenset({EXTENSION})}
    assert "envoy_on_response" in str(runs(world, "TrafficExtension"))


def test_a_module_runs_once_it_is_there() -> None:
    """Until then, and again without it, the filter answers or lets pass, as the object says."""
    world = MeshWorld(*WORKLOADS, extension("it", "url: 'file:///m.wasm'", kind="WasmPlugin"))
    assert "cannot be run" in str(runs(world))
    world.world.commit([Change(world.mesh.modules, SOURCE, MODULE)])
    code = runs(world)["config"]["vm_config"]
    assert code["runtime"] == "envoy.wasm.runtime.v8"
    assert code["code"]["local"]["inline_bytes"]
    world.world.commit([Change(world.mesh.modules, SOURCE, None)])
    assert "cannot be run" in str(runs(world))
    world.apply(extension("it", "url: 'file:///m.wasm', failStrategy: FAIL_OPEN", kind="WasmPlugin"))
    assert "passes everything" in str(runs(world))


def test_settings_of_a_module_reach_its_machine() -> None:
    env = "vmConfig: {env: [{name: A, value: b}, {name: HOME, valueFrom: HOST}]}"
    spec = f"url: 'file:///m.wasm', pluginName: adder, pluginConfig: {{z: 1, a: [true, {{b: c}}]}}, {env}"
    world = MeshWorld(*WORKLOADS, extension("it", spec, kind="WasmPlugin"))
    world.world.commit([Change(world.mesh.modules, SOURCE, MODULE)])
    config = runs(world)["config"]
    assert (config["name"], config["root_id"], config["failure_policy"]) == ("default.it", "adder", "FAIL_CLOSED")
    assert config["configuration"]["value"] == '{"a":[true,{"b":"c"}],"z":1}'
    assert config["vm_config"]["environment_variables"] == {"key_values": {"A": "b"}, "host_env_keys": ["HOME"]}
    world.apply(extension("it", "url: 'file:///m.wasm', failStrategy: FAIL_RELOAD", kind="WasmPlugin"))
    config = runs(world)["config"]
    assert (config["name"], config["failure_policy"]) == ("default.it", "FAIL_RELOAD")
    assert "configuration" not in config
    world.apply(extension("it", "url: 'file:///m.wasm', pluginConfig: {}", kind="WasmPlugin"))
    assert "configuration" not in runs(world)["config"]


def test_a_network_module_stands_before_the_end_of_every_chain() -> None:
    world = MeshWorld(*WORKLOADS, extension("it", "url: 'file:///m.wasm', type: NETWORK", kind="WasmPlugin"))
    shown = world.resources(LISTENER, "a-0")["virtualInbound"]
    for chain in shown["filter_chains"]:
        names = [one["name"] for one in chain["filters"]]
        assert names[-2] == "extensions.istio.io/wasmplugin/default/it/network"
    assert runs(world)["@type"].endswith("network.rbac.v3.RBAC")
    assert "rules" in runs(world)
    world.world.commit([Change(world.mesh.modules, SOURCE, MODULE)])
    assert runs(world)["@type"].endswith("network.wasm.v3.Wasm")
    world.apply(extension("it", "url: 'file:///n.wasm', type: NETWORK, failStrategy: FAIL_OPEN", kind="WasmPlugin"))
    assert "rules" not in runs(world)


def test_extensions_come_before_patches() -> None:
    removing = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: removing, namespace: default}
spec:
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_OUTBOUND
      listener:
        filterChain:
          filter:
            name: envoy.filters.network.http_connection_manager
            subFilter: {name: extensions.istio.io/trafficextension/default/it}
    patch: {operation: REMOVE}
"""
    world = MeshWorld(*WORKLOADS, extension("it", LUA), removing)
    assert sees(world) == {"virtualInbound"}


def test_what_a_proxy_refuses_is_traced_to_its_object() -> None:
    world = MeshWorld(*WORKLOADS, extension("it", LUA))
    found = world.snapshot("a-0").of(EXTENSION)["extensions.istio.io/trafficextension/default/it"]
    assert owners_of(found) == [Owner("TrafficExtension", "default", "it")]
    assert owner_of("envoy.filters.http.jwt_authn") is None
    assert owner_of("extensions.istio.io/wasmplugin/default/it/network") == ("WasmPlugin", ObjectKey("default", "it"))
    assert owner_of("extensions.istio.io/other/default/it") is None
    assert api.decode("envoy.config.core.v3.TypedExtensionConfig", found.body or b"").name == found.name


GENERATOR = """
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: it, namespace: default}
spec:
  url: https://modules.example/attributegen-1.wasm
  imagePullPolicy: Always
  SELECTOR
  pluginConfig:
    attributes:
    - output_attribute: operation
      match: [{value: Get, condition: "request.method == 'GET'"}]
"""
TAGS = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: tags, namespace: default}
spec:
  metrics:
  - providers: [{name: prometheus}]
    overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {operation: {value: operation}}}]
"""
COMPILED = "%CEL((request.method == 'GET') ? 'Get' : 'unknown')%"


def says(world: MeshWorld, listener: str, pod: str) -> bool:
    """Whether what a pod counts there has the attribute."""
    return COMPILED in str(world.resources(LISTENER, pod, "default")[listener]).replace('\\"', '"')


def test_attributegen_is_no_filter_but_what_metrics_say_of_whom_it_selects() -> None:
    world = MeshWorld(*WORKLOADS)
    for pod in ("a-0", "b-0"):
        world.connect(pod)
    plain = world.resources(LISTENER, "a-0", "default")
    world.apply(GENERATOR.replace("SELECTOR", "selector: {matchLabels: {app: a}}"))
    assert world.resources(LISTENER, "a-0", "default") == plain
    assert "wasmplugin" not in str(world.resources(EXTENSION, "a-0", "default"))
    world.apply(TAGS)
    assert (says(world, "virtualInbound", "a-0"), says(world, "virtualInbound", "b-0")) == (True, False)
    assert says(world, "0.0.0.0_80", "a-0")
    world.apply(GENERATOR.replace("SELECTOR", "match: [{mode: CLIENT}]"))
    assert (says(world, "virtualInbound", "b-0"), says(world, "0.0.0.0_80", "b-0")) == (False, True)


def test_modules_of_connections_stand_in_their_phases_around_the_policies() -> None:
    """Whatever their priorities: phases come first."""
    policy = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: default}
spec: {action: DENY, rules: [{to: [{operation: {ports: ["90"]}}]}]}
"""
    made = [
        extension(name, f"url: 'file:///m.wasm', type: NETWORK, {more}", kind="WasmPlugin")
        for name, more in (
            ("none", "priority: 100"),
            ("stats", "phase: STATS, priority: 9"),
            ("authz", "phase: AUTHZ, priority: 8"),
            ("authn", "phase: AUTHN"),
        )
    ]
    shown = MeshWorld(*WORKLOADS, policy, *made).resources(LISTENER, "a-0")["virtualInbound"]
    for chain in (one for one in shown["filter_chains"] if one["name"].startswith("90")):
        names = [one["name"].removesuffix("/network").rpartition("/")[2] for one in chain["filters"]]
        rbac = names.index("envoy.filters.network.rbac")
        assert names[rbac - 2 : rbac] == ["authn", "authz"]
        assert names[-3:] == ["stats", "none", "envoy.filters.network.tcp_proxy"]
