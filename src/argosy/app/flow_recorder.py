"""Keeps Mixer's flows on disk, minute by minute, and finds them again.

Given the minutes that Mixer counts, a file, and who knows the configuration's revision. A task writes what is closed;
at its end it writes the running minute too, so that only a crash loses anything, and then less than a minute. What
cannot be written waits in memory, bounded, and is told as a finding: a full disk or a damaged file stops nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import httpx

from argosy.core.clock import Clock
from argosy.core.errors import ArgosyError, Finding, Level
from argosy.edge.async_control import control_client
from argosy.edge.flow_store import UNUSABLE, Bounds, FlowStore
from argosy.flow.minutes import MINUTE_S, Minute, MinuteLog, minute_of, sum_minutes
from argosy.flow.record import FlowWindow

logger = logging.getLogger(__name__)

TICK_S = 1.0
REVISION_S = 5.0
"""How often the configuration's revision is asked for: it may be another program that knows it."""
RETRY_S = 30.0
UNSAVED_MAX = 120
"""Minutes that wait in memory while the file cannot be written."""
NO_HISTORY = "ARG0940"
PUT_ASIDE = "ARG0942"

Revision = Callable[[], Awaitable[int | None]]


@dataclass(frozen=True, slots=True)
class Past:
    """The flows of some minutes. `start` and `end` bound what was asked for; `revision`: in force at the end."""

    window: FlowWindow
    start: int
    end: int
    revision: int | None


class FlowRecorder:
    """The writer's task, and the reader's questions. Lives on one event loop; the file is used in threads."""

    def __init__(self, log: MinuteLog, path: Path, bounds: Bounds, *, clock: Clock, revision: Revision) -> None:
        self._log = log
        self._path = path
        self._bounds = bounds
        self._clock = clock
        self._revision = revision
        self._store: FlowStore | None = None
        self._unsaved: list[Minute] = []
        self._turn = asyncio.Lock()
        self._watched = clock.monotonic()
        self._retry_at = -math.inf
        self._known: int | None = None
        self._known_at = -math.inf
        self._trouble: Finding | None = None
        self._aside: Finding | None = None

    async def run(self) -> None:
        """Write each minute when it is over, until cancelled."""
        try:
            await self._open()
            while True:
                await asyncio.sleep(TICK_S)
                await self.tick()
        finally:
            self._finish()

    async def tick(self) -> None:
        """Note the time that passed; write what is closed."""
        self._watch()
        self._keep(self._log.close(self._clock.now()))
        if self._clock.monotonic() - self._known_at >= REVISION_S:
            self._known, self._known_at = await self._revision(), self._clock.monotonic()
        if self._unsaved and self._clock.monotonic() >= self._retry_at:
            async with self._turn:
                await asyncio.to_thread(self._save)

    def findings(self) -> list[Finding]:
        """What keeps the history from being whole."""
        return [one for one in (self._trouble, self._aside) if one is not None]

    def metrics(self) -> list[tuple[str, str, str, float]]:
        """Rows for `/metrics`."""
        waiting = float(len(self._unsaved))
        return [("mixer_history_unsaved_minutes", "gauge", "Minutes of flows that could not be written yet.", waiting)]

    async def past(self, at: float, window_s: float) -> Past:
        """The flows of the minute that holds `at`, and of those before it that make up the window.

        Errors: `ArgosyError` ARG0940 if nobody watched then, saying when the history begins; ARG0941.
        """
        self._watch()
        last = minute_of(at)
        first = last - (max(math.ceil(window_s / MINUTE_S), 1) - 1) * MINUTE_S
        async with self._turn:
            await self._open()
            waiting = [minute for minute in self._unsaved if first <= minute.start <= last]
            stored = await asyncio.to_thread(self._load, first, last)
        running = [minute for minute in self._log.running() if first <= minute.start <= last]
        kept = [*stored, *waiting]
        if not kept and not running:
            raise await self._nothing(last)
        revision = next((minute.revision for minute in reversed(kept) if minute.revision is not None), None)
        if running:
            revision = await self._revision()
        until = min(last + MINUTE_S, self._clock.now()) if running else last + MINUTE_S
        return Past(sum_minutes([*kept, *running], until), first, last + MINUTE_S, revision)

    def _keep(self, closed: list[Minute]) -> None:
        for minute in closed:
            minute.revision = self._known
        self._unsaved = [*self._unsaved, *closed][-UNSAVED_MAX:]

    # -- the file -----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        now = self._clock.monotonic()
        self._log.watch(self._clock.now(), now - self._watched)
        self._watched = now

    async def _open(self) -> None:
        if self._store is None and self._clock.monotonic() >= self._retry_at:
            await asyncio.to_thread(self._opened)

    def _opened(self) -> FlowStore | None:
        if self._store is None:
            try:
                self._store = FlowStore(self._path, self._bounds)
            except ArgosyError as error:
                self._fail(replace(error.findings[0], level=Level.WARNING))
                return None
            if self._store.put_aside is not None:
                message = f"the history of flows was damaged and begins anew; the old file is {self._store.put_aside}"
                self._aside = Finding(PUT_ASIDE, Level.WARNING, message, hint="remove it when it is of no more use")
                logger.warning("%s", self._aside)
            self._trouble = None
        return self._store

    def _save(self) -> None:
        store = self._opened()
        if store is None:
            return
        try:
            store.save(self._unsaved, self._clock.now())
        except sqlite3.Error as error:
            hint = "see that there is room where the state lies, and that it can be written"
            message = f"the history of flows cannot be written: {error}"
            self._fail(Finding(UNUSABLE, Level.WARNING, message, hint=hint))
            if not isinstance(error, sqlite3.OperationalError):  # damaged: the next one who opens it puts it aside
                store.close()
                self._store = None
        else:
            self._unsaved = []
            self._trouble = None

    def _load(self, first: int, last: int) -> list[Minute]:
        if self._store is None:
            return []
        try:
            return self._store.load(first, last)
        except sqlite3.Error as error:
            raise ArgosyError.of(UNUSABLE, f"the history of flows cannot be read: {error}") from None

    def _fail(self, finding: Finding) -> None:
        if self._trouble != finding:
            logger.warning("%s", finding)
        self._trouble = finding
        self._retry_at = self._clock.monotonic() + RETRY_S

    def _finish(self) -> None:
        """The last write, without the event loop, which is ending."""
        self._watch()
        self._keep(self._log.close_all())
        if self._unsaved:
            self._retry_at = -math.inf
            self._save()
        if self._store is not None:
            self._store.close()
            self._store = None

    async def _nothing(self, start: int) -> ArgosyError:
        store = self._store
        if store is None:
            return ArgosyError([self._trouble or Finding(UNUSABLE, Level.ERROR, "there is no history of flows yet")])
        span = await asyncio.to_thread(store.span)
        if start > self._clock.now():
            return ArgosyError.of(NO_HISTORY, f"{shown(start)} has not come yet", hint=_span_hint(span))
        before, after = await asyncio.to_thread(store.nearest, start)
        hint = _span_hint(span)
        if before is not None and after is not None:
            hint = f"nothing was recorded from {shown(before + MINUTE_S)} to {shown(after)}: Mixer did not run then"
        return ArgosyError.of(NO_HISTORY, f"no flows are kept of {shown(start)}", hint=hint)


async def ask_revision(home: Path) -> int | None:
    """The revision in force, by the Galley of another program; None while it does not answer."""
    try:
        async with control_client(home) as client:
            found = (await client.get("/v1/status", timeout=2.0)).json().get("revision")
    except (httpx.HTTPError, ValueError):
        return None
    return found if isinstance(found, int) else None


def _span_hint(span: tuple[int, int] | None) -> str:
    if span is None:
        return "nothing is kept yet: the first minute is written when it is over"
    return f"the history begins at {shown(span[0])} and ends at {shown(span[1] + MINUTE_S)}"


def shown(when: float) -> str:
    """A time as people on this machine write it."""
    return datetime.fromtimestamp(when).astimezone().isoformat(" ", "minutes")


__all__ = ["NO_HISTORY", "FlowRecorder", "Past", "ask_revision", "shown"]
