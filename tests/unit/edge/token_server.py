"""A token server on the loopback: gives what it is told to, and notes what it was asked."""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class TokenServer(ThreadingHTTPServer):
    """`answers`: status and body of the first request, the second, ...; the last one goes on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[dict[str, Any]] = []
        self.answers: list[tuple[int, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: TokenServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        scheme, _blank, password = self.headers.get("authorization", "").partition(" ")
        seen = {"path": self.path, "host": self.headers["host"], **{k: v[0] for k, v in parse_qs(body).items()}}
        self.server.asked.append({**seen, **({scheme: b64decode(password).decode()} if scheme else {})})
        status, answer = self.server.answers[min(len(self.server.asked), len(self.server.answers)) - 1]
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def token_server() -> Iterator[TokenServer]:
    """One that runs for the length of a block."""
    one = TokenServer()
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield one
    finally:
        one.shutdown()
        thread.join()
        one.server_close()
