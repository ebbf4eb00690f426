"""Bookinfo's product page: what it calls, how often, with which headers, and what it says when nobody answers."""

import asyncio
from typing import Any

import pytest

from argosy.samples.productpage import Backends, Target, build_app, fetch_reviews, usable_name

DETAILS = {"id": 0, "type": "paperback", "pages": 200}
STARRED = {
    "podname": "reviews-v3-x",
    "reviews": [{"reviewer": "Reviewer1", "text": "T", "rating": {"stars": 4, "color": "red"}}],
}


def start_backends(
    start: Any, *, details: list[tuple[int, object]], reviews: list[tuple[int, object]]
) -> tuple[Any, Any, dict[str, str]]:
    one, two = start(details), start(reviews)
    return one, two, {**one.env("DETAILS"), **two.env("REVIEWS"), "HOSTNAME": "page-1"}


async def test_the_page_shows_details_and_stars(open_client: Any, start_service: Any) -> None:
    _, _, env = start_backends(start_service, details=[(200, DETAILS)], reviews=[(200, STARRED)])
    async with open_client(build_app(env)) as client:
        page = await client.get("/productpage")
    assert page.status_code == 200
    assert "paperback" in page.text
    assert 'data-color="red"' in page.text
    assert "★★★★☆" in page.text
    assert "reviews-v3-x" in page.text


async def test_failing_services_become_sentences_on_a_good_page(open_client: Any, start_service: Any) -> None:
    details, reviews, env = start_backends(
        start_service, details=[(500, {"error": "x"})], reviews=[(503, "no healthy upstream")]
    )
    async with open_client(build_app(env)) as client:
        page = await client.get("/productpage")
    assert page.status_code == 200
    for text in (
        "Error fetching product details!",
        "Sorry, product details are currently unavailable for this book.",
        "Error fetching product reviews!",
        "Sorry, product reviews are currently unavailable for this book.",
    ):
        assert text in page.text
    assert (len(details.paths), len(reviews.paths)) == (1, 2)


async def test_a_second_try_saves_the_reviews(open_client: Any, start_service: Any) -> None:
    _, reviews, env = start_backends(start_service, details=[(200, DETAILS)], reviews=[(503, ""), (200, STARRED)])
    async with open_client(build_app(env)) as client:
        assert "★★★★☆" in (await client.get("/productpage")).text
    assert len(reviews.paths) == 2


def test_reviews_get_two_tries_of_three_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []

    def silent(*_: object, timeout_s: float) -> None:
        tries.append(timeout_s)

    monkeypatch.setattr("argosy.samples.productpage.get_json", silent)
    nowhere = Target("nowhere", 1)
    assert fetch_reviews(Backends(nowhere, nowhere, nowhere), 0, {}).status == 500
    assert tries == [3.0, 3.0]


async def test_a_logged_in_user_becomes_a_header_until_logout(open_client: Any, start_service: Any) -> None:
    details, _, env = start_backends(start_service, details=[(200, DETAILS)], reviews=[(200, STARRED)])
    async with open_client(build_app(env)) as client:
        forged = {"end-user": "jason", "x-request-id": "r1"}
        assert 'data-test="login"' in (await client.get("/productpage", headers=forged)).text
        answer = await client.post("/login", data={"username": "jason"})
        assert (answer.status_code, answer.headers["location"]) == (302, "/productpage")
        assert answer.headers["set-cookie"].startswith("session=jason;")
        assert "jason (" in (await client.get("/productpage")).text
        assert (await client.get("/logout")).status_code == 302
        await client.get("/productpage")
    assert [seen.get("end-user") for seen in details.headers] == [None, "jason", None]
    assert details.headers[0]["x-request-id"] == "r1"


@pytest.mark.parametrize(
    "raw, name", [(" jason ", "jason"), ("", None), ("a\r\nb", None), ("ä", None), ("x" * 65, None)]
)
def test_a_user_name_is_short_printable_ascii(raw: str, name: str | None) -> None:
    assert usable_name(raw) == name


async def test_a_bad_login_is_refused(open_client: Any) -> None:
    async with open_client(build_app({})) as client:
        assert (await client.post("/login", data={"username": "a\nb"})).status_code == 400
        assert (await client.post("/login", content=b"")).status_code == 400
        assert (await client.post("/login", content=b"x" * 5000)).status_code == 413
        assert (await client.get("/login")).status_code == 405


async def test_markup_from_outside_is_shown_as_text(open_client: Any, start_service: Any) -> None:
    evil = {"podname": "<i>", "reviews": [{"reviewer": "<b>", "text": "<script>", "rating": {"error": "<u>"}}, 7]}
    _, _, env = start_backends(start_service, details=[(200, {"type": "<s>"})], reviews=[(200, evil)])
    async with open_client(build_app(env)) as client:
        page = (await client.get("/productpage", headers={"cookie": "session=%3Cem%3E"})).text
    assert not any(tag in page for tag in ("<i>", "<b>", "<script>", "<u>", "<s>", "<em>"))
    assert "&lt;script&gt;" in page


async def test_programs_get_json_and_the_failing_status(open_client: Any, start_service: Any) -> None:
    details, reviews, env = start_backends(start_service, details=[(200, DETAILS)], reviews=[(403, "denied")])
    ratings = start_service([(200, {"ratings": {}})])
    async with open_client(build_app({**env, **ratings.env("RATINGS")})) as client:
        answers = await asyncio.gather(
            *(client.get(f"/api/v1/products{rest}") for rest in ("", "/0", "/0/reviews", "/0/ratings"))
        )
    assert [answer.status_code for answer in answers] == [200, 200, 403, 200]
    assert answers[0].json()[0]["title"] == "The Comedy of Errors"
    assert answers[1].json() == DETAILS
    assert answers[2].json() == {"error": "Sorry, product reviews are currently unavailable for this book."}
    assert (details.paths, ratings.paths, len(reviews.paths)) == (["/details/0"], ["/ratings/0"], 2)


async def test_pages_that_call_nobody_always_answer(open_client: Any) -> None:
    async with open_client(build_app({})) as client:
        for path in ("/", "/health", "/static/bookinfo.svg"):
            assert (await client.get(path)).status_code == 200
