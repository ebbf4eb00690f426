"""Keeps the certificates of one process in step with what Citadel wants, and says what each of them has.

Given how to reach Citadel, a token, a clock; holds the process's certificate sources by name. Over one stream Citadel
tells whom to believe and whose signature to have; each source follows; what came of it is reported. While Citadel is
away everything stays as it is, and the stream is opened again when it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import grpc
import grpc.aio
import msgspec

from argosy.citadel.trust import Holder, TrustState
from argosy.edge.citadel_server import FOLLOW_METHOD, FollowAnswer, FollowReport
from argosy.edge.tls import CertificateSource, Material, token_channel

logger = logging.getLogger(__name__)

RETRY_S = 0.5
RETRY_S_MAX = 2.0
QUIET_S = 0.1
"""Reports of changes that come together go out together."""


@dataclass(slots=True)
class _Followed:
    source: CertificateSource
    in_use: Material | None
    """What its user has in use by its own word; None: nothing yet."""


@dataclass(frozen=True, slots=True)
class CitadelAddress:
    """Where Citadel is and what proves us. `roots` and `token` are asked for each time, since both are replaced."""

    target: str
    server_name: str
    roots: Callable[[], bytes]
    token: Callable[[], str]


class CitadelFollower:
    """The followed sources of one process."""

    def __init__(self, address: CitadelAddress) -> None:
        self._address = address
        self._sources: dict[str, _Followed] = {}
        self._dirty = asyncio.Event()
        self._trust: TrustState | None = None
        self._listeners: list[Callable[[TrustState], None]] = []

    def on_trust(self, listener: Callable[[TrustState], None]) -> None:
        """Call `listener` with everything that Citadel tells."""
        self._listeners.append(listener)

    def add(self, name: str, source: CertificateSource) -> None:
        """Follow a source; `note` says what of it is in use."""
        self._sources[name] = _Followed(source, None)
        if self._trust is not None:
            source.follow(self._trust)
        self._dirty.set()

    def remove(self, name: str) -> None:
        """The holder is gone."""
        self._sources.pop(name, None)
        self._dirty.set()

    def note(self, name: str, material: Material) -> None:
        """That material is in use by the holder now."""
        found = self._sources.get(name)
        if found is None:
            return
        found.in_use = material
        if self._trust is not None:  # what was asked for before the last word of Citadel may be behind it
            found.source.follow(self._trust)
        self._dirty.set()

    async def use(self, name: str, source: CertificateSource) -> None:
        """Follow a source whose material is in use as soon as it is there, until cancelled."""
        self.add(name, source)
        try:
            async for material in source.watch():
                self.note(name, material)
        finally:
            self.remove(name)

    def holders(self) -> tuple[Holder, ...]:
        """What every holder has, for Citadel."""
        return tuple(holder_of(name, one.in_use) for name, one in sorted(self._sources.items()))

    async def run(self) -> None:
        """Follow until cancelled."""
        wait_s = RETRY_S
        while True:
            heard = self._trust
            try:
                await self._session()
            except (grpc.aio.AioRpcError, OSError) as error:
                text = f"{error.code().name}: {error.details()}" if isinstance(error, grpc.aio.AioRpcError) else error
                logger.info("citadel is away: %s", text)
            wait_s = RETRY_S if self._trust is not heard else min(wait_s * 2, RETRY_S_MAX)
            await asyncio.sleep(wait_s)

    async def _session(self) -> None:
        address = self._address
        async with token_channel(address.target, address.server_name, address.roots()) as channel:
            call = channel.stream_stream(FOLLOW_METHOD)(
                self._reports(), metadata=(("authorization", f"Bearer {address.token()}"),)
            )
            async for data in call:
                self._take(msgspec.json.decode(data, type=FollowAnswer).trust)

    def _take(self, trust: TrustState) -> None:
        if trust != self._trust:
            logger.info("citadel: %d roots, signer %.12s", len(trust.roots), trust.signer)
        self._trust = trust
        for one in self._sources.values():
            one.source.follow(trust)
        for listener in self._listeners:
            listener(trust)

    async def _reports(self) -> AsyncIterator[bytes]:
        told: tuple[Holder, ...] | None = None
        while True:
            self._dirty.clear()
            holders = self.holders()
            if holders != told:
                told = holders
                yield msgspec.json.encode(FollowReport(holders))
            await self._dirty.wait()
            await asyncio.sleep(QUIET_S)


def holder_of(name: str, material: Material | None) -> Holder:
    """What a holder has, for Citadel; `material` None: nothing in use yet."""
    if material is None:
        return Holder(name)
    skew_s = round(material.skew_s, 1)
    return Holder(name, material.signer, material.trust.bundle, material.not_after, skew_s)
