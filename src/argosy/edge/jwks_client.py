"""Fetches a set of keys over HTTP from wherever a policy says, without being made to ask what it must not.

Given a URL that a user wrote, possibly to reach what only this machine can reach, so: addresses are judged when they
are dialled, after the name was resolved and for each redirect anew, and the address that was judged is the one that is
connected to. Size, time and the number of redirects are bounded; HTTPS is checked by the machine's authorities (the
environment's `SSL_CERT_FILE` counts). Raises `FetchError` with a reason that says nothing of what was read.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore
import msgspec

from argosy.api.jwks import JWKSError, KeySet, parse_jwks
from argosy.api.jwks_settings import Network
from argosy.edge.system_roots import system_roots

BODY_BYTES_MAX = 1 << 20
REDIRECTS_MAX = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ALWAYS = (
    "0.0.0.0/8",  # this host
    "127.0.0.0/8",
    "::/127",
    "169.254.0.0/16",  # link-local: the metadata service of most clouds
    "fe80::/10",
    "fd00:ec2::/32",  # metadata services elsewhere: AWS over IPv6, Alibaba, Azure, Oracle
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "ff00::/8",
)
NEVER: tuple[Network, ...] = tuple(ipaddress.ip_network(one) for one in _ALWAYS)
"""Networks that hold no issuer, whatever the mesh's settings say: this machine itself, neighbours on the link, clouds'
metadata services."""
Place = Callable[[str, int], tuple[str, int]]
"""Host and port, to where that is; raises OSError if it is nowhere."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class FetchError(Exception):
    """Keys could not be fetched; the text is for people."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Keys, and how long their issuer says that they hold."""

    keys: KeySet
    max_age_s: float | None


async def fetch_keys(uri: str, *, discover: bool, timeout_s: float, blocked: Iterable[Network] = NEVER) -> Fetched:
    """The keys at `uri`; with `discover`, where the OpenID document at `uri` says. All together within `timeout_s`."""
    try:
        async with _reading(uri, timeout_s), _pool(tuple(blocked)) as pool:
            if discover:
                body, _age = await _get(pool, uri)
                uri = _onward(uri, _keys_uri(body, uri))
            body, age = await _get(pool, uri)
            return Fetched(parse_jwks(body), age)
    except JWKSError as error:
        raise FetchError(f"what {uri} answers is no set of keys: {error}") from None


async def fetch_document(
    uri: str, *, timeout_s: float, blocked: Iterable[Network] = NEVER, place: Place | None = None
) -> bytes:
    """What `uri` answers, under the same rules as keys. `place` tells where a host is that no resolver knows."""
    async with _reading(uri, timeout_s), _pool(tuple(blocked), place) as pool:
        body, _age = await _get(pool, uri)
        return body


@contextlib.asynccontextmanager
async def _reading(uri: str, timeout_s: float) -> AsyncIterator[None]:
    """All that can go wrong with the network, as `FetchError`."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except JWKSError:
        raise
    except TimeoutError:
        raise FetchError(f"no answer of {uri} within {timeout_s:g} s") from None
    except (OSError, httpcore.ConnectError) as error:
        raise FetchError(f"cannot connect to {uri}: {_said(error)}") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, ValueError) as error:
        raise FetchError(f"cannot read {uri}: {_said(error)}") from None


def is_refused(address: str, blocked: Iterable[Network]) -> bool:
    """Whether an address lies in one of the networks, in whatever form it is written."""
    found = ipaddress.ip_address(address.partition("%")[0])
    forms: list[Any] = [found]
    if found.version == 6:
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        forms += [inner] if inner is not None else []
    return any(form in network for form in forms for network in blocked if form.version == network.version)


class _Dialer(httpcore.AsyncNetworkBackend):
    """Resolves, judges, and connects to what was judged."""

    def __init__(self, blocked: tuple[Network, ...], place: Place | None = None) -> None:
        self._blocked = blocked
        self._place = place
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        if self._place is not None:
            host, port = self._place(host, port)
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        allowed = [one for one in addresses if not is_refused(one, self._blocked)]
        if not allowed:
            raise FetchError(f"{host} is {', '.join(addresses)}, which is not asked for keys or modules")
        error: Exception | None = None
        for address in allowed:
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as failed:
                error = failed
        assert error is not None
        raise error

    async def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> Any:
        raise FetchError("nothing is fetched from sockets")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=system_roots())


def _pool(blocked: tuple[Network, ...], place: Place | None = None) -> httpcore.AsyncConnectionPool:
    dialer = _Dialer(blocked, place)
    return httpcore.AsyncConnectionPool(ssl_context=_trust(), network_backend=dialer, max_connections=2)


async def fetch_bytes(
    uri: str, *, bytes_max: int, timeout_s: float, accept: str = "*/*", blocked: Iterable[Network] = NEVER
) -> bytes:
    """What stands at `uri`, at most `bytes_max` of it, under the same rules."""
    async with _reading(uri, timeout_s), _pool(tuple(blocked)) as pool:
        body, _age = await _get(pool, uri, bytes_max=bytes_max, accept=accept)
        return body


async def _get(
    pool: httpcore.AsyncConnectionPool,
    uri: str,
    *,
    bytes_max: int = BODY_BYTES_MAX,
    accept: str = "application/json",
) -> tuple[bytes, float | None]:
    """Body and max-age of a 200; follows redirects, but never from HTTPS to HTTP."""
    asked = uri
    for _hop in range(REDIRECTS_MAX + 1):
        _check_uri(uri)
        headers = [("host", urlsplit(uri).netloc), ("accept", accept), ("user-agent", "argosy")]
        async with pool.stream("GET", uri, headers=headers) as response:
            if response.status == 200:
                return await _read(response, uri, bytes_max), _max_age(response.headers)
            if response.status not in _REDIRECTS:
                raise FetchError(f"{uri} answers with {response.status}")
            target = urljoin(uri, _header(response.headers, b"location"))
        uri = _onward(uri, target)
    raise FetchError(f"{asked} redirects more than {REDIRECTS_MAX} times")


def _onward(uri: str, target: str) -> str:
    """`target`, to which `uri` leads: what was asked over TLS is not answered without it."""
    if uri.startswith("https:") and not target.startswith("https:"):
        raise FetchError(f"{uri} leads to what is not https")
    return target


def _check_uri(uri: str) -> None:
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise FetchError(f"{uri!r} is not an address of http or https")


async def _read(response: httpcore.Response, uri: str, bytes_max: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) > bytes_max:
            raise FetchError(f"{uri} answers with more than {bytes_max} bytes")
    return bytes(body)


def _keys_uri(body: bytes, uri: str) -> str:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = None
    target = found.get("jwks_uri") if isinstance(found, dict) else None
    if not isinstance(target, str) or not target:
        raise FetchError(f"what {uri} answers names no jwks_uri")
    return target


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")


def _max_age(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    for part in _header(headers, b"cache-control").lower().split(","):
        name, _equals, value = part.strip().partition("=")
        if name == "max-age" and value.isascii() and value.isdecimal() and len(value) < 10:
            return float(value)
    return None


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
