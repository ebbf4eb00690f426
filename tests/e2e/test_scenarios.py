"""F18, F23, F24, A3, A5: what is poisoned, restarted, killed, deselected or drained under load, and who notices.

`make soak` runs the same at full size. What is said of all requests is said without exception: an open loop sends them
whatever happens, and repeats none itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from .calls import call
from .harness import EXAMPLES, Mesh, is_ready, local_addresses, running, wait_for
from .loads import Flags, Load, admin, both_ways, started
from .sizes import SIZES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(SIZES.timeout_s)]

FIX_S, EJECTED_S, LATE_S = 5.0, 2.0, 1.0
DESELECTIONS = SIZES.changes // 2
LOST_WITHOUT_RETRIES = 0.0001
"""The part of requests that may fail in a rolling restart where nothing is retried."""
MANIFEST = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 5000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: web, version: v1}}
  template:
    metadata: {labels: {app: web, version: v1}}
    spec: {containers: [{name: web, image: argosy/examples-helloworld-v1, readinessProbe: PROBE}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: stays}
spec:
  selector: {matchLabels: {app: web, version: v2}}
  template:
    metadata: {labels: {app: web, version: v2}}
    spec: {containers: [{name: web, image: argosy/examples-helloworld-v2, readinessProbe: PROBE}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ['*']}]
"""
# No port is declared: what a pod serves is known from Services alone.
PROBE = "{periodSeconds: 1, httpGet: {path: /health, port: 5000}}"
# When a request began, and how many milliseconds it took: after the quoted transport failure, two sizes stand before.
ENTRY_TIMES = re.compile(rb'^\[([^]]*)\] "[^"]*" \d+ \S+ \S+ \S+ "[^"]*" \d+ \d+ (\d+) ')
LUA = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A workload of many replicas behind the gateway, another beside it, and a pod to call them from."""
    home = tmp_path_factory.mktemp("scenarios") / "mesh"
    manifest = MANIFEST.replace("REPLICAS", str(SIZES.replicas)).replace("PROBE", PROBE)
    files = [EXAMPLES / "sleep" / "sleep.yaml", EXAMPLES / "httpbin" / "httpbin.yaml"]
    with running(home, manifest_file(home, manifest), *files) as found:
        found.apply(route())
        found.wait_pods()
        yield found


def manifest_file(home: Path, text: str) -> Path:
    """A file beside the mesh's home."""
    file = home.parent / "web.yaml"
    file.write_text(text)
    return file


@pytest.fixture
def poisoned(mesh: Mesh) -> Iterator[None]:
    """What a test poisons is taken away again."""
    yield
    mesh.delete(poison(""))


@pytest.fixture
def loads(mesh: Mesh) -> Iterator[list[Load]]:
    """Half through the gateway, half from a sidecar."""
    with both_ways(mesh, rate=SIZES.rate, host="web", port=5000, path="/hello", pattern="version: (v[0-9])") as found:
        yield found


def named(kind: str, spec: dict[str, Any], name: str = "web", api: str = "networking.istio.io/v1") -> dict[str, Any]:
    """An object in the default namespace."""
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def route(retries: dict[str, Any] | None = None) -> dict[str, Any]:
    """The route of gateway and sidecars: with the mesh's default retries, or with others."""
    rule: dict[str, Any] = {"route": [{"destination": {"host": "web", "port": {"number": 5000}}}]}
    rule |= {} if retries is None else {"retries": retries}
    spec = {"hosts": ["web", "web.example.com"], "gateways": ["web", "mesh"], "http": [rule]}
    return named("VirtualService", spec)


def lossless(loads: list[Load]) -> int:
    """Stop; fail on any loss; give the number of requests."""
    return sum(load.assert_lossless()["sent"] for load in loads)


# -- F18 -------------------------------------------------------------------------------------------------------


def poison(code: str) -> dict[str, Any]:
    """A Lua filter in the listener of httpbin's port, in the caller's sidecar; Envoy compiles it."""
    lua = {"@type": LUA, "default_source_code": {"inline_string": code}}
    patch = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "SIDECAR_OUTBOUND", "listener": {"portNumber": 8000}},
        "patch": {"operation": "INSERT_FIRST", "value": {"name": "poison", "typed_config": lua}},
    }
    spec = {"workloadSelector": {"labels": {"app": "sleep"}}, "configPatches": [patch]}
    return named("EnvoyFilter", spec, "poison", "networking.istio.io/v1alpha3")


def test_a_poisoned_listener_harms_no_other_and_its_cure_is_live_at_once(
    mesh: Mesh, poisoned: None, loads: list[Load]
) -> None:
    """F18. The listener itself goes on without the object that was refused, which is named."""
    before = refusals(mesh)
    mesh.apply(poison("this is no Lua ("), wait_s=0)
    found = wait_for(lambda: findings(mesh, "ARG0504"), 60, "the filter is named and left out")
    assert "EnvoyFilter default/poison" in found, found
    assert f"{pod_of(mesh, 'sleep')} refused 0.0.0.0_8000" in found, found
    assert call(mesh, "sleep", "http://httpbin:8000/status/200") == ["200"]
    cured = time.monotonic()
    mesh.apply(poison('function envoy_on_response(it) it:headers():add("cured", "yes") end'))
    script = "curl -s -o /dev/null -D - -m 60 http://httpbin:8000/status/200"
    wait_for(
        lambda: "cured: yes" in mesh.exec("sleep", "sh", "-c", script).stdout, SIZES.within_s(FIX_S), "the cure is live"
    )
    print("cured after", time.monotonic() - cured)
    assert not any(one["rejected"] for one in mesh.proxies())
    assert refusals(mesh) == before + 1
    lossless(loads)


def findings(mesh: Mesh, code: str) -> str:
    """The line of `argosy analyze` with a code, or nothing."""
    lines = mesh.cli("analyze", check=False).stdout.splitlines()
    return next((line for line in lines if code in line), "")


def refusals(mesh: Mesh) -> float:
    """How many responses proxies have refused so far."""
    return sum(value for _labels, value in mesh.metrics("pilot_total_xds_rejects"))


def pod_of(mesh: Mesh, workload: str) -> str:
    """The name of a workload's only pod."""
    (pod,) = mesh.pods(workload)
    return str(pod["metadata"]["name"])


# -- F23 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [True, False], ids=["retried", "not retried"])
def test_a_workload_restarts_pod_by_pod_under_load(mesh: Mesh, retries: bool) -> None:
    """F23. With the default retries nothing fails; without any, at most one request in ten thousand."""
    mesh.apply(route(None if retries else {"attempts": 0}))
    flags = Flags(mesh)
    with both_ways(mesh, rate=SIZES.rate, host="web", port=5000, path="/hello") as loads:
        for _time in range(SIZES.restarts):
            restart(mesh)
        ledgers = [load.stop() for load in loads]
    mesh.apply(route())
    sent, failed = (sum(one[name] for one in ledgers) for name in ("sent", "failures"))
    print("retries" if retries else "no retries", "sent", sent, "failed", failed, "flags", dict(flags.logged()))
    assert failed <= (0 if retries else sent * LOST_WITHOUT_RETRIES), ledgers
    assert not {"NC", "NR"} & set(flags.logged())


def restart(mesh: Mesh) -> None:
    """Replace all pods of the workload, and wait until only new ones are there."""
    old = {one["metadata"]["name"] for one in mesh.pods("web")}
    mesh.cli("restart", "deploy/web")
    wait_for(lambda: ready(mesh) and not ready(mesh) & old, 120, "only new pods")


def ready(mesh: Mesh) -> set[str]:
    """Names of the workload's pods if as many as wished are there, and all are ready; else nothing."""
    pods = mesh.pods("web")
    whole = len(pods) == SIZES.replicas and all(is_ready(one) for one in pods)
    return {one["metadata"]["name"] for one in pods} if whole else set()


# -- F24 -------------------------------------------------------------------------------------------------------


def test_a_killed_replica_costs_no_request_and_is_left_out_in_two_seconds(mesh: Mesh, loads: list[Load]) -> None:
    """F24: application and Envoy of one replica die at once. What was under way there may have been executed, so it is
    repeated only where that was asked for."""
    ejection = {
        "consecutiveGatewayErrors": 2,
        "consecutive5xxErrors": 2,
        "interval": "0.5s",
        "baseEjectionTime": "5s",
        "maxEjectionPercent": 50,
    }
    rule = named("DestinationRule", {"host": "web", "trafficPolicy": {"outlierDetection": ejection}})
    mesh.apply(rule, route({"attempts": 3, "retryOn": "connect-failure,refused-stream,reset,gateway-error"}))
    victim = mesh.pods("web")[0]["status"]["podIP"]
    client = mesh.envoy_pid("sleep")
    wait_for(lambda: health(client, victim) == "HEALTHY", 60, "the client knows the replica")
    killed = kill_pod(mesh, victim)
    wait_for(lambda: health(client, victim) != "HEALTHY", SIZES.within_s(EJECTED_S), "the dead replica is left out")
    print("left out after", time.monotonic() - killed, health(client, victim))
    wait_for(lambda: ready(mesh) and health(client, victim) in ("HEALTHY", "absent"), 120, "it is back")
    lossless(loads)
    mesh.delete(rule)
    mesh.apply(route())


def kill_pod(mesh: Mesh, address: str) -> float:
    """Kill -9 the application and the Envoy of the pod with that address; gives the moment."""
    programs = ("/run/argosy/envoy", "argosy.samples.helloworld")
    pids = [pid for pid, command in mesh._processes() if any(one in command for one in programs)]
    victims = [pid for pid in pids if f"{address} " in local_addresses(pid)]
    assert len(victims) >= 2
    at = time.monotonic()
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return at


def health(envoy: int, address: str, service: str = "5000||web") -> str:
    """How a client's Envoy thinks of an endpoint: HEALTHY, why not, or absent."""
    clusters = json.loads(admin(envoy, "/clusters?format=json"))["cluster_statuses"]
    (cluster,) = (one for one in clusters if one["name"] == f"outbound|{service}.default.svc.cluster.local")
    for host in cluster.get("host_statuses", ()):
        if host["address"]["socket_address"]["address"] == address:
            status = host["health_status"]
            failed = [name for name, value in status.items() if value is True]
            return ",".join(failed) or str(status["eds_health_status"])
    return "absent"


# -- A3, A5 ----------------------------------------------------------------------------------------------------


def test_a_pod_that_no_service_selects_any_more_answers_what_is_under_way(mesh: Mesh, loads: list[Load]) -> None:
    """A5: its inbound side outlives the Service; no request finds no cluster there."""
    flags = Flags(mesh)
    for version in ("v2", "v1") * DESELECTIONS:
        mesh.apply(service({"app": "web", "version": version}))
    mesh.apply(service({"app": "web"}))
    sent = lossless(loads)
    # Callers log every request; pods those that came while a Service said that they speak HTTP.
    wait_for(lambda: flags.logged().total() >= sent, 60, "the access logs hold all requests")
    assert set(flags.logged()) == {"-"}


def service(selector: dict[str, str]) -> dict[str, Any]:
    """The Service with that selector."""
    return named("Service", {"selector": selector, "ports": [{"name": "http", "port": 5000}]}, api="v1")


def test_a_draining_pod_gets_no_new_request(mesh: Mesh) -> None:
    """A3: LEAST_REQUEST would like the idle one best; a long request keeps it there while it drains."""
    rule = named("DestinationRule", {"host": "httpbin", "trafficPolicy": {"loadBalancer": {"simple": "LEAST_REQUEST"}}})
    mesh.apply(rule)
    mesh.cli("scale", "deploy/httpbin", "2")
    mesh.wait_pods()
    (found,) = (one for one in mesh.objects("Service") if one["metadata"]["name"] == "httpbin")
    base = {"address": [found["spec"]["clusterIP"], 8000], "host": "httpbin:8000", "rate": SIZES.rate / 2}
    client = mesh.envoy_pid("sleep")
    before = {one["metadata"]["name"]: one["status"]["podIP"] for one in mesh.pods("httpbin")}
    with (
        started("short", {**base, "path": "/status/200"}, network_of=client) as short,
        started("long", {**base, "path": "/delay/4", "rate": 4}, network_of=client) as slow,
    ):
        mesh.cli("scale", "deploy/httpbin", "1")
        leaving = wait_for(
            lambda: [name for name, ip in before.items() if health(client, ip, "8000||httpbin") == "absent"],
            60,
            "one pod is no endpoint any more",
        )[0]
        left_at = time.time()
        log = mesh.home / "pods" / "default" / leaving / "istio-proxy.log"
        # A moment for the client's threads, which hear of it one by one.
        late_at = left_at + LATE_S
        wait_for(lambda: any(b"/delay/4" in line for line in late_lines(log, late_at, ended=True)), 60, "a long answer")
        assert late_lines(log, late_at) == []
        assert slow.assert_lossless()["sent"] > 8
        assert short.assert_lossless()["sent"] > 0
    mesh.delete(rule)
    mesh.wait_pods()


def late_lines(log: Path, since: float, *, ended: bool = False) -> list[bytes]:
    """Entries of an access log of requests that began (or ended) after a moment."""
    found = []
    for line in log.read_bytes().splitlines():
        match = ENTRY_TIMES.match(line)
        if match is not None:
            began = datetime.fromisoformat(match[1].decode()).timestamp()
            if began + (int(match[2]) / 1e3 if ended else 0) > since:
                found.append(line)
    return found
