"""Readiness, seen from inside the pod: TCP and HTTP probes in its network, and Envoy's admin page on its unix socket.

A probe from the outside would be captured and, in strict mode, refused for having no certificate. From inside, the
application's own address is reached directly. Results are answers, not errors: what does not answer is not ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path

import httpx

from argosy.agent.pod import Container, Probe
from argosy.edge.netns import socket_in_network

PROBE_TIMEOUT_S = 1.0
ADMIN_TIMEOUT_S = 5.0
_ANSWER_BYTES_MAX = 4096


async def probe_container(pid: int, ip: str, container: Container) -> bool:
    """True if the container serves: by its readiness probe, else all its declared TCP ports accept.

    `pid` is a process in the pod's network. A container without either is ready as soon as it runs.
    """
    if container.probe is not None:
        return await _probe(pid, ip, container.probe)
    for port in container.ports:
        if port.protocol == "TCP" and not await _probe(pid, ip, Probe(port.port)):
            return False
    return True


async def _probe(pid: int, ip: str, probe: Probe) -> bool:
    # Most programs listen on every address; some only on loopback, which Envoy reaches as well.
    for address in (ip, "127.0.0.1"):
        if await _ask(pid, address, probe):
            return True
    return False


async def _ask(pid: int, address: str, probe: Probe) -> bool:
    loop = asyncio.get_running_loop()
    try:
        connection = socket_in_network(pid)
    except OSError:
        return False
    with connection:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await loop.sock_connect(connection, (address, probe.port))
                if not probe.path:
                    return True
                await loop.sock_sendall(
                    connection, _request("GET", probe.path, f"{address}:{probe.port}", probe.headers)
                )
                status = _status(await _first_line(connection))
                return status is not None and 200 <= status < 400
        except OSError:  # TimeoutError is one
            return False


async def _first_line(connection: socket.socket) -> bytes:
    """What comes up to the end of the first line; servers may write it in pieces."""
    loop, answer = asyncio.get_running_loop(), b""
    while b"\n" not in answer and len(answer) < _ANSWER_BYTES_MAX:
        piece = await loop.sock_recv(connection, _ANSWER_BYTES_MAX)
        if not piece:
            break
        answer += piece
    return answer


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
