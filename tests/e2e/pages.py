"""Bookinfo's pages as a reader sees them, and many of them at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
from tests.e2e.harness import Mesh, wait_for

PAGE = "/productpage"
NO_STARS, BLACK, RED = "no stars", "black", "red"
NO_RATINGS, NO_REVIEWS, NO_DETAILS = "no ratings", "no reviews", "no details"
TEXTS = {
    NO_RATINGS: ("Ratings service is currently unavailable",),
    NO_REVIEWS: (
        "Error fetching product reviews!",
        "Sorry, product reviews are currently unavailable for this book.",
    ),
    NO_DETAILS: (
        "Error fetching product details!",
        "Sorry, product details are currently unavailable for this book.",
    ),
}


def face(response: httpx.Response) -> str:
    """What a page shows: the colour of its stars, or what it says is missing; the status of what is no page."""
    if response.status_code != 200 or "The Comedy of Errors" not in response.text:
        return f"status {response.status_code}"
    missing = [name for name, texts in TEXTS.items() if all(text in response.text for text in texts)]
    if missing:
        return "+".join(missing)
    colours = {colour for colour in (BLACK, RED) if f'class="stars" data-color="{colour}"' in response.text}
    assert len(colours) < 2, response.text
    return colours.pop() if colours else NO_STARS


def version(response: httpx.Response) -> str:
    """Which version of reviews answered the API; the status of what is no answer."""
    pod = str(response.json().get("podname")) if response.status_code == 200 else ""
    return "-".join(pod.split("-")[:2]) or f"status {response.status_code}"


def fetch(
    url: str, count: int, read: Callable[[httpx.Response], str] = face, *, at_once: int = 8, **options: Any
) -> Counter[str]:
    """What `count` requests were answered with; a request without an answer counts under its error."""

    async def all_of() -> Counter[str]:
        seen: Counter[str] = Counter()
        left = iter(range(count))
        async with httpx.AsyncClient(timeout=60, **options) as client:

            async def reader() -> None:
                for _ in left:
                    try:
                        seen[read(await client.get(url))] += 1
                    except httpx.HTTPError as error:
                        seen[f"{type(error).__name__} {error}"] += 1

            await asyncio.gather(*(reader() for _ in range(at_once)))
        return seen

    return asyncio.run(all_of())


@contextlib.contextmanager
def signed_in(mesh: Mesh, user: str) -> Iterator[httpx.Client]:
    """A reader who has signed in with the page's form; the session is the client's cookie."""
    with httpx.Client(base_url=mesh.gateway(), timeout=60) as client:
        answer = client.post("/login", data={"username": user})
        assert (answer.status_code, answer.headers["location"]) == (302, PAGE)
        yield client


def timed(client: httpx.Client) -> tuple[str, float]:
    """One page, and how many seconds it took."""
    started = time.monotonic()
    seen = face(client.get(PAGE))
    return seen, time.monotonic() - started


def settled(mesh: Mesh, wanted: float, **labels: str) -> None:
    """Wait until `istio_requests_total` has reached `wanted` for these labels."""
    wait_for(lambda: mesh.count(**labels) >= wanted, 60, f"{wanted:g} requests counted with {labels}")
