"""Readiness, seen from inside the pod: probes by TCP, HTTP, gRPC and commands, and Envoy's admin page on its socket.

A probe from the outside would be captured and, in strict mode, refused for having no certificate. From inside, the
application's own address is reached directly. A page is asked for over HTTP/1.1, and of an application that does not
speak that over HTTP/2. Results are answers, not errors: what does not answer is not ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import httpx

from argosy.agent.pod import Container, Probe
from argosy.edge.http2_probe import ask_http2, grpc_serves
from argosy.edge.netns import socket_in_network

ADMIN_TIMEOUT_S = 5.0
_ANSWER_BYTES_MAX = 4096


Run = Callable[[Container, Sequence[str]], Awaitable[int]]
"""Runs a command in a container; gives its exit code."""


async def probe_container(pid: int, ip: str, container: Container, run: Run) -> bool:
    """True if the container serves: by its readiness probe, else all its declared TCP ports accept.

    `pid` is a process in the pod's network. A container without either is ready as soon as it runs.
    """
    if container.probe is not None and container.probe.command:
        return await _succeeds(container, container.probe, run)
    if container.probe is not None:
        return await _probe(pid, ip, container.probe)
    for port in container.ports:
        if port.protocol == "TCP" and not await _probe(pid, ip, Probe(port.port)):
            return False
    return True


async def _succeeds(container: Container, probe: Probe, run: Run) -> bool:
    try:
        async with asyncio.timeout(probe.timeout_s):
            return await run(container, probe.command) == 0
    except OSError:  # TimeoutError is one
        return False


async def _probe(pid: int, ip: str, probe: Probe) -> bool:
    # Most programs listen on every address; some only on loopback, which Envoy reaches as well.
    for address in (ip, "127.0.0.1"):
        try:
            async with asyncio.timeout(probe.timeout_s):
                if await _ask(pid, address, probe):
                    return True
        except OSError:  # TimeoutError and ssl.SSLError are
            continue
    return False


async def _ask(pid: int, address: str, probe: Probe) -> bool:
    if probe.grpc is not None:
        async with _connected(pid, address, probe) as (reader, writer):
            return await grpc_serves(reader, writer, f"{address}:{probe.port}", probe.grpc)
    async with _connected(pid, address, probe) as (reader, writer):
        if not probe.path:
            return True
        if not _chose_http2(writer):
            writer.write(_request("GET", probe.path, f"{address}:{probe.port}", probe.headers))
            line = await _first_line(reader)
            if (status := _status(line)) is not None or line.startswith(b"HTTP/1."):
                return status is not None and 200 <= status < 400
    async with _connected(pid, address, probe) as (reader, writer):
        answer = await ask_http2(reader, writer, _head(address, probe))
        return 200 <= answer.status < 400


@contextlib.asynccontextmanager
async def _connected(
    pid: int, address: str, probe: Probe
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection from within the pod's network. Raises OSError."""
    opened = socket_in_network(pid)
    try:
        await asyncio.get_running_loop().sock_connect(opened, (address, probe.port))
        tls, name = (_unjudged(), address) if probe.tls else (None, None)
        reader, writer = await asyncio.open_connection(sock=opened, ssl=tls, server_hostname=name)
    except BaseException:
        opened.close()
        raise
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def _unjudged() -> ssl.SSLContext:
    """As on Kubernetes, a probe does not judge the certificate: it asks whether the application answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def _chose_http2(writer: asyncio.StreamWriter) -> bool:
    secure: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    return secure is not None and secure.selected_alpn_protocol() == "h2"


async def _first_line(reader: asyncio.StreamReader) -> bytes:
    """What comes up to the end of the first line; servers may write it in pieces."""
    answer = b""
    with contextlib.suppress(ConnectionError):  # what is no HTTP/1.1 server may reset, having said nothing
        while b"\n" not in answer and len(answer) < _ANSWER_BYTES_MAX:
            piece = await reader.read(_ANSWER_BYTES_MAX)
            if not piece:
                break
            answer += piece
    return answer


def _head(address: str, probe: Probe) -> list[tuple[str, str]]:
    """The request's fields in HTTP/2: lower-case, the host as `:authority`."""
    given = [(name.lower(), value) for name, value in probe.headers]
    authority = next((value for name, value in given if name == "host"), f"{address}:{probe.port}")
    head = [(":method", "GET"), (":scheme", "https" if probe.tls else "http"), (":authority", authority)]
    rest = [(name, value) for name, value in given if name != "host"]
    return [*head, (":path", probe.path), *rest, ("user-agent", "argosy-probe")]


async def envoy_admin(admin_socket: Path, method: str, path: str) -> int | None:
    """The status that Envoy's admin page gives, None if it does not answer. Cheap: asked often while Envoy starts."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: a first line without end
        async with asyncio.timeout(ADMIN_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(str(admin_socket))
            try:
                writer.write(_request(method, path, "envoy"))
                await writer.drain()
                return _status(await reader.readline())
            finally:
                writer.close()
    return None


async def envoy_admin_page(admin_socket: Path, path: str) -> tuple[int, str]:
    """Status and text of a page of Envoy's admin interface. Raises OSError if it does not answer."""
    # There is no TLS on this socket: building a context for it would only cost time.
    transport = httpx.AsyncHTTPTransport(uds=str(admin_socket), verify=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=ADMIN_TIMEOUT_S) as client:
            answer = await client.get(path)
    except httpx.HTTPError as error:
        raise ConnectionError("envoy's admin page gave no answer") from error
    return answer.status_code, answer.text


def _request(method: str, path: str, host: str, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    names = {name.lower() for name, _ in headers}
    own = [] if "host" in names else [("Host", host)]
    fields = [*own, *headers, ("User-Agent", "argosy-probe"), ("Content-Length", "0"), ("Connection", "close")]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in fields), "", ""]).encode()


def _status(answer: bytes) -> int | None:
    parts = answer.partition(b"\r\n")[0].split(b" ")
    return int(parts[1]) if len(parts) > 1 and parts[0].startswith(b"HTTP/1.") and parts[1].isdigit() else None
