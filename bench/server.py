"""The measured process: Pilot and its xDS server, driven step by step over a pipe.

Given the size of the mesh and a certificate; serves fake proxies on loopback and answers each command with what it
cost. Commands: `build`, `connect`, `endpoint`, `route`, `stop`.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

from argosy.app.pilot import Pilot, pilot_server
from argosy.edge.clock import SystemClock
from argosy.edge.grpc_server import start_server
from argosy.edge.memory import return_freed_memory
from argosy.edge.tls import CertificateSource, Material, ServerTLS
from argosy.pilot.build.resource import EXTENSION
from argosy.pilot.classes import ProxyClass
from argosy.pilot.mesh import MeshSettings, Unconcerned
from argosy.testing import meshes
from argosy.testing.meshes import Size
from bench.measure import Encoded, Result, Step, rss_mb

SETTLE_S = 600.0


def serve(pipe: Connection, size: Size, material: Material) -> None:
    """Run the server until told to stop."""
    return_freed_memory()
    asyncio.run(_Server(size).run(pipe, material))


class _Server:
    """Pilot with counters."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.encoded = Encoded()
        self.classes: list[ProxyClass] = []
        """The class of each client pod, in their order."""
        self.clock = SystemClock()
        self.pilot = Pilot(MeshSettings(), Unconcerned(), self.clock)
        self.xds = pilot_server(self.pilot, trust_domain=MeshSettings().trust_domain, clock=self.clock)

    async def run(self, pipe: Connection, material: Material) -> None:
        """Answer commands until `stop`."""

        async def issue() -> Material:
            return material

        source = CertificateSource(issue, self.clock)
        await source.renew()
        grpc = await start_server(self.xds.handlers(), address="127.0.0.1:0", credentials=ServerTLS(source).mutual())
        committing = asyncio.create_task(self.pilot.run())
        pipe.send(grpc.port)
        steps = {"build": self.build, "connect": self.connect, "endpoint": self.endpoint, "route": self.route}
        while (command := await asyncio.to_thread(pipe.recv)) != "stop":
            pipe.send(await steps[command]())
        committing.cancel()
        await grpc.stop(0)

    async def build(self) -> dict[str, Any]:
        """From objects to the resources of every class, before anyone is connected."""
        objects = meshes.mesh_objects(self.size)
        gc.collect()
        without = rss_mb()
        step = Step(self.encoded, self.xds.stats)
        self.pilot.on_changes([(one.kind, one.key, one) for one in objects], synced=True)
        world = self.pilot.world
        for pod in meshes.client_keys(self.size):
            found = world.class_of(pod)
            assert found is not None
            world.join(found)
            self.classes.append(found)
        runs = {one.name: one.runs for one in vars(world.model).values() if hasattr(one, "runs")}
        runs |= {one.name: one.runs for one in vars(world.model.outbound).values() if hasattr(one, "runs")}
        runs |= {name: one.runs for name, one in world.model.members.items()}
        result = step.result(Counter({name: count for name, count in runs.items() if count}))
        gc.collect()
        return {"result": result, "objects_rss_mb": without, "rss_mb": rss_mb()}

    async def connect(self) -> Result:
        """All proxies at once, from the first connection to the last acknowledgement."""
        step = Step(self.encoded, self.xds.stats)
        snapshots = {one: self.pilot.world.current(one).resources for one in set(self.classes)}
        # Nobody serves HTTP here, so nobody asks for the filters of those who do.
        sizes = {
            one: sum(len(found) for url, found in resources.items() if url != EXTENSION)
            for one, resources in snapshots.items()
        }
        due = sum(sizes[one] for one in self.classes)
        async with asyncio.timeout(SETTLE_S):
            # A proxy counts as settled between two types that it asks for, so what was sent must be complete too.
            while self.xds.stats.resources < due or self.pilot.laggards():  # noqa: ASYNC110 - nothing signals both
                await asyncio.sleep(0.02)
        result = step.result()
        gc.collect()
        result.rss_mb = rss_mb()
        return result

    async def endpoint(self) -> Result:
        """One pod behind one service stops being ready."""
        return await self._change(meshes.endpoint(self.size, 3, 2, ready=False))

    async def route(self) -> Result:
        """One VirtualService gets other weights."""
        return await self._change(meshes.virtual_service(self.size, 3, first=50))

    async def _change(self, changed: Any) -> Result:
        commits = self.pilot.commits
        step = Step(self.encoded, self.xds.stats)
        self.pilot.on_changes([(changed.kind, changed.key, changed)], synced=True)
        laggards = await self.pilot.wait_settled(SETTLE_S)
        assert not laggards, f"{len(laggards)} proxies never acknowledged"
        assert self.pilot.commits == commits + 1
        assert self.pilot.last is not None
        return step.result(self.pilot.last.commit.ran)
