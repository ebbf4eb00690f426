"""`argosy tap` on a mesh whose control plane is four programs: requests with the reason for their end, while everything
goes on; nothing is restarted, no listener changes, and nothing stays switched on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.e2e.calls import applied, call, echo
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for
from tests.e2e.loads import Load, admin, started

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BOOKINFO = EXAMPLES / "bookinfo"
DETAILS, RATINGS, REVIEWS = (f"http://{name}:9080/{name}/0" for name in ("details", "ratings", "reviews"))
NO_DETAILS = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-nine, namespace: default}
spec:
  selector: {matchLabels: {app: details}}
  action: DENY
  rules: [{to: [{operation: {paths: [/details/9]}}]}]
"""
NOBODY = """
apiVersion: v1
kind: Service
metadata: {name: nobody, namespace: default}
spec: {selector: {app: nobody}, ports: [{name: http, port: 80}]}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("tap")
    files = [BOOKINFO / name for name in ("bookinfo.yaml", "gateway.yaml", "destination-rules.yaml")]
    files += [BOOKINFO / "reviews-jason-v2.yaml", BOOKINFO / "mixer-deny-reviews-v3.yaml"]
    files += [EXAMPLES / "sleep" / "sleep.yaml", EXAMPLES / "tcp-echo" / "tcp-echo.yaml"]
    for name, text in {"policy.yaml": NO_DETAILS, "nobody.yaml": NOBODY}.items():
        (folder / name).write_text(text)
        files.append(folder / name)
    with running(folder / "mesh", *files, split=True) as one:
        yield one


class Tap:
    """A running `argosy tap -o json`; it sees everything from when it is made."""

    def __init__(self, mesh: Mesh, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "argosy.cli.main", "tap", "-o", "json", *arguments],
            env={**os.environ, "ARGOSY_HOME": str(mesh.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        assert self.process.stdout is not None
        line = self.process.stderr.readline()
        assert line.startswith("watching "), line + self.process.stderr.read()

    def next(self) -> dict[str, Any]:
        """The next request."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def until(self, **wanted: Any) -> dict[str, Any]:
        """The first request with these values."""
        while True:
            found = self.next()
            if all(found.get(name) == value for name, value in wanted.items()):
                return found

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it; gives the exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


def listeners(mesh: Mesh) -> dict[str, Any]:
    """What every Envoy says of its listeners: versions, and how often any was made or changed."""
    found = {}
    for workload in ("sleep", "details-v1", "reviews-v2", "ratings-v1"):
        pid = mesh.envoy_pid(workload)
        dump = json.loads(admin(pid, "/config_dump?resource=dynamic_listeners"))["configs"]
        stats = json.loads(admin(pid, "/stats?format=json&filter=listener_manager.listener_(added|modified)"))["stats"]
        found[workload] = (
            sorted((one["name"], one["active_state"]["version_info"]) for one in dump),
            sorted((one["name"], one["value"]) for one in stats),
        )
        assert found[workload][0]
        assert found[workload][1]
    return found


def load(mesh: Mesh, rate: float = 50) -> Any:
    """Requests from `sleep` to `details`, on connections that are kept."""
    (service,) = (one for one in mesh.objects("Service") if one["metadata"]["name"] == "details")
    options = {
        "rate": rate,
        "path": "/details/0",
        "address": [service["spec"]["clusterIP"], 9080],
        "host": "details:9080",
    }
    return started("sidecar", options, network_of=mesh.envoy_pid("sleep"))


def records(mesh: Mesh) -> float:
    """How many reports Mixer was sent."""
    return mesh.count("mixer_records_total")


def test_requests_flow_while_a_tap_tells_why_each_ended_so(mesh: Mesh) -> None:
    """Listeners stay as they are, no request fails, no connection is closed."""
    before = listeners(mesh)
    assert records(mesh) == 0
    running_load: Load
    with load(mesh) as running_load:
        tap = Tap(mesh, "--path", "*", "--header", "x-user=tapped")
        ask = [f"-H 'x-user: tapped' {url}" for url in (REVIEWS, "http://details:9080/details/9", "http://nobody/")]
        assert call(mesh, "sleep", f"-H 'end-user: jason' {ask[0]}", *ask[1:]) == ["200", "403", "503"]
        gateway = httpx.get(f"{mesh.gateway()}/nothing", headers={"x-user": "tapped"}, timeout=60)
        assert gateway.status_code == 404
        found = [tap.next() for _ in range(6)]
        assert tap.stop() == 0
        running_load.assert_lossless()
    assert listeners(mesh) == before
    by = {(one["direction"], one["code"], one["path"]): one for one in found}

    routed = by["outbound", 200, "/reviews/0"]
    assert routed["route"]["kind"] == "VirtualService"
    assert routed["route"]["object"] == "default/reviews"
    assert routed["route"]["origin"].endswith("reviews-jason-v2.yaml:2")
    assert (routed["reason"], routed["retries"], routed["mtls"]) == ([], 0, True)
    assert routed["destination"]["workload"] == "reviews-v2"
    assert routed["destination"]["principal"] == "spiffe://cluster.local/ns/default/sa/bookinfo-reviews"
    (pod,) = mesh.pods("reviews-v2")
    assert routed["upstream"]["address"] == f"{pod['status']['podIP']}:9080"
    served = by["inbound", 200, "/reviews/0"]
    assert served["source"]["workload"] == "sleep"
    assert served["source"]["principal"] == "spiffe://cluster.local/ns/default/sa/sleep"
    assert served["service"] == "reviews.default.svc.cluster.local"

    refused = by["inbound", 403, "/details/9"]
    assert refused["reason"] == ["DENY rule 0 matched: with path /details/9"]
    (policy,) = refused["refusedBy"]["policies"]
    assert (policy["namespace"], policy["name"]) == ("default", "no-nine")
    assert policy["origin"].endswith("policy.yaml:2")
    assert by["outbound", 403, "/details/9"]["reason"] == []

    unhealthy = by["outbound", 503, "/"]
    assert unhealthy["flags"] == {"UH": "no healthy upstream"}
    assert unhealthy["reason"] == ["UH: no healthy upstream"]
    assert unhealthy["service"] == "nobody.default.svc.cluster.local"

    lost = by["outbound", 404, "/nothing"]
    assert list(lost["flags"]) == ["NR"]
    assert lost["workload"] == "istio-ingressgateway"
    assert lost["reason"][0].startswith("NR: no route")


def test_filters_text_and_limits(mesh: Mesh) -> None:
    env = {**os.environ, "ARGOSY_HOME": str(mesh.home), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "argosy.cli.main", "tap", "deploy/ratings-v1", "--status", "4xx", "--limit", "1"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "watching default/ratings-v1; Ctrl-C ends it\n"
        assert call(mesh, "sleep", RATINGS, DETAILS) == ["200", "200"]
        assert call(mesh, "reviews-v3", RATINGS) == ["403"]
        text, _errors = process.communicate(timeout=60)
    head, line, reason, *_rest = text.splitlines()
    assert head.split() == ["TIME", "VIEW", "SOURCE", "DESTINATION", "REQUEST", "CODE", "TOOK", "SECURITY"]
    assert line.split()[1:7] == ["in", "reviews-v3.default", "ratings-v1.default", "GET", "/ratings/0", "403"]
    assert line.endswith("mTLS")
    assert reason.strip() == "refused by Mixer's rule default/refuse-reviews-v3"
    assert process.returncode == 0
    wrong = mesh.cli("tap", "--status", "7xx", check=False)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "ARG0717" in wrong.stderr


def test_connections_are_told_when_they_open_and_close(mesh: Mesh) -> None:
    tap = Tap(mesh, "-n", "default", "--direction", "inbound", "--from", "default/sleep")
    version = echo(mesh, "sleep", "tcp-echo", 9000, "hi")
    assert version in ("one hi", "two hi")
    closed = tap.until(event="close")
    assert closed["workload"] == {"one hi": "tcp-echo-v1", "two hi": "tcp-echo-v2"}[version]
    assert (closed["receivedBytes"], closed["sentBytes"]) == (3, 7)
    assert closed["source"]["workload"] == "sleep"
    assert closed["service"] == "tcp-echo.default.svc.cluster.local"
    assert tap.stop() == 0
    # Of the client's side both moments have who was called.
    tap = Tap(mesh, "-n", "default", "--direction", "outbound")
    echo(mesh, "sleep", "tcp-echo", 9000, "hi")
    opened, closed = tap.until(event="open"), tap.until(event="close")
    assert opened["connection"] == closed["connection"]
    assert opened["destination"] == closed["destination"]
    assert opened["listener"]["object"] == "default/tcp-echo"
    assert tap.stop() == 0


def test_nothing_stays_switched_on_when_a_watcher_dies(mesh: Mesh) -> None:
    with mesh.control("pilot") as pilot:
        lease = {"watcher": "dead", "workloads": [["default", ""]], "inbound": True, "lease_s": 5, "wait_s": 60}
    keys = ("argosy.report.inbound", "argosy.report.outbound")

    def on(workload: str) -> list[str]:
        entries = json.loads(admin(mesh.envoy_pid(workload), "/runtime"))["entries"]
        return [key for key in keys if entries.get(key, {}).get("final_value")]

    def watched() -> bool:
        with mesh.control("pilot") as pilot:
            assert pilot.post("/v1/watch", json=lease).status_code == 200
        return on("details-v1") == ["argosy.report.inbound"]

    wait_for(watched, 60, "the reports of a lease that has not ended yet")
    wait_for(lambda: on("details-v1") == [], 60, "the lease to end")
    before = records(mesh)
    assert call(mesh, "sleep", DETAILS, DETAILS) == ["200", "200"]
    with mesh.control("pilot") as pilot:
        # Two flushes of the loggers later: what was on its way has come.
        renewed = {**lease, "lease_s": 120, "workloads": [["default", "ratings-v1"]]}
        assert pilot.post("/v1/watch", json=renewed).status_code == 200
    assert call(mesh, "sleep", RATINGS) == ["200"]
    wait_for(lambda: records(mesh) == before + 1, 60, "one report")
    with mesh.control("pilot") as pilot:
        pilot.post("/v1/watch", json={"watcher": "dead"})


def test_mixer_hangs_and_dies_under_a_tap_and_requests_and_the_tap_go_on(mesh: Mesh) -> None:
    """Envoy drops what it cannot send; nobody waits."""
    with load(mesh) as running_load:
        tap = Tap(mesh, "deploy/details-v1", "--direction", "inbound")
        assert tap.next()["code"] == 200
        pid = mesh.host_pid("settings/mixer.json")
        os.kill(pid, signal.SIGSTOP)
        # It takes nothing and closes nothing.
        assert call(mesh, "sleep", *[DETAILS] * 20) == ["200"] * 20
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: (mesh.home / "run" / "mixer.sock").exists() and _answers(mesh, pid), 60, "another Mixer")
        # Of after the new one was asked: it knows nothing of what was before.
        call(mesh, "sleep", "http://details:9080/details/7")
        assert tap.until(path="/details/7")["source"]["workload"] == "sleep"
        assert tap.stop() == 0
        running_load.assert_lossless()


FAIL_OPEN = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "policyCheckFailOpen: OPEN"}
"""
GONE = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: gone, namespace: default}
spec:
  compiledAdapter: redisquota
  params: {redisServerUrl: "nobody:6379", quotas: [{name: gone.instance.default, maxAmount: 1, validDuration: 60s}]}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: gone, namespace: default}
spec: {compiledTemplate: quota}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpec
metadata: {name: gone, namespace: default}
spec: {rules: [{quotas: [{quota: gone, charge: 1}]}]}
---
apiVersion: config.istio.io/v1alpha2
kind: QuotaSpecBinding
metadata: {name: gone, namespace: default}
spec: {quotaSpecs: [{name: gone}], services: [{service: "*"}]}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: gone, namespace: default}
spec: {match: 'destination.labels["app"] == "ratings"', actions: [{handler: gone, instances: [gone]}]}
"""


def test_a_tap_tells_who_could_not_decide_whether_the_request_passed_or_not(mesh: Mesh) -> None:
    with applied(mesh, GONE):
        tap = Tap(mesh, "deploy/ratings-v1", "--direction", "inbound", "--from", "sleep")
        for fail_open, code in (("false", 503), ("true", 200)):
            with applied(mesh, FAIL_OPEN.replace("OPEN", fail_open)):
                assert call(mesh, "sleep", RATINGS) == [str(code)]
                (said,) = [one for one in tap.until(code=code)["reason"] if "could not decide" in one]
            assert said.startswith("Mixer could not decide: gone.default: the Redis at nobody:6379 cannot be asked: ")
        assert tap.stop() == 0
        silent = {"handler": "gone.handler.default", "code": "UNAVAILABLE"}
        assert mesh.count("mixer_handler_undecided_total", **silent) == 2


def _answers(mesh: Mesh, before: int) -> bool:
    try:
        return mesh.host_pid("settings/mixer.json") != before and records(mesh) > 0
    except (AssertionError, httpx.HTTPError):
        return False
