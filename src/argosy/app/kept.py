"""Keeps, in the mesh's folder, the configuration that each proxy last ran, for proxies that start without Pilot.

Given a running Pilot, which only notes references; writes them some seconds later in a thread, merged. So a push costs
nothing, and the work is that of the layers that changed, however often they did.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from argosy.app.pilot import Pilot
from argosy.core.clock import Clock
from argosy.core.names import ObjectKey
from argosy.edge.kept_store import KeptStore, Ran

logger = logging.getLogger(__name__)

KEEP_S = 2.0
"""How long changes are merged; and how long at least a proxy must not have refused anything since."""


@dataclass(slots=True)
class Keeper:
    """The writer's task."""

    pilot: Pilot
    path: Path
    clock: Clock
    _store: KeptStore | None = None
    _fresh: dict[ObjectKey, Ran] = field(default_factory=dict)
    _unsaved: dict[ObjectKey, Ran] = field(default_factory=dict)

    async def run(self) -> None:
        """Write what proxies run, until cancelled."""
        while True:
            await asyncio.sleep(KEEP_S)
            await self.save()

    async def save(self) -> None:
        """Write what was new a turn ago. Where it cannot be written it stays to be, and the file as it was."""
        self._unsaved |= self._fresh
        ran, self.pilot.ran = self.pilot.ran, {}
        now = self.clock.now()
        self._fresh = {pod: Ran(layers, now) for pod, layers in ran.items()}
        if not self._unsaved:
            return
        present = frozenset(key for kind, key in self.pilot.objects if kind == "Pod")
        refusing = {one.status.pod for one in self.pilot.clients.values() if one.status.rejected}
        self._unsaved = {pod: one for pod, one in self._unsaved.items() if pod in present and pod not in refusing}
        try:
            await asyncio.to_thread(self._write, self._unsaved, present)
        except (sqlite3.Error, OSError) as error:
            logger.warning("what proxies run is not kept: %s", error)
        else:
            self._unsaved = {}

    def _write(self, ran: dict[ObjectKey, Ran], present: frozenset[ObjectKey]) -> None:
        if self._store is None:
            self._store = KeptStore(self.path)
        self._store.save(ran, present)
