"""Bookinfo's reviews service: two reviews of a book, with stars when this version asks ratings for them.

`GET /reviews/{id}`, `GET /health`. v1: `ENABLE_RATINGS` unset or false. v2: `ENABLE_RATINGS=true`, black stars, waits
10 s for ratings. v3: additionally `STAR_COLOR=red`, waits 2.5 s. When ratings gives no stars the answer is still 200
and each review carries the error instead. Run: `python -m argosy.samples.reviews [port]`, default 9080.
"""

import os
import socket
import sys
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from argosy.samples.calling import CALLER_HEADERS, TRACE_HEADERS, get_json, pick_headers, target_from
from argosy.samples.serving import port_argument, serve

HANDED_ON = (*TRACE_HEADERS, *CALLER_HEADERS, "end-user")
RATINGS_TIMEOUT_BLACK_S = 10.0
RATINGS_TIMEOUT_OTHER_S = 2.5
NO_RATING = {"error": "Ratings service is currently unavailable"}
TEXTS = {
    "Reviewer1": "Twins, mistaken letters and locked doors: I laughed from the first scene to the last. Read it aloud.",
    "Reviewer2": "Light and quick, and funnier than its age. The plot leans on luck more than the later plays do.",
}


def build_app(env: Mapping[str, str]) -> Starlette:
    """Build the application from its environment."""
    ratings = target_from(env, "ratings")
    enabled = env.get("ENABLE_RATINGS") == "true"
    color = env.get("STAR_COLOR") or "black"
    timeout_s = RATINGS_TIMEOUT_BLACK_S if color == "black" else RATINGS_TIMEOUT_OTHER_S
    pod = env.get("HOSTNAME") or socket.gethostname()

    def fetch_stars(product_id: int, headers: Mapping[str, str]) -> Mapping[str, int]:
        answer = get_json(ratings, f"/ratings/{product_id}", headers, timeout_s=timeout_s)
        return parse_stars(answer.body) if answer is not None and answer.status == 200 else {}

    async def reviews(request: Request) -> Response:
        product_id = request.path_params["id"]
        stars: Mapping[str, int] = {}
        if enabled:
            stars = await run_in_threadpool(fetch_stars, product_id, pick_headers(request.headers, HANDED_ON))
        body = {
            "id": str(product_id),
            "podname": pod,
            "clustername": env.get("CLUSTER_NAME"),
            "reviews": [build_review(name, stars, color if enabled else None) for name in TEXTS],
        }
        return JSONResponse(body)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "Reviews is healthy"})

    return Starlette(routes=[Route("/reviews/{id:int}", reviews), Route("/health", health)])


def parse_stars(body: object) -> Mapping[str, int]:
    """Read reviewer -> stars out of the answer of ratings; what is not a number of stars is left out."""
    ratings = body.get("ratings") if isinstance(body, dict) else None
    if not isinstance(ratings, dict):
        return {}
    return {name: stars for name, stars in ratings.items() if isinstance(stars, int) and 0 <= stars <= 5}


def build_review(reviewer: str, stars: Mapping[str, int], color: str | None) -> dict[str, object]:
    """One review; `color` None means that this version shows no stars at all."""
    review: dict[str, object] = {"reviewer": reviewer, "text": TEXTS[reviewer]}
    if color is not None:
        review["rating"] = {"stars": stars[reviewer], "color": color} if reviewer in stars else NO_RATING
    return review


def main() -> None:
    """Serve until told to stop."""
    serve(build_app(os.environ), port_argument(sys.argv[1:], 9080))


if __name__ == "__main__":
    main()
