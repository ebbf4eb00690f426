"""The Bookinfo example as its readers see it: its files, and what a page shows. For the demo and its check."""

from __future__ import annotations

from http.cookies import SimpleCookie

import httpx

from argosy.samples.bundle import manifest_path

BASE_FILES = ("bookinfo.yaml", "gateway.yaml", "destination-rules.yaml")
PAGE = "/productpage"
# What a page can show; other answers are named by their status code.
NO_STARS, BLACK, RED = "no stars", "black stars", "red stars"
NO_RATINGS, NO_REVIEWS = "ratings unavailable", "reviews unavailable"


def files() -> tuple[str, ...]:
    """The manifests that make up the example."""
    return tuple(str(manifest_path("bookinfo", name)) for name in BASE_FILES)


def read_page(response: httpx.Response) -> str:
    """Which of the page's faces this is; the status code if it is no page."""
    if response.status_code != 200:
        return str(response.status_code)
    text = response.text
    if "product reviews are currently unavailable" in text:
        return NO_REVIEWS
    if "Ratings service is currently unavailable" in text:
        return NO_RATINGS
    if 'class="stars" data-color="red"' in text:
        return RED
    return BLACK if 'class="stars" data-color="black"' in text else NO_STARS


def signed_in(user: str) -> dict[str, str]:
    """Headers of a reader who has signed in as `user`."""
    cookie = SimpleCookie({"session": user})
    return {"cookie": cookie.output(header="", sep=";").strip()}
