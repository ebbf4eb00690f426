"""Limits on calls: Istio's newer set-up, with the rate limit service and a real Redis in pods of the mesh."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from tests.e2e.calls import applied, call, in_pod
from tests.e2e.harness import EXAMPLES, Mesh, require_programs, running, wait_for
from tests.e2e.limits import in_one_window
from tests.e2e.mounts import check_mounts

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

RATE_LIMIT = EXAMPLES / "rate-limit"
PAGE = "http://productpage:9080/productpage"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    require_programs("redis-server")
    files = [EXAMPLES / "bookinfo" / "bookinfo.yaml", EXAMPLES / "bookinfo" / "gateway.yaml"]
    files += [EXAMPLES / "sleep" / "sleep.yaml", RATE_LIMIT / "service.yaml"]
    with running(tmp_path_factory.mktemp("limits") / "mesh", *files) as one:
        yield one


def statuses(mesh: Mesh, *paths: str) -> list[int]:
    """What the gateway answers, call by call."""
    return [httpx.get(f"{mesh.gateway()}{path}", timeout=60).status_code for path in paths]


def test_each_proxy_may_count_by_itself(mesh: Mesh) -> None:
    """First here: connections from before a filter came end with their next answer, which nobody counts."""
    with applied(mesh, RATE_LIMIT / "local.yaml"):
        assert call(mesh, "sleep", *[PAGE] * 5) == ["200"] * 4 + ["429"]
        head = in_pod(mesh, "sleep", "curl", "-s", "-o", "/dev/null", "-D", "-", PAGE)
        assert "x-local-rate-limit: true" in head


def test_calls_through_the_gateway_have_one_budget_for_all_replicas(mesh: Mesh) -> None:
    """Two replicas of the service, one Redis. Inside the mesh nobody is limited."""
    mesh.apply(RATE_LIMIT / "routes.yaml")
    with applied(mesh, RATE_LIMIT / "gateway.yaml"):

        def ask() -> tuple[list[httpx.Response], list[int]]:
            pages = [httpx.get(f"{mesh.gateway()}/productpage", timeout=60) for _ in range(4)]
            return pages, statuses(mesh, *(f"/api/v1/products/{n}" for n in (0, 1, 1)))

        answers, products = in_one_window(60, ask)
        assert [one.status_code for one in answers] == [200, 429, 429, 429]
        assert answers[0].headers["x-ratelimit-limit"].startswith("1, 1;w=60")
        assert answers[1].headers["x-ratelimit-remaining"] == "0"
        assert products == [200, 200, 429]
        # The connection of the test before ends with its next answer, by the limit of then.
        wait_for(lambda: call(mesh, "sleep", *[PAGE] * 3) == ["200"] * 3, 60, "no limit inside the mesh")


def test_limits_change_while_the_service_runs(mesh: Mesh) -> None:
    """The ConfigMap is the file in the pods."""
    more = (
        (RATE_LIMIT / "service.yaml")
        .read_text()
        .split("---")[0]
        .replace("requests_per_unit: 1}", "requests_per_unit: 7}")
    )
    mesh.apply(more)
    pages = [f"{pod['status']['podIP']}:6070/rlconfig" for pod in mesh.pods("ratelimit")]
    assert len(pages) == 2
    line = "ratelimit.PATH_/productpage: unit=MINUTE requests_per_unit=7"
    for page in pages:
        wait_for(lambda page=page: line in in_pod(mesh, "sleep", "curl", "-s", page), 60, "the new limit")  # type: ignore[misc]
    assert "Read-only" in in_pod(
        mesh, "ratelimit", "sh", "-c", "{ echo x >/data/ratelimit/config/x; echo x >/data/x; } 2>&1"
    )


def test_without_the_service_calls_fail_as_the_filter_says(mesh: Mesh) -> None:
    """Redis away: the service answers with an error, and `failure_mode_deny` makes it a refusal."""
    mesh.cli("scale", "deploy/redis", "0")
    with applied(mesh, RATE_LIMIT / "gateway.yaml"):
        wait_for(lambda: statuses(mesh, "/productpage") == [500], 60, "refused")
        text = (RATE_LIMIT / "gateway.yaml").read_text()
        mesh.apply(text.replace("failure_mode_deny: true", "failure_mode_deny: false"))
        assert statuses(mesh, "/productpage") == [200]
    # All at once: no proxy may be left behind.
    mesh.apply(RATE_LIMIT / "gateway.yaml")
    mesh.delete(RATE_LIMIT / "gateway.yaml", RATE_LIMIT / "routes.yaml")
    assert statuses(mesh, "/productpage") == [404]
    mesh.apply(EXAMPLES / "bookinfo" / "gateway.yaml")
    wait_for(lambda: statuses(mesh, "/productpage") == [200], 60, "served again")


def test_config_maps_are_mounted_anywhere(mesh: Mesh) -> None:
    mesh.cli("scale", "deploy/redis", "1")
    check_mounts(mesh)
