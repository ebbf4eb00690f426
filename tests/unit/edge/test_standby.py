"""Whether Pilot is away, and what a proxy is started with then."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from argosy.agent.bootstrap import KEPT_SOCKET
from argosy.agent.pod import PodPlan, Role
from argosy.edge import standby as module
from argosy.edge.clock import SystemClock
from argosy.edge.grpc_server import start_server
from argosy.edge.kept_store import KeptStore, Ran
from argosy.edge.standby import Standby
from argosy.edge.tls import ServerTLS
from argosy.pilot.build.resource import CLUSTER
from argosy.xds.keeping import Layer
from argosy.xds.messages import Resource

from ..citadel.meshca import component_source

PLAN = PodPlan("shop", "cart-1", "10.88.0.2", Role.SIDECAR)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)


async def standby(folder: Path, port: int, *, kept: bool = True) -> Standby:
    source = component_source("agent")
    await source.renew()
    made = Standby(folder / "kept.db", ("127.0.0.1", port), source, SystemClock())
    if kept:
        store = KeptStore(made.path)
        layer = Layer(CLUSTER, {"a": Resource(CLUSTER, "a", "1", b"a")})
        store.save({PLAN.key: Ran((layer,), 7.0)}, {PLAN.key})
        store.close()
    return made


@asynccontextmanager
async def pilot(port: int = 0) -> AsyncIterator[int]:
    """A server with Pilot's certificate."""
    certificate = component_source()
    await certificate.renew()
    running = await start_server([], address=f"127.0.0.1:{port}", credentials=ServerTLS(certificate).mutual())
    try:
        yield running.port
    finally:
        await running.stop(0)


@asynccontextmanager
async def silent() -> AsyncIterator[int]:
    """A program that is stopped: the kernel takes connections for it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


async def test_while_pilot_is_there_nothing_kept_is_used(tmp_path: Path) -> None:
    async with pilot() as port:
        assert await (await standby(tmp_path, port)).find(PLAN) is None


async def test_while_pilot_is_away_a_proxy_gets_what_it_ran(tmp_path: Path) -> None:
    kept = await (await standby(tmp_path, free_port())).find(PLAN)
    assert kept is not None
    assert (kept.at, list(kept.snapshot.of(CLUSTER))) == (7.0, ["a"])


async def test_a_pilot_that_takes_connections_and_says_nothing_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.1)
    async with silent() as port:
        assert await (await standby(tmp_path, port)).find(PLAN) is not None


async def test_a_new_pod_waits_for_pilot(tmp_path: Path) -> None:
    assert await (await standby(tmp_path, free_port(), kept=False)).find(PLAN) is None
    other = PodPlan("shop", "cart-2", "10.88.0.3", Role.SIDECAR)
    assert await (await standby(tmp_path, free_port())).find(other) is None


async def test_a_damaged_file_is_nothing_kept(tmp_path: Path) -> None:
    made = await standby(tmp_path, free_port())
    made.path.write_bytes(b"\0" * 8192)
    assert await made.find(PLAN) is None


async def test_it_is_served_until_pilot_answers(tmp_path: Path) -> None:
    port = free_port()
    made = await standby(tmp_path, port)
    kept = await made.find(PLAN)
    assert kept is not None
    serving = asyncio.Event()
    work = asyncio.create_task(made.serve(PLAN, kept, tmp_path, os.getuid(), serving))
    await serving.wait()
    assert (tmp_path / KEPT_SOCKET).is_socket()
    async with pilot(port):
        await work
    assert not (tmp_path / KEPT_SOCKET).exists()
