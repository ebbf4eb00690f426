"""An application with knobs, run in pods of tests: an HTTP/1 server that can misbehave, and servers that speak first.

    python knobs.py http:8080 banner:3306 tls:443 grpc:50051 ...

HTTP is read and written by hand, so that what was on the wire can be told: `/raw` answers with the request's own head.
A connection that is idle for 5 s is closed. `/once?id=X` counts executions, `/counts` tells them; `how=` says what
becomes of such a request after it has been counted: `reset`, or a status. `/ws` (any path with `Upgrade: websocket`)
echoes frames. A banner server greets first, then echoes lines. TLS is HTTP under a certificate of its own making; gRPC
answers any method with what it was sent.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import ssl
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

IDLE_S = 5.0
GREETING = b"220 ready\r\n"
counts: Counter[str] = Counter()
calls: list[str] = []


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: requests in order, until the client ends it, it is idle, or a knob ends it."""
    try:
        while True:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), IDLE_S)
            if not await answer(head, reader, writer):
                return
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One answer; False if the connection is not to be used again."""
    lines = head.decode("latin-1").split("\r\n")
    method, target, version = lines[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    await reader.readexactly(int(headers.get("content-length", "0")))
    if headers.get("transfer-encoding", "").lower() == "chunked":
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    url = urlsplit(target)
    query = dict(parse_qsl(url.query))
    if headers.get("upgrade", "").lower() == "websocket":
        await websocket(headers["sec-websocket-key"], reader, writer)
        return False
    status, body = 200, f"{os.environ.get('HOSTNAME', '')}\n".encode()
    if url.path == "/raw":
        body = head
    elif url.path == "/once":
        counts[f"{method} {query['id']}"] += 1
        calls.append(f"{query['id']} {headers.get('connection', '')}")
        if query.get("how") == "reset":
            writer.transport.abort()
            return False
        status = int(query.get("how", "200"))
    elif url.path == "/counts":
        body = json.dumps(counts).encode()
    elif url.path == "/slow":
        await asyncio.sleep(float(query["s"]))
    await asyncio.sleep(0)
    close = version == "HTTP/1.0" or headers.get("connection", "").lower() == "close"
    writer.write(
        f"{version} {status} Said\r\nX-CaSe-Of-Server: Kept\r\nContent-Length: {len(body)}\r\n"
        f"{'Connection: close' if close else 'X-Open: yes'}\r\n\r\n".encode()
        + body
    )
    await writer.drain()
    return not close


async def websocket(key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Echo frames of up to 125 bytes, unmasked, until the client goes."""
    accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()).decode()
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    writer.write(f"{head}{accept}\r\n\r\n".encode())
    while True:
        first, length = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        data = await reader.readexactly(length & 127)
        plain = bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
        writer.write(bytes([first, len(plain)]) + plain)
        await writer.drain()


async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Greet first; then say back what comes."""
    try:
        writer.write(GREETING)
        while line := await reader.readline():
            writer.write(b"250 " + line)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


def certificate() -> ssl.SSLContext:
    """A server's side of TLS that nobody has a reason to trust."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, datetime.now(UTC), datetime.now(UTC) + timedelta(1))
    pem = serialization.Encoding.PEM
    with tempfile.NamedTemporaryFile() as file:
        file.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        file.write(made.sign(key, hashes.SHA256()).public_bytes(pem))
        file.flush()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file.name)
    return context


async def grpc_server(port: int) -> None:
    """Any method, bytes in and the same bytes out; `Stream` answers each message twice."""
    import grpc
    import grpc.aio

    class Anything(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> object:
            if details.method.endswith("/Stream"):
                return grpc.stream_stream_rpc_method_handler(self.stream)
            return grpc.unary_unary_rpc_method_handler(self.say)

        async def stream(self, requests: AsyncIterator[bytes], _context: object) -> AsyncIterator[bytes]:
            async for request in requests:
                yield request
                yield request

        async def say(self, request: bytes, _context: object) -> bytes:
            return request

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Anything(),))
    server.add_insecure_port(f"0.0.0.0:{port}")
    await server.start()
    await server.wait_for_termination()


async def main(words: list[str]) -> None:
    """Serve all ports until killed."""
    kinds = {"http": http, "banner": banner, "tls": http}
    for word in words:
        kind, _, port = word.partition(":")
        if kind == "grpc":
            await grpc_server(int(port))
        context = certificate() if kind == "tls" else None
        await asyncio.start_server(kinds[kind], "0.0.0.0", int(port), backlog=4096, ssl=context)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
