"""HTTP on a listener that is open already: uvicorn, without its own ideas of signals and logs."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn


async def serve_http(app: Any, listener: socket.socket) -> None:
    """Serve until cancelled."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # the program handles them
    try:
        await server.serve(sockets=[listener])
    except asyncio.CancelledError:
        listener.close()
        raise
