"""What is seen of a mesh from outside of it and afterwards: Prometheus, dashboards, the past, who is unknown and why.

The control plane is four programs, so that Mixer can be killed, stopped and stood in for while the rest goes on. Tests
follow each other: traffic first, then what is said about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from tests.e2e.calls import applied, call
from tests.e2e.harness import EXAMPLES, Ledger, Mesh, kill, load, running, wait_for
from tests.e2e.pages import PAGE, fetch
from tests.e2e.prometheus import Prometheus, expressions, scraping

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BOOKINFO = EXAMPLES / "bookinfo"
DASHBOARDS = EXAMPLES / "grafana"
PAGES = 60
PROGRAMS = ("citadel", "galley", "mixer", "pilot")
REGISTRY_ONLY = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"}
"""
STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict}
spec: {selector: {matchLabels: {app: ratings}}, mtls: {mode: STRICT}}
"""
TO_V3 = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: v3}}]}]
"""
SENT = 'sum(istio_requests_total{reporter="destination", destination_service=~"productpage.*"})'


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    files = [BOOKINFO / name for name in ("bookinfo.yaml", "gateway.yaml", "destination-rules.yaml")]
    files += [EXAMPLES / "sleep" / "sleep.yaml", EXAMPLES / "tcp-echo" / "tcp-echo.yaml"]
    files += [EXAMPLES / "tcp-echo" / "gateway.yaml"]
    with running(tmp_path_factory.mktemp("observability") / "mesh", *files, split=True) as one:
        yield one


@pytest.fixture(scope="module")
def prometheus(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with scraping(mesh, tmp_path_factory.mktemp("prometheus") / "run") as one:
        wait_for(lambda: len(one.query("up == 1")) == len(PROGRAMS), 60, "every program is scraped")
        yield one


@dataclass
class Sent:
    """All that was sent so far, since a minute began."""

    mesh: Mesh
    began: float
    pages: float = 0.0
    last: float = 0.0
    """When the last of the pages had been sent."""

    def fetch(self, count: int) -> None:
        """Pages, which count."""
        self.pages += fetch(self.mesh.gateway() + PAGE, count).total()
        self.last = time.time()

    def kinds(self) -> None:
        """Pages and other calls of every kind."""
        self.fetch(PAGES // 3)
        outsider(self.mesh, f"http://{address(self.mesh, 'details-v1')}:9080/details/0")
        ratings = f"http://{address(self.mesh, 'ratings-v1')}:9080/ratings/0"
        call(self.mesh, "sleep", ratings, "http://reviews:9080/nothing")
        asyncio.run(echoes(self.mesh, 3))


@pytest.fixture(scope="module")
def sent(mesh: Mesh, prometheus: Prometheus) -> Sent:
    """The first calls of this mesh, not all between two scrapes: a rate needs two points."""
    found = Sent(mesh, time.time() // 60 * 60)
    for _ in range(3):
        found.kinds()
        wait_for(lambda: prometheus.number(SENT) >= found.pages, 60, "what was sent is scraped")
    return found


def address(mesh: Mesh, workload: str) -> str:
    """The address of a workload's pod."""
    return str(mesh.pods(workload)[0]["status"]["podIP"])


def outsider(mesh: Mesh, url: str) -> str:
    """The status that somebody outside of the mesh gets, on the same machine."""
    enter = ["nsenter", "-t", str(mesh.host_pid("argosy.app.agent")), "-n"]
    curl = ["curl", "-s", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}", url]
    return subprocess.run([*enter, *curl], capture_output=True, text=True).stdout


async def echoes(mesh: Mesh, count: int) -> None:
    """TCP connections through the gateway."""
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", mesh.host_port(31400))
        writer.write(b"abc\n")
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()


# -- Prometheus and dashboards ----------------------------------------------------------------------------------------


def test_every_program_is_found_and_scraped(prometheus: Prometheus) -> None:
    def up() -> dict[str, float]:
        return {labels["job"]: value for labels, value in prometheus.query("up")}

    wait_for(lambda: up() == dict.fromkeys(PROGRAMS, 1.0), 60, "every program, and nothing else, is scraped")
    wait_for(lambda: prometheus.number("sum(argosy_ready)") == len(PROGRAMS), 60, "all say that they are ready")


def test_what_prometheus_counts_is_what_was_sent(prometheus: Prometheus, sent: Sent) -> None:
    """The queries of the documentation."""
    callers = SENT.replace("destination", "source", 1)
    reviews = 'istio_requests_total{reporter="destination", destination_service="reviews.default.svc.cluster.local"'
    by_version = f'sum by (destination_version) ({reviews}, source_app="productpage"}})'
    sums = (SENT, callers, f"sum({by_version})")
    numbers = lambda: [prometheus.number(one) for one in sums]  # noqa: E731
    found = wait_for(lambda: one if min(one := numbers()) >= sent.pages else None, 60, f"{sent.pages} pages")
    assert found == [sent.pages] * 3
    assert {labels["destination_version"] for labels, _ in prometheus.query(by_version)} == {"v1", "v2", "v3"}
    rate = 'rate(istio_requests_total{destination_service=~"productpage.*", response_code="200"}[5m])'
    assert all(value > 0 for _, value in prometheus.query(rate))
    assert prometheus.query(rate)
    bucket = 'rate(istio_request_duration_milliseconds_bucket{reporter="source", destination_app="productpage"}[5m])'
    quantile = prometheus.number(f"histogram_quantile(0.9, sum by (le) ({bucket}))")
    assert 0 < quantile < 60_000


@pytest.mark.parametrize("name", ["mesh", "service", "workload", "control-plane"])
def test_every_query_of_the_dashboards_has_data(mesh: Mesh, prometheus: Prometheus, sent: Sent, name: str) -> None:
    host, workload = "reviews.default.svc.cluster.local", "productpage-v1"
    asked = list(expressions(DASHBOARDS / f"{name}.json", service=host, workload=workload, namespace="default"))
    assert len(asked) > 10

    def empty() -> list[tuple[str, str]]:
        """Those without one finite number."""
        found = ((one, [value for _, value in prometheus.query(one[1])]) for one in asked)
        return [one for one, values in found if not any(math.isfinite(value) for value in values)]

    if empty():  # a rate of the last minute has none when nothing was sent in it
        sent.kinds()
    wait_for(lambda: not empty(), 60, f"data: {empty()}")


def test_the_shipped_rules_are_evaluated(prometheus: Prometheus, sent: Sent) -> None:
    def rules() -> list[dict[str, Any]]:
        return [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]

    wait_for(lambda: all(one["health"] == "ok" for one in rules()), 60, "every rule was evaluated")
    recorded = [one["name"] for one in rules() if one["type"] == "recording"]
    assert len(recorded) == 3
    for name in recorded:
        wait_for(lambda name=name: prometheus.query(name), 60, name)  # type: ignore[misc]
    assert {one["name"] for one in rules() if one.get("state") == "firing"} <= {"PlaintextInTheMesh"}


# -- unknown peers ----------------------------------------------------------------------------------------------------


def test_each_unknown_is_what_it_is_with_reason_and_fix(mesh: Mesh, sent: Sent) -> None:
    ratings = address(mesh, "ratings-v1")
    sent.kinds()  # within the window, however long the tests before this one took
    with applied(mesh, REGISTRY_ONLY, STRICT):
        assert outsider(mesh, f"http://{ratings}:9080/ratings/0") == "000"
        assert call(mesh, "sleep", "http://192.0.2.7/", "https://192.0.2.7/") == ["502", "000"]

    def edges() -> dict[tuple[str, str, str], dict[str, Any]]:
        view = httpx.get(f"{mesh.console}api/graph?window=300", timeout=60).json()
        nodes = {node["id"]: node for node in view["nodes"]}
        kinds = {name: node["workload"] or node["address"] or node["title"] for name, node in nodes.items()}
        told = {kinds[name]: node["why"] for name, node in nodes.items()}
        found = {(kinds[e["source"]], kinds[e["target"]], e["protocol"]): e for e in view["edges"]}
        return {**found, ("why", "", ""): told}

    refused = ("sleep", "BlackHoleCluster", "tcp")
    outside = ("10.88.0.1", "ratings-v1", "tcp")
    wanted = {refused, outside, ("sleep", "BlackHoleCluster", "http")}
    wanted |= {("10.88.0.1", "details-v1", "http"), ("sleep", "ratings-v1", "http")}
    seen = wait_for(lambda: found if wanted <= (found := edges()).keys() else None, 60, "the refusals in the graph")
    why = seen["why", "", ""]
    assert "STRICT mutual TLS refuses it" in why["10.88.0.1"]
    assert "ServiceEntry" in why["BlackHoleCluster"]
    # Plaintext from outside, let in; and refused, by STRICT.
    assert (seen["10.88.0.1", "details-v1", "http"]["mtls"], seen[outside]["mtls"]) == (0, 0)
    assert (seen[outside]["error_rate"], seen[outside]["health"]) == (1, "failure")
    # A pod called by its address, under mutual TLS.
    direct = seen["sleep", "ratings-v1", "http"]
    assert direct["mtls"] == 1
    assert any("called the pod's address" in note for note in direct["notes"])
    # What REGISTRY_ONLY refuses.
    assert [one["code"] for one in seen["sleep", "BlackHoleCluster", "http"]["codes"]] == ["502"]
    assert seen[refused]["error_rate"] == 1
    assert not [name for name, text in why.items() if "unknown" in name and not text]

    def named() -> set[str]:
        return {labels["destination_service_name"] for labels, _ in mesh.metrics() if labels["source_app"] == "sleep"}

    wait_for(lambda: {"PassthroughCluster", "BlackHoleCluster", "reviews"} <= named(), 60, "the same in the metrics")
    assert "unknown" not in named()
    lines = mesh.cli("graph", "--window", "300").stdout.splitlines()
    assert any(line.startswith("BlackHoleCluster: Refused: outboundTrafficPolicy is REGISTRY_ONLY") for line in lines)
    assert any(line.startswith("unknown 10.88.0.1: Something at this address calls in plaintext") for line in lines)
    (served,) = json.loads(mesh.cli("metrics", "details-v1", "--window", "600", "-o", "json").stdout)
    assert served["rps"] > 0
    assert served["p99_ms"] >= served["p50_ms"] > 0


# -- Mixer dead, slow, garbage (F48) ----------------------------------------------------------------------------------


def total(mesh: Mesh) -> float:
    """Pages that Mixer has counted; -1 while it does not answer."""
    with contextlib.suppress(httpx.HTTPError):
        return mesh.count("istio_requests_total", reporter="destination", destination_app="productpage")
    return -1


def under_load(mesh: Mesh, trouble: Callable[[], None]) -> Ledger:
    """Pages before, while and after something happens."""

    async def run() -> Ledger:
        async def happens() -> None:
            await asyncio.sleep(1)
            await asyncio.to_thread(trouble)
            await asyncio.sleep(1)

        return await load(mesh.gateway() + PAGE, rate=20, until=happens())

    return asyncio.run(run())


def killed(mesh: Mesh) -> None:
    kill(mesh.host_pid("settings/mixer.json"))


def stopped(mesh: Mesh) -> None:
    pid = mesh.host_pid("settings/mixer.json")
    os.kill(pid, signal.SIGSTOP)
    time.sleep(5)
    os.kill(pid, signal.SIGCONT)


_GARBAGE = """
import random, socket, threading
server = socket.create_server(("", 15999), backlog=100)
def answer(one):
    with one:
        for _ in range(20):
            one.sendall(random.randbytes(1000))
            if not one.recv(1000): break
while True: threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
"""


def stood_in_for(mesh: Mesh) -> None:
    """Who connects to Mixer reaches somebody who talks nonsense, for some seconds."""
    enter = ["nsenter", "-t", str(mesh.host_pid("argosy.app.agent")), "-n"]
    rule = ["PREROUTING", "-p", "tcp", "--dport", "15016", "-j", "REDIRECT", "--to-ports", "15999"]
    server = subprocess.Popen([*enter, "python3", "-c", _GARBAGE], stderr=subprocess.DEVNULL)
    try:
        subprocess.run([*enter, "iptables", "-t", "nat", "-I", *rule], check=True)
        killed(mesh)
        time.sleep(5)
        subprocess.run([*enter, "iptables", "-t", "nat", "-D", *rule], check=True)
    finally:
        server.kill()
        server.wait()


def passes(mesh: Mesh, sent: Sent, trouble: Callable[[Mesh], None]) -> None:
    """No request fails for it, and all of them are counted in the end."""

    def counted() -> float:
        found = total(mesh)
        return found if found >= sent.pages else 0

    assert wait_for(counted, 60, "what was sent before is counted") == sent.pages
    ledger = under_load(mesh, lambda: trouble(mesh))
    assert ledger.failed == []
    sent.pages += ledger.sent
    assert wait_for(counted, 120, f"{sent.pages} pages counted") == sent.pages


def test_a_mixer_that_stands_still_delays_nothing(mesh: Mesh, sent: Sent) -> None:
    passes(mesh, sent, stopped)


def test_many_scrapes_do_not_grow_mixer(mesh: Mesh) -> None:
    pid = mesh.host_pid("settings/mixer.json")

    def pages() -> int:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1])

    def growth(client: httpx.Client) -> float:
        """By 80 scrapes."""
        before = pages()
        for _ in range(80):
            assert client.get("metrics").status_code == 200
        return pages() / before

    with httpx.Client(base_url=mesh.console, timeout=60) as client:
        for _ in range(30):
            client.get("metrics")
        # What Mixer takes once for something else comes once; what scrapes leave behind would come each time.
        found = [growth(client)]
        while found[-1] >= 1.05 and len(found) < 4:
            found.append(growth(client))
    assert found[-1] < 1.05, found


# -- the past ---------------------------------------------------------------------------------------------------------


def past(mesh: Mesh, at: str) -> dict[str, Any]:
    """The view of a minute; empty while Mixer does not answer."""
    with contextlib.suppress(httpx.HTTPError):
        answer = httpx.get(f"{mesh.console}api/graph?at={at}", timeout=60)
        return dict(answer.json()) if answer.status_code == 200 else {}
    return {}


def test_the_past_can_be_looked_at_and_compared(mesh: Mesh, sent: Sent) -> None:
    """A minute with pages of all versions; in a later one reviews are v3's alone, by a change of the configuration."""
    wait_for(lambda: time.time() // 60 > sent.last // 60, 90, "the minute of the last pages is over")
    before = int(mesh.cli("history", "--limit", "1").stdout.splitlines()[1].split()[0])
    changed = mesh.apply(TO_V3)["revision"]
    assert changed == before + 1
    # Other tests may have called v1 in this minute; what they did last is told a little later.
    minute = time.time() // 60
    wait_for(lambda: time.time() > (minute + 1) * 60 + 5, 90, "a minute that began after the change")
    sent.fetch(20)
    now = f"{time.time():.0f}"

    def called(at: str) -> set[str]:
        return {edge["target"] for edge in past(mesh, at).get("edges", ()) if "reviews" in edge["target"]}

    wait_for(lambda: "default/reviews/v3" in called(now), 60, "pages of this minute")
    # One of the minutes in which there were pages before.
    minutes = [f"{at + 30:.0f}" for at in range(int(sent.began), int(minute) * 60, 60)]
    then = next((one for one in minutes if called(one) > {"default/reviews/v1"}), "")
    assert then, [called(one) for one in minutes]
    assert past(mesh, now)["past"]["revision"] == changed
    assert past(mesh, then)["past"]["revision"] <= before

    answer = json.loads(mesh.cli("graph", "diff", then, now, "-o", "json").stdout)
    changes = {(row["source_name"], row["target_name"]): row["change"] for row in answer["edges"]}
    assert changes["productpage v1", "reviews v1"] == "gone"
    assert changes["productpage v1", "reviews v3"] in ("same", "changed")
    told = [(one["kind"], one["name"], one["verb"]) for one in answer["configuration"]["changes"]]
    assert ("VirtualService", "reviews", "added") in told
    kept = past(mesh, then)
    killed(mesh)
    assert wait_for(lambda: past(mesh, then), 60, "mixer is back") == kept, "a minute that is over survives a kill"
    missing = mesh.cli("graph", "--at", "-2d", check=False)
    assert missing.returncode == 1
    assert "ARG0940" in missing.stderr
    assert "hint: the history begins at" in missing.stderr


# -- and Mixer again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [killed, stood_in_for])
def test_requests_pass_and_counts_catch_up(mesh: Mesh, sent: Sent, trouble: Callable[[Mesh], None]) -> None:
    passes(mesh, sent, trouble)
