"""An event loop whose clock stands still while anything can run, and then jumps: hours of waiting take no time.

For code that waits and does no real I/O: where a socket is waited for, time would run away.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class _Jumping(selectors.DefaultSelector):  # type: ignore[misc,valid-type]  # which class it is depends on the machine
    """Where the loop would sleep, the clock goes on by as much."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


def run_in_virtual_time(work: Coroutine[Any, Any, _T]) -> _T:
    """Run `work` to its end; its loop's time starts at 0."""
    selector = _Jumping()
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
