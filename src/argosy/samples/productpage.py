"""Bookinfo's product page: the web page that calls details and reviews, and their JSON for programs.

`/`, `/productpage`, `POST /login` (form field `username`, no password), `/logout`, `/health`, `/static/*`,
`/api/v1/products[/{id}[/reviews|/ratings]]`. A logged-in user's name goes out as the header `end-user`. Details gets
one try of 3 s, ratings one, reviews two; what does not answer is replaced by a sentence and the page is still 200.
The session cookie is the bare user name, unsigned: a stage prop for header routing, no protection of anything.
Run: `python -m argosy.samples.productpage [port]`, default 9080.
"""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from argosy.samples.bookpage import BOOK, render_index, render_page
from argosy.samples.calling import CALLER_HEADERS, TRACE_HEADERS, Answer, Target, get_json, pick_headers, target_from
from argosy.samples.serving import port_argument, serve

CALL_TIMEOUT_S = 3.0
REVIEWS_TRIES = 2
SESSION = "session"
USER_LENGTH_MAX = 64
FORM_BYTES_MAX = 4096
STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True)
class Backends:
    """The three services behind the page."""

    details: Target
    reviews: Target
    ratings: Target


def build_app(env: Mapping[str, str]) -> Starlette:
    """Build the application from its environment."""
    backends = Backends(
        details=target_from(env, "details"), reviews=target_from(env, "reviews"), ratings=target_from(env, "ratings")
    )
    pod = env.get("HOSTNAME") or socket.gethostname()

    # Plain functions run in a worker thread: the calls below block.
    def page(request: Request) -> Response:
        headers = outgoing_headers(request)
        details = fetch_details(backends, 0, headers)
        reviews = fetch_reviews(backends, 0, headers)
        return HTMLResponse(render_page(details=details, reviews=reviews, user=session_user(request), pod=pod))

    def product(request: Request) -> Response:
        return _as_json(fetch_details(backends, request.path_params["id"], outgoing_headers(request)))

    def product_reviews(request: Request) -> Response:
        return _as_json(fetch_reviews(backends, request.path_params["id"], outgoing_headers(request)))

    def product_ratings(request: Request) -> Response:
        return _as_json(fetch_ratings(backends, request.path_params["id"], outgoing_headers(request)))

    return Starlette(
        routes=[
            Route("/", index),
            Route("/productpage", page),
            Route("/login", login, methods=["POST"]),
            Route("/logout", logout),
            Route("/health", health),
            Route("/static/bookinfo.svg", logo),
            Route("/api/v1/products", products),
            Route("/api/v1/products/{id:int}", product),
            Route("/api/v1/products/{id:int}/reviews", product_reviews),
            Route("/api/v1/products/{id:int}/ratings", product_ratings),
        ]
    )


def fetch_details(backends: Backends, product_id: int, headers: Mapping[str, str]) -> Answer:
    """Ask details once; 200 with the facts, or the failing status (500 when there was none) with an error text."""
    answer = get_json(backends.details, f"/details/{product_id}", headers, timeout_s=CALL_TIMEOUT_S)
    return _or_sorry(answer, "product details")


def fetch_reviews(backends: Backends, product_id: int, headers: Mapping[str, str]) -> Answer:
    """Ask reviews, and once more when that fails, whether it timed out or answered with an error."""
    answer = None
    for _ in range(REVIEWS_TRIES):
        answer = get_json(backends.reviews, f"/reviews/{product_id}", headers, timeout_s=CALL_TIMEOUT_S)
        if _is_good(answer):
            break
    return _or_sorry(answer, "product reviews")


def fetch_ratings(backends: Backends, product_id: int, headers: Mapping[str, str]) -> Answer:
    """Ask ratings once."""
    answer = get_json(backends.ratings, f"/ratings/{product_id}", headers, timeout_s=CALL_TIMEOUT_S)
    return _or_sorry(answer, "product ratings")


def _is_good(answer: Answer | None) -> bool:
    return answer is not None and answer.status == 200 and isinstance(answer.body, dict)


def _or_sorry(answer: Answer | None, what: str) -> Answer:
    if answer is not None and _is_good(answer):
        return answer
    status = answer.status if answer is not None and answer.status != 200 else 500
    return Answer(status=status, body={"error": f"Sorry, {what} are currently unavailable for this book."})


def _as_json(answer: Answer) -> Response:
    return JSONResponse(answer.body, status_code=answer.status)


def outgoing_headers(request: Request) -> dict[str, str]:
    """The caller's trace and credentials, and the session's user; a client cannot set `end-user` itself."""
    headers = pick_headers(request.headers, (*TRACE_HEADERS, *CALLER_HEADERS))
    user = session_user(request)
    if user is not None:
        headers["end-user"] = user
    return headers


def session_user(request: Request) -> str | None:
    """Read the user name out of the cookie; None when nobody is logged in or the cookie holds no usable name."""
    return usable_name(unquote(request.cookies.get(SESSION, "")))


def usable_name(raw: str) -> str | None:
    """A name that may go into a header: printable ASCII, not empty, not long."""
    name = raw.strip()
    return name if name and name.isascii() and name.isprintable() and len(name) <= USER_LENGTH_MAX else None


async def login(request: Request) -> Response:
    """Take the form field `username` for the session's user and go back to the page."""
    form = b""
    async for chunk in request.stream():
        form += chunk
        if len(form) > FORM_BYTES_MAX:
            return JSONResponse({"error": "the form is too long"}, status_code=413)
    fields = parse_qs(form.decode("utf-8", errors="replace"))
    user = usable_name(fields.get("username", [""])[0])
    if user is None:
        error = f"username must be 1 to {USER_LENGTH_MAX} printable ASCII characters"
        return JSONResponse({"error": error}, status_code=400)
    response = RedirectResponse("/productpage", status_code=302)
    response.set_cookie(SESSION, quote(user), httponly=True, samesite="lax")
    return response


async def logout(_: Request) -> Response:
    """Forget the user and go back to the page."""
    response = RedirectResponse("/productpage", status_code=302)
    response.delete_cookie(SESSION, httponly=True, samesite="lax")
    return response


async def index(_: Request) -> Response:
    """The front page: what the application offers."""
    return HTMLResponse(render_index())


async def products(_: Request) -> Response:
    """The list of products, which has one."""
    return JSONResponse([{"id": 0, "title": BOOK.title, "descriptionHtml": BOOK.description}])


async def health(_: Request) -> Response:
    """Alive, whatever the services behind it do."""
    return JSONResponse({"status": "Product page is healthy"})


async def logo(_: Request) -> Response:
    """The page's icon."""
    return FileResponse(STATIC / "bookinfo.svg", media_type="image/svg+xml")


def main() -> None:
    """Serve until told to stop."""
    serve(build_app(os.environ), port_argument(sys.argv[1:], 9080))


if __name__ == "__main__":
    main()
