"""Small servers to probe: a program of its own, standard library, `h2` and gRPC only.

python probed.py h2c PORT          HTTP/2 with prior knowledge and nothing else; `/healthz` is 200, all else 404
python probed.py grpc PORT [NAME]  gRPC's health service; the server and the service NAME are SERVING
python probed.py metrics PORT      `/metrics` as Prometheus reads them, over HTTP/1.1
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.exceptions import ProtocolError


async def h2c(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    try:
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, RequestReceived):
                    path = dict(event.headers)[":path"]
                    status = "200" if path == "/healthz" else "404"
                    connection.send_headers(event.stream_id, [(":status", status)], end_stream=True)
            writer.write(connection.data_to_send())
    except ProtocolError:
        writer.write(connection.data_to_send())
    writer.close()


METRICS = b"# TYPE app_jobs_total counter\napp_jobs_total 7\n"


async def metrics(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n"
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(METRICS) + METRICS)
    await writer.drain()
    writer.close()


async def check(request: bytes, context: Any) -> bytes:
    name = request[2:].decode() if request else ""
    if name not in ("", *sys.argv[3:]):
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
    return b"\x08\x01"


async def main(kind: str, port: int) -> None:
    if kind == "grpc":
        server = grpc.aio.server()
        methods = {"Check": grpc.unary_unary_rpc_method_handler(check)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods),))
        server.add_insecure_port(f"0.0.0.0:{port}")
        await server.start()
        await server.wait_for_termination()
    async with await asyncio.start_server({"h2c": h2c, "metrics": metrics}[kind], "0.0.0.0", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
