"""Fetching keys: what is never asked, what is not taken, and that it ends."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest

from argosy.edge.jwks_client import BODY_BYTES_MAX, NEVER, FetchError, _onward, fetch_keys, is_refused

KEYS = b'{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "a"}]}'
Serve = Callable[[str], bytes | Awaitable[bytes]]


def answer(body: bytes = KEYS, status: str = "200 OK", **headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"content-length: {len(body)}",
        *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Issuer:
    """Answers by path; counts who asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.port = 0

    def uri(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                path = line.split()[1].decode()
                self.asked.append(path)
                while (await reader.readline()).strip():
                    pass
                found = self.answers.get(path, answer(status="404 Not Found"))
                writer.write(await found() if callable(found) else found)
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    one = Issuer()
    server = await asyncio.start_server(one.serve, "127.0.0.1", 0)
    one.port = server.sockets[0].getsockname()[1]
    yield one
    server.close()


async def fetch(uri: str, *, discover: bool = False, timeout_s: float = 20, blocked: Any = ()) -> Any:
    return await fetch_keys(uri, discover=discover, timeout_s=timeout_s, blocked=blocked)


async def test_keys_come_with_how_long_they_hold(issuer: Issuer) -> None:
    issuer.answers = {"/keys": answer(cache_control="public, max-age=300"), "/plain": answer()}
    found = await fetch(issuer.uri("/keys"))
    assert (found.keys.ids, found.max_age_s) == (("a",), 300)
    assert (await fetch(issuer.uri("/plain"))).max_age_s is None


async def test_the_openid_document_leads_to_the_keys(issuer: Issuer) -> None:
    issuer.answers = {"/well-known": answer(b'{"jwks_uri": "%s"}' % issuer.uri("/keys").encode()), "/keys": answer()}
    assert (await fetch(issuer.uri("/well-known"), discover=True)).keys.ids == ("a",)
    for body in (b"<html>", b"[]", b"{}", b'{"jwks_uri": 3}'):
        issuer.answers["/well-known"] = answer(body)
        with pytest.raises(FetchError, match="names no jwks_uri"):
            await fetch(issuer.uri("/well-known"), discover=True)


async def test_redirects_are_followed_a_few_times(issuer: Issuer) -> None:
    issuer.answers = {
        "/a": answer(status="302 Found", location="/b"),
        "/b": answer(status="308 Permanent Redirect", location=issuer.uri("/keys")),
        "/keys": answer(),
        "/loop": answer(status="302 Found", location="/loop"),
        "/file": answer(status="302 Found", location="file:///etc/passwd"),
        "/nowhere": answer(status="302 Found"),
    }
    assert (await fetch(issuer.uri("/a"))).keys.ids == ("a",)
    for path, reason in (
        ("/loop", "redirects more than"),
        ("/file", "not an address of http"),
        ("/nowhere", "more than"),
    ):
        with pytest.raises(FetchError, match=reason):
            await fetch(issuer.uri(path))


async def test_addresses_are_judged_when_they_are_dialled(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of redirects, and those that a name leads to when it is asked again."""
    loopback = (ip_network("127.0.0.0/8"),)
    with pytest.raises(FetchError, match=r"127\.0\.0\.1, which is not asked"):
        await fetch(issuer.uri("/keys"), blocked=loopback)
    assert issuer.asked == []
    issuer.answers = {"/to": answer(status="302 Found", location="http://169.254.169.254/latest")}
    with pytest.raises(FetchError, match=r"169\.254\.169\.254, which is not asked"):
        await fetch(issuer.uri("/to"), blocked=(ip_network("169.254.0.0/16"),))
    # A name whose answer changes between two questions: what is connected to is what was judged.
    resolved: list[str] = []

    async def resolve(self: Any, host: str, port: int, **_: Any) -> list[Any]:
        resolved.append(host)
        address = "192.0.2.1" if len(resolved) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
    with pytest.raises(FetchError, match=r"no answer|cannot connect"):
        await fetch(f"http://rebound.test:{issuer.port}/keys", timeout_s=0.2, blocked=loopback)
    with pytest.raises(FetchError, match=r"rebound.test is 127\.0\.0\.1, which is not asked"):
        await fetch(f"http://rebound.test:{issuer.port}/keys", blocked=loopback)
    assert resolved == ["rebound.test"] * 2


@pytest.mark.parametrize(
    "address, refused",
    [
        ("169.254.169.254", True),
        ("::ffff:169.254.169.254", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("2002:a9fe:a9fe::1", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::254", True),
        ("100.100.100.200", True),
        ("127.8.8.8", True),
        ("0.0.0.0", True),
        ("::", True),
        ("::1", True),
        ("224.0.0.1", True),
        ("255.255.255.255", True),
        ("10.88.0.7", False),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("::ffff:192.0.2.1", False),
    ],
)
def test_no_form_of_a_refused_address_passes(address: str, refused: bool) -> None:
    assert is_refused(address, NEVER) is refused


@pytest.mark.parametrize("target", ["http://a/keys", "//b/keys", "HTTP://a/keys", ""])
def test_what_was_asked_over_tls_is_not_answered_without(target: str) -> None:
    assert _onward("https://a", "https://b") == "https://b"
    assert _onward("http://a", "http://b") == "http://b"
    with pytest.raises(FetchError, match="leads to what is not https"):
        _onward("https://a", target)


async def test_size_and_time_are_bounded(issuer: Issuer) -> None:
    async def late() -> bytes:
        await asyncio.Event().wait()
        return b""

    issuer.answers = {"/large": answer(b" " * (BODY_BYTES_MAX + 1)), "/late": late}
    with pytest.raises(FetchError, match="more than 1048576 bytes"):
        await fetch(issuer.uri("/large"))
    with pytest.raises(FetchError, match=r"no answer of .* within 0\.2 s"):
        await fetch(issuer.uri("/late"), timeout_s=0.2)


async def test_what_is_no_set_of_keys_is_refused(issuer: Issuer) -> None:
    issuer.answers = {
        "/html": answer(b"<html>password</html>"),
        "/500": answer(status="500 Internal Server Error"),
        "/garbage": b"220 mail.test ESMTP\r\n\r\n",
        "/short": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
    }
    with pytest.raises(FetchError, match="is no set of keys: it is not JSON") as refused:
        await fetch(issuer.uri("/html"))
    assert "password" not in str(refused.value)
    for path, reason in (
        ("/500", "answers with 500"),
        ("/garbage", "cannot read|cannot connect|no answer"),
        ("/gone", "404"),
    ):
        with pytest.raises(FetchError, match=reason):
            await fetch(issuer.uri(path))
    with pytest.raises(FetchError, match=r"no answer|cannot read"):
        await fetch(issuer.uri("/short"), timeout_s=0.3)


async def test_who_is_not_there_is_told() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not the issuer: of a handshake, which is random, it might take a line for a request, and wait for more.
        await reader.read(1 << 16)
        writer.write(answer(status="400 Bad Request"))
        writer.close()

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    with pytest.raises(FetchError, match="cannot connect to"):
        await fetch(f"http://127.0.0.1:{free}/keys")
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as plain:
        with pytest.raises(FetchError, match="cannot connect to"):
            await fetch(f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}/keys")
    for uri in ("ftp://a/b", "http://user@127.0.0.1/", "nothing", "http:///keys"):
        with pytest.raises(FetchError, match="not an address of http"):
            await fetch(uri)
