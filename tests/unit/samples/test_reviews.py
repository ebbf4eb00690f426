"""Bookinfo's reviews: three versions by environment, and what each makes of ratings' answer."""

from typing import Any

import pytest

from argosy.samples.reviews import NO_RATING, TEXTS, build_app, parse_stars

GOOD = {"id": 0, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}


async def ratings_shown(open_client: Any, env: dict[str, str], headers: dict[str, str] | None = None) -> list[object]:
    async with open_client(build_app(env)) as client:
        answer = await client.get("/reviews/0", headers=headers or {})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["id"], [review["reviewer"] for review in body["reviews"]]) == ("0", list(TEXTS))
    return [review.get("rating") for review in body["reviews"]]


async def test_version_one_shows_no_stars_and_asks_nobody(open_client: Any, start_service: Any) -> None:
    ratings = start_service([(200, GOOD)])
    assert await ratings_shown(open_client, {**ratings.env("RATINGS"), "ENABLE_RATINGS": "false"}) == [None, None]
    assert ratings.paths == []


@pytest.mark.parametrize("color", ["black", "red"])
async def test_later_versions_show_stars_in_their_color(open_client: Any, start_service: Any, color: str) -> None:
    env = {**start_service([(200, GOOD)]).env("RATINGS"), "ENABLE_RATINGS": "true", "STAR_COLOR": color}
    assert await ratings_shown(open_client, env) == [{"stars": 5, "color": color}, {"stars": 4, "color": color}]


@pytest.mark.parametrize("answer", [(500, {"error": "x"}), (403, "RBAC: access denied"), (200, []), (200, {})])
async def test_reviews_survive_a_failing_ratings_service(
    open_client: Any, start_service: Any, answer: tuple[int, object]
) -> None:
    env = {**start_service([answer]).env("RATINGS"), "ENABLE_RATINGS": "true"}
    assert await ratings_shown(open_client, env) == [NO_RATING, NO_RATING]


async def test_the_callers_user_and_trace_go_on_to_ratings(open_client: Any, start_service: Any) -> None:
    ratings = start_service([(200, GOOD)])
    sent = {"end-user": "jason", "x-request-id": "r1", "traceparent": "t", "cookie": "session=jason", "x-other": "no"}
    await ratings_shown(open_client, {**ratings.env("RATINGS"), "ENABLE_RATINGS": "true"}, sent)
    del sent["x-other"]
    assert sent.items() <= ratings.headers[0].items()
    assert "x-other" not in ratings.headers[0]


def test_only_whole_stars_from_zero_to_five_count() -> None:
    assert parse_stars({"ratings": {"a": 0, "b": 5, "c": 6, "d": "5", "e": None}}) == {"a": 0, "b": 5}
