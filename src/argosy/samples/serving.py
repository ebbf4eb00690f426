"""How every HTTP sample is served: one uvicorn server on a socket of our own, one log line per request.

Given an ASGI application and a port; serves until SIGTERM or SIGINT, finishes the requests in flight and returns.
Prints `listening on HOST:PORT` once the socket accepts, so that a caller who asked for port 0 learns the real one.
It must not know any application.
"""

import logging
import socket
import sys
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp

# Longer than the hour after which Envoy gives up an idle upstream connection: the proxy is always the side that closes,
# so no request is ever sent into a connection that the application is just closing.
KEEP_ALIVE_S = 3700
# A request in flight may wait for an upstream of its own (product page: up to 9 s); after that the exit is not held up.
GRACEFUL_SHUTDOWN_S = 12
BACKLOG = 2048


def port_argument(argv: Sequence[str], default: int) -> int:
    """Read the optional first argument, a TCP port; 0 lets the system choose.

    Errors: SystemExit(2) with one line on stderr when it is no port number or when there are more arguments.
    """
    if not argv:
        return default
    if len(argv) == 1 and argv[0].isascii() and argv[0].isdigit() and int(argv[0]) <= 65535:
        return int(argv[0])
    print(f"error: expected at most one argument, a port number (default {default})", file=sys.stderr)
    raise SystemExit(2)


def open_socket(port: int) -> socket.socket:
    """Listen on all IPv4 addresses of the pod and say so on stdout."""
    listener = socket.create_server(("0.0.0.0", port), backlog=BACKLOG)
    # Accepted connections inherit it. asyncio does this itself only for sockets made with IPPROTO_TCP, which this one
    # is not; without it an answer of two writes (head, body) waits some 40 ms for the client's delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    host, bound = listener.getsockname()[:2]
    print(f"listening on {host}:{bound}", flush=True)
    return listener


def build_server(app: ASGIApp) -> uvicorn.Server:
    """Configure the server that all samples share; `http="auto"` takes httptools where it is installed, else h11."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s")
    config = uvicorn.Config(
        app,
        http="auto",
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
        server_header=False,
    )
    return uvicorn.Server(config)


def serve(app: ASGIApp, port: int) -> None:
    """Serve `app` on `port` until a signal asks to stop."""
    build_server(app).run(sockets=[open_socket(port)])
