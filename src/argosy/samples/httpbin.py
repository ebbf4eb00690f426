"""The httpbin sample: answers that show, or are what, the request asked for. The subset that mesh tasks use.

Echo: `/get /post /put /patch /delete /anything /headers /ip /user-agent /cookies /hostname`. Made to order:
`/status/{code} /delay/{s} /bytes/{n} /stream/{n} /response-headers /redirect-to /basic-auth/{user}/{password}
/html /json /uuid`.
`HTTPBIN_VALUES=list` shows header and query values as lists (go-httpbin), `string` as one string (the older httpbin).
Run: `python -m argosy.samples.httpbin [port]`, default 8080.
"""

import asyncio
import base64
import json
import os
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from argosy.samples.serving import port_argument, serve

DELAY_S_MAX = 10.0
BYTES_MAX = 100 * 1024
STREAM_LINES_MAX = 100
BODY_BYTES_MAX = 1024 * 1024
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
REDIRECTS = range(300, 400)
TEAPOT = "I'm a teapot!\n     _...._\n  .-'      '-. /|\n  |  tea time |' |\n  '-._    _.-'  /\n      `--'-----'\n"
PAGE = (
    "<!DOCTYPE html>\n<html><body><h1>A page</h1><p>It is here to be HTML, and says nothing else.</p></body></html>\n"
)
EXAMPLE = {"slideshow": {"title": "Sample", "slides": [{"title": "One", "type": "all"}, {"title": "Two", "items": []}]}}


class BadRequestError(Exception):
    """The path or the body asks for something that is not on offer; the text says what would be."""


def build_app(env: Mapping[str, str]) -> Starlette:
    """Build the application from its environment."""
    as_lists = env.get("HTTPBIN_VALUES", "list") == "list"
    hostname = env.get("HOSTNAME") or socket.gethostname()

    def show(pairs: Iterable[tuple[str, str]]) -> dict[str, object]:
        grouped: dict[str, list[str]] = {}
        for name, value in pairs:
            grouped.setdefault(name, []).append(value)
        return {name: values if as_lists else ",".join(values) for name, values in grouped.items()}

    async def echo(request: Request) -> dict[str, object]:
        seen: dict[str, object] = {
            "args": show(request.query_params.multi_items()),
            "headers": show(_header_pairs(request)),
            "method": request.method,
            "origin": _origin(request),
            "url": str(request.url),
        }
        if request.method != "GET":
            seen |= _describe_body(await _read_body(request))
        return seen

    async def anything(request: Request) -> Response:
        return _pretty(await echo(request))

    async def delay(request: Request) -> Response:
        await asyncio.sleep(_seconds(request.path_params["seconds"]))
        return _pretty(await echo(request))

    async def headers(request: Request) -> Response:
        return _pretty({"headers": show(_header_pairs(request))})

    async def response_headers(request: Request) -> Response:
        items = request.query_params.multi_items()
        response = _pretty(show(items))
        for name, value in items:
            if not (name.isascii() and name.replace("-", "a").replace("_", "a").isalnum() and value.isprintable()):
                raise BadRequestError("every query parameter must be a header name with a printable value")
            response.headers.append(name, value.encode("utf-8").decode("latin-1"))
        return response

    async def show_hostname(_: Request) -> Response:
        return _pretty({"hostname": hostname})

    by_method = [Route(f"/{method.lower()}", anything, methods=[method]) for method in METHODS]
    return Starlette(
        routes=[
            *by_method,
            Route("/anything", anything, methods=METHODS),
            Route("/anything/{rest:path}", anything, methods=METHODS),
            Route("/delay/{seconds}", delay, methods=METHODS),
            Route("/headers", headers),
            Route("/response-headers", response_headers),
            Route("/hostname", show_hostname),
            Route("/", page),
            Route("/html", page),
            Route("/json", example),
            Route("/ip", ip),
            Route("/user-agent", user_agent),
            Route("/uuid", new_uuid),
            Route("/cookies", cookies),
            Route("/status/{code:int}", status, methods=METHODS),
            Route("/bytes/{count:int}", send_bytes),
            Route("/stream/{count:int}", stream),
            Route("/redirect-to", redirect_to, methods=METHODS),
            Route("/basic-auth/{user}/{password}", basic_auth),
        ],
        exception_handlers={BadRequestError: _refuse},
    )


async def page(_: Request) -> Response:
    """Some HTML."""
    return HTMLResponse(PAGE)


async def example(_: Request) -> Response:
    """Some JSON."""
    return _pretty(EXAMPLE)


async def ip(request: Request) -> Response:
    """Where the request came from."""
    return _pretty({"origin": _origin(request)})


async def user_agent(request: Request) -> Response:
    """The caller's program."""
    return _pretty({"user-agent": request.headers.get("user-agent", "")})


async def new_uuid(_: Request) -> Response:
    """A random UUID, another one each time."""
    return _pretty({"uuid": str(uuid.uuid4())})


async def cookies(request: Request) -> Response:
    """The cookies that came along."""
    return _pretty({"cookies": request.cookies})


async def status(request: Request) -> Response:
    """Answer with the code that the path names."""
    code = request.path_params["code"]
    if not 200 <= code <= 599:
        raise BadRequestError("the status must be from 200 to 599")
    if code == 418:
        return PlainTextResponse(TEAPOT, status_code=418)
    location = {"location": "/get"} if code in REDIRECTS and code != 304 else {}
    return Response(status_code=code, headers=location)


async def send_bytes(request: Request) -> Response:
    """As many random bytes as the path names."""
    count = request.path_params["count"]
    if count > BYTES_MAX:
        raise BadRequestError(f"at most {BYTES_MAX} bytes")
    return Response(os.urandom(count), media_type="application/octet-stream")


async def stream(request: Request) -> Response:
    """As many lines of JSON as the path names, in chunks."""
    count = request.path_params["count"]
    if count > STREAM_LINES_MAX:
        raise BadRequestError(f"at most {STREAM_LINES_MAX} lines")

    async def lines() -> AsyncIterator[str]:
        for number in range(count):
            yield json.dumps({"id": number, "origin": _origin(request), "url": str(request.url)}) + "\n"

    return StreamingResponse(lines(), media_type="application/json")


async def redirect_to(request: Request) -> Response:
    """Redirect to the query's `url` with its `status_code`, default 302."""
    url = request.query_params.get("url", "")
    code = request.query_params.get("status_code", "302")
    if not url or not url.isprintable():
        raise BadRequestError("the query must have a url")
    if not (code.isascii() and code.isdigit() and int(code) in REDIRECTS):
        raise BadRequestError("status_code must be from 300 to 399")
    return Response(status_code=int(code), headers={"location": url.encode("utf-8").decode("latin-1")})


async def basic_auth(request: Request) -> Response:
    """200 for exactly the user and password of the path, else 401 with a challenge."""
    user, password = request.path_params["user"], request.path_params["password"]
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    if request.headers.get("authorization") == expected:
        return _pretty({"authenticated": True, "authorized": True, "user": user})
    challenge = {"www-authenticate": 'Basic realm="sample"'}
    return Response(status_code=401, headers=challenge)


def _pretty(body: object) -> Response:
    return Response(json.dumps(body, indent=2) + "\n", media_type="application/json")


async def _refuse(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=400)


def _origin(request: Request) -> str:
    forwarded = request.headers.get("x-forwarded-for", "").partition(",")[0].strip()
    return forwarded or (request.client.host if request.client else "")


def _header_pairs(request: Request) -> list[tuple[str, str]]:
    """Header names in the usual capitals, `X-Forwarded-For`, as both originals show them."""
    return [("-".join(word.capitalize() for word in name.split("-")), value) for name, value in request.headers.items()]


def _seconds(raw: str) -> float:
    try:
        seconds = float(raw)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= DELAY_S_MAX:
        raise BadRequestError(f"the delay must be from 0 to {DELAY_S_MAX:g} seconds")
    return seconds


async def _read_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise BadRequestError(f"the body must not be longer than {BODY_BYTES_MAX} bytes")
    return body


def _describe_body(body: bytes) -> dict[str, object]:
    try:
        decoded: object = json.loads(body)
    except ValueError:
        decoded = None
    return {"data": body.decode("utf-8", errors="replace"), "json": decoded}


def main() -> None:
    """Serve until told to stop."""
    serve(build_app(os.environ), port_argument(sys.argv[1:], 8080))


if __name__ == "__main__":
    main()
