"""The demo reads pages as Bookinfo's product page writes them."""

import httpx
import pytest
from starlette.requests import Request

from argosy.app import bookinfo
from argosy.samples.bookpage import render_page
from argosy.samples.calling import Answer
from argosy.samples.productpage import session_user

DETAILS = Answer(status=200, body={"pages": 200})


def page(reviews: Answer) -> httpx.Response:
    return httpx.Response(200, text=render_page(details=DETAILS, reviews=reviews, user=None, pod="pod"))


def rated(**rating: object) -> Answer:
    review = {"reviewer": "someone", "text": "fine", **({"rating": rating} if rating else {})}
    return Answer(status=200, body={"podname": "reviews", "reviews": [review]})


@pytest.mark.parametrize(
    "reviews, face",
    [
        (rated(), bookinfo.NO_STARS),
        (rated(stars=4, color="black"), bookinfo.BLACK),
        (rated(stars=4, color="red"), bookinfo.RED),
        (rated(error="Ratings service is currently unavailable"), bookinfo.NO_RATINGS),
        (
            Answer(500, {"error": "Sorry, product reviews are currently unavailable for this book."}),
            bookinfo.NO_REVIEWS,
        ),
    ],
)
def test_each_face_of_the_page_is_recognised(reviews: Answer, face: str) -> None:
    assert bookinfo.read_page(page(reviews)) == face


def test_what_is_no_page_is_named_by_its_status() -> None:
    assert bookinfo.read_page(httpx.Response(503, text="no healthy upstream")) == "503"


def test_the_page_knows_who_has_signed_in() -> None:
    headers = [(name.encode(), value.encode()) for name, value in bookinfo.signed_in("jason").items()]
    assert session_user(Request({"type": "http", "headers": headers})) == "jason"


def test_the_demo_runs_the_application_its_gateway_and_its_versions() -> None:
    assert [file.rpartition("/")[2] for file in bookinfo.files()] == list(bookinfo.BASE_FILES)
