"""The look of the product page: the markers that tests and people rely on."""

import re

import pytest

from argosy.samples.bookpage import render_index, render_page
from argosy.samples.calling import Answer

DETAILS = Answer(200, {"type": "paperback", "year": 1595})


def render(rating: dict[str, object] | None) -> str:
    review = {"reviewer": "Reviewer1", "text": "T"} | ({"rating": rating} if rating is not None else {})
    return render_page(details=DETAILS, reviews=Answer(200, {"podname": "p", "reviews": [review]}), user=None, pod="q")


@pytest.mark.parametrize("stars, glyphs", [(0, "☆☆☆☆☆"), (4, "★★★★☆"), (5, "★★★★★"), (9, "★★★★★"), (-1, "☆☆☆☆☆")])
@pytest.mark.parametrize("color", ["black", "red"])
def test_stars_are_glyphs_with_their_color(stars: int, glyphs: str, color: str) -> None:
    page = render({"stars": stars, "color": color})
    assert re.findall(r'<span class="stars" data-color="(\w+)"[^>]*>([★☆]+)</span>', page) == [(color, glyphs)]


def test_a_version_without_ratings_shows_neither_stars_nor_an_error() -> None:
    page = render(None)
    assert 'class="stars"' not in page
    assert "★" not in page
    assert 'data-test="rating-error"' not in page


def test_an_unavailable_rating_says_so() -> None:
    assert "Ratings service is currently unavailable" in render({"error": "Ratings service is currently unavailable"})


@pytest.mark.parametrize("page", [render(None), render_index()])
def test_the_page_fetches_nothing_from_elsewhere(page: str) -> None:
    assert re.findall(r"https?://", page) == []
    assert "<script" not in page
