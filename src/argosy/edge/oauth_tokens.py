"""Access tokens by OAuth 2.0, as a client that has a secret: for calls to adapters.

Given what a connection says (`oauth`), where the token server is, and the time; gives a token that is good now. A token
is kept until shortly before it expires, and then fetched anew while the old one still serves; all who need one wait for
the same answer. A server that refused, or is away, is left alone for `PAUSE_S`. What goes wrong is told in words that
hold neither the secret nor a token.
Source: RFC 6749, 2.3.1 and 4.4; Istio 1.4's policy/v1beta1 `OAuth`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx
import re2

from argosy.api.mixer import OAuth
from argosy.edge.small_files import read_small_file
from argosy.edge.system_roots import system_roots

TIMEOUT_S = 5.0
PAUSE_S = 1.0
EARLY_S = 30.0
"""How long before its end a token is fetched anew..."""
EARLY_PART = 0.2
"""...or this part of its time, if that is less."""
ANSWER_BYTES_MAX = 1 << 20
_PORTS = {"http": 80, "https": 443}
_ERROR = re2.compile(r"[a-z_]{1,64}")
_VISIBLE = re2.compile(r"[!-~]+")
_TYPES = {"": "Bearer", "bearer": "Bearer", "mac": "MAC", "basic": "Basic"}

PlaceOf = Callable[[str], tuple[str, int]]


class TokenError(Exception):
    """There is no token; the text is for people."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind, as headers name it, its text, and until when it is good, by the clock of the loop."""

    kind: str
    text: str
    renew: float = inf
    until: float = inf

    def __repr__(self) -> str:
        return f"Token({self.kind}, until={self.until})"


class OAuthTokens:
    """The tokens of one connection. `ca_file`, if any, holds authorities beside those that the machine trusts."""

    def __init__(self, oauth: OAuth, place: PlaceOf, ca_file: str = "") -> None:
        self._oauth = oauth
        self._place = place
        self._ca_file = ca_file
        self._token: Token | None = None
        self._fetching: asyncio.Task[Token] | None = None
        self._failed: tuple[float, str] | None = None
        """Until when nobody asks again, and why."""

    async def get(self, timeout_s: float) -> Token:
        """A token that is good now. Errors: `TokenError`, also where it does not come in time."""
        now = asyncio.get_running_loop().time()
        if self._token is None or self._token.until <= now:
            return await self._awaited(now, timeout_s)
        if self._token.renew <= now and not self._pauses(now):
            self._fetch()
        return self._token

    def forget(self, token: Token) -> None:
        """Another one must be fetched: who was called does not take this one."""
        if self._token is token:
            self._token = None

    async def close(self) -> None:
        """Fetch nothing more."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def _awaited(self, now: float, timeout_s: float) -> Token:
        if self._pauses(now):
            assert self._failed is not None
            raise TokenError(self._failed[1])
        try:
            async with asyncio.timeout(timeout_s):
                # Others wait for it too: it goes on when this one waits no longer.
                return await asyncio.shield(self._fetch())
        except TimeoutError:
            raise TokenError(f"{self._oauth.token_url} has not given a token in time") from None

    def _pauses(self, now: float) -> bool:
        return self._failed is not None and now < self._failed[0]

    def _fetch(self) -> asyncio.Task[Token]:
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetched())
            self._fetching.add_done_callback(self._done)
        return self._fetching

    def _done(self, task: asyncio.Task[Token]) -> None:
        self._fetching = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._token, self._failed = task.result(), None
        else:
            self._failed = (asyncio.get_running_loop().time() + PAUSE_S, str(error))

    async def _fetched(self) -> Token:
        """Ask the server. Errors: `TokenError`."""
        url = self._oauth.token_url
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await self._ask()
        except TimeoutError:
            raise TokenError(f"{url} did not answer in time") from None
        except httpx.HTTPError as error:
            raise TokenError(f"{url} cannot be asked: {type(error).__name__}") from None
        except OSError as error:
            raise TokenError(f"{url} cannot be asked: {error}") from None

    async def _ask(self) -> Token:
        secret = read_small_file(self._oauth.client_secret).decode("utf-8", "replace").strip("\r\n")
        now = asyncio.get_running_loop().time()
        async with httpx.AsyncClient(verify=self._context(), trust_env=False, timeout=TIMEOUT_S) as client:
            # Servers must take the secret as a password; some want it in the body, and refuse it elsewhere.
            for body_only in (False, True):
                status, answer = await self._send(client, secret, body_only=body_only)
                if status not in (400, 401) or _text(answer, "error") not in ("", "invalid_client", "invalid_request"):
                    break
        return self._judged(status, answer, now)

    async def _send(self, client: httpx.AsyncClient, secret: str, *, body_only: bool) -> tuple[int, dict[str, Any]]:
        oauth = self._oauth
        form = {"grant_type": "client_credentials", **oauth.endpoint_params}
        if oauth.scopes:
            form["scope"] = " ".join(oauth.scopes)
        if body_only:
            form |= {"client_id": oauth.client_id, "client_secret": secret}
        url = urlsplit(oauth.token_url)
        host = url.hostname or ""
        named = f"[{host}]" if ":" in host else host
        address, port = self._place(f"{named}:{url.port or _PORTS[url.scheme]}")
        at = f"[{address}]" if ":" in address else address
        request = client.build_request(
            "POST",
            url._replace(netloc=f"{at}:{port}", fragment="").geturl(),
            data=form,
            headers={"host": url.netloc.rpartition("@")[2], "accept": "application/json"},
            extensions={"sni_hostname": host, "timeout": client.timeout.as_dict()},
        )
        if not body_only:
            password = httpx.BasicAuth(quote_plus(oauth.client_id), quote_plus(secret))
            request = next(password.auth_flow(request))
        answer = await client.send(request, stream=True)
        try:
            return answer.status_code, await self._read(answer)
        finally:
            await answer.aclose()

    async def _read(self, answer: httpx.Response) -> dict[str, Any]:
        body = b""
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise TokenError(f"{self._oauth.token_url} answers more than {ANSWER_BYTES_MAX} bytes")
        try:
            found = json.loads(body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _judged(self, status: int, answer: dict[str, Any], asked: float) -> Token:
        url, text = self._oauth.token_url, _text(answer, "access_token")
        if not 200 <= status < 300:
            error = _text(answer, "error")
            why = f" ({error})" if _ERROR.fullmatch(error) else ""
            raise TokenError(f"{url} gives no token: status {status}{why}")
        if not _VISIBLE.fullmatch(text):
            raise TokenError(f"{url} answers without a token that a header can carry")
        kind = _text(answer, "token_type")
        kind = _TYPES.get(kind.lower(), kind)
        if not _VISIBLE.fullmatch(kind):
            raise TokenError(f"{url} answers with a type of token that a header cannot carry")
        lasts_s = _seconds(answer.get("expires_in"))
        early_s = min(EARLY_S, EARLY_PART * lasts_s)
        return Token(kind, text, asked + lasts_s - early_s, asked + lasts_s)

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=system_roots())
        for own in self._own_authorities():
            context.load_verify_locations(cadata=own)
        return context

    def _own_authorities(self) -> Iterator[str]:
        if self._ca_file:
            yield read_small_file(self._ca_file).decode("ascii", "replace")


def _text(answer: dict[str, Any], name: str) -> str:
    found = answer.get(name)
    return found if isinstance(found, str) else ""


def _seconds(value: Any) -> float:
    """How long a token lasts: one that does not say lasts until it is refused. Some servers write numbers as text."""
    try:
        return float(value) if float(value) > 0 else inf
    except (TypeError, ValueError):
        return inf
