"""Wasm modules from files and over HTTP."""

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.citadel.pem import encode_private_key
from argosy.edge import jwks_client, module_reader
from argosy.edge.module_reader import ModuleError, read_module, stamp
from argosy.edge.system_roots import system_roots
from argosy.pilot.modules import ModuleSource

BODY = b"\0asm\x01\0\0\0"
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def source(tmp_path: Path) -> ModuleSource:
    path = tmp_path / "a module.wasm"
    path.write_bytes(BODY)
    return ModuleSource(path.as_uri())


@asynccontextmanager
async def serving(answer: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that answers everything so; its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}/m.wasm"


def ok(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body


async def test_a_file_is_read(source: ModuleSource) -> None:
    found = await read_module(source)
    assert (found.sha256, found.body) == (DIGEST, BODY)
    assert "asm" not in repr(found)


async def test_a_digest_must_be_that_of_the_content(source: ModuleSource) -> None:
    assert (await read_module(ModuleSource(source.url, DIGEST))).body == BODY
    with pytest.raises(ModuleError, match=f"has the SHA-256 {DIGEST}, not"):
        await read_module(ModuleSource(source.url, "0" * 64))


async def test_what_is_no_module_is_not_given_to_proxies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not secrets of this machine either."""
    path = tmp_path / "secret"
    path.write_bytes(b"-----BEGIN")
    with pytest.raises(ModuleError, match="is no Wasm module"):
        await read_module(ModuleSource(path.as_uri()))
    with pytest.raises(ModuleError, match="No such file"):
        await read_module(ModuleSource(path.as_uri() + "x"))
    with pytest.raises(ModuleError, match="is no file"):
        await read_module(ModuleSource(tmp_path.as_uri()))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModuleError, match="is no file"):
        await read_module(ModuleSource((tmp_path / "pipe").as_uri()))
    monkeypatch.setattr(module_reader, "BYTES_MAX", 4)
    with pytest.raises(ModuleError, match="more than 4 bytes"):
        await read_module(ModuleSource(path.as_uri()))


async def test_a_module_comes_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(ok(BODY)) as url:
        assert (await read_module(ModuleSource(url, DIGEST), blocked=())).body == BODY
        with pytest.raises(ModuleError, match="not asked for"):
            await read_module(ModuleSource(url, DIGEST))
        monkeypatch.setattr(module_reader, "BYTES_MAX", 4)
        with pytest.raises(ModuleError, match="more than 4 bytes"):
            await read_module(ModuleSource(url, DIGEST), blocked=())
    with pytest.raises(ModuleError, match="cannot connect"):
        await read_module(ModuleSource(url, DIGEST), blocked=())
    async with serving(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n") as url:
        with pytest.raises(ModuleError, match="answers with 404"):
            await read_module(ModuleSource(url, DIGEST), blocked=())


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], ssl.SSLContext]]:
    """An authority of somebody's own; makes what its server at 127.0.0.1 needs, and with that, names its file."""
    forget = (system_roots.cache_clear, jwks_client._trust.cache_clear)

    def believed() -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "own")]), datetime.now(UTC)
        made = (
            x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(hours=1), now + timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        pem = made.public_bytes(serialization.Encoding.PEM)
        (tmp_path / "own-ca.pem").write_bytes(pem)
        (tmp_path / "server.pem").write_bytes(pem + encode_private_key(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own-ca.pem"))
        for each in forget:
            each()
        return context

    yield believed
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    for each in forget:
        each()


async def test_a_module_comes_over_https_from_who_is_believed(authority: Callable[[], ssl.SSLContext]) -> None:
    """`SSL_CERT_FILE` names the authorities; another one's server gives nothing."""
    async with serving(ok(BODY), authority()) as url:
        assert (await read_module(ModuleSource(url, DIGEST), blocked=())).body == BODY
        authority()
        with pytest.raises(ModuleError, match="cannot connect to https://"):
            await read_module(ModuleSource(url, DIGEST), blocked=())


def test_a_changed_file_has_another_stamp(source: ModuleSource) -> None:
    before = stamp(source)
    assert before == stamp(source)
    path = module_reader.file_of(source)
    assert path is not None
    path.write_bytes(BODY + b"x")
    assert stamp(source) != before
    path.unlink()
    assert stamp(source) is None
    assert stamp(ModuleSource("https://x/m.wasm")) is None
