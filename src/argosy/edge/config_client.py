"""Galley's configuration at a component: a delta xDS client over gRPC, as an endless iterator of batches.

Given how to open a channel and which kinds are wanted; gives decoded objects as they change. It reconnects for ever,
restates what it holds, and so never reports an object as gone because a server was away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from argosy.api import Object, decode_document, decode_object
from argosy.core.errors import ArgosyError
from argosy.core.names import ObjectKey
from argosy.galley.publish import config_type_url
from argosy.xds import DeltaClient, ErrorDetail, Update, wire
from argosy.xds.client import INVALID_ARGUMENT

logger = logging.getLogger(__name__)

CONFIG_SERVICE = "argosy.galley.v1.ConfigDiscovery"
"""The protocol is xDS's; the name differs so that Galley and Pilot can share a port."""
METHOD = f"/{CONFIG_SERVICE}/DeltaAggregatedResources"
BACKOFF_S = (0.1, 5.0)

_Change = tuple[str, ObjectKey, Object[Any] | None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Changed objects (None: gone), in order. `synced`: from this batch on, everything has been seen at least once."""

    changes: tuple[_Change, ...]
    synced: bool


async def watch_config(channel: Callable[[], Any], kinds: Sequence[str]) -> AsyncIterator[Batch]:
    """Batches of changes of `kinds`, for ever. `channel` opens a fresh channel for each connection."""
    client = DeltaClient()
    kind_of = {config_type_url(kind): kind for kind in kinds}
    for type_url in kind_of:
        client.subscribe(type_url)
    seen: set[str] = set()
    delay = BACKOFF_S[0]
    jitter = random.SystemRandom()
    while True:
        try:
            async for update in _updates(channel, client):
                delay = BACKOFF_S[0]
                changes, rest_comes = _decode(client, update, kind_of[update.type_url])
                if not rest_comes:
                    seen.add(update.type_url)
                yield Batch(changes, synced=len(seen) == len(kind_of))
        except grpc.aio.AioRpcError as error:
            logger.warning("galley is away (%s: %s)", error.code().name, error.details())
        client.disconnect()
        await asyncio.sleep(delay * jitter.uniform(0.8, 1.2))
        delay = min(delay * 2, BACKOFF_S[1])


async def _updates(channel: Callable[[], Any], client: DeltaClient) -> AsyncIterator[Update]:
    """One connection: write what the client wants to say, hand out what it heard."""
    async with channel() as opened:
        call = opened.stream_stream(METHOD)()
        client.connect()
        try:
            await _flush(call, client)
            async for data in call:
                client.receive(wire.decode_delta_response(data))
                for event in client.events():
                    if isinstance(event, Update):
                        yield event
                    else:
                        logger.error("galley sent a malformed response: %s", event.reason)
                await _flush(call, client)
        finally:
            with contextlib.suppress(asyncio.InvalidStateError):
                call.cancel()


async def _flush(call: Any, client: DeltaClient) -> None:
    for request in client.outbox():
        # The stream may have ended while its last update was being applied; the next read says how.
        with contextlib.suppress(asyncio.InvalidStateError):
            await call.write(wire.encode_delta_request(request))


def _decode(client: DeltaClient, update: Update, kind: str) -> tuple[tuple[_Change, ...], bool]:
    """Objects of an update, and whether some of them will come again.

    If some cannot be read (a newer Galley's) the update is refused for them, and the server sends the rest again.
    """
    changes: list[_Change] = []
    refused: list[str] = []
    for resource in update.resources:
        try:
            found = decode_object(decode_document(resource.body or b""))
        except ArgosyError as error:
            logger.error("an object from galley cannot be read: %s", error)
            refused.append(f"{resource.name}: {error}")
        else:
            changes.append((kind, found.key, found))
    if refused:
        client.reject(update.nonce, ErrorDetail(INVALID_ARGUMENT, "\n".join(refused)))
        return (), len(refused) < len(update.resources) + len(update.removed)
    for name in update.removed:
        namespace, _slash, rest = name.partition("/")
        changes.append((kind, ObjectKey(namespace, rest), None))
    client.accept(update.nonce)
    return tuple(changes), False
