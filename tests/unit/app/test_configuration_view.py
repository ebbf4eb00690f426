"""The console's view of the configuration: once a revision, and over sockets where programs are apart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from argosy.api import parse_documents
from argosy.app.configuration_view import FRESH_S, ConfigurationView, ConsoleFindings
from argosy.core.errors import Finding, Level
from argosy.edge.http_server import serve_http
from argosy.edge.unix_socket import private_listener
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley

BROKEN = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec: {hosts: [a.example], gateways: [none], http: [{directResponse: {status: 200}}]}
"""
SEEN = Finding("ARG0920", Level.WARNING, "not HTTP", "Service", "default", "web")


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def galley() -> Galley:
    found = Galley(MemoryStore())
    found.apply(parse_documents(BROKEN, "web.yaml"), now=0, who="test")
    return found


async def test_a_revision_is_described_once() -> None:
    store = galley()
    view = ConfigurationView(store)
    first = await view.read()
    assert [(one.code, str(one.origin)) for one in first.findings if one.code == "ARG0203"] == [
        ("ARG0203", "web.yaml:2")
    ]
    assert await view.read() is first
    store.apply(parse_documents(BROKEN.replace("name: web", "name: other")), now=1, who="test")
    second = await view.read()
    assert [one.name for one in second.configuration.settings] == ["other", "web"]


async def test_all_that_is_found_is_put_together_each_once() -> None:
    view = ConfigurationView(galley())
    base = await view.read()
    reader = ConsoleFindings(Path("/nowhere"), HandClock(), view=lambda: view, findings=lambda: [SEEN, SEEN], others=())
    found = await reader.read()
    assert found.findings == (*base.findings, SEEN)
    assert found.configuration == base.configuration


async def test_what_was_read_a_moment_ago_is_not_read_again() -> None:
    clock, view, asked = HandClock(), ConfigurationView(galley()), []
    reader = ConsoleFindings(Path("/x"), clock, view=lambda: view, findings=lambda: asked.append(1) or [], others=())
    await reader.read()
    await reader.read()
    assert len(asked) == 1
    clock.at += FRESH_S
    await reader.read()
    assert len(asked) == 2


@asynccontextmanager
async def serving(home: Path, program: str, path: str, answer: object) -> AsyncIterator[None]:
    async def endpoint(request: Request) -> Response:
        return Response(msgspec.json.encode(answer), media_type="application/json")

    (home / "run").mkdir(exist_ok=True)
    listener = private_listener(home / "run" / f"{program}.sock")
    task = asyncio.create_task(serve_http(Starlette(routes=[Route(path, endpoint)]), listener))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_apart_galley_and_pilot_are_asked_over_their_sockets(tmp_path: Path) -> None:
    base = await ConfigurationView(galley()).read()
    refused = Finding("ARG0502", Level.ERROR, "refused", "VirtualService", "default", "web")
    reader = ConsoleFindings(
        tmp_path, HandClock(), view=lambda: None, findings=lambda: [SEEN], others=("galley", "pilot", "citadel")
    )
    async with (
        serving(tmp_path, "control", "/v1/configuration", base.dump()),
        serving(tmp_path, "pilot", "/v1/analyze", {"findings": [refused.dump()]}),
    ):
        found = await reader.read()
    assert found.configuration == base.configuration
    assert found.findings == (*base.findings, refused, SEEN)


async def test_without_galley_nothing_is_known_and_without_pilot_only_less(tmp_path: Path) -> None:
    base = await ConfigurationView(galley()).read()
    reader = ConsoleFindings(
        tmp_path, HandClock(), view=lambda: None, findings=lambda: [SEEN], others=("galley", "pilot")
    )
    with pytest.raises(OSError, match="Galley does not answer"):
        await reader.read()
    async with serving(tmp_path, "control", "/v1/configuration", base.dump()):
        assert (await reader.read()).findings == (*base.findings, SEEN)
