"""Serves a proxy the configuration that it last ran, on a socket in its own private directory, while Pilot is away.

The same xDS server as Pilot's with a snapshot that never changes. Versions are hashes of the content, so what the proxy
then gets from Pilot is only what has changed since.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from argosy.core.clock import Clock
from argosy.core.spiffe import SpiffeID
from argosy.edge.grpc_server import start_server
from argosy.edge.xds_server import Push, XdsServer
from argosy.pilot.xds_rules import ENVOY_RULES
from argosy.xds.messages import Snapshot
from argosy.xds.server import Event


@dataclass(frozen=True, slots=True)
class _Connection:
    """A proxy that is given one snapshot."""

    name: str
    snapshot: Snapshot

    def on_event(self, event: Event) -> None:
        """What it accepted once it accepts again; if not, its own log says so."""

    def close(self) -> None:
        """There is nothing to free."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Gives everybody who can reach the socket the same."""

    snapshot: Snapshot

    def connect(self, identity: SpiffeID, node: bytes, push: Push) -> _Connection:
        """Whoever can open the socket is the proxy."""
        return _Connection(str(identity), self.snapshot)


@contextlib.asynccontextmanager
async def kept_server(
    socket: Path, snapshot: Snapshot, *, caller: SpiffeID, uid: int, clock: Clock
) -> AsyncIterator[None]:
    """Serve `snapshot` on `socket`, which `uid` may open, until the block ends. Errors: OSError."""
    xds = XdsServer(_Source(snapshot), ENVOY_RULES, trust_domain=caller.trust_domain, clock=clock, caller=caller)
    _remove(socket)
    credentials = grpc.local_server_credentials(grpc.LocalConnectionType.UDS)
    server = await start_server(xds.handlers(), address=f"unix:{socket}", credentials=credentials)
    try:
        _give(socket, uid)
        yield
    finally:
        await server.stop(grace_s=0)
        _remove(socket)


def _remove(socket: Path) -> None:
    socket.unlink(missing_ok=True)


def _give(socket: Path, uid: int) -> None:
    """Let `uid` open the socket; its directory is the proxy's own, and nobody else can pass into that."""
    socket.chmod(0o600)
    os.chown(socket, uid, uid)
