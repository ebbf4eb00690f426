"""A place where telemetry arrives: Fluentd's forward protocol (24224), Zipkin's API (9411), OTLP over gRPC (4317),
StatsD by UDP (8125).

What arrived is told as JSON by GET /seen on 9411. Run with a Python that has msgspec and grpcio.
"""

from __future__ import annotations

import json
import socketserver
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import msgspec

SEEN: dict[str, list[Any]] = {"fluentd": [], "zipkin": [], "otlp": [], "statsd": []}


class Forward(socketserver.StreamRequestHandler):
    """Messages `[tag, time, record]`, one after the other."""

    def handle(self) -> None:
        data = b""
        while chunk := self.request.recv(65536):
            data += chunk
            while (end := whole_message(data)) is not None:
                tag, moment, record = msgspec.msgpack.decode(data[:end])
                SEEN["fluentd"].append([tag, int.from_bytes(moment.data[:4], "big"), record])
                data = data[end:]


def whole_message(data: bytes) -> int | None:
    """Where the first message ends, or None if it is not all here. Slow, and short."""
    for end in range(1, len(data) + 1):
        try:
            msgspec.msgpack.decode(data[:end])
        except msgspec.DecodeError:
            continue
        return end
    return None


class Lines(socketserver.BaseRequestHandler):
    """Datagrams of lines."""

    def handle(self) -> None:
        data, _socket = self.request
        SEEN["statsd"] += data.decode().split("\n")


class Zipkin(BaseHTTPRequestHandler):
    """Spans in, and what was seen out."""

    def do_POST(self) -> None:
        SEEN["zipkin"] += json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(202)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(SEEN).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Collector(grpc.GenericRpcHandler):
    """Takes every call and keeps what it carries, in hexadecimal."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = handler_call_details.method

        def export(data: bytes, _context: grpc.ServicerContext) -> bytes:
            SEEN["otlp"].append([method, data.hex()])
            return b""

        return grpc.unary_unary_rpc_method_handler(export)


class Server(socketserver.ThreadingTCPServer):
    """Fluentd's side."""

    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    """Serve until killed."""
    threading.Thread(target=Server(("0.0.0.0", 24224), Forward).serve_forever, daemon=True).start()
    threading.Thread(target=socketserver.UDPServer(("0.0.0.0", 8125), Lines).serve_forever, daemon=True).start()
    server = grpc.server(ThreadPoolExecutor(4), handlers=[Collector()])
    server.add_insecure_port("0.0.0.0:4317")
    server.start()
    ThreadingHTTPServer(("0.0.0.0", 9411), Zipkin).serve_forever()


if __name__ == "__main__":
    main()
