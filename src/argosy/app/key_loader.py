"""Keeps issuers' keys loaded: ties the schedule (`pilot.key_sets`) to the network, the clock and a file.

Given policies and the mesh's ConfigMap as they change; tells Pilot, by a callback, when keys have changed. Every source
is fetched by a task of its own, at most `FETCHES_MAX` at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from argosy.api.jwks import KeySet
from argosy.api.jwks_settings import JWKSSettings, JWKSSettingsError, Network, parse_jwks_settings
from argosy.api.mesh_config import NAME, NAMESPACE
from argosy.api.meta import Object
from argosy.core.clock import Clock
from argosy.core.errors import Finding, Level, Origin
from argosy.core.names import ObjectKey
from argosy.edge.jwks_client import NEVER, FetchError, fetch_keys
from argosy.edge.jwks_file import read_keys, write_keys
from argosy.pilot.key_sets import KeySets, Problem
from argosy.pilot.key_sources import KeySource, source_of, sources_of
from argosy.pilot.mesh import Mesh

logger = logging.getLogger(__name__)

FETCHES_MAX = 16
CODE = "ARG0510"


class KeyLoader:
    """The keys of all policies. `changed` is called when there is something to take."""

    def __init__(self, home: Path | None, clock: Clock, never: tuple[Network, ...] = NEVER) -> None:
        self.sets = KeySets()
        self.changed: Callable[[], None] = lambda: None
        self._home = home
        self._clock = clock
        self._never = never
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()
        self._places = asyncio.Semaphore(FETCHES_MAX)
        self._fetches: set[asyncio.Task[None]] = set()
        # One clock for all: that of the file does not go on while this program is not there.
        offset = clock.monotonic() - clock.now()
        for source, keys, loaded_at in read_keys(home) if home is not None else ():
            self.sets.remember(source, keys, min(loaded_at + offset, clock.monotonic()))

    # -- configuration in ---------------------------------------------------------------------------------------

    def on_change(self, kind: str, key: ObjectKey, value: Object[Any] | None) -> None:
        """Hear of an object; those that say nothing of keys are passed over."""
        now = self._clock.monotonic()
        if kind == "RequestAuthentication":
            self.sets.watch(key, sources_of(value.spec) if value is not None else (), now)
        elif kind == "ConfigMap" and key == ObjectKey(NAMESPACE, NAME):
            self.sets.configure(_settings(value), now)
        else:
            return
        self._tell_waiting()
        self._wake.set()

    def take_changes(self) -> Mapping[KeySource, KeySet | None]:
        """The keys that changed since it was asked last."""
        return self.sets.take_changes()

    async def wait_tried(self, deadline_s: float) -> None:
        """Wait until every source has been tried once, or the time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s):
                while self.sets.untried:
                    await self._answered.wait()

    def _tell_waiting(self) -> None:
        """Wake those who wait until every source has been tried: one has, or is nobody's any more."""
        self._answered.set()
        self._answered = asyncio.Event()

    # -- fetching -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Fetch what is due, until cancelled."""
        try:
            while True:
                self._wake.clear()
                now = self._clock.monotonic()
                self.sets.evict(now)
                for source in self.sets.start_due(now):
                    task = asyncio.create_task(self._fetch(source))
                    self._fetches.add(task)
                    task.add_done_callback(self._fetches.discard)
                self._tell()
                due = self.sets.next_due()
                wait_s = max(due - now, 0.05) if due is not None else None
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._wake.wait()
        finally:
            for task in self._fetches:
                task.cancel()

    async def _fetch(self, source: KeySource) -> None:
        blocked = (*self._never, *self.sets.settings.blocked)
        try:
            async with self._places:
                found = await fetch_keys(
                    source.uri, discover=source.discover, timeout_s=source.timeout_s, blocked=blocked
                )
        except FetchError as error:
            self._failed(source, str(error))
        except Exception as error:
            # What nobody thought of must not end the schedule of all others.
            logger.exception("fetching %s", source.uri)
            self._failed(source, f"cannot read {source.uri}: {type(error).__name__}")
        else:
            now, chance = self._clock.monotonic(), random.random()
            self.sets.loaded(source, found.keys, now, chance=chance, max_age_s=found.max_age_s)
            self._keep()
        self._tell()
        self._tell_waiting()
        self._wake.set()

    def _failed(self, source: KeySource, reason: str) -> None:
        # It is tried every few seconds, for days if need be: only what is new is worth a line.
        if self.sets.failed(source, reason, self._clock.monotonic(), chance=random.random()):
            logger.warning("keys: %s", reason)

    def _keep(self) -> None:
        if self._home is None:
            return
        offset = self._clock.now() - self._clock.monotonic()
        try:
            write_keys(self._home, [(source, keys, at + offset) for source, keys, at in self.sets.held()])
        except OSError as error:
            logger.warning("keys are not kept: %s", error)

    def _tell(self) -> None:
        if self.sets.changes_wait:
            self.changed()

    # -- what is known ------------------------------------------------------------------------------------------

    def problems(self) -> list[Problem]:
        """The sources that cannot be loaded now."""
        return list(self.sets.problems(self._clock.monotonic()))

    def findings(self, mesh: Mesh) -> list[Finding]:
        """The same, as findings about the policies that need them."""
        known = mesh.kinds["RequestAuthentication"]
        return [finding_of(one, key, mesh.engine.get(known, key)) for one in self.problems() for key in one.users]

    def metrics(self) -> list[tuple[str, str, str, float]]:
        """Rows for `/metrics`. Source of the first two names: Istio's control plane."""
        ages = [self._clock.monotonic() - at for _source, _keys, at in self.sets.held()]
        empty = sum(one.age_s is None for one in self.problems())
        return [
            (
                "pilot_jwks_resolver_network_fetch_success_total",
                "counter",
                "Key sets that were fetched.",
                float(self.sets.successes),
            ),
            (
                "pilot_jwks_resolver_network_fetch_fail_total",
                "counter",
                "Key sets that could not be fetched.",
                float(self.sets.failures),
            ),
            ("pilot_jwks_sources", "gauge", "Key sets that are in use.", float(len(ages))),
            ("pilot_jwks_missing", "gauge", "Key sets that were never loaded, whose tokens get 401.", float(empty)),
            ("pilot_jwks_age_seconds_max", "gauge", "Age of the oldest key set in use.", max(ages, default=0.0)),
        ]


def _settings(config_map: Object[Any] | None) -> JWKSSettings:
    try:
        return parse_jwks_settings(config_map.annotations) if config_map is not None else JWKSSettings()
    except JWKSSettingsError:  # galley refuses such annotations; some that came another way change nothing
        return JWKSSettings()


def finding_of(problem: Problem, key: ObjectKey, policy: Object[Any] | None) -> Finding:
    """What a source that cannot be loaded means for one policy that needs it."""
    rules = policy.spec.jwt_rules if policy is not None else ()
    index = next((n for n, rule in enumerate(rules) if source_of(rule) == problem.source), 0)
    if problem.age_s is None:
        level, effect = Level.ERROR, "tokens of this issuer get 401 until it answers"
    else:
        level, effect = Level.WARNING, f"its keys of {problem.age_s:.0f} s ago stay in use"
    return Finding(
        CODE,
        level,
        f"{problem.reason}: {effect}",
        "RequestAuthentication",
        key.namespace,
        key.name,
        f"spec.jwtRules[{index}]",
        hint="it is tried again every few seconds" if problem.age_s is None else "",
        origin=policy.origin if policy is not None else Origin(),
    )
