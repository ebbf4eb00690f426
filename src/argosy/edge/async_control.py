"""The control API of a mesh for programs that wait for several things: an HTTP client on its socket."""

from __future__ import annotations

from pathlib import Path

import httpx

TIMEOUT_S = 60.0


def control_client(home: Path, program: str = "control") -> httpx.AsyncClient:
    """An HTTP client of the control API of `home`; `program` is the one that has the part asked for."""
    transport = httpx.AsyncHTTPTransport(uds=str(home / "run" / f"{program}.sock"))
    return httpx.AsyncClient(transport=transport, base_url="http://control", timeout=TIMEOUT_S)
