"""One TLS connection, or two that resume: a program of its own, so that it can run in any network.

    python raw_tls.py '{"address": ["10.88.0.2", 8080], "chain": "client.pem", "key": "key.pem", "alpn": ["istio"]}'

Prints JSON: `answer` (what came back for a GET, latin-1), `error` (why there is none), `version`, `resumed`. The
server's certificate is not judged here. Standard library only.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
from typing import Any


def connect(asked: dict[str, Any], context: ssl.SSLContext, session: Any = None) -> tuple[dict[str, Any], Any]:
    try:
        with socket.create_connection(tuple(asked["address"]), timeout=60) as plain:
            name = asked.get("sni") or None
            with context.wrap_socket(plain, server_hostname=name, session=session) as secure:
                secure.sendall(b"GET / HTTP/1.1\r\nHost: echo\r\nConnection: close\r\n\r\n")
                answer = b""
                while chunk := secure.recv(65536):
                    answer += chunk
                told = {"answer": answer.decode("latin-1"), "error": "" if answer else "closed"}
                return {**told, "version": secure.version(), "resumed": secure.session_reused}, secure.session
    except OSError as error:
        return {"answer": "", "error": str(error) or type(error).__name__, "version": "", "resumed": False}, None


def main() -> None:
    asked = json.loads(sys.argv[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if asked.get("chain"):
        context.load_cert_chain(asked["chain"], asked["key"])
    if asked.get("alpn"):
        context.set_alpn_protocols(asked["alpn"])
    if version := asked.get("version"):
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    if asked.get("ciphers"):
        context.set_ciphers(asked["ciphers"])
    first, session = connect(asked, context)
    if asked.get("again"):
        print("first", flush=True)
        sys.stdin.readline()  # whoever started this changes something in between, then writes a line
        first = connect(asked, context, session)[0]
    print(json.dumps(first))


if __name__ == "__main__":
    main()
