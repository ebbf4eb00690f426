"""Bookinfo's details service: facts about one book, as JSON.

`GET /details/{id}`, `GET /health`. With `ENABLE_EXTERNAL_BOOK_SERVICE=true` the facts come from the public books API
(over TLS, or in plain HTTP on port 80 with `DO_NOT_ENCRYPT=true`, for meshes that originate TLS).
Run: `python -m argosy.samples.details [port]`, default 9080.
"""

import http.client
import json
import os
import sys
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from argosy.samples.calling import CALLER_HEADERS, TRACE_HEADERS, pick_headers
from argosy.samples.serving import port_argument, serve

BOOKS_HOST = "www.googleapis.com"
BOOKS_ISBN = "0486424618"
BOOKS_TIMEOUT_S = 5.0


def build_app(env: Mapping[str, str]) -> Starlette:
    """Build the application from its environment."""
    external = env.get("ENABLE_EXTERNAL_BOOK_SERVICE") == "true"
    plaintext = env.get("DO_NOT_ENCRYPT") == "true"

    async def details(request: Request) -> Response:
        raw = request.path_params["id"]
        if not (raw.isascii() and raw.isdigit()):
            return JSONResponse({"error": "the product id must be a number"}, status_code=400)
        if not external:
            return JSONResponse(book(int(raw)))
        headers = pick_headers(request.headers, (*TRACE_HEADERS, *CALLER_HEADERS))
        found = await run_in_threadpool(fetch_book, int(raw), headers, plaintext=plaintext)
        if found is None:
            return JSONResponse({"error": "the books API did not answer"}, status_code=500)
        return JSONResponse(found)

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "Details is healthy"})

    return Starlette(routes=[Route("/details/{id}", details), Route("/health", health)])


def book(product_id: int) -> dict[str, object]:
    """The built-in facts; the same book whatever the id."""
    return {
        "id": product_id,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    }


def fetch_book(product_id: int, headers: Mapping[str, str], *, plaintext: bool) -> dict[str, object] | None:
    """Ask the public books API; None when it cannot be reached or answers something else."""
    kind = http.client.HTTPConnection if plaintext else http.client.HTTPSConnection
    connection = kind(BOOKS_HOST, timeout=BOOKS_TIMEOUT_S)
    try:
        connection.request("GET", f"/books/v1/volumes?q=isbn:{BOOKS_ISBN}", headers={**headers, "connection": "close"})
        return parse_book(product_id, connection.getresponse().read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def parse_book(product_id: int, body: bytes) -> dict[str, object] | None:
    """Turn the API's first volume into our shape; None when the body has no such volume."""
    try:
        volume = json.loads(body)["items"][0]["volumeInfo"]
        isbn = {entry["type"]: entry["identifier"] for entry in volume["industryIdentifiers"]}
        return {
            "id": product_id,
            "author": volume["authors"][0],
            "year": volume["publishedDate"],
            "type": "paperback" if volume["printType"] == "BOOK" else "unknown",
            "pages": volume["pageCount"],
            "publisher": volume["publisher"],
            "language": "English" if volume["language"] == "en" else "unknown",
            "ISBN-10": isbn["ISBN_10"],
            "ISBN-13": isbn["ISBN_13"],
        }
    except (ValueError, LookupError, TypeError):
        return None


def main() -> None:
    """Serve until told to stop."""
    serve(build_app(os.environ), port_argument(sys.argv[1:], 9080))


if __name__ == "__main__":
    main()
