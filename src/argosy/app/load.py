"""Traffic for the demo and its check: open-loop, bounded, with a ledger of what became of every request.

Given a coroutine that makes one request and names its answer, a rate and an end. A slow answer does not slow the
sending down; a connection error is an answer like any other. It retries nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

IN_FLIGHT_MAX = 200
Ask = Callable[[], Awaitable[str]]


@dataclass
class Ledger:
    """How many were sent, and what came back: `answers` counts each answer's name."""

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)

    def failed(self, good: str) -> int:
        """How many were answered otherwise than by `good`, or not at all."""
        return self.sent - self.answers[good]


async def open_loop(ask: Ask, *, rate: float, until: asyncio.Future[object]) -> Ledger:
    """Call `ask` `rate` times a second until `until` is done, then wait for the rest.

    When `IN_FLIGHT_MAX` are unanswered no more are sent until one is: whatever is behind has stopped anyway.
    """
    ledger, tasks = Ledger(), set[asyncio.Task[None]]()
    places = asyncio.Semaphore(IN_FLIGHT_MAX)
    loop = asyncio.get_running_loop()

    async def one() -> None:
        try:
            ledger.answers[await ask()] += 1
        except httpx.HTTPError as error:
            ledger.answers[type(error).__name__] += 1
        finally:
            places.release()

    start = loop.time()
    while not until.done():
        await asyncio.wait({until}, timeout=max(0.0, start + ledger.sent / rate - loop.time()))
        if until.done():
            break
        await places.acquire()
        ledger.sent += 1
        task = loop.create_task(one())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    return ledger


async def all_of(ask: Ask, count: int, *, at_once: int = 8) -> Counter[str]:
    """Call `ask` `count` times, `at_once` at a time; how often each answer came."""
    answers: Counter[str] = Counter()
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            try:
                answers[await ask()] += 1
            except httpx.HTTPError as error:
                answers[type(error).__name__] += 1

    await asyncio.gather(*(worker() for _ in range(at_once)))
    return answers
