"""Bookinfo's ratings service: stars per reviewer, as JSON.

`GET /ratings/{id}`, `POST /ratings/{id}` with `{"Reviewer1": 3, ...}` (kept in memory), `GET /health`.
`SERVICE_VERSION` chooses a flaw: `v-faulty` fails half of the calls, `v-delayed` answers half of them 7 s late,
`v-unavailable` fails in every second minute, `v-unhealthy` (health check included) in every second quarter of an hour.
The database of v2 is not part of the samples: `v2` answers like an instance that cannot reach it.
Run: `python -m argosy.samples.ratings [port]`, default 9080.
"""

import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from argosy.samples.serving import port_argument, serve

STARS = {"Reviewer1": 5, "Reviewer2": 4}
DELAY_S = 7.0
OUTAGE_S = {"v-unavailable": 60.0, "v-unhealthy": 900.0}
ADDED_MAX = 1000  # products whose posted ratings are kept


def build_app(env: Mapping[str, str], now: Callable[[], float]) -> Starlette:
    """Build the application from its environment and a monotonic clock in seconds."""
    version = env.get("SERVICE_VERSION", "v1")
    started = now()
    calls = itertools.count()
    added: dict[int, dict[str, int]] = {}

    def in_outage() -> bool:
        return version in OUTAGE_S and int((now() - started) / OUTAGE_S[version]) % 2 == 1

    async def get_ratings(request: Request) -> Response:
        product_id = request.path_params["id"]
        flawed = next(calls) % 2 == 1  # every second call: "half" without a random generator
        if in_outage() or (version == "v-faulty" and flawed):
            return JSONResponse({"error": "Service unavailable"}, status_code=503)
        if version.startswith("v2"):
            return JSONResponse({"error": "could not connect to ratings database"}, status_code=500)
        if version == "v-delayed" and flawed:
            await asyncio.sleep(DELAY_S)
        return JSONResponse({"id": product_id, "ratings": added.get(product_id, STARS)})

    async def post_ratings(request: Request) -> Response:
        product_id = request.path_params["id"]
        try:
            ratings = parse_ratings(await request.json())
        except ValueError as error:
            return JSONResponse({"error": f"please provide valid ratings JSON: {error}"}, status_code=400)
        if version.startswith("v2"):
            return JSONResponse({"error": "Post not implemented for database backed ratings"}, status_code=501)
        if len(added) >= ADDED_MAX and product_id not in added:
            return JSONResponse({"error": "too many products have ratings of their own"}, status_code=507)
        added[product_id] = ratings
        return JSONResponse({"id": product_id, "ratings": ratings})

    async def health(_: Request) -> Response:
        if version == "v-unhealthy" and in_outage():
            return JSONResponse({"status": "Ratings is not healthy"}, status_code=500)
        return JSONResponse({"status": "Ratings is healthy"})

    return Starlette(
        routes=[
            Route("/ratings/{id:int}", get_ratings, methods=["GET"]),
            Route("/ratings/{id:int}", post_ratings, methods=["POST"]),
            Route("/health", health),
        ]
    )


def parse_ratings(body: object) -> dict[str, int]:
    """Check that the body is an object of reviewer -> 0..5.

    Errors: ValueError naming what is wrong.
    """
    if not isinstance(body, dict) or not body or len(body) > 10:
        raise ValueError("expected an object of one to ten reviewers")
    for reviewer, stars in body.items():
        if type(stars) is not int or not 0 <= stars <= 5:
            raise ValueError(f"stars of {reviewer[:40]!r} must be a whole number from 0 to 5")
    return body


def main() -> None:
    """Serve until told to stop."""
    serve(build_app(os.environ, time.monotonic), port_argument(sys.argv[1:], 9080))


if __name__ == "__main__":
    main()
