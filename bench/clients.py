"""The load: many fake proxies in a process of their own, each with its own certificate and connection."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import grpc
import grpc.aio

from argosy.citadel.policy import component_host
from argosy.edge.clock import SystemClock
from argosy.edge.tls import CertificateSource, ClientTLS, Material
from argosy.edge.xds_server import ADS
from argosy.testing.fake_envoy import FakeEnvoy, Reading

logger = logging.getLogger(__name__)
RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Proxy:
    """One fake proxy: its node and its certificate."""

    node: bytes
    material: Material


def run(pipe: Connection, port: int, proxies: list[Proxy]) -> None:
    """Connect all at the word `go`; stay until `stop`; tell what was received."""
    asyncio.run(_run(pipe, port, proxies))


async def _run(pipe: Connection, port: int, proxies: list[Proxy]) -> None:
    reading = Reading()
    fakes = [FakeEnvoy(one.node, reading) for one in proxies]
    pipe.send("ready")
    assert await asyncio.to_thread(pipe.recv) == "go"
    tasks = [asyncio.create_task(_proxy(fake, one, port)) for fake, one in zip(fakes, proxies, strict=True)]
    stop = asyncio.create_task(asyncio.to_thread(pipe.recv))
    done, _rest = await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for task in done - {stop}:
        task.result()  # a proxy that ended by itself failed
    pipe.send({"cpu_s": time.process_time(), "reconnects": sum(one.reconnects for one in fakes)})
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _proxy(fake: FakeEnvoy, proxy: Proxy, port: int) -> None:
    async def issue() -> Material:
        return proxy.material

    source = CertificateSource(issue, SystemClock())
    await source.renew()
    while True:
        fake.connect()
        try:
            async with ClientTLS(source).channel(f"127.0.0.1:{port}", component_host("pilot")) as channel:
                await _stream(channel.stream_stream(f"/{ADS}/DeltaAggregatedResources")(), fake)
        except grpc.aio.AioRpcError as error:
            logger.warning("a stream ended: %s %s", error.code().name, error.details())
        fake.disconnect()
        await asyncio.sleep(RETRY_S)


async def _stream(call: Any, fake: FakeEnvoy) -> None:
    await _flush(call, fake)
    async for data in call:
        fake.receive(data)
        await _flush(call, fake)


async def _flush(call: Any, fake: FakeEnvoy) -> None:
    for request in fake.outbox():
        await call.write(request)


__all__ = ["Proxy", "run"]
