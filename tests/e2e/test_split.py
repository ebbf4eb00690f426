"""The control plane as four programs: the same mesh, and each of the four may die under load without a loss."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

import httpx
import pytest
from tests.e2e.calls import REFUSED, applied, call, in_pod
from tests.e2e.harness import EXAMPLES, Mesh, load, running, wait_for
from tests.e2e.test_kept_configuration import kept_since

from argosy.core.errors import ArgosyError
from argosy.edge.control_client import ControlClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BOOKINFO = EXAMPLES / "bookinfo"
SOCKETS = {"galley": "control", "pilot": "pilot", "citadel": "citadel", "mixer": "mixer"}
"""Each program's socket. Galley's is the one that changes are made by, as in one process."""

LEGACY = """
apiVersion: v1
kind: Namespace
metadata: {name: legacy, labels: {istio-injection: disabled}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: legacy, namespace: legacy}
spec:
  selector: {matchLabels: {app: legacy}}
  template:
    metadata: {labels: {app: legacy}}
    spec: {containers: [{name: sh, image: argosy/curl, command: [/bin/sleep, infinity]}]}
"""
REVIEWS, RATINGS = "http://reviews.default:9080/reviews/0", "http://ratings.default:9080/ratings/0"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("split")
    (folder / "legacy.yaml").write_text(LEGACY)
    files = [BOOKINFO / name for name in ("bookinfo.yaml", "gateway.yaml", "destination-rules.yaml")]
    files += [EXAMPLES / "sleep" / "sleep.yaml", folder / "legacy.yaml"]
    with running(folder / "mesh", *files, split=True) as one:
        yield one


def page(mesh: Mesh, name: str, path: str) -> httpx.Response:
    """A page of one program's control API."""
    with mesh.control(SOCKETS[name]) as client:
        return client.get(path)


def versions(mesh: Mesh, count: int, header: str = "") -> dict[str, int]:
    """Which versions answer `count` requests for reviews: by what they say themselves."""
    options = f"-H '{header}'" if header else ""
    text = in_pod(mesh, "sleep", "sh", "-c", f"curl -s {options} '{REVIEWS}?n=[1-{count}]'")
    found = {"v2": text.count('"black"') // 2, "v3": text.count('"red"') // 2}
    found["v1"] = text.count('"podname"') - found["v2"] - found["v3"]
    return {version: n for version, n in found.items() if n}


def is_back(mesh: Mesh, name: str, before: int) -> bool:
    """Whether a program runs again as another process, all four are ready, and all proxies in step with Pilot."""
    client = ControlClient(mesh.home / "run")
    try:
        statuses = {one["name"]: one for one in client.statuses()}
        proxies = client.get("proxies")["proxies"]
    except ArgosyError:
        return False
    ready = [one for one in statuses.values() if one["ready"] == "ok"]
    again = name in statuses and statuses[name]["pid"] != before
    return again and len(ready) == 4 and len(proxies) == 8 and {one["state"] for one in proxies} == {"SYNCED"}


def kill(mesh: Mesh, name: str) -> int:
    """Kill a program at once; gives the process id that it had inside the node."""
    pid = int(page(mesh, name, "/v1/status").json()["pid"])
    os.kill(mesh.host_pid(f"settings/{name}.json"), signal.SIGKILL)
    return pid


@contextlib.contextmanager
def away(mesh: Mesh, name: str) -> Iterator[None]:
    """While a program is away: it is killed, and does not start again before its settings are back."""
    settings, aside = (mesh.home / "settings" / f"{name}.{end}" for end in ("json", "away"))
    settings.rename(aside)
    try:
        before = kill(mesh, name)
        yield
    finally:
        aside.rename(settings)
    wait_for(lambda: is_back(mesh, name, before), 60, f"{name} is back")


def test_four_programs_answer_for_themselves(mesh: Mesh) -> None:
    for name in SOCKETS:
        assert page(mesh, name, "/healthz").text == "ok\n"
        assert page(mesh, name, "/readyz").text == "ok\n"
        assert page(mesh, name, "/v1/status").json()["name"] == name
        assert "argosy_ready 1" in page(mesh, name, "/metrics").text
        assert f"/sa/{name}" in page(mesh, name, "/v1/status").json()["certificate"]["spiffe_id"]
        assert (mesh.home / "run" / f"{SOCKETS[name]}.sock").stat().st_mode & 0o777 == 0o600
    assert len({mesh.host_pid(f"settings/{name}.json") for name in SOCKETS}) == 4


def test_routing_and_telemetry_are_those_of_one_program(mesh: Mesh) -> None:
    def counted(reporter: str) -> dict[str, float]:
        labels = {"reporter": reporter, "source_workload": "sleep", "destination_service_name": "reviews"}
        return {v: mesh.count(destination_version=v, response_code="200", **labels) for v in ("v1", "v2", "v3")}

    before = {reporter: counted(reporter) for reporter in ("source", "destination")}
    total = 6000  # two points are five deviations: once in four million runs by chance
    mesh.apply(BOOKINFO / "reviews-90-10.yaml")
    answered = versions(mesh, total)
    assert sum(answered.values()) == total
    shares = {version: 100 * n / total for version, n in answered.items()}
    assert shares == pytest.approx({"v1": 90, "v3": 10}, abs=2)

    def increase(reporter: str) -> dict[str, float]:
        now = counted(reporter)
        return {v: n for v in now if (n := now[v] - before[reporter][v])}

    wait_for(lambda: increase("source") == increase("destination") == answered, 60, f"both count {answered}")
    labels = {"source_workload": "sleep", "destination_workload": "reviews-v1", "reporter": "destination"}
    assert mesh.count(**labels) == mesh.count(
        **labels,
        connection_security_policy="mutual_tls",
        source_principal="spiffe://cluster.local/ns/default/sa/sleep",
        destination_principal="spiffe://cluster.local/ns/default/sa/bookinfo-reviews",
    )

    mesh.apply(BOOKINFO / "reviews-jason-v2.yaml")
    assert versions(mesh, 100, "end-user: jason") == {"v2": 100}
    assert versions(mesh, 100, "end-user: jane") == {"v1": 100}
    mesh.delete(BOOKINFO / "reviews-jason-v2.yaml")


def test_security_is_that_of_one_program(mesh: Mesh) -> None:
    assert call(mesh, "sleep", RATINGS) + call(mesh, "legacy", RATINGS, namespace="legacy") == ["200", "200"]
    with applied(mesh, BOOKINFO / "strict.yaml"):
        assert call(mesh, "sleep", RATINGS) + call(mesh, "legacy", RATINGS, namespace="legacy") == ["200", REFUSED]
    with applied(mesh, BOOKINFO / "deny-reviews-to-ratings.yaml"):
        callers = ("reviews-v2", "sleep", "productpage-v1")
        assert [call(mesh, one, RATINGS)[0] for one in callers] == ["403", "200", "200"]
    with applied(mesh, BOOKINFO / "mixer-deny-reviews-v3.yaml"):
        assert [call(mesh, one, RATINGS)[0] for one in ("reviews-v3", "reviews-v2")] == ["403", "200"]


def test_without_mixer_only_what_a_rule_concerns_is_refused(mesh: Mesh) -> None:
    with applied(mesh, BOOKINFO / "mixer-deny-reviews-v3.yaml"):
        mixer = mesh.host_pid("settings/mixer.json")
        os.kill(mixer, signal.SIGSTOP)
        try:
            assert call(mesh, "reviews-v2", RATINGS) == ["503"]
            assert call(mesh, "sleep", "http://details.default:9080/details/0") == ["200"]
        finally:
            os.kill(mixer, signal.SIGCONT)
        wait_for(lambda: call(mesh, "reviews-v2", RATINGS) == ["200"], 60, "mixer answers again")


def counted(mesh: Mesh) -> tuple[float, float]:
    """Requests of sleep to reviews as its own side and as the other side counted them."""
    labels = {"source_workload": "sleep", "destination_service_name": "reviews"}
    return mesh.count(reporter="source", **labels), mesh.count(reporter="destination", **labels)


def agreed(mesh: Mesh, at_least: float) -> float:
    """What both sides count, if they agree on no less than that; else 0."""
    source, destination = counted(mesh)
    return source if source == destination >= at_least else 0


async def test_each_of_the_four_is_killed_under_load_and_no_request_is_lost(mesh: Mesh) -> None:
    async def kill_each() -> None:
        for name in SOCKETS:
            before = await asyncio.to_thread(kill, mesh, name)
            await asyncio.to_thread(wait_for, lambda n=name, b=before: is_back(mesh, n, b), 60, f"{name} is back")

    mesh.apply(BOOKINFO / "all-v1.yaml")
    known = tuple(count + 10 for count in counted(mesh))
    versions(mesh, 10)
    wait_for(lambda: counted(mesh) == known, 60, f"both sides count {known}")
    ledger = await load(f"{mesh.gateway()}/api/v1/products/0", rate=100, until=kill_each())
    assert ledger.failed == []
    assert ledger.sent > 300
    # Mixer has the counts of all pods that run again (those of pods that ended before are gone with it), and counts on.
    again = wait_for(lambda: agreed(mesh, 10), 60, "both sides count the same again")
    assert versions(mesh, 50) == {"v1": 50}
    wait_for(lambda: counted(mesh) == (again + 50, again + 50), 60, "both sides count 50 more")
    # Citadel and Galley do their work too: a new pod gets its certificate.
    mesh.cli("restart", "deploy/ratings-v1")
    wait_for(lambda: mesh.pods("ratings-v1"), 60, "a pod with a new certificate")
    mesh.wait_pods()
    wait_for(lambda: call(mesh, "sleep", RATINGS) == ["200"], 60, "the new pod is called")


def test_configuration_applied_while_pilot_was_down_arrives_when_it_is_back(mesh: Mesh) -> None:
    mesh.apply(BOOKINFO / "all-v1.yaml")
    assert versions(mesh, 20) == {"v1": 20}
    revision = page(mesh, "galley", "/v1/status").json()["revision"]
    with away(mesh, "pilot"):
        with pytest.raises(ArgosyError):
            ControlClient(mesh.home / "run").get("proxies")
        to_v3 = (BOOKINFO / "all-v1.yaml").read_text().replace("host: reviews, subset: v1", "host: reviews, subset: v3")
        assert mesh.apply(to_v3, wait_s=0)["revision"] == revision + 1
        # What was accepted goes on while nobody can say anything new.
        assert versions(mesh, 20) == {"v1": 20}
    wait_for(lambda: versions(mesh, 20) == {"v3": 20}, 60, "the route arrives")


def test_a_proxy_that_starts_while_pilot_is_down_runs_what_it_ran_last(mesh: Mesh) -> None:
    """Its own program may be away alone, while Galley and Citadel answer."""
    wait_for(lambda: kept_since(mesh, 0, count=8), 60, "what the proxies run is kept")
    envoy = mesh.envoy_pid("sleep")
    with away(mesh, "pilot"):
        os.kill(envoy, signal.SIGKILL)
        wait_for(lambda: "KEPT" in mesh.cli("ps").stdout, 60, "it has what was kept")
        mesh.wait_pods()
        assert sum(versions(mesh, 20).values()) == 20


def test_a_missing_galley_is_told_in_a_sentence_and_nothing_is_half_done(mesh: Mesh) -> None:
    with away(mesh, "galley"), pytest.raises(ArgosyError, match="ARG0"):
        mesh.apply(BOOKINFO / "all-v1.yaml")
    mesh.apply(BOOKINFO / "all-v1.yaml")
    assert versions(mesh, 20) == {"v1": 20}
