"""Pages of metrics, piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from argosy.edge.metrics_page import metrics_page


async def test_others_work_between_two_pieces() -> None:
    done: list[str] = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            done.append(f"piece {number}")
            # Whoever waits for the program's attention just now.
            asyncio.get_running_loop().call_soon(done.append, f"work {number}")
            yield f"a {number}\n".encode()

    async def page(_request: Request) -> Response:
        return metrics_page(pieces())

    transport = httpx.ASGITransport(app=Starlette(routes=[Route("/metrics", page)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://a") as client:
        answer = await client.get("/metrics")
    assert answer.text == "a 0\na 1\na 2\n"
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert done == [f"{what} {number}" for number in range(3) for what in ("piece", "work")]
