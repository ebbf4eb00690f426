"""An out-of-process adapter over gRPC: one connection for each handler, one call for each question.

Given the handler's `connection`, where its address is now, and what to ask (`Question`, made by Mixer's core); gives
verdicts. Whatever goes wrong with the adapter (away, slow, garbage) is a verdict that decides nothing, within the
handler's time, to which getting a token belongs. Files of certificates and tokens are read when they are needed, and
again when they have changed; the authorities of an adapter are those that the machine trusts, and those of a file.
Source: Istio 1.4's policy/v1beta1 `Connection`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from argosy.api.mixer import Connection, MutualAuthentication, TlsAuthentication
from argosy.edge.oauth_tokens import OAuthTokens, Token, TokenError
from argosy.edge.small_files import read_small_file
from argosy.edge.system_roots import system_roots
from argosy.mixer.adapters.models import Question
from argosy.mixer.adapters.templates import AnswerError
from argosy.mixer.port import NOT_ASKED, Call, Verdict
from argosy.mixer.status import DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE

_log = logging.getLogger("argosy.mixer")
TIMEOUT_S = 1.0
RECONNECT_MS_MAX = 1000
ANSWER_BYTES_MAX = 1 << 20
_OPTIONS = (
    ("grpc.max_reconnect_backoff_ms", RECONNECT_MS_MAX),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ("grpc.enable_http_proxy", 0),
)

Ask = Callable[[Call], Question]
"""The question that a call means. Errors: `ValueError` when the objects do not fit."""
PlaceOf = Callable[[str], tuple[str, int]]
Stamp = tuple[tuple[str, int, int], ...]


class AdapterClient:
    """One handler's adapter."""

    def __init__(self, connection: Connection, place: PlaceOf, ask: Ask) -> None:
        self._connection = connection
        self._place = place
        self._ask = ask
        self._channel: Any = None
        self._made_for: tuple[tuple[str, int], Stamp] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._tokens = _oauth(connection, place)
        self.problem = ""
        """Why it could not be asked last; empty if it could."""

    @property
    def _timeout_s(self) -> float:
        return self._connection.timeout or TIMEOUT_S

    async def check(self, call: Call, left_s: float) -> Verdict:
        """Ask about one instance. Never raises for what the adapter or its files do."""
        if left_s <= 0:
            return Verdict(DEADLINE_EXCEEDED, NOT_ASKED, 0.0, 0, undecided=True)
        try:
            question = self._ask(call)
        except ValueError as error:
            return self._undecided(INTERNAL, str(error))
        try:
            verdict = question.answer(
                await self._exchange(question.path, question.request, min(self._timeout_s, left_s))
            )
        except AnswerError as error:
            return self._undecided(INTERNAL, f"its answer {error}")
        except grpc.aio.AioRpcError as error:
            late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            return self._undecided(DEADLINE_EXCEEDED if late else UNAVAILABLE, _words(error))
        except (OSError, TokenError) as error:
            return self._undecided(UNAVAILABLE, str(error))
        self._tell("")
        return verdict

    async def _exchange(self, path: str, request: bytes, timeout_s: float) -> bytes:
        """One call. Errors: `grpc.aio.AioRpcError`, OSError, `TokenError`."""
        began = asyncio.get_running_loop().time()
        method = self._connected().unary_unary(path)
        token = await self._tokens.get(timeout_s) if self._tokens is not None else None
        left_s = max(timeout_s - (asyncio.get_running_loop().time() - began), 0.0)
        try:
            answer: bytes = await method(request, timeout=left_s, metadata=self._metadata(token))
        except grpc.aio.AioRpcError as error:
            if token is not None and self._tokens is not None and error.code() is grpc.StatusCode.UNAUTHENTICATED:
                self._tokens.forget(token)
            raise
        return answer

    async def close(self) -> None:
        """Give up the connection."""
        self._leave()
        if self._tokens is not None:
            await self._tokens.close()
        await asyncio.gather(*self._closing)

    def _leave(self) -> None:
        """Close the channel once its calls are done: those that are under way go on."""
        channel, self._channel, self._made_for = self._channel, None, None
        if channel is not None:
            task = asyncio.get_running_loop().create_task(channel.close(self._timeout_s))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _connected(self) -> Any:
        host, port = self._place(self._connection.address)
        wanted = ((host, port), _stamp(self._files()))
        if self._channel is None or self._made_for != wanted:
            self._leave()
            target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            self._channel, self._made_for = self._open(target), wanted
        return self._channel

    def _open(self, target: str) -> Any:
        authentication = self._connection.authentication
        way = authentication.mutual or authentication.tls if authentication is not None else None
        if way is None:
            return grpc.aio.insecure_channel(target, options=_OPTIONS)
        name = way.server_name or self._connection.address.rpartition(":")[0]
        options = (*_OPTIONS, ("grpc.ssl_target_name_override", name)) if name else _OPTIONS
        return grpc.aio.secure_channel(target, _credentials(way), options=options)

    def _files(self) -> tuple[str, ...]:
        authentication = self._connection.authentication
        if authentication is None:
            return ()
        mutual, tls = authentication.mutual, authentication.tls
        if mutual is not None:
            names = (mutual.ca_certificates, mutual.private_key, mutual.client_certificate)
        else:
            names = (tls.ca_certificates, "", "") if tls is not None else ("", "", "")
        return tuple(name for name in names if name)

    def _metadata(self, token: Token | None) -> tuple[tuple[str, str], ...]:
        authentication = self._connection.authentication
        tls = authentication.tls if authentication is not None else None
        if tls is None or (token is None and not tls.token_path):
            return ()
        if token is None:
            token = Token("Bearer", read_small_file(tls.token_path).decode("utf-8", "replace").strip())
        plain = tls.custom_header or tls.auth_header == "PLAIN"
        return ((tls.custom_header.lower() or "authorization", token.text if plain else f"{token.kind} {token.text}"),)

    def _undecided(self, code: int, reason: str) -> Verdict:
        message = f"the adapter at {self._connection.address} cannot be asked: {reason}"
        self._tell(message)
        return Verdict(code, message, 0.0, 0, undecided=True)

    def _tell(self, problem: str) -> None:
        """One line for each change, not for each request."""
        if bool(problem) != bool(self.problem):
            level = logging.WARNING if problem else logging.INFO
            _log.log(level, "%s", problem or f"the adapter at {self._connection.address} answers")
        self.problem = problem


def _oauth(connection: Connection, place: PlaceOf) -> OAuthTokens | None:
    tls = connection.authentication.tls if connection.authentication is not None else None
    return OAuthTokens(tls.oauth, place, tls.ca_certificates) if tls is not None and tls.oauth is not None else None


def _credentials(way: TlsAuthentication | MutualAuthentication) -> Any:
    own = read_small_file(way.ca_certificates) if way.ca_certificates else b""
    roots = system_roots().encode() + b"\n" + own
    if isinstance(way, TlsAuthentication):
        return grpc.ssl_channel_credentials(roots)
    key, chain = read_small_file(way.private_key), read_small_file(way.client_certificate)
    return grpc.ssl_channel_credentials(roots, key, chain)


def _stamp(paths: tuple[str, ...]) -> Stamp:
    """Tells whether files have changed. Errors: OSError for one that is not there."""
    found = []
    for path in paths:
        status = Path(path).stat()
        found.append((path, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _words(error: grpc.aio.AioRpcError) -> str:
    return f"{error.code().name}: {' '.join((error.details() or 'no details').split())[:200]}"
