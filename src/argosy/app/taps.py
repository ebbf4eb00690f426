"""Who watches requests just now: streams of what proxies report, each with its own filter and a bounded queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from argosy.flow.directory import Directory
from argosy.mixer.access_record import AccessRecord
from argosy.mixer.tap import TapFilter, parse_tap_filter, view

QUEUE_MAX = 1_000
"""Requests that may wait for one watcher; what is more is left out and counted."""
BEAT_S = 2.0
"""After how long without a request an empty line says that the stream lives."""


@dataclass(slots=True, eq=False)
class _Watcher:
    wanted: TapFilter
    queue: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(QUEUE_MAX))
    lost: int = 0


class Taps:
    """All streams of one Mixer."""

    def __init__(self, directory: Callable[[], Directory]) -> None:
        self._directory = directory
        self._watchers: list[_Watcher] = []

    def __len__(self) -> int:
        return len(self._watchers)

    def on_record(self, record: AccessRecord) -> None:
        """Give a record to those who want it. A watcher who is slow misses some, and is told how many."""
        if not self._watchers:
            return
        shown = view(record, self._directory())
        for watcher in self._watchers:
            if not watcher.wanted.matches(shown):
                continue
            line = msgspec.json.encode({**shown, "lost": watcher.lost} if watcher.lost else shown) + b"\n"
            try:
                watcher.queue.put_nowait(line)
            except asyncio.QueueFull:
                watcher.lost += 1
            else:
                watcher.lost = 0

    def stream(self, query: Iterable[tuple[str, str]]) -> AsyncIterator[bytes]:
        """What one watcher sees, until it goes. Raises `ArgosyError` at once if the filter cannot be read."""
        return self._follow(_Watcher(parse_tap_filter(query)))

    async def _follow(self, watcher: _Watcher) -> AsyncIterator[bytes]:
        self._watchers.append(watcher)
        try:
            yield b"\n"
            while True:
                try:
                    async with asyncio.timeout(BEAT_S):
                        line = await watcher.queue.get()
                except TimeoutError:
                    line = b"\n"
                yield line
        finally:
            self._watchers.remove(watcher)
