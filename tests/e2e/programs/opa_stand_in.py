"""Stands in for a server of Open Policy Agent, which cannot be installed here: its REST API, and a crumb of Rego.

Understood are policies of this one form, with any package, name and condition on `input`:

    package mixerauthz
    default allow = false
    allow { input.subject.user == "admin" }

python opa_stand_in.py PORT
"""

from __future__ import annotations

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FORM = re.compile(
    r"package (?P<package>[\w.]+)\s+default (?P<rule>\w+) = false\s+"
    r'(?P=rule) \{ input\.(?P<path>[\w.]+) == "(?P<value>[^"]*)" \}\s*'
)


class Opa(ThreadingHTTPServer):
    """The policies of one server."""

    daemon_threads = True

    def __init__(self, port: int, host: str = "0.0.0.0") -> None:
        super().__init__((host, port), Handler)
        self.policies: dict[str, re.Match[str]] = {}
        self.asked: list[dict[str, Any]] = []
        self.status = 0
        """Answer everything with this status."""

    def evaluate(self, path: str, given: Any) -> dict[str, Any]:
        """What `POST /v1/data/...` answers: without a result where no policy has the rule."""
        for one in self.policies.values():
            if path == f"{one['package'].replace('.', '/')}/{one['rule']}":
                value = given
                for name in one["path"].split("."):
                    value = value.get(name) if isinstance(value, dict) else None
                return {"result": value == one["value"]}
        return {}


class Handler(BaseHTTPRequestHandler):
    """The REST API."""

    protocol_version = "HTTP/1.1"
    server: Opa

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(self.server.status or status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def do_GET(self) -> None:
        known = self.path in self.server.policies
        self._answer(200 if known else 404, {"result": {}} if known else {"code": "resource_not_found"})

    def do_PUT(self) -> None:
        policy = FORM.fullmatch(self._body().decode())
        if policy is None:
            errors = [{"message": "rego_parse_error: not the form that this stand-in knows"}]
            self._answer(400, {"code": "invalid_parameter", "message": "error(s) occurred", "errors": errors})
            return
        self.server.policies[self.path] = policy
        self._answer(200, {})

    def do_POST(self) -> None:
        given = json.loads(self._body())["input"]
        self.server.asked.append(given)
        self._answer(200, self.server.evaluate(self.path.removeprefix("/v1/data/"), given))

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    Opa(int(sys.argv[1])).serve_forever()
