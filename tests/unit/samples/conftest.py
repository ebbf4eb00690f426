"""What the tests of the samples share: a client without sockets, and a fake service that scripted answers come from."""

import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from starlette.types import ASGIApp

Script = list[tuple[int, object]]


@pytest.fixture
def open_client() -> Callable[[ASGIApp], AbstractAsyncContextManager[httpx.AsyncClient]]:
    """Make a client that talks to an application in this process."""

    @asynccontextmanager
    async def open_client(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://sample") as client:
            yield client

    return open_client


@dataclass
class FakeService:
    """A service on a free loopback port: the n-th request gets the script's n-th answer, the last one is repeated."""

    script: Script
    port: int = 0
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def env(self, service: str) -> dict[str, str]:
        return {f"{service}_HOSTNAME": "127.0.0.1", f"{service}_SERVICE_PORT": str(self.port)}


@pytest.fixture
def start_service() -> Iterator[Callable[[Script], FakeService]]:
    servers: list[ThreadingHTTPServer] = []

    def start(script: Script) -> FakeService:
        service = FakeService(script)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service.paths.append(self.path)
                service.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, answer = service.script[min(len(service.paths), len(service.script)) - 1]
                body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Tests are quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        service.port = server.server_address[1]
        return service

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
