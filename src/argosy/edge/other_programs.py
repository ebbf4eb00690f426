"""The metrics of the control plane's other programs, for a console that shows them all at one address.

Given the mesh's folder and what runs in this process. Gives how each of the others is asked, on the socket that only
its user can open; none where all are one program.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from pathlib import Path

import httpx

from argosy.edge.async_control import control_client

_SOCKETS = {"galley": "control", "pilot": "pilot", "citadel": "citadel", "mixer": "mixer"}
SCRAPE_S = 5.0


def other_programs(home: Path, own: Collection[str]) -> dict[str, Callable[[], Awaitable[bytes]]]:
    """By name, what gives the Prometheus text of a program; it raises OSError where that is away."""
    return {name: partial(_read, home, socket) for name, socket in _SOCKETS.items() if name not in own}


async def _read(home: Path, socket: str) -> bytes:
    try:
        async with control_client(home, socket) as client:
            answer = await client.get("/metrics", timeout=SCRAPE_S)
            answer.raise_for_status()
            return answer.content
    except httpx.HTTPError as error:
        raise OSError(str(error) or type(error).__name__) from error
