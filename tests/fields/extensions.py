"""WasmPlugin and TrafficExtension."""

from __future__ import annotations

from tests.fields.cases import CLIENT, SERVER, Case

HEADS = {
    kind: f"apiVersion: extensions.istio.io/v1alpha1\nkind: {kind}\nmetadata: {{name: it}}\nspec: "
    for kind in ("WasmPlugin", "TrafficExtension")
}
LOADED = "tests/unit/pilot/test_extension_model.py::"
TARGETS = "targets are Gateways of Kubernetes and waypoints; workloads are selected by labels"
IMAGES = "images are not fetched; a module is a file or comes over HTTP, known by its sha256"
URL = "url: 'file:///m.wasm'"
LUA = "lua: {inlineCode: 'function envoy_on_request(h) end'}"


def own(kind: str) -> str:
    """The filter's name."""
    return f"extensions.istio.io/{kind.lower()}/default/it"


def module(kind: str, field: str, settings: str, text: str, resource: str = "", proxy: str = SERVER) -> Case:
    """A setting of the module, which stands in the spec, or below `wasm`."""
    path = field if kind == "WasmPlugin" else f"wasm.{field}"
    spec = f"{{{URL}, {settings}}}" if kind == "WasmPlugin" else f"{{wasm: {{{URL}, {settings}}}}}"
    return Case(kind, (path,), HEADS[kind] + spec, resource or f"Extension/{own(kind)}", text, proxy)


def common(kind: str, runs: str) -> list[Case]:
    """What both kinds say alike. `runs`: what makes the object whole."""
    head, name = HEADS[kind], own(kind)

    def placed(fields: tuple[str, ...], spec: str, text: str, where: str, proxy: str = SERVER) -> Case:
        return Case(kind, fields, f"{head}{{{spec}, {runs}}}", where, text, proxy)

    before_authn = f'"name":"{name}"}},{{"config_discovery"'
    return [
        placed(("selector.matchLabels",), "selector: {matchLabels: {app: nobody}}", f"!{name}",
               "Listener/virtualInbound"),
        placed(("match[].mode",), "match: [{mode: CLIENT}]", f"!{name}", "Listener/virtualInbound"),
        placed(("match[].ports[].number",), "match: [{ports: [{number: 81}]}]", f"!{name}",
               "Listener/0.0.0.0_80", CLIENT),
        placed(("phase",), "phase: AUTHN", before_authn, "Listener/virtualInbound"),
        Case(kind, ("priority",), node=LOADED + "test_higher_priority_runs_first_then_the_namespaces_own"),
    ]  # fmt: skip


def targets(kind: str, field: str) -> Case:
    runs = URL if kind == "WasmPlugin" else LUA
    target = "{group: gateway.networking.k8s.io, kind: Gateway, name: g, namespace: n}"
    spec = f"{field}: {target if field == 'targetRef' else f'[{target}]'}"
    return Case(kind, (field,), f"{HEADS[kind]}{{{spec}, {runs}}}", refused=TARGETS)


def wasm(kind: str) -> list[Case]:
    """The settings of modules."""
    prefix = "" if kind == "WasmPlugin" else "wasm."

    def refused(field: str, settings: str) -> Case:
        spec = f"{{{URL}, {settings}}}" if kind == "WasmPlugin" else f"{{wasm: {{{URL}, {settings}}}}}"
        return Case(kind, (prefix + field,), HEADS[kind] + spec, refused=IMAGES)

    shown = LOADED + "test_settings_of_a_module_reach_its_machine"
    return [
        module(kind, "failStrategy", "failStrategy: FAIL_OPEN", "passes everything"),
        module(kind, "type", "type: NETWORK", "extensions.filters.network.rbac", f"Extension/{own(kind)}/network"),
        Case(kind, (f"{prefix}url",), node=LOADED + "test_a_module_runs_once_it_is_there"),
        Case(kind, (f"{prefix}sha256",), node="tests/unit/edge/test_module_reader.py::test_a_digest_must_be_that_of_the_content"),
        *(Case(kind, (prefix + field,), node=shown) for field in (
            "pluginConfig", "pluginName", "vmConfig.env[].name", "vmConfig.env[].value", "vmConfig.env[].valueFrom")),
        refused("imagePullPolicy", "imagePullPolicy: Always"),
        refused("imagePullSecret", "imagePullSecret: s"),
        refused("verificationKey", "verificationKey: k"),
    ]  # fmt: skip


CASES: list[Case] = [
    *common("WasmPlugin", URL),
    *wasm("WasmPlugin"),
    targets("WasmPlugin", "targetRef"),
    targets("WasmPlugin", "targetRefs"),
    *common("TrafficExtension", LUA),
    *wasm("TrafficExtension"),
    targets("TrafficExtension", "targetRefs"),
    Case("TrafficExtension", ("lua.inlineCode",),
         f"{HEADS['TrafficExtension']}{{lua: {{inlineCode: 'function envoy_on_request(h) end'}}}}",
         f"Extension/{own('TrafficExtension')}", "envoy_on_request", SERVER),
]  # fmt: skip
