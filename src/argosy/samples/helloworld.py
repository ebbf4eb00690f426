"""The helloworld sample: says which version and which instance answered.

`GET /hello`, `GET /health`. The version is `SERVICE_VERSION`, the instance the pod's host name.
Run: `python -m argosy.samples.helloworld [port]`, default 5000.
"""

import os
import socket
import sys
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from argosy.samples.serving import port_argument, serve


def build_app(env: Mapping[str, str]) -> Starlette:
    """Build the application from its environment."""
    greeting = f"Hello version: {env.get('SERVICE_VERSION') or 'unknown'}, instance: {_instance(env)}\n"

    async def hello(_: Request) -> Response:
        return PlainTextResponse(greeting)

    async def health(_: Request) -> Response:
        return PlainTextResponse("Helloworld is healthy\n")

    return Starlette(routes=[Route("/hello", hello), Route("/health", health)])


def _instance(env: Mapping[str, str]) -> str:
    return env.get("HOSTNAME") or socket.gethostname()


def main() -> None:
    """Serve until told to stop."""
    serve(build_app(os.environ), port_argument(sys.argv[1:], 5000))


if __name__ == "__main__":
    main()
