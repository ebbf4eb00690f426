"""Where the console is served."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from argosy.app.console_server import is_gateway, serve_console
from argosy.app.control_settings import Settings
from argosy.app.mixer import Mixer
from argosy.edge.clock import SystemClock
from argosy.edge.console_http import ConsolePorts
from argosy.flow.directory import MeshDirectory
from argosy.flow.workload import PodRef, workload_ref

# An address of this machine at which nobody else is: a port that was free stays free.
OUTWARD = "127.83.12.7"


def free_port() -> int:
    with socket.create_server((OUTWARD, 0)) as found:
        port: int = found.getsockname()[1]
        return port


@asynccontextmanager
async def served(**more: object) -> AsyncIterator[int]:
    """The console on a socket of its own, and what else the settings say; gives the socket's port."""
    own = socket.create_server(("127.0.0.1", 0))
    port = own.getsockname()[1]
    settings = Settings(name="argosy", home="/", listen="", citadel_listen="", galley="", citadel="", **more)  # type: ignore[arg-type]
    ports = ConsolePorts(graph=lambda query: {}, metrics=tuple, ready=str, on_spans=lambda spans: None)
    callers = lambda address: address in (OUTWARD, "127.0.0.1")  # noqa: E731
    tasks = [asyncio.create_task(one) for one in serve_console(ports, settings, own.detach(), callers)]
    try:
        yield port
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def answers(port: int, host: str, path: str = "/healthz", at: str = "127.0.0.1") -> int:
    async with httpx.AsyncClient() as client:
        for _ in range(200):
            try:
                return (await client.get(f"http://{at}:{port}{path}", headers={"host": host})).status_code
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
    raise AssertionError("nobody listens")


async def test_gateways_have_a_server_of_their_own_with_other_names_and_nothing_to_write_to() -> None:
    outward = free_port()
    async with served(console_hosts=("graph.example",), console_listen=f"{OUTWARD}:{outward}") as own:
        assert await answers(own, "localhost") == 200
        assert await answers(own, "graph.example") == 421
        assert await answers(outward, "graph.example", at=OUTWARD) == 200
        assert await answers(outward, "localhost", at=OUTWARD) == 421
        assert await answers(own, "localhost", "/api/v2/spans") == 405
        assert await answers(outward, "graph.example", "/api/v2/spans", OUTWARD) == 404


async def test_without_names_nothing_else_listens() -> None:
    outward = free_port()
    async with served(console_listen=f"{OUTWARD}:{outward}") as own:
        assert await answers(own, "localhost") == 200
        with pytest.raises(OSError):
            socket.create_connection((OUTWARD, outward), timeout=1).close()


def test_gateways_are_told_by_what_mixer_knows_of_the_address(tmp_path: Path) -> None:
    mixer = Mixer(trust_domain="cluster.local", clock=SystemClock(), home=tmp_path)
    ingress = workload_ref("istio-system", "in", {"istio": "ingressgateway"})
    pods = [
        PodRef("istio-system", "in", "10.88.0.2", workload=ingress),
        PodRef("shop", "own", "10.88.0.3", router=True),
        PodRef("shop", "app", "10.88.0.4"),
    ]
    mixer.directory = MeshDirectory(pods, [])
    assert [is_gateway(mixer, f"10.88.0.{n}") for n in (1, 2, 3, 4)] == [False, True, True, False]
    assert not is_gateway(None, "10.88.0.2")
