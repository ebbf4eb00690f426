"""The metrics of the control plane's other programs."""

import asyncio
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from argosy.edge.http_server import serve_http
from argosy.edge.other_programs import other_programs
from argosy.edge.unix_socket import private_listener


def test_who_else_there_is(tmp_path: Path) -> None:
    assert set(other_programs(tmp_path, ("mixer",))) == {"galley", "pilot", "citadel"}
    assert other_programs(tmp_path, ("galley", "pilot", "citadel", "mixer")) == {}


async def test_each_is_asked_on_its_own_socket(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    app = Starlette(routes=[Route("/metrics", lambda request: PlainTextResponse("argosy_ready 1\n"))])
    task = asyncio.create_task(serve_http(app, private_listener(tmp_path / "run" / "control.sock")))
    found = other_programs(tmp_path, ("mixer",))
    assert await found["galley"]() == b"argosy_ready 1\n"
    with pytest.raises(OSError):
        await found["pilot"]()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
