"""Traffic management with everything that Istio's API has for it: one mesh, real proxies, servers outside of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from tests.e2e.calls import applied, body, call, echo, in_pod
from tests.e2e.harness import Mesh, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MESH = """
apiVersion: v1
kind: Namespace
metadata: {name: outside, labels: {istio-injection: disabled}}
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec: {selector: {app: server}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: unnamed}
spec: {selector: {app: server}, ports: [{port: 6000, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: banner}
spec: {selector: {app: echo}, ports: [{port: 7000, targetPort: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: stranger, namespace: outside}
spec: {selector: {app: stranger}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]}
"""
POD = """---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{matchLabels: {{app: {app}, version: {name}}}}}
  template:
    metadata: {{labels: {{app: {app}, version: {name}, istio-locality: {locality}}}}}
    spec:
      containers:
      {containers}
"""
HTTPBIN = "- {name: httpbin, image: argosy/go-httpbin, ports: [{containerPort: 8080}]}"
ECHO = '- {name: echo, image: argosy/tcp-echo, args: ["9000", "hello"], ports: [{containerPort: 9000}]}'
SLEEP = "- {name: sleep, image: argosy/curl}"


def pod(name: str, app: str, containers: str, *, locality: str = "here.one", namespace: str = "default") -> str:
    return POD.format(name=name, app=app, containers=containers, locality=locality, namespace=namespace)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    home = tmp_path_factory.mktemp("traffic")
    both = f"{HTTPBIN}\n      {ECHO}"
    text = MESH + "".join(
        [
            pod("near", "server", HTTPBIN),
            pod("next", "server", HTTPBIN, locality="here.two"),
            pod("far", "server", HTTPBIN, locality="there.one"),
            pod("echo", "echo", ECHO),
            pod("sleep", "sleep", SLEEP),
            pod("stranger", "stranger", both, namespace="outside"),
        ]
    )
    (home / "mesh.yaml").write_text(text)
    with running(home / "mesh", home / "mesh.yaml") as found:
        yield found


def route(spec: str, *, name: str = "under-test", hosts: str = "[server]") -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec: {{hosts: {hosts}, {spec}}}
"""


def config(text: str) -> str:
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n"
    return head + lines


def answering(mesh: Mesh, count: int, url: str = "http://server/hostname") -> Counter[str]:
    """Which workloads answered `count` requests."""
    text = in_pod(mesh, "sleep", "sh", "-c", f"curl -s -m 60 '{url}?n=[1-{count}]'")
    names = ("near", "next", "far")
    return Counter(name for word in text.split('"') for name in names if word.startswith(f"{name}-"))


def test_rules_are_delegated_and_paths_rewritten_by_expressions(mesh: Mesh) -> None:
    parts = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: part}
spec:
  http:
  - rewrite: {uriRegexRewrite: {match: '^/code/([0-9]+)$', rewrite: '/status/\\1'}}
    route: [{destination: {host: server}}]
"""
    root = route("http: [{match: [{uri: {prefix: /code/}}], delegate: {name: part}}, {directResponse: {status: 418}}]")
    with applied(mesh, parts, root):
        assert call(mesh, "sleep", "http://server/code/204", "http://server/code/404", "http://server/x") == [
            "204",
            "404",
            "418",
        ]


def test_pages_of_other_origins_are_told_what_they_may(mesh: Mesh) -> None:
    cors = "corsPolicy: {allowOrigins: [{exact: https://good.example}], allowMethods: [POST], maxAge: 24h}"
    with applied(mesh, route(f"http: [{{{cors}, route: [{{destination: {{host: server}}}}]}}]")):
        asked = "-s -D - -o /dev/null -X OPTIONS -H 'access-control-request-method: POST' http://server/get"
        good = body(mesh, "sleep", f"-H 'origin: https://good.example' {asked}").lower()
        assert "access-control-allow-origin: https://good.example" in good
        assert "access-control-max-age: 86400" in good
        assert "access-control-allow-origin: https://bad" not in body(
            mesh, "sleep", f"-H 'origin: https://bad' {asked}"
        )


def test_an_unsafe_request_is_never_executed_twice(mesh: Mesh) -> None:
    """A GET that fails is tried again as often as asked for; a POST, which may have been executed, is not."""
    retries = "retries: {attempts: 3, retryOn: 5xx, retryIgnorePreviousHosts: false}"
    with applied(mesh, route(f"http: [{{{retries}, route: [{{destination: {{host: server}}}}]}}]")):
        for method in ("POST", "GET"):
            assert call(mesh, "sleep", f"-X {method} http://server/status/500?once={method}") == ["500"]
        told = lambda: [tries(mesh, f"once={method}") for method in ("GET", "POST")]  # noqa: E731
        wait_for(lambda: (found := told())[0] >= 4 and found[1] >= 1, 60, "all tries in the servers' logs")
        assert told() == [4, 1]


def tries(mesh: Mesh, mark: str) -> int:
    """How many requests with that mark reached the servers."""
    pods = [one["metadata"]["name"] for name in ("near", "next", "far") for one in mesh.pods(name)]
    texts = [mesh.cli("logs", pod_name, "-c", "istio-proxy").stdout for pod_name in pods]
    return sum(mark in line for text in texts for line in text.splitlines())


LOCALITY = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: places}
spec:
  host: server
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {%s}}
    outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 1m}
"""


def test_the_nearest_endpoints_are_called_and_the_next_ones_take_over(mesh: Mesh) -> None:
    with applied(mesh, LOCALITY % "enabled: true, failover: [{from: here, to: there}]"):
        assert set(answering(mesh, 20)) == {"near"}
        mesh.cli("scale", "deploy/near", "0")
        try:
            mesh.wait_pods()
            assert set(answering(mesh, 20)) == {"next"}
        finally:
            mesh.cli("scale", "deploy/near", "1")
            mesh.wait_pods()


def test_traffic_is_shared_among_places_as_it_is_written(mesh: Mesh) -> None:
    shares = "distribute: [{from: here/one/*, to: {'here/one/*': 70, 'here/two/*': 30}}]"
    with applied(mesh, LOCALITY % shares):
        found = answering(mesh, 300)
        assert set(found) == {"near", "next"}
        assert abs(found["near"] - 210) <= 40, found


def test_a_port_without_a_protocol_is_looked_at_and_routed(mesh: Mesh) -> None:
    with applied(mesh, route("http: [{match: [{uri: {prefix: /tea}}], directResponse: {status: 418}}, "
                             "{route: [{destination: {host: unnamed}}]}]", hosts="[unnamed]")):  # fmt: skip
        assert call(mesh, "sleep", "http://unnamed:6000/tea", "http://unnamed:6000/get") == ["418", "200"]
    assert echo(mesh, "sleep", "banner", 7000, "world") == "hello world"


def test_unknown_hosts_are_refused_and_the_log_says_what_would_allow_them(mesh: Mesh) -> None:
    address = next(one for one in mesh.pods("stranger"))["status"]["podIP"]
    name = "http://stranger.outside.svc.cluster.local"
    with applied(mesh, config("outboundTrafficPolicy: {mode: REGISTRY_ONLY}")):
        assert call(mesh, "sleep", f"http://{address}:80/get", f"-k https://{address}:443/", f"{name}/get") == [
            "502",
            "000",
            "200",
        ]
        assert echo(mesh, "sleep", address, 9000, "x") == ""
        pod_name = mesh.pods("sleep")[0]["metadata"]["name"]

        def told() -> bool:
            text = mesh.cli("logs", pod_name, "-c", "istio-proxy").stdout
            refused = [line for line in text.splitlines() if "egress refused" in line]
            return any(address in line and "ServiceEntry" in line and "9000" in line for line in refused)

        wait_for(told, 60, "the refusal in the log, which Envoy writes every half second")
    assert echo(mesh, "sleep", address, 9000, "x") == "hello x"


def test_a_sidecar_limits_what_its_workloads_may_call(mesh: Mesh) -> None:
    limits = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: limits}
spec:
  workloadSelector: {labels: {app: sleep}}
  egress: [{hosts: [./server.default.svc.cluster.local]}]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
"""
    stranger = "http://stranger.outside.svc.cluster.local/get"
    with applied(mesh, limits):
        assert call(mesh, "sleep", "http://server/get", stranger) == ["200", "502"]
    assert call(mesh, "sleep", stranger) == ["200"]


def test_an_egress_entry_without_a_port_listens_on_those_of_its_hosts(mesh: Mesh) -> None:
    listening = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: listening}
spec:
  workloadSelector: {labels: {app: sleep}}
  egress: [{hosts: ["./*"], bind: 127.0.0.9, captureMode: NONE}]
"""
    with applied(mesh, listening):
        request = "-H 'Host: server' http://127.0.0.9/get"
        wait_for(lambda: call(mesh, "sleep", request) == ["200"], 60, "the listener for HTTP")
        wait_for(lambda: echo(mesh, "sleep", "127.0.0.9", 7000, "x") == "hello x", 60, "the listener for TCP")


def test_a_private_entry_is_what_a_host_is_for_its_own_namespace(mesh: Mesh) -> None:
    """Another namespace's entry for the host counted, which nobody here may see. DNS and routes go by the own one."""
    address = mesh.pods("stranger")[0]["status"]["podIP"]
    declared = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: bank, namespace: {0}}}
spec:
  hosts: [bank.example.com]
  exportTo: [.]
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 8080}}]
  resolution: STATIC
  endpoints: [{{address: {1}}}]
"""
    first = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: a-first}\n---"
    with applied(mesh, declared.format("default", address) + first + declared.format("a-first", "192.0.2.1")):
        wait_for(lambda: call(mesh, "sleep", "http://bank.example.com/get") == ["200"], 60, "the host's own server")


def test_a_wildcard_may_begin_within_a_label(mesh: Mesh) -> None:
    answers = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: fruit}
spec: {hosts: ["*-fruit.example.com"], http: [{directResponse: {status: 203, body: {string: fruit}}}]}
"""
    hosts = ["ripe-fruit.example.com", "very.ripe-fruit.example.com.", "fruit.example.com"]
    with applied(mesh, answers):
        found = [body(mesh, "sleep", f"-H 'Host: {host}' http://server/status/204") for host in hosts]
    assert found == ["fruit", "fruit", ""]


def test_a_workload_that_is_no_pod_serves_beside_pods(mesh: Mesh) -> None:
    address = mesh.pods("stranger")[0]["status"]["podIP"]
    objects = f"""
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: machine}}
spec: {{address: {address}, labels: {{app: machine}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: machine}}
spec:
  hosts: [machine.example.com]
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 8080}}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {{labels: {{app: machine}}}}
"""
    with applied(mesh, objects):
        assert call(mesh, "sleep", "http://machine.example.com/get") == ["200"]


def test_a_patch_of_envoys_own_configuration_is_live_and_gone_again(mesh: Mesh) -> None:
    patch = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: mark}
spec:
  workloadSelector: {labels: {app: sleep}}
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_OUTBOUND
      listener:
        filterChain:
          filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.router}}
    patch:
      operation: INSERT_BEFORE
      value:
        name: mark
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
          default_source_code: {inline_string: 'function envoy_on_response(h) h:headers():add("x-marked", "yes") end'}
"""
    with applied(mesh, patch):
        assert "x-marked: yes" in body(mesh, "sleep", "-D - -o /dev/null http://server/get")
    assert "x-marked" not in body(mesh, "sleep", "-D - -o /dev/null http://server/get")
