"""Bookinfo's ratings, whole and flawed. The clock is a list of one number."""

from typing import Any

import pytest

from argosy.samples.ratings import ADDED_MAX, STARS, build_app, parse_ratings


async def test_ratings_are_five_and_four_stars(open_client: Any) -> None:
    async with open_client(build_app({}, lambda: 0.0)) as client:
        answer = await client.get("/ratings/3")
        assert (answer.status_code, answer.json()) == (200, {"id": 3, "ratings": STARS})
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/ratings/x")).status_code == 404


async def test_posted_ratings_are_kept_for_their_product(open_client: Any) -> None:
    async with open_client(build_app({}, lambda: 0.0)) as client:
        assert (await client.post("/ratings/1", json={"Reviewer1": 1})).json()["ratings"] == {"Reviewer1": 1}
        assert (await client.get("/ratings/1")).json()["ratings"] == {"Reviewer1": 1}
        assert (await client.get("/ratings/2")).json()["ratings"] == STARS
        assert (await client.post("/ratings/1", content=b"{")).status_code == 400


async def test_memory_for_posted_ratings_is_bounded(open_client: Any) -> None:
    async with open_client(build_app({}, lambda: 0.0)) as client:
        for product in range(ADDED_MAX):
            await client.post(f"/ratings/{product}", json={"a": 1})
        assert (await client.post(f"/ratings/{ADDED_MAX}", json={"a": 1})).status_code == 507
        assert (await client.post("/ratings/0", json={"a": 2})).status_code == 200


async def test_the_database_version_says_that_it_has_no_database(open_client: Any) -> None:
    async with open_client(build_app({"SERVICE_VERSION": "v2"}, lambda: 0.0)) as client:
        assert (await client.get("/ratings/0")).status_code == 500
        assert (await client.post("/ratings/0", json={"a": 1})).status_code == 501


async def test_the_faulty_version_fails_every_second_call(open_client: Any) -> None:
    async with open_client(build_app({"SERVICE_VERSION": "v-faulty"}, lambda: 0.0)) as client:
        assert [(await client.get("/ratings/0")).status_code for _ in range(4)] == [200, 503, 200, 503]


async def test_the_delayed_version_is_late_every_second_call(open_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("argosy.samples.ratings.asyncio.sleep", sleep)
    async with open_client(build_app({"SERVICE_VERSION": "v-delayed"}, lambda: 0.0)) as client:
        assert [(await client.get("/ratings/0")).status_code for _ in range(4)] == [200] * 4
    assert slept == [7.0, 7.0]


@pytest.mark.parametrize(
    "version, period_s, health_in_outage", [("v-unavailable", 60.0, 200), ("v-unhealthy", 900.0, 500)]
)
async def test_outages_come_and_go(open_client: Any, version: str, period_s: float, health_in_outage: int) -> None:
    clock = [1000.0]
    async with open_client(build_app({"SERVICE_VERSION": version}, lambda: clock[0])) as client:
        for turn, (ratings, health) in enumerate([(200, 200), (503, health_in_outage), (200, 200)]):
            clock[0] = 1000.0 + turn * period_s
            assert (await client.get("/ratings/0")).status_code == ratings
            assert (await client.get("/health")).status_code == health


@pytest.mark.parametrize("body", [[], {}, {"a": 6}, {"a": True}, {"a": "5"}, {str(n): 1 for n in range(11)}])
def test_what_are_no_ratings_is_refused(body: object) -> None:
    with pytest.raises(ValueError):
        parse_ratings(body)
