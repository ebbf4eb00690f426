"""What lets a proxy start while Pilot is away: whether it is, what is kept for the proxy, and serving that meanwhile.

Given where Pilot listens and the file that it writes; used by the runner of each pod. A proxy that runs already is
given nothing: it has its configuration, and waits for Pilot with it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from argosy.agent.bootstrap import KEPT_SOCKET
from argosy.agent.pod import PodPlan
from argosy.core.clock import Clock
from argosy.core.names import ROOT_NAMESPACE
from argosy.core.spiffe import workload_id
from argosy.edge.kept_server import kept_server
from argosy.edge.kept_store import Kept, has_kept, read_kept
from argosy.edge.tls import CertificateSource, ClientTLS

_log = logging.getLogger("argosy.pod")
ANSWER_S = 1.5
"""How long Pilot may take to shake hands before it counts as away."""
LOOK_S = 0.5
"""How often Pilot is asked while a proxy runs what was kept."""


class StandbyPort(Protocol):
    """What a pod's runner asks; `Standby` is one."""

    async def find(self, plan: PodPlan) -> Kept | None:
        """What the pod's proxy is to start with, if Pilot is away and something is kept."""
        ...

    async def serve(self, plan: PodPlan, kept: Kept, directory: Path, uid: int, serving: asyncio.Event) -> None:
        """Serve it, in the proxy's directory, until Pilot answers; sets `serving` when it does."""
        ...


@dataclass(frozen=True, slots=True)
class Standby:
    """For all pods of a node. `source`: the agent's own certificate, by which it asks Pilot."""

    path: Path
    pilot: tuple[str, int]
    source: CertificateSource
    clock: Clock

    async def find(self, plan: PodPlan) -> Kept | None:
        """See `StandbyPort`. A proxy of which nothing is kept costs no question to Pilot."""
        if not has_kept(self.path, plan.key) or await self.pilot_answers():
            return None
        try:
            return await asyncio.to_thread(read_kept, self.path, plan.key)
        except (sqlite3.Error, ValueError) as error:
            _log.warning("%s: what its proxy ran cannot be read: %s", plan.key, error)
            return None

    async def serve(self, plan: PodPlan, kept: Kept, directory: Path, uid: int, serving: asyncio.Event) -> None:
        """See `StandbyPort`."""
        caller = workload_id(self.source.material.spiffe_id.trust_domain, plan.namespace, plan.service_account)
        place = directory / KEPT_SOCKET
        async with kept_server(place, kept.snapshot, caller=caller, uid=uid, clock=self.clock):
            _log.warning("%s: Pilot is away, its proxy is given what it ran at %.0f", plan.key, kept.at)
            serving.set()
            while not await self.pilot_answers():  # noqa: ASYNC110 - another program has no event
                await asyncio.sleep(LOOK_S)
        _log.info("%s: Pilot is back", plan.key)

    async def pilot_answers(self) -> bool:
        """Whether Pilot shakes hands. One that is stopped does not, though the kernel takes connections for it."""
        host, port = self.pilot
        try:
            async with asyncio.timeout(ANSWER_S):
                # A refusal is told at once, while a channel goes on trying.
                _reader, writer = await asyncio.open_connection(host, port)
                writer.close()
                channel = ClientTLS(self.source).channel(f"{host}:{port}", f"pilot.{ROOT_NAMESPACE}.svc")
                async with channel:
                    await channel.channel_ready()
        except OSError:  # a time-out is one
            return False
        return True
