"""Acceptance 3, F22, F23, F33, F34: configuration and workloads change under load, and no request is lost.

A route never names a cluster that a proxy lacks: what is added is added first, what is removed goes last. To see that,
routes here have no retries; only where pods come and go the mesh's default retries are left on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from .harness import EXAMPLES, Mesh, is_ready, running, wait_for
from .loads import Flags, Load, both_ways
from .sizes import SIZES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(SIZES.timeout_s)]

RATE = SIZES.rate
CHANGES = SIZES.changes
NAME = {"name": "helloworld-versions", "namespace": "default"}


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """helloworld v1 and v2 behind the gateway, and a pod to call them from."""
    home = tmp_path_factory.mktemp("no-loss") / "mesh"
    files = [EXAMPLES / "helloworld" / "helloworld.yaml", EXAMPLES / "helloworld" / "gateway.yaml"]
    with running(home, *files, EXAMPLES / "sleep" / "sleep.yaml") as found:
        yield found


@pytest.fixture
def flags(mesh: Mesh) -> Flags:
    """What proxies note from before the load on."""
    return Flags(mesh)


@pytest.fixture
def loads(mesh: Mesh, flags: Flags) -> Iterator[list[Load]]:
    """200 requests a second, half through the gateway and half from a sidecar; at first nothing splits versions."""
    options: dict[str, Any] = {"path": "/hello", "pattern": "version: (v[0-9]+)"}
    with both_ways(mesh, rate=RATE, host="helloworld", port=5000, **options) as found:
        yield found
    for made in (route({"v1": 1}), rule("v1")):
        if any(one["metadata"]["name"] == NAME["name"] for one in mesh.objects(made["kind"])):
            mesh.delete(made)


def rule(*subsets: str, **policy: Any) -> dict[str, Any]:
    """A DestinationRule with these subsets; each selects the version that its first two letters name."""
    wanted = [{"name": subset, "labels": {"version": subset[:2]}} for subset in subsets]
    spec = {"host": "helloworld", "subsets": wanted, **({"trafficPolicy": policy} if policy else {})}
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": NAME, "spec": spec}


def route(weights: dict[str, int]) -> dict[str, Any]:
    """A VirtualService for gateway and sidecars with a weight for each subset, and without retries."""
    destinations = [
        {"destination": {"host": "helloworld", "subset": subset, "port": {"number": 5000}}, "weight": weight}
        for subset, weight in weights.items()
    ]
    spec = {
        "hosts": ["helloworld", "helloworld.example.com"],
        "gateways": ["helloworld-gateway", "mesh"],
        "http": [{"route": destinations, "retries": {"attempts": 0}}],
    }
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": NAME, "spec": spec}


def answers(loads: list[Load]) -> Counter[str]:
    """Stop all loads, fail on any loss, and give the answers of all."""
    found: Counter[str] = Counter()
    for load in loads:
        found.update(load.assert_lossless()["answers"])
    return found


def assert_no_flags(flags: Flags, requests: int) -> None:
    """Access logs and metrics hold all requests, each from both sides, and not one response flag."""
    assert flags.counted(requests) == {"-": 2 * requests}
    wait_for(lambda: flags.logged().total() >= 2 * requests, 60, "the access logs hold all requests")
    assert flags.logged() == {"-": 2 * requests}


def test_a_hundred_changes_of_weights_lose_nothing(mesh: Mesh, flags: Flags, loads: list[Load]) -> None:
    mesh.apply(rule("v1", "v2"))
    for number in range(CHANGES):
        mesh.apply(route({"v1": number, "v2": 100 - number}))
    found = answers(loads)
    assert set(found) == {"200 v1", "200 v2"}
    assert_no_flags(flags, found.total())


def test_a_subset_and_its_route_come_and_go_in_one_step_each(mesh: Mesh, flags: Flags, loads: list[Load]) -> None:
    """F33. Subsets are new each time, or known from before; changes wait for each other, or pile up."""
    asked = 0
    for number in range(CHANGES):
        subset = f"v1-{number}" if number % 2 else "v2"
        wait_s = 90 if number % 4 < 2 else 0
        mesh.apply(rule(subset), route({subset: 100}), wait_s=wait_s)
        if wait_s:
            assert f"version: {subset[:2]}" in ask(mesh)
            asked += 1
        mesh.delete(rule(subset), route({subset: 100}), wait_s=wait_s)
    found = answers(loads)
    assert_no_flags(flags, found.total() + asked)


def test_routes_swapped_faster_than_proxies_follow_lose_nothing(mesh: Mesh, flags: Flags, loads: list[Load]) -> None:
    """F34: A and B in turn, without waiting; every answer is A's or B's."""
    mesh.apply(rule("v1", "v2"))
    for number in range(CHANGES):
        mesh.apply(route({"v1" if number % 2 else "v2": 100}), wait_s=0)
    mesh.apply(route({"v1": 100}))
    found = answers(loads)
    assert set(found) == {"200 v1", "200 v2"}
    assert_no_flags(flags, found.total())


def test_clusters_changed_in_place_lose_nothing(mesh: Mesh, flags: Flags, loads: list[Load]) -> None:
    """A new traffic policy makes Envoy warm a new cluster beside the old one, which serves meanwhile."""
    for number in range(CHANGES // 2):
        mesh.apply(rule("v1", connectionPool={"tcp": {"connectTimeout": f"{number + 1}s"}}))
    found = answers(loads)
    assert_no_flags(flags, found.total())


def test_mutual_tls_made_strict_and_back_loses_nothing(mesh: Mesh, flags: Flags, loads: list[Load]) -> None:
    """F22."""
    made = {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": NAME}
    for mode in ("STRICT", "PERMISSIVE", "STRICT", "DISABLE", "STRICT", "DISABLE", "PERMISSIVE") * 3:
        mesh.apply(made | {"spec": {"mtls": {"mode": mode}}})
    mesh.delete(made | {"spec": {}})
    found = answers(loads)
    assert_no_flags(flags, found.total())


def test_a_rolling_restart_and_a_rollback_lose_nothing(mesh: Mesh, loads: list[Load]) -> None:
    """F23: new pods first, old ones drained; then the same again because an older revision is taken up."""
    before = history(mesh)[0]["revision"]
    mesh.cli("scale", "deploy/helloworld-v1", "2")
    old = wait_for(lambda: found if len(found := ready(mesh, 2)) == 2 else None, 60, "a second pod")
    mesh.cli("restart", "deploy/helloworld-v1")
    wait_for(lambda: len(new := ready(mesh, 2)) == 2 and not new & old, 120, "only new pods")
    mesh.cli("rollback", str(before))
    wait_for(lambda: len(ready(mesh, 1)) == 1, 60, "the one pod of before")
    assert set(answers(loads)) == {"200 v1", "200 v2"}


def test_scaling_up_and_down_loses_nothing(mesh: Mesh, loads: list[Load]) -> None:
    for count in (4, 1, 3, 1):
        mesh.cli("scale", "deploy/helloworld-v1", str(count))
        wait_for(lambda: len(ready(mesh, count)) == count, 60, f"{count} pods")  # noqa: B023
    assert set(answers(loads)) == {"200 v1", "200 v2"}


def test_afterwards_no_proxy_has_refused_or_kept_anything(mesh: Mesh) -> None:
    """What was removed last is gone from every Envoy too, nothing waits for ever, and nothing was ever refused."""

    def settled() -> bool:
        found = mesh.proxies()
        return len(found) == 4 and all(one["state"] == "SYNCED" and not one["held"] for one in found)

    wait_for(settled, 60, "all proxies run everything, and the pods that left are gone")
    assert not any(one["rejected"] for one in mesh.proxies())
    for pod in ("deploy/sleep", "deploy/istio-ingressgateway -n istio-system"):
        table = mesh.cli("proxy-config", "clusters", *pod.split(), "-o", "json").stdout
        assert "|v1" not in table
        assert "helloworld" in table
    assert list(mesh.metrics("pilot_total_xds_rejects")) == [({}, 0.0)]


def ask(mesh: Mesh) -> str:
    """One answer through the gateway."""
    answer = httpx.get(f"{mesh.gateway()}/hello", headers={"Host": "helloworld.example.com"}, timeout=60)
    assert answer.status_code == 200
    return answer.text


def history(mesh: Mesh) -> list[dict[str, Any]]:
    """Revisions, the newest first."""
    with mesh.control() as client:
        found: list[dict[str, Any]] = client.get("/v1/history").json()["revisions"]
        return found


def ready(mesh: Mesh, count: int) -> set[str]:
    """Names of helloworld-v1's pods if there are just so many, and all are ready and stay; else nothing."""
    pods = mesh.pods("helloworld-v1")
    return {one["metadata"]["name"] for one in pods if is_ready(one)} if len(pods) == count else set()
