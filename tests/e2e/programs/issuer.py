"""An issuer that does what it is told: documents by path, over HTTP (8000) and over HTTPS that nobody trusts (8443).

`PUT /_set/PATH` with JSON {status, body, location, delay_s, bytes, headers} says what `GET /PATH` answers from then on;
`GET /_count/PATH` how often it was asked. Run: `python issuer.py`.
"""

from __future__ import annotations

import datetime
import json
import ssl
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

answers: dict[str, dict[str, Any]] = {}
asked: Counter[str] = Counter()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers.get("content-length", "0")))
        answers[self.path.removeprefix("/_set")] = json.loads(data)
        self._answer(200, b"ok\n")

    def do_GET(self) -> None:
        if self.path.startswith("/_count"):
            self._answer(200, str(asked[self.path.removeprefix("/_count")]).encode())
            return
        asked[self.path] += 1
        told = answers.get(self.path, {"status": 404})
        time.sleep(told.get("delay_s", 0))
        body = told.get("body", "").encode() if "bytes" not in told else b"[" * told["bytes"]
        headers = dict(told.get("headers", {}))
        if "location" in told:
            headers["location"] = told["location"]
        self._answer(told.get("status", 200), body, headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


def self_signed() -> ssl.SSLContext:
    """A certificate of nobody that anyone knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = (
        builder.not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("issuer.default")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write(private + made.public_bytes(serialization.Encoding.PEM))
        file.flush()
        context.load_cert_chain(file.name)
    return context


if __name__ == "__main__":
    secure = ThreadingHTTPServer(("0.0.0.0", 8443), Handler)
    secure.socket = self_signed().wrap_socket(secure.socket, server_side=True)
    threading.Thread(target=secure.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
