"""TLS for our own gRPC connections: current material, its renewal, credentials, and who the peer is.

Given an issuer (Citadel over gRPC, or the authority in this process); gives credentials of which the server's rotate
in place. Verifying that a chain leads to a trusted root is gRPC's; that the leaf is one proper SVID of our trust
domain is checked here, for every call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import grpc
import grpc.aio
from cryptography import x509

from argosy.citadel.errors import Code, SVIDError
from argosy.citadel.pem import UNREADABLE
from argosy.citadel.revocation import is_revoked
from argosy.citadel.rotation import Renewal, first_attempt, schedule
from argosy.citadel.trust import TrustState
from argosy.citadel.verify import check_leaf
from argosy.core.clock import Clock
from argosy.core.errors import ArgosyError
from argosy.core.spiffe import SpiffeID
from argosy.edge.grpc_server import CHANNEL_OPTIONS

logger = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the renewal loop looks at the wall clock: a timer would not see a machine's sleep or a clock set anew."""


@dataclass(frozen=True, slots=True)
class Material:
    """What one TLS end needs. PEM bytes; `chain` is the leaf and what lies between it and a root.

    `trust`: whom to believe; `signer`: the fingerprint of the certificate that signed the leaf; `skew_s`: how far this
    clock is ahead of Citadel's. Times are seconds since the epoch.
    """

    spiffe_id: SpiffeID
    key: bytes = field(repr=False)
    chain: bytes = field(repr=False)
    trust: TrustState = field(repr=False)
    issued_at: float
    not_after: float
    signer: str = ""
    skew_s: float = 0.0

    @property
    def roots(self) -> bytes:
        """The roots of the own trust domain."""
        return "".join(self.trust.roots).encode()


Issuer = Callable[[], Awaitable[Material]]


class CertificateSource:
    """The current material of one identity, kept fresh by `run`.

    Readers in other threads see the old or the new material, never a mixture.
    """

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        self._issuer = issuer
        self._clock = clock
        self._jitter = random.SystemRandom()
        self._material: Material | None = None
        self._renewal: Renewal = first_attempt(clock.now())
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self.generation = 0

    @property
    def material(self) -> Material:
        """The newest material; an AssertionError before the first `renew` has succeeded."""
        assert self._material is not None, "no certificate yet: await renew() before use"
        return self._material

    @property
    def ready(self) -> bool:
        """True while there is a certificate that has not expired: readiness must fail without (F06)."""
        return self._material is not None and not self._renewal.expired(self._clock.now())

    async def renew(self) -> Material:
        """Ask the issuer now; on failure the old material stays, the timer backs off, and the error is raised."""
        try:
            material = await self._issuer()
        except Exception:
            self._renewal = self._renewal.failed(self._clock.now(), jitter=self._jitter.uniform(-1, 1))
            raise
        self._renewal = schedule(
            issued_at=material.issued_at, not_after=material.not_after, jitter=self._jitter.uniform(-1, 1)
        )
        self._put(material)
        return material

    def _put(self, material: Material) -> None:
        self._material = material
        self.generation += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def follow(self, trust: TrustState) -> None:
        """Believe what `trust` says from now on, and renew soon where another signature is wanted.

        Without a certificate that is of use (none yet, expired) the renewal is due at once: Citadel is there again.
        """
        if self._material is not None and self._material.trust.version > trust.version:
            return  # an answer of Citadel's has overtaken this
        if self._material is not None and self._material.trust != trust:
            self._put(replace(self._material, trust=trust))
        if not self.ready or self.material.signer != trust.signer:
            self.hurry()

    def hurry(self) -> None:
        """Let `run` renew now, whatever the timer says."""
        self._renewal = replace(self._renewal, due_at=min(self._renewal.due_at, self._clock.now()))
        self._hurry.set()

    async def run(self) -> None:
        """Renew whenever it is due, until cancelled. Failures are logged and tried again, for ever."""
        while True:
            if self._renewal.due(self._clock.now()):
                await self._try_renew()
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._hurry.wait()

    async def watch(self) -> AsyncIterator[Material]:
        """The current material, if any, then each later one; a slow reader misses those in between."""
        seen = 0
        while True:
            changed = self._changed
            if self.generation != seen:
                seen = self.generation
                yield self.material
            else:
                await changed.wait()

    def dump(self) -> dict[str, object]:
        """Plain data for admin pages."""
        return {
            "spiffe_id": str(self._material.spiffe_id) if self._material else "",
            "not_after": self._renewal.not_after,
            "due_at": self._renewal.due_at,
            "failures": self._renewal.failures,
            "generation": self.generation,
        }

    async def _try_renew(self) -> None:
        try:
            material = await self.renew()
        except (ArgosyError, grpc.RpcError, OSError) as error:
            logger.warning("certificate not renewed (attempt %d): %s", self._renewal.failures, error_text(error))
        else:
            logger.info("certificate of %s renewed, good until %d", material.spiffe_id, material.not_after)


@dataclass(frozen=True, slots=True)
class ServerTLS:
    """Server credentials that follow a source: every handshake uses the newest material, open connections go on."""

    source: CertificateSource

    def mutual(self) -> grpc.ServerCredentials:
        """For servers whose clients have certificates. Use together with `RequireIdentity`."""
        return self._credentials(require_client_auth=True)

    def token(self) -> grpc.ServerCredentials:
        """For the one server whose clients have a token and no certificate yet: Citadel."""
        return self._credentials(require_client_auth=False)

    def _credentials(self, *, require_client_auth: bool) -> grpc.ServerCredentials:
        source = self.source
        given = source.generation

        def configuration() -> Any:
            material = source.material
            return grpc.ssl_server_certificate_configuration(
                [(material.key, material.chain)], root_certificates=material.roots
            )

        def renewed() -> Any:
            """The new configuration, once for each renewal; None for "as before"."""
            nonlocal given
            if given == source.generation:
                return None
            given = source.generation
            return configuration()

        # gRPC asks before every handshake, in a thread of its own. Whatever it is given replaces what another
        # handshake may be using just then, without a lock: giving the same again each time crashes the process.
        return grpc.dynamic_ssl_server_credentials(
            configuration(), renewed, require_client_authentication=require_client_auth
        )


@dataclass(frozen=True, slots=True)
class ClientTLS:
    """Channels with a client certificate.

    A channel keeps the certificate that it was opened with, also when it reconnects. Open a new one for every new
    stream, or when `source.generation` has changed.
    """

    source: CertificateSource

    def channel(self, target: str, server_name: str) -> Any:
        """A channel to `target` (`host:port`), whose certificate must carry the DNS SAN `server_name`."""
        material = self.source.material
        return _channel(target, server_name, material.roots, key=material.key, chain=material.chain)


def token_channel(target: str, server_name: str, roots: bytes) -> Any:
    """A channel without a client certificate: only for Citadel, where a token stands for it."""
    return _channel(target, server_name, roots, key=None, chain=None)


def peer_identity(context: Any, trust_domain: str) -> SpiffeID:
    """Who is calling, from the certificate of the connection; raises `SVIDError`.

    Strict: the leaf must be an SVID (exactly one URI SAN, no CA, ...) of `trust_domain`. gRPC's own list of names is
    not used: it mixes DNS and URI names, so that a DNS name could pass for an id.
    """
    certificates = context.auth_context().get("x509_pem_cert", ())
    if len(certificates) != 1:
        raise SVIDError.of(Code.SVID_SHAPE, "the connection has no client certificate")
    try:
        leaf = x509.load_pem_x509_certificate(certificates[0])
    except UNREADABLE as error:
        raise SVIDError.of(Code.SVID_SHAPE, "the client certificate cannot be decoded") from error
    spiffe_id = check_leaf(leaf)
    if spiffe_id.trust_domain != trust_domain:
        raise SVIDError.of(Code.SVID_TRUST_DOMAIN, f"{spiffe_id} is not of trust domain {trust_domain!r}")
    return spiffe_id


def check_revoked(context: Any, crls: tuple[str, ...]) -> None:
    """Raise `SVIDError` if the caller's certificate stands in a list of its issuer.

    gRPC itself looks at no lists, and its Python side is shown the leaf only: a revoked intermediate is not seen here,
    but by the proxies. `crls`: PEM texts.
    """
    if not crls:
        return
    chain = [x509.load_pem_x509_certificate(text) for text in context.auth_context().get("x509_pem_cert", ())]
    if is_revoked(chain, _lists(crls)):
        raise SVIDError.of(Code.SVID_REVOKED, "a certificate of the client is revoked")


@lru_cache(maxsize=4)
def _lists(texts: tuple[str, ...]) -> tuple[x509.CertificateRevocationList, ...]:
    return tuple(x509.load_pem_x509_crl(text.encode()) for text in texts)


Check = Callable[[Any], None]
"""Looks at a call's context; raises `SVIDError` to refuse it."""


class RequireIdentity(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no types
    """Refuses every call whose client certificate is not an SVID of the trust domain, before its handler runs.

    `crls` gives the revocation lists in force (PEM): who stands in one is refused as well.
    """

    def __init__(self, trust_domain: str, crls: Callable[[], tuple[str, ...]] = tuple) -> None:
        self._trust_domain = trust_domain
        self._crls = crls

    def _look(self, context: Any) -> None:
        peer_identity(context, self._trust_domain)
        check_revoked(context, self._crls())

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        return None if handler is None else _guarded(handler, self._look)


def _guarded(handler: Any, look: Check) -> Any:
    """`handler` with its behaviour behind the check, in each of gRPC's four shapes."""
    if handler.response_streaming:

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            await _check(context, look)
            behaviour = handler.stream_stream if handler.request_streaming else handler.unary_stream
            result = behaviour(request, context)
            if hasattr(result, "__aiter__"):
                async for response in result:
                    yield response
            else:  # a coroutine that writes by itself
                await result

        shape = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        return shape(stream, handler.request_deserializer, handler.response_serializer)

    async def single(request: Any, context: Any) -> Any:
        await _check(context, look)
        behaviour = handler.stream_unary if handler.request_streaming else handler.unary_unary
        return await behaviour(request, context)

    shape = grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    return shape(single, handler.request_deserializer, handler.response_serializer)


async def _check(context: Any, look: Check) -> None:
    try:
        look(context)
    except SVIDError as error:
        logger.warning("call from %s refused: %s", context.peer(), error)
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the client certificate is not accepted")


def _channel(target: str, server_name: str, roots: bytes, *, key: bytes | None, chain: bytes | None) -> Any:
    credentials = grpc.ssl_channel_credentials(roots, key, chain)
    options = [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", server_name)]
    return grpc.aio.secure_channel(target, credentials, options=options)


def error_text(error: Exception) -> str:
    """An RpcError prints many lines; its status and details say enough."""
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error)
