"""The relay as a program: `python -m argosy.app.relay SETTINGS`, started by the node with the host's sockets inherited.

`SETTINGS` is a JSON file: ports by the environment variable that holds the socket's descriptor number, and the path of
the control socket.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec

from argosy.edge.relay import PortSpec, Relay


class RelaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`ports`: environment variable with the descriptor -> where the port leads. `control`: path of the unix socket."""

    ports: dict[str, PortSpec]
    control: str


async def serve_relay(settings: RelaySettings) -> None:
    """Relay until SIGTERM."""
    relay = Relay()
    for variable, spec in settings.ports.items():
        relay.add_port(socket.socket(fileno=int(os.environ[variable])), spec)
    control = asyncio.create_task(relay.serve_control(Path(settings.control)))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    control.cancel()
    await relay.close()


def main() -> int:
    """Read the settings and relay."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    settings = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=RelaySettings)
    asyncio.run(serve_relay(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
