"""Keeps the Wasm modules of extensions loaded: ties objects to files, the network and the clock.

Given WasmPlugins and TrafficExtensions as they change; tells Pilot, by a callback, when a module has come or changed.
A file is read again when it changes; what cannot be had is tried again, ever less often. What was loaded stays while
it cannot be read again. Nobody's module is kept once no object names it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from argosy.api.jwks_settings import Network
from argosy.api.meta import Object
from argosy.core.clock import Clock
from argosy.core.errors import Finding, Level
from argosy.core.names import ObjectKey
from argosy.edge.jwks_client import NEVER
from argosy.edge.module_reader import ModuleError, read_module, stamp
from argosy.pilot.mesh import EXTENSION_KINDS
from argosy.pilot.modules import Module, ModuleSource, source_of

logger = logging.getLogger(__name__)

CODE = "ARG0511"
LOOK_S = 2.0
"""How often it is looked whether a file has changed."""
RETRY_S, RETRY_S_MAX = 2.0, 60.0
_User = tuple[str, ObjectKey]


@dataclass(slots=True)
class _Loaded:
    """What is known of one source."""

    users: dict[_User, Object[Any]] = field(default_factory=dict)
    module: Module | None = None
    stamp: object = None
    problem: str = ""
    tried: bool = False
    wait_s: float = RETRY_S
    due: float = 0.0


class ModuleLoader:
    """All modules that objects name. `changed` is called when there is something to take."""

    def __init__(self, clock: Clock, never: tuple[Network, ...] = NEVER) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._clock = clock
        self._never = never
        self._sources: dict[ModuleSource, _Loaded] = {}
        self._by_user: dict[_User, ModuleSource] = {}
        self._changes: dict[ModuleSource, Module | None] = {}
        self._reads, self._failures = 0, 0
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()

    # -- configuration in ---------------------------------------------------------------------------------------

    def on_change(self, kind: str, key: ObjectKey, value: Object[Any] | None) -> None:
        """Hear of an object; those that run no module are passed over."""
        if kind not in EXTENSION_KINDS:
            return
        source = source_of(value) if value is not None else None
        before = self._by_user.pop((kind, key), None)
        if before is not None and before != source:
            self._leave(before, (kind, key))
        if source is not None and value is not None:
            self._by_user[kind, key] = source
            self._sources.setdefault(source, _Loaded()).users[kind, key] = value
            self._wake.set()

    def _leave(self, source: ModuleSource, user: _User) -> None:
        known = self._sources[source]
        known.users.pop(user, None)
        if not known.users:
            del self._sources[source]
            self._changes[source] = None
            self._tell_waiting()

    def take_changes(self) -> Mapping[ModuleSource, Module | None]:
        """The modules that changed since it was asked last."""
        changes, self._changes = self._changes, {}
        return changes

    async def wait_tried(self, deadline_s: float) -> None:
        """Wait until every source has been tried once, or the time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while any(not one.tried for one in self._sources.values()):
                    await self._answered.wait()

    def _tell_waiting(self) -> None:
        """Wake those who wait until every source has been tried: one has, or is nobody's any more."""
        self._answered.set()
        self._answered = asyncio.Event()

    # -- reading ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read what is due, until cancelled."""
        while True:
            self._wake.clear()
            for source in list(self._sources):
                if source in self._sources and self._is_due(source, self._sources[source]):
                    await self._load(source)
            wait_s = LOOK_S if self._sources else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    def _is_due(self, source: ModuleSource, known: _Loaded) -> bool:
        if not known.tried:
            return True
        if known.module is None or known.problem:
            return self._clock.monotonic() >= known.due or stamp(source) != known.stamp
        return stamp(source) not in (None, known.stamp)

    async def _load(self, source: ModuleSource) -> None:
        before = stamp(source)
        try:
            found = await read_module(source, self._never)
        except ModuleError as error:
            self._failed(source, str(error), before)
        except Exception as error:
            # What nobody thought of must not end the reading of all others.
            logger.exception("reading %s", source.url)
            self._failed(source, f"{source.url} cannot be read: {type(error).__name__}", before)
        else:
            self._reads += 1
            known = self._sources.get(source)
            if known is not None:
                changed = known.module != found
                known.module, known.problem, known.wait_s, known.stamp = found, "", RETRY_S, before
                if changed:
                    self._changes[source] = found
        if (known := self._sources.get(source)) is not None:
            known.tried = True
        self._tell_waiting()
        if self._changes:
            self.changed()

    def _failed(self, source: ModuleSource, reason: str, before: object) -> None:
        self._failures += 1
        known = self._sources.get(source)
        if known is None:
            return
        if known.problem != reason:
            logger.warning("modules: %s", reason)
        known.problem, known.stamp = reason, before
        known.due = self._clock.monotonic() + known.wait_s
        known.wait_s = min(2 * known.wait_s, RETRY_S_MAX)

    # -- what is known ------------------------------------------------------------------------------------------

    def metrics(self) -> list[tuple[str, str, str, float]]:
        """Rows for `/metrics`: what Istio's agents tell as `istio_agent_wasm_*`, each of itself."""
        held = float(sum(one.module is not None for one in self._sources.values()))
        missing = len(self._sources) - held
        return [
            ("pilot_wasm_modules", "gauge", "Wasm modules that are held for proxies.", held),
            ("pilot_wasm_modules_missing", "gauge", "Wasm modules that are named and were never had.", missing),
            ("pilot_wasm_fetch_success_total", "counter", "Wasm modules that were read.", float(self._reads)),
            ("pilot_wasm_fetch_fail_total", "counter", "Wasm modules that could not be read.", float(self._failures)),
        ]

    def findings(self) -> list[Finding]:
        """Modules that cannot be had, as findings about the objects that name them."""
        return [
            _finding(known, kind, key, value)
            for known in self._sources.values()
            if known.problem
            for (kind, key), value in known.users.items()
        ]


def _finding(known: _Loaded, kind: str, key: ObjectKey, value: Object[Any]) -> Finding:
    if known.module is not None:
        level, effect = Level.WARNING, "the module of before goes on"
    else:
        level, effect = Level.ERROR, "requests pass or fail as failStrategy says"
    at = "spec.url" if kind == "WasmPlugin" else "spec.wasm.url"
    hint = "it is tried again"
    return Finding(CODE, level, f"{known.problem}: {effect}", kind, key.namespace, key.name, at, value.origin, hint)
