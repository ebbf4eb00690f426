"""WasmPlugin and TrafficExtension: what is refused, and where."""

import pytest

from argosy.api import decode_object, parse_documents
from argosy.api.extensions import LuaScript, TrafficExtension, WasmPlugin, lua_of, wasm_of
from argosy.galley.validate import validate_object


def test_what_an_object_runs() -> None:
    plugin = WasmPlugin(url="file:///m.wasm")
    assert (wasm_of(plugin), lua_of(plugin)) == (plugin, None)
    script = TrafficExtension(lua=LuaScript(inline_code="x"))
    assert (wasm_of(script), lua_of(script)) == (None, script.lua)


def found(kind: str, spec: str) -> list[tuple[str, str]]:
    head = f"apiVersion: extensions.istio.io/v1alpha1\nkind: {kind}\nmetadata: {{name: it, namespace: shop}}\n"
    (document,) = parse_documents(f"{head}spec: {{{spec}}}\n")
    return [(one.code, one.field) for one in validate_object(decode_object(document))]


FILE = "url: 'file:///m.wasm'"


@pytest.mark.parametrize(
    "spec",
    [
        FILE,
        "url: 'https://a.example/m.wasm'",
        f"url: 'http://a.example/m.wasm', sha256: {'a1' * 32}",
        f"{FILE}, vmConfig: {{env: [{{name: A, value: b}}, {{name: B, valueFrom: HOST}}]}}",
        f"{FILE}, phase: STATS, priority: -5, match: [{{mode: CLIENT, ports: [{{number: 80}}]}}]",
    ],
)
def test_plugins_that_can_be_run(spec: str) -> None:
    assert found("WasmPlugin", spec) == []


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ("url: 'oci://r.example/m:1'", "ARG0121", "spec.url"),
        ("url: 'r.example/m:1'", "ARG0121", "spec.url"),
        ("url: m", "ARG0121", "spec.url"),
        ("url: 'ftp://a/m'", "ARG0195", "spec.url"),
        ("url: 'file://host/m.wasm'", "ARG0195", "spec.url"),
        ("url: 'file:m.wasm'", "ARG0195", "spec.url"),
        ("url: 'https://u:p@a/m'", "ARG0195", "spec.url"),
        ("url: 'https://[::1/m'", "ARG0195", "spec.url"),
        ("url: 'https://a:99999/m'", "ARG0195", "spec.url"),
        ("url: 'http://a.example/m.wasm'", "ARG0195", "spec.url"),
        (f"{FILE}, sha256: abc", "ARG0195", "spec.sha256"),
        (f"{FILE}, sha256: {'G' * 64}", "ARG0195", "spec.sha256"),
        (f"{FILE}, match: [{{ports: [{{number: 0}}]}}]", "ARG0105", "spec.match[0].ports[0].number"),
        (f"{FILE}, selector: {{matchLabels: {{'a b': c}}}}", "ARG0102", 'spec.selector.matchLabels["a b"]'),
        (f"{FILE}, pluginName: {'x' * 257}", "ARG0122", "spec.pluginName"),
        (f"{FILE}, vmConfig: {{env: [{{name: '', value: b}}]}}", "ARG0110", "spec.vmConfig.env[0].name"),
        (f"{FILE}, vmConfig: {{env: [{{name: A}}, {{name: A}}]}}", "ARG0114", "spec.vmConfig.env[1].name"),
        (
            f"{FILE}, vmConfig: {{env: [{{name: A, value: b, valueFrom: HOST}}]}}",
            "ARG0109",
            "spec.vmConfig.env[0].value",
        ),
        (f"{FILE}, vmConfig: {{env: [{{name: A, value: {'x' * 2049}}}]}}", "ARG0122", "spec.vmConfig.env[0].value"),
    ],
)
def test_plugins_that_cannot(spec: str, code: str, field: str) -> None:
    assert (code, field) in found("WasmPlugin", spec)


def test_there_are_no_more_variables_than_a_proxy_takes() -> None:
    many = ", ".join(f"{{name: A{number}}}" for number in range(257))
    assert ("ARG0122", "spec.vmConfig.env") in found("WasmPlugin", f"{FILE}, vmConfig: {{env: [{many}]}}")


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ("priority: 1", "ARG0110", "spec"),
        (f"wasm: {{{FILE}}}, lua: {{inlineCode: x}}", "ARG0109", "spec"),
        ("lua: {inlineCode: '  '}", "ARG0110", "spec.lua.inlineCode"),
        (f"lua: {{inlineCode: {'x' * 65_537}}}", "ARG0122", "spec.lua.inlineCode"),
        ("wasm: {url: 'oci://r/m'}", "ARG0121", "spec.wasm.url"),
    ],
)
def test_extensions_that_cannot_be_run(spec: str, code: str, field: str) -> None:
    assert (code, field) in found("TrafficExtension", spec)


def test_an_extension_runs_a_script_or_a_module() -> None:
    assert found("TrafficExtension", "lua: {inlineCode: 'function envoy_on_request(h) end'}") == []
    assert found("TrafficExtension", f"wasm: {{{FILE}}}") == []


GENERATOR = "url: 'oci://r.example/istio/attributegen:1', imagePullPolicy: Always"


def generator(attributes: str) -> str:
    return f"{GENERATOR}, pluginConfig: {{attributes: {attributes}}}"


@pytest.mark.parametrize(
    "attributes",
    [
        "[{output_attribute: a_b, match: [{value: x, condition: \"request.method == 'GET'\"}, {value: y}]}]",
        "[{outputAttribute: a, match: [{value: 2xx, condition: response.code < 300}]}]",
    ],
)
def test_attributegen_is_taken_at_its_word(attributes: str) -> None:
    assert found("WasmPlugin", generator(attributes)) == []
    assert found("TrafficExtension", f"wasm: {{{generator(attributes)}}}") == []


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        (GENERATOR, "ARG0196", "spec.pluginConfig"),
        (generator("[]"), "ARG0196", "spec.pluginConfig.attributes"),
        (generator("[{match: [{value: x}]}]"), "ARG0196", "spec.pluginConfig.attributes[0].output_attribute"),
        (
            generator("[{output_attribute: a, match: [{}]}]"),
            "ARG0196",
            "spec.pluginConfig.attributes[0].match[0].value",
        ),
        (generator("[{output_attribute: a, matches: []}]"), "ARG0196", "spec.pluginConfig.attributes[0].matches"),
        (
            generator("[{output_attribute: request, match: [{value: x}]}]"),
            "ARG0196",
            "spec.pluginConfig.attributes[0].output_attribute",
        ),
        (
            generator('[{output_attribute: a, match: [{value: "it\'s"}]}]'),
            "ARG0196",
            "spec.pluginConfig.attributes[0].match[0].value",
        ),
        (
            generator("[{output_attribute: a, match: [{value: x, condition: request.nothing == 1}]}]"),
            "ARG0191",
            "spec.pluginConfig.attributes[0].match[0].condition",
        ),
        (
            generator("[{output_attribute: a, match: [{value: x, condition: \"request.path == '%'\"}]}]"),
            "ARG0191",
            "spec.pluginConfig.attributes[0].match[0].condition",
        ),
        (
            generator("[{output_attribute: a, match: [{value: x}]}, {output_attribute: a, match: [{value: y}]}]"),
            "ARG0114",
            "spec.pluginConfig.attributes[1].output_attribute",
        ),
        (
            generator(f"[{{output_attribute: a, match: [{{value: {'x' * 5000}}}]}}]"),
            "ARG0122",
            "spec.pluginConfig.attributes[0].match",
        ),
        (generator("[{output_attribute: a, match: [{value: x}]}]") + ", type: NETWORK", "ARG0121", "spec.type"),
        (generator("[{output_attribute: a, match: [{value: x}]}]") + ", vmConfig: {}", "ARG0121", "spec.vmConfig"),
        (
            generator("[{output_attribute: a, match: [{value: x}]}]") + ", match: [{ports: [{number: 80}]}]",
            "ARG0121",
            "spec.match[0].ports",
        ),
        (f"{FILE}, imagePullPolicy: Always", "ARG0011", "spec.imagePullPolicy"),
    ],
)
def test_what_attributegen_cannot_be_told(spec: str, code: str, field: str) -> None:
    assert found("WasmPlugin", spec) == [(code, field)]
