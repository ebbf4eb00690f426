"""HTTP on a listener that is open already."""

import asyncio
import socket

import httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from argosy.edge.http_server import serve_http


async def test_it_serves_until_it_is_cancelled_and_closes_the_listener() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    app = Starlette(routes=[Route("/", lambda request: PlainTextResponse("here"))])
    task = asyncio.create_task(serve_http(app, listener))
    async with httpx.AsyncClient() as client:
        assert (await client.get(address)).text == "here"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert listener.fileno() == -1
