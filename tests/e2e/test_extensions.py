"""WasmPlugin and TrafficExtension on real Envoys: scripts and modules in sidecars and at a gateway, in order, changed
and broken while requests flow."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.calls import applied, call, echo, in_pod
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for
from tests.e2e.loads import admin, started
from tests.wasm import module

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

URL = "http://httpbin:8000"
ROUTES = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: ["*"]
  gateways: [gw]
  http: [{route: [{destination: {host: httpbin, port: {number: 8000}}}]}]
"""
SERVER = """
apiVersion: v1
kind: Service
metadata: {{name: modules}}
spec: {{selector: {{app: modules}}, ports: [{{name: http, port: 80, targetPort: 8070}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: modules}}
spec:
  selector: {{matchLabels: {{app: modules}}}}
  template:
    metadata: {{labels: {{app: modules, sidecar.istio.io/inject: "false"}}}}
    spec:
      containers:
      - name: modules
        image: busybox
        command: ["{python}", "-m", "http.server", "8070", "--directory", "/tmp"]
        ports: [{{containerPort: 8070}}]
        readinessProbe: {{tcpSocket: {{port: 8070}}, periodSeconds: 1}}
"""
PARITY = """
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {name: parity}
spec:
  selector: {matchLabels: {app: httpbin}}
  match: [{mode: SERVER}]
  lua:
    inlineCode: |
      function envoy_on_request(handle)
        local number = tonumber(handle:headers():get("x-number"))
        if number == nil then return end
        local parity = number % 2 == 0 and "even" or "odd"
        handle:streamInfo():dynamicMetadata():set("parity", "parity", parity)
      end
      function envoy_on_response(handle)
        local found = handle:streamInfo():dynamicMetadata():get("parity")
        if found ~= nil then handle:headers():add("x-parity", found["parity"]) end
      end
"""


def script(name: str, code: str, more: str = "", *, selector: str = "app: httpbin", mode: str = "SERVER") -> str:
    return f"""
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{{selector}}}}}
  match: [{{mode: {mode}}}]
  lua: {{inlineCode: {json.dumps(code)}}}
  {more}
"""


def adding(text: str) -> str:
    """A script that adds a text to a request's header, after what stands there already."""
    return (
        f'function envoy_on_request(h) local was = h:headers():get("x-order") or "" '
        f'h:headers():replace("x-order", was .. "{text}") end'
    )


def plugin(
    url: str, settings: str, more: str = "", *, selector: str = "app: httpbin", namespace: str = "default"
) -> str:
    return f"""
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {{name: adder, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{{selector}}}}}
  url: {url}
  pluginName: adder
  pluginConfig: {settings}
  {more}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("extensions")
    (folder / "routes.yaml").write_text(ROUTES)
    (folder / "server.yaml").write_text(SERVER.format(python=sys.executable))
    files = [EXAMPLES / name / f"{name}.yaml" for name in ("httpbin", "sleep", "tcp-echo")]
    files += [folder / "routes.yaml", folder / "server.yaml"]
    with running(folder / "mesh", *files) as one:
        yield one


@pytest.fixture(scope="module")
def wasm(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """URL and digest of a module."""
    path = tmp_path_factory.mktemp("wasm") / "adder.wasm"
    path.write_bytes(module())
    return f"file://{path}", hashlib.sha256(module()).hexdigest()


def answer(mesh: Mesh, *options: str, path: str = "/headers") -> tuple[dict[str, str], str]:
    """Headers (the status under `:status`) and body of one request from `sleep` to `httpbin`."""
    text = in_pod(mesh, "sleep", "curl", "-s", "-i", "-m", "60", *options, URL + path)
    head, _blank, body = text.replace("\r\n", "\n").partition("\n\n")
    status, *lines = head.splitlines()
    headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
    return {":status": status.split()[1], **headers}, body


def received(mesh: Mesh, name: str, *options: str) -> list[str]:
    """The values of a header as httpbin got it; none if it did not get the request."""
    headers, body = answer(mesh, *options)
    if headers[":status"] != "200":
        return []
    found: dict[str, list[str]] = {k.lower(): v for k, v in json.loads(body)["headers"].items()}
    return found.get(name, [])


def load(mesh: Mesh) -> Any:
    """Requests from `sleep` to `httpbin`, on connections that are kept."""
    (service,) = (one for one in mesh.objects("Service") if one["metadata"]["name"] == "httpbin")
    address = [service["spec"]["clusterIP"], 8000]
    options = {"rate": 50, "path": "/status/200", "address": address, "host": "httpbin:8000"}
    return started("sidecar", options, network_of=mesh.envoy_pid("sleep"))


def settled(mesh: Mesh) -> None:
    """Let connections from before a new or deleted object end: each does so with its next answer, under what held
    when it began, as with every change of a listener."""
    call(mesh, "sleep", *[f"{URL}/status/200"] * 4)


def told_of(mesh: Mesh, start: str, words: str = "") -> None:
    """Wait until a finding begins so and holds these words."""
    wait_for(
        lambda: any(one.startswith(start) and words in one for one in findings(mesh)), 180, f"{start} {words} is told"
    )


def findings(mesh: Mesh) -> list[str]:
    with mesh.control() as client:
        found = client.get("/v1/analyze").json()["findings"]
    return [f"{one['code']} {one['kind']} {one['name']}: {one['message']}" for one in found]


def test_a_script_answers_with_the_parity_of_a_number(mesh: Mesh) -> None:
    with applied(mesh, PARITY):
        settled(mesh)
        found = [answer(mesh, "-H", f"x-number: {n}")[0].get("x-parity") for n in (42, 7)]
        assert found == ["even", "odd"]
        assert "x-parity" not in answer(mesh)[0]
    settled(mesh)
    assert "x-parity" not in answer(mesh, "-H", "x-number: 42")[0]


def test_a_changed_script_holds_from_the_next_request_on_and_closes_nothing(mesh: Mesh) -> None:
    pid = mesh.envoy_pid("httpbin")

    def listeners() -> str:
        dump = json.loads(admin(pid, "/config_dump?resource=dynamic_listeners"))["configs"]
        return json.dumps([(one["name"], one["active_state"]["version_info"]) for one in dump])

    mesh.apply(script("order", adding("a")))
    before = listeners()
    with load(mesh) as running_load:
        for text in ("b", "c", "d"):
            mesh.apply(script("order", adding(text)))
            assert received(mesh, "x-order") == [text]
        assert listeners() == before
        running_load.assert_lossless()
    mesh.delete(script("order", ""))
    settled(mesh)
    assert received(mesh, "x-order") == []


def test_phases_and_priorities_say_who_runs_first_on_both_sides(mesh: Mesh) -> None:
    """Of one phase the higher priority is first; the client's side comes before the server's."""
    scripts = [
        script("last", adding("5")),
        script("stats", adding("4"), "phase: STATS"),
        script("low", adding("3"), "phase: AUTHN\n  priority: 1"),
        script("high", adding("2"), "phase: AUTHN\n  priority: 10"),
        script("client", adding("1"), selector="app: sleep", mode="CLIENT"),
        script("other-port", adding("x"), "", selector="app: sleep").replace("mode: SERVER", "ports: [{number: 81}]"),
    ]
    with applied(mesh, *scripts):
        settled(mesh)
        assert received(mesh, "x-order") == ["12345"]
        # Before authentication: a claim's header may be set by a script of phase AUTHN, and what authorization sees.
        deny = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-order}
spec:
  selector: {matchLabels: {app: httpbin}}
  action: DENY
  rules: [{when: [{key: "request.headers[x-order]", values: ["123"]}]}]
"""
        with applied(mesh, deny):
            assert call(mesh, "sleep", f"{URL}/headers") == ["403"]


def test_a_module_runs_in_the_servers_sidecar_and_at_the_gateway(mesh: Mesh, wasm: tuple[str, str]) -> None:
    url, digest = wasm
    with load(mesh) as running_load:
        # Neither its coming nor its going loses a request, though a module that is not there would fail them.
        with applied(mesh, plugin(url, "{text: hello}", f"sha256: {digest}\n  match: [{{mode: SERVER}}]")):
            settled(mesh)
            assert received(mesh, "x-wasm") == ['{"text":"hello"}']
        settled(mesh)
        assert received(mesh, "x-wasm") == []
        ledger = running_load.stop()
        assert ledger["failures"] == 0, ledger
    router = {"selector": "istio: ingressgateway", "namespace": "istio-system"}
    with applied(mesh, plugin(url, "{deny: everybody}", "phase: AUTHN\n  match: [{ports: [{number: 80}]}]", **router)):
        refused = httpx.get(f"{mesh.gateway()}/headers", timeout=60)
        assert (refused.status_code, refused.text) == (403, '{"deny":"everybody"}')
        assert received(mesh, "x-wasm") == []
    assert httpx.get(f"{mesh.gateway()}/headers", timeout=60).status_code == 200


def test_what_cannot_be_run_passes_or_fails_as_the_object_says(
    mesh: Mesh, wasm: tuple[str, str], tmp_path: Path
) -> None:
    url, _digest = wasm
    wrong = "0" * 64
    with applied(mesh, plugin(url, "{text: x}", f"sha256: '{wrong}'")):
        settled(mesh)
        headers, body = answer(mesh)
        assert (headers[":status"], body) == ("500", "WasmPlugin default/adder cannot be run\n")
        told_of(mesh, "ARG0511 WasmPlugin adder", "SHA-256")
    with applied(mesh, plugin(url, "{text: x}", f"sha256: '{wrong}'\n  failStrategy: FAIL_OPEN")):
        assert (answer(mesh)[0][":status"], received(mesh, "x-wasm")) == ("200", [])
    # It is a module by its first bytes only: the proxy refuses it, and that is told.
    broken = tmp_path / "broken.wasm"
    broken.write_bytes(module()[:60])
    # Of another name: what a proxy refuses leaves what it had.
    other = plugin(f"file://{broken}", "{text: x}").replace("name: adder", "name: broken")
    mesh.apply(other, wait_s=0)
    told_of(mesh, "ARG0502 WasmPlugin broken")
    settled(mesh)
    assert answer(mesh)[0][":status"] == "500"
    # The file is replaced by a good one: no object has changed.
    broken.write_bytes(module())
    wait_for(lambda: received(mesh, "x-wasm") == ['{"text":"x"}'], 60, "the module that is there now")
    mesh.delete(other)
    settled(mesh)
    # A script that does not compile lets requests pass.
    mesh.apply(script("bad", "function envoy_on_request("), wait_s=0)
    told_of(mesh, "ARG0502 TrafficExtension bad")
    assert answer(mesh)[0][":status"] == "200"
    # Nor does it keep listeners from changing, though they name it.
    with applied(mesh, PARITY):
        settled(mesh)
        assert answer(mesh, "-H", "x-number: 42")[0].get("x-parity") == "even"
    mesh.delete(script("bad", "x"))
    wait_for(lambda: findings(mesh) == [], 60, "nothing is found any more")


def test_a_module_is_fetched_once_it_is_there_and_is_the_right_one(mesh: Mesh) -> None:
    """From a server of the mesh; until then requests pass or fail as the object says."""

    def serve(body: bytes) -> None:
        text = base64.b64encode(body).decode()
        in_pod(mesh, "modules", "sh", "-c", f"echo {text} | base64 -d > /tmp/new && mv /tmp/new /tmp/adder.wasm")

    def fetched(more: str = "") -> str:
        digest = hashlib.sha256(module()).hexdigest()
        return plugin("http://modules.default/adder.wasm", "{text: fetched}", f"sha256: {digest}{more}")

    with applied(mesh, fetched("\n  failStrategy: FAIL_OPEN")):
        settled(mesh)
        assert (answer(mesh)[0][":status"], received(mesh, "x-wasm")) == ("200", [])
        told_of(mesh, "ARG0511 WasmPlugin adder", "404")
        mesh.apply(fetched())
        assert answer(mesh)[0][":status"] == "500"
        serve(module()[:-1])
        told_of(mesh, "ARG0511 WasmPlugin adder", "SHA-256")
        assert answer(mesh)[0][":status"] == "500"
        serve(module())
        wait_for(lambda: received(mesh, "x-wasm") == ['{"text":"fetched"}'], 180, "the module that is there now")
        wait_for(lambda: findings(mesh) == [], 60, "nothing is found any more")


def test_a_module_decides_about_connections(mesh: Mesh, wasm: tuple[str, str]) -> None:
    url, _digest = wasm

    def network(settings: str, more: str = "", at: str = url) -> str:
        return plugin(at, settings, f"type: NETWORK{more}", selector="app: tcp-echo")

    assert echo(mesh, "sleep", "tcp-echo", 9000, "x").endswith("x")
    with applied(mesh, network("{text: hello}")):
        assert echo(mesh, "sleep", "tcp-echo", 9000, "x").endswith("x")
        mesh.apply(network("{deny: everybody}"))
        assert echo(mesh, "sleep", "tcp-echo", 9000, "x") == ""
    assert echo(mesh, "sleep", "tcp-echo", 9000, "x").endswith("x")
    with applied(mesh, network("{text: x}", at="file:///nowhere.wasm")):
        assert echo(mesh, "sleep", "tcp-echo", 9000, "x") == ""
        mesh.apply(network("{text: x}", "\n  failStrategy: FAIL_OPEN", at="file:///nowhere.wasm"))
        assert echo(mesh, "sleep", "tcp-echo", 9000, "x").endswith("x")
