"""What is known of each object at each proxy; and one bad object among many is left out alone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.calls import body, call
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

GOOD = 100
HOSTS = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: good}}
spec:
  hosts: [{", ".join(f"good-{n}.example.com" for n in range(GOOD))}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: DNS
"""
ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: good-NUMBER}
spec:
  hosts: [good-NUMBER.example.com]
  http: [{directResponse: {status: 200, body: {string: "good NUMBER"}}}]
"""
POISON = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: NAME}
spec:
  workloadSelector: {labels: {app: sleep}}
  configPatches:
"""
# What Argosy cannot know to be wrong, each in another part of a proxy: a script, an extension, a value, an address.
POISONS = {
    "script": """
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_OUTBOUND
      listener:
        filterChain:
          filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}
    patch:
      operation: INSERT_BEFORE
      value:
        name: script
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
          default_source_code: {inline_string: "this is no script ("}
""",
    "extension": """
  - applyTo: CLUSTER
    match: {context: SIDECAR_OUTBOUND, cluster: {service: httpbin.default.svc.cluster.local}}
    patch: {operation: MERGE, value: {transport_socket: {name: no.such.extension}}}
""",
    "value": """
  - applyTo: VIRTUAL_HOST
    match: {context: SIDECAR_OUTBOUND, routeConfiguration: {vhost: {name: "httpbin.default.svc.cluster.local:8000"}}}
    patch:
      operation: MERGE
      value: {rate_limits: [{actions: [{request_headers: {header_name: "", descriptor_key: ""}}]}]}
""",
    "address": """
  - applyTo: LISTENER
    match: {context: SIDECAR_OUTBOUND}
    patch:
      operation: ADD
      value:
        name: nowhere
        address: {socket_address: {address: 300.300.300.300, port_value: 1}}
        filter_chains: [{}]
""",
}
UNUSED = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: for-nobody}
spec: {hosts: [a.example.com], gateways: [no-such-gateway], http: [{route: [{destination: {host: httpbin}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: about-nobody}
spec: {selector: {matchLabels: {app: nobody}}}
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin}
spec: {host: httpbin, trafficPolicy: {connectionPool: {tcp: {connectTimeout: SECONDSs}}}}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    files = [EXAMPLES / "httpbin/httpbin.yaml", EXAMPLES / "sleep/sleep.yaml"]
    with running(tmp_path_factory.mktemp("status") / "mesh", *files) as found:
        yield found


def status(mesh: Mesh, kind: str, *name: str) -> Any:
    return json.loads(mesh.cli("status", kind, *name, "-o", "json").stdout)


def states(mesh: Mesh, kind: str, name: str) -> dict[str, str]:
    """The state of an object at each workload's proxy."""
    found = status(mesh, kind, name)["proxies"]
    return {row["pod"].rsplit("-", 2)[0]: row["state"] for row in found}


def test_bad_objects_among_many_good_ones_are_left_out_alone(mesh: Mesh, tmp_path: Any) -> None:
    good = [ROUTE.replace("NUMBER", str(number)) for number in range(GOOD)]
    bad = [POISON.replace("NAME", name) + patch for name, patch in POISONS.items()]
    file = tmp_path / "all.yaml"
    file.write_text("---".join([HOSTS, *good[:50], *bad, *good[50:]]))
    done = mesh.cli("apply", "-f", str(file), "--wait", check=False)
    assert done.returncode == 1
    # Each is named with its line and Envoy's words, and nothing else is.
    for name in POISONS:
        assert f"error ARG0504 EnvoyFilter default/{name}: left out of all proxies" in done.stderr, done.stderr
    assert done.stderr.count(" error ") == len(POISONS), done.stderr
    rows = {row["name"]: row for row in status(mesh, "envoyfilters")}
    assert {name: row["state"] for name, row in rows.items()} == dict.fromkeys(POISONS, "REJECTED")
    assert all(str(file) in row["origin"] for row in rows.values())
    assert "script load error" in rows["script"]["proxies"][0]["reason"]
    assert {row["state"] for row in status(mesh, "virtualservices")} == {"CURRENT"}
    _works(mesh)


def _works(mesh: Mesh) -> None:
    assert call(mesh, "sleep", "http://httpbin:8000/get") == ["200"]
    for number in (0, 49, 50, GOOD - 1):
        assert body(mesh, "sleep", f"http://good-{number}.example.com/") == f"good {number}"


def test_a_proxy_that_starts_afresh_has_all_that_is_good(mesh: Mesh) -> None:
    (old,) = mesh.pods("sleep")
    mesh.cli("restart", "deploy/sleep")
    names = lambda: [pod["metadata"]["name"] for pod in mesh.pods("sleep")]  # noqa: E731
    wait_for(lambda: len(now := names()) == 1 and old["metadata"]["name"] not in now, 120, "another pod of sleep")
    mesh.wait_pods()
    _works(mesh)
    wait_for(lambda: all(row["state"] == "SYNCED" for row in mesh.proxies()), 60, "every proxy runs all")


def test_a_bad_object_that_is_mended_is_run(mesh: Mesh) -> None:
    mended = POISONS["script"].replace("this is no script (", "function envoy_on_response(h) end")
    mesh.apply(POISON.replace("NAME", "script") + mended)
    assert states(mesh, "envoyfilter", "script") == {"sleep": "CURRENT"}
    for name in POISONS:
        mesh.delete(POISON.replace("NAME", name) + POISONS[name])
    assert mesh.cli("analyze").returncode == 0


def test_what_no_proxy_needs_is_said_to_be_unused(mesh: Mesh) -> None:
    mesh.apply(UNUSED)
    assert (status(mesh, "vs", "for-nobody")["state"], status(mesh, "vs", "good-1")["state"]) == ("UNUSED", "CURRENT")
    assert status(mesh, "ap", "about-nobody")["state"] == "UNUSED"


def test_a_proxy_that_is_held_up_is_named(mesh: Mesh, tmp_path: Any) -> None:
    """It is stopped, so that it answers nothing; everybody else runs the change."""
    pid = mesh.envoy_pid("httpbin")
    os.kill(pid, signal.SIGSTOP)
    try:
        (tmp_path / "rule.yaml").write_text(RULE.replace("SECONDS", "7"))
        done = mesh.cli("apply", "-f", str(tmp_path / "rule.yaml"), "--wait=10", check=False)
        assert done.returncode == 1
        lines = [line for line in done.stderr.splitlines() if "default/" in line]
        assert [line.split()[0].startswith("default/httpbin-") for line in lines] == [True], done.stderr
        found = states(mesh, "dr", "httpbin")
        assert found == {"httpbin": "PENDING", "sleep": "CURRENT", "istio-ingressgateway": "CURRENT"}
        # A Pilot that has just started knows the pod, and has not heard of its proxy.
        os.kill(mesh.host_pid("argosy.app.control_plane"), signal.SIGKILL)
        wait_for(lambda: _state_of_httpbin(mesh) == "NEVER", 120, "the others are back, that one is not")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: _state_of_httpbin(mesh) == "CURRENT", 120, "it runs the change as well")
    assert "httpbin" in mesh.cli("status", "dr/httpbin").stdout


def _state_of_httpbin(mesh: Mesh) -> str:
    """`` while the control plane is away or others are not back."""
    done = mesh.cli("status", "dr/httpbin", "-o", "json", check=False)
    if done.returncode:
        return ""
    found = {row["pod"].rsplit("-", 2)[0]: row["state"] for row in json.loads(done.stdout)["proxies"]}
    own = found.pop("httpbin", "")
    return own if set(found.values()) == {"CURRENT"} else ""
