"""Limits whose windows begin with the minute or the hour."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tests.e2e.harness import wait_for

Found = TypeVar("Found")


def in_one_window(window_s: float, ask: Callable[[], Found]) -> Found:
    """What `ask` finds between two borders of windows. If one comes in its middle, it asks again after the next one."""
    room_s = min(window_s / 6, 120)
    while True:
        wait_for(lambda: time.time() % window_s < window_s - room_s, 2 * room_s, "enough left of the window")
        began = time.time() // window_s
        found = ask()
        if time.time() // window_s == began:
            return found
        wait_for(lambda: time.time() // window_s > began + 1, 2 * window_s, "a window of its own")  # noqa: B023
