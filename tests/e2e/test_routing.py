"""Routing tasks on Argosy's own Bookinfo: versions, weights, users, faults, timeouts, and weights of connections.

Where chance decides, as many requests are sent that a right mesh fails once in a hundred thousand runs or less.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.e2e.calls import EARLY, call
from tests.e2e.harness import EXAMPLES, Mesh, running
from tests.e2e.pages import (
    BLACK,
    NO_RATINGS,
    NO_REVIEWS,
    NO_STARS,
    PAGE,
    RED,
    fetch,
    settled,
    signed_in,
    timed,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BOOKINFO = EXAMPLES / "bookinfo"
ECHO = EXAMPLES / "tcp-echo"
ALL_V1 = BOOKINFO / "all-v1.yaml"
FILES = [BOOKINFO / name for name in ("bookinfo.yaml", "gateway.yaml", "destination-rules.yaml")]
REVIEWS_HOST = "reviews.default.svc.cluster.local"
RATINGS_DELAY = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ratings}
spec:
  hosts: [ratings]
  http:
  - fault: {delay: {fixedDelay: 1s, percentage: {value: 100}}}
    route: [{destination: {host: ratings, subset: v1}}]
"""


def reviews(subset: str, *more: str) -> str:
    """All of reviews to one version, with further fields of the route."""
    fields = "".join(f"    {line}\n" for line in more)
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews}}
spec:
  hosts: [reviews]
  http:
  - route: [{{destination: {{host: reviews, subset: {subset}}}}}]
{fields}"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    more = [ALL_V1, EXAMPLES / "sleep/sleep.yaml", ECHO / "tcp-echo.yaml", ECHO / "gateway.yaml"]
    with running(tmp_path_factory.mktemp("routing") / "mesh", *FILES, *more) as found:
        yield found


@pytest.fixture(autouse=True)
def all_v1(mesh: Mesh) -> None:
    """Every test starts from all-v1; the first one on a mesh without any traffic yet."""
    mesh.apply(ALL_V1)


def test_all_v1_shows_no_stars_and_leaves_the_other_versions_alone(mesh: Mesh) -> None:
    assert fetch(mesh.gateway() + PAGE, 500) == {NO_STARS: 500}
    for reporter in ("source", "destination"):
        settled(mesh, 500, reporter=reporter, destination_service=REVIEWS_HOST)
        assert mesh.count(reporter=reporter, destination_service=REVIEWS_HOST, destination_version="v1") == 500
    for other in ("reviews-v2", "reviews-v3", "ratings-v1"):
        assert mesh.count(destination_workload=other) == 0


def test_shares_of_90_10_are_within_two_points(mesh: Mesh) -> None:
    """5,000 requests: a deviation is 0.42 points, so chance leaves the two points once in 400,000 runs."""
    count = 5000
    mesh.apply(BOOKINFO / "reviews-90-10.yaml")
    from_sleep = {"reporter": "source", "source_workload": "sleep", "destination_service": REVIEWS_HOST}
    before = mesh.count(**from_sleep)
    bodies = mesh.exec("sleep", "curl", "-s", f"http://reviews:9080/reviews/0?n=[1-{count}]").stdout
    seen = Counter(re.findall(r'"podname":\s*"reviews-(v\d)-', bodies))
    assert seen.total() == count
    assert seen["v2"] == 0
    assert seen["v1"] / count == pytest.approx(0.9, abs=0.02)
    assert seen["v3"] / count == pytest.approx(0.1, abs=0.02)
    settled(mesh, before + count, **from_sleep)
    told = {version: mesh.count(**from_sleep, destination_version=version) for version in seen}
    assert told == seen, "metrics and answers tell different versions"


def test_a_header_rule_sends_jason_to_v2_and_nobody_else(mesh: Mesh) -> None:
    mesh.apply(BOOKINFO / "reviews-jason-v2.yaml")
    with signed_in(mesh, "jason") as jason, signed_in(mesh, "jasons") as other:
        assert fetch(mesh.gateway() + PAGE, 100, cookies=jason.cookies) == {BLACK: 100}
        assert fetch(mesh.gateway() + PAGE, 50, cookies=other.cookies) == {NO_STARS: 50}
    assert fetch(mesh.gateway() + PAGE, 100) == {NO_STARS: 100}
    forged = {"end-user": "jason"}  # the page tells who is signed in; a stranger cannot
    assert fetch(mesh.gateway() + PAGE, 20, headers=forged) == {NO_STARS: 20}


def test_a_delay_of_seven_seconds_costs_jason_his_reviews_after_six(mesh: Mesh) -> None:
    asked = {"reporter": "source", "source_workload": "productpage-v1", "destination_service": REVIEWS_HOST}
    # With this one counted, so are all that the tests before have sent.
    assert call(mesh, "productpage-v1", "http://reviews:9080/nothing") == ["404"]
    settled(mesh, 1, response_code="404", **asked)
    before = mesh.count(**asked)
    mesh.apply(BOOKINFO / "reviews-jason-v2.yaml", BOOKINFO / "ratings-delay-7s.yaml")
    with signed_in(mesh, "jason") as jason:
        seen, took_s = timed(jason)
    assert seen == NO_REVIEWS
    assert took_s >= 6 * EARLY
    with signed_in(mesh, "another") as other:
        assert timed(other)[0] == NO_STARS
    assert fetch(mesh.gateway() + PAGE, 50) == {NO_STARS: 50}
    wanted = before + 2 + 1 + 50
    settled(mesh, wanted, **asked)
    assert mesh.count(**asked) == wanted, "for jason two tries of 3 s, not three"


def test_a_delay_below_the_readers_patience_is_only_slow(mesh: Mesh) -> None:
    """v3 waits 2.5 s for ratings, so that 1 s is no error."""
    mesh.apply(reviews("v3"), RATINGS_DELAY)
    with signed_in(mesh, "jason") as jason:
        seen, took_s = timed(jason)
    assert seen == RED
    assert took_s >= 1 * EARLY


def test_an_abort_tells_jason_at_once_that_ratings_are_missing(mesh: Mesh) -> None:
    mesh.apply(BOOKINFO / "reviews-jason-v2.yaml", BOOKINFO / "ratings-abort-500.yaml")
    with signed_in(mesh, "jason") as jason:
        assert timed(jason)[0] == NO_RATINGS
        assert fetch(mesh.gateway() + PAGE, 50, cookies=jason.cookies) == {NO_RATINGS: 50}
    assert fetch(mesh.gateway() + PAGE, 50) == {NO_STARS: 50}
    failed = {"source_workload": "reviews-v2", "response_code": "500"}
    settled(mesh, 51, **failed)
    assert mesh.count(**failed) == 51
    never_arrived = {"reporter": "source", "response_flags": "FI", "destination_workload": "unknown"}
    assert mesh.count(**failed, **never_arrived) == 51


def test_a_timeout_of_half_a_second_is_kept_twice(mesh: Mesh) -> None:
    """The page asks reviews twice, so that it takes about a second and says that there are none."""
    mesh.apply(reviews("v2"), RATINGS_DELAY)
    with signed_in(mesh, "jason") as jason:
        seen, took_s = timed(jason)
        assert seen == BLACK
        assert took_s >= 1 * EARLY
        mesh.apply(reviews("v2", "timeout: 0.5s"))
        seen, took_s = timed(jason)
    assert seen == NO_REVIEWS
    assert took_s >= 1 * EARLY


def test_weights_of_tcp_are_shares_of_connections(mesh: Mesh) -> None:
    """2,200 connections: a deviation is 0.85 points, so chance leaves the four points once in 370,000 runs."""
    assert echoes(mesh, 100) == {"one": 100}
    mesh.apply(ECHO / "80-20.yaml")
    count = 2200
    seen = echoes(mesh, count)
    assert set(seen) == {"one", "two"}
    assert seen["two"] / count == pytest.approx(0.2, abs=0.04)
    mesh.apply(ECHO / "gateway.yaml")
    assert echoes(mesh, 50) == {"one": 50}


def echoes(mesh: Mesh, connections: int) -> Counter[str]:
    """Who answered on so many connections through the gateway; three lines each, which one server must answer."""
    lines = b"a\nb\nc\n"

    async def one(gate: asyncio.Semaphore) -> str:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", mesh.host_port(31400))
            writer.write(lines)
            writer.write_eof()
            answer = (await reader.read()).decode().split()
            writer.close()
            await writer.wait_closed()
        assert answer[1::2] == ["a", "b", "c"], answer
        return "+".join(sorted(set(answer[::2])))

    async def all_of() -> Counter[str]:
        gate = asyncio.Semaphore(20)
        return Counter(await asyncio.gather(*(one(gate) for _ in range(connections))))

    return asyncio.run(all_of())
