"""A server of the world outside of the mesh, in pods that have nothing but Python: `python -c THIS ROLE:PORT:WORD ...`.

Roles: `http` (WORD `redirect`: 301 to https), `https` (a page that names host and server name), `mtls` (a page for
clients with a certificate of the authority, 400 for others), `connect` (an HTTP proxy), `dns` (what /tmp/names says),
`tcp` (answers each line with WORD before it). The environment has CERTIFICATE, KEY and CA as PEM.
"""

import http.server
import json
import os
import socket
import socketserver
import ssl
import struct
import sys
import threading


class Page(http.server.BaseHTTPRequestHandler):
    """Says what was asked for; each request is a line of the log."""

    protocol_version = "HTTP/1.1"
    redirects = False
    wants_certificate = False

    def do_GET(self) -> None:
        host, secured = self.headers["host"], isinstance(self.connection, ssl.SSLSocket)
        if self.redirects:
            self._answer(301, "moved\n", location=f"https://{host.partition(':')[0]}{self.path}")
        elif self.wants_certificate and not self.connection.getpeercert():
            self._answer(400, "No required SSL certificate was sent\n")
        else:
            name = getattr(self.connection, "asked_name", "") if secured else ""
            headers = " ".join(sorted(key.lower() for key in self.headers))
            self._answer(200, f"page of {host} tls={secured} sni={name} headers: {headers}\n")

    def _answer(self, status: int, text: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        print(self.headers["host"], *args, flush=True)


class Connect(socketserver.StreamRequestHandler):
    """An HTTP proxy that only tunnels."""

    def handle(self) -> None:
        _method, target, _version = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        host, _, port = target.rpartition(":")
        with socket.create_connection((host, int(port)), 10) as upstream:
            print("CONNECT", target, 200, flush=True)
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            threading.Thread(target=copy, args=(upstream, self.connection), daemon=True).start()
            copy(self.connection, upstream)


def copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def answer(query: bytes) -> bytes:
    """A DNS answer: an address for an A question about a known name, nothing else about it, or NXDOMAIN."""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    end = at + 5
    with open("/tmp/names") as file:
        address = json.load(file).get(".".join(labels))
    print("asked", ".".join(labels), flush=True)
    found = b""
    if address and query[at + 1 : at + 3] == b"\0\1":
        found = b"\xc0\x0c\0\1\0\1" + struct.pack("!IH", 5, 4) + socket.inet_aton(address)
    flags = 0x8180 if address else 0x8183
    return query[:2] + struct.pack("!5H", flags, 1, 1 if found else 0, 0, 0) + query[12:end] + found


class DnsUdp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request[1].sendto(answer(self.request[0]), self.client_address)


class DnsTcp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        (size,) = struct.unpack("!H", self.rfile.read(2))
        found = answer(self.rfile.read(size))
        self.wfile.write(struct.pack("!H", len(found)) + found)


class Echo(socketserver.StreamRequestHandler):
    word = b""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(self.word + b" " + line)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    tls: ssl.SSLContext | None = None

    def finish_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        # In the connection's own thread: a client that says nothing holds up nobody.
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)


def context(*, ask: bool) -> ssl.SSLContext:
    for name in ("CERTIFICATE", "KEY", "CA"):
        with open(f"/tmp/{name}", "w") as file:
            file.write(os.environ[name])
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain("/tmp/CERTIFICATE", "/tmp/KEY")
    made.sni_callback = lambda connection, name, _context: setattr(connection, "asked_name", name)
    if ask:
        made.load_verify_locations("/tmp/CA")
        made.verify_mode = ssl.CERT_OPTIONAL
    return made


def serve(role: str, port: int, word: str) -> None:
    handlers = {"connect": Connect, "dns": DnsTcp}
    handler = handlers.get(role)
    if role == "tcp":
        handler = type("Words", (Echo,), {"word": word.encode()})
    if handler is None:
        handler = type("Own", (Page,), {"redirects": word == "redirect", "wants_certificate": role == "mtls"})
    server = Server(("0.0.0.0", port), handler)
    if role in ("https", "mtls"):
        server.tls = context(ask=role == "mtls")
    threading.Thread(target=server.serve_forever).start()
    if role == "dns":
        udp = socketserver.ThreadingUDPServer(("0.0.0.0", port), DnsUdp)
        threading.Thread(target=udp.serve_forever).start()


for argument in sys.argv[1:]:
    chosen, number, *rest = argument.split(":")
    serve(chosen, int(number), "".join(rest))
# Whoever asks whether everything is there connects here.
Server(("0.0.0.0", 8099), socketserver.BaseRequestHandler).serve_forever()
