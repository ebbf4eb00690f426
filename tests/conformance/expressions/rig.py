"""One real Envoy that evaluates many compiled expressions on one request each, all on one connection.

A case is a route that the header `x-case` chooses. Envoy notes which of the case's conditions holds, and answers it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.authz_envoy.rig import Certificates, free_ports

from argosy.envoy import values as v
from argosy.envoy.api import decode, encode, envoy_binary, message, pack
from argosy.envoy.cel import Term, encode_term
from argosy.pilot.build import filters
from argosy.pilot.mesh import MeshSettings

_RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"
_NOTED = "%DYNAMIC_METADATA(envoy.filters.http.rbac:case_shadow_effective_policy_id)%"
NEITHER = ""


@dataclass(frozen=True)
class Conditions:
    """When an expression is true, and when it is false. On all other requests it has no value."""

    holds: Term
    fails: Term


class ExpressionRig:
    """Sends a request to each case and tells what Envoy found: `true`, `false` or neither."""

    def __init__(self, folder: Path, *, server_name: str, peer: str) -> None:
        self._folder = folder
        self._server_name = server_name
        self._certificates = Certificates(folder)
        self._client = self._certificates.context(9000, peer)
        [self._port] = free_ports(1)

    @contextlib.contextmanager
    def running(self, cases: Sequence[Conditions]) -> Iterator[None]:
        """Envoy with these cases."""
        config = self._folder / "envoy.pb"
        config.write_bytes(encode(self._bootstrap(cases)))
        with (self._folder / "envoy.log").open("w") as log:
            argv = [
                str(envoy_binary()),
                "-c",
                str(config),
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "-l",
                "error",
            ]
            process = subprocess.Popen(argv, stdout=log, stderr=log)
            try:
                self._await(process)
                yield
            finally:
                process.terminate()
                process.wait()

    def ask(self, count: int, head: str) -> list[str]:
        """The verdicts on all cases for one request: `head` is its first line and headers, without `x-case`."""
        with self._connect() as line, line.makefile("rb") as answers:
            found = []
            for number in range(count):
                line.sendall(f"{head}x-case: {number}\r\n\r\n".encode())
                found.append(_verdict(answers))
            return found

    def _connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self._port), 20, source_address=("127.0.0.1", 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._client.wrap_socket(plain, server_hostname=self._server_name)

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            assert process.poll() is None, (self._folder / "envoy.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "Envoy does not listen"
            time.sleep(0.05)

    def _bootstrap(self, cases: Sequence[Conditions]) -> Any:
        runtime = {"name": "r", "static_layer": v.struct({"re2.max_program_size.error_level": 32768})}
        config = message("envoy.config.route.v3.RouteConfiguration")(
            virtual_hosts=[{"name": "all", "domains": ["*"], "routes": [_route(*one) for one in enumerate(cases)]}]
        )
        manager = filters.http_connection_manager(
            stat_prefix="x",
            access_log=[],
            settings=MeshSettings(),
            route_config=config,
            mtls=True,
            http_filters=[filters.http_filter("conditions", message(_RBAC)(), disabled=True)],
        )
        chain = {"transport_socket": self._certificates.server(), "filters": [manager]}
        inspector = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
        listener = message("envoy.config.listener.v3.Listener")(
            name="l",
            address=v.socket_address("127.0.0.1", self._port),
            listener_filters=[v.extension("envoy.filters.listener.tls_inspector", inspector)],
            filter_chains=[chain],
        )
        return message("envoy.config.bootstrap.v3.Bootstrap")(
            layered_runtime={"layers": [runtime]}, static_resources={"listeners": [listener]}
        )


def _route(number: int, case: Conditions) -> dict[str, Any]:
    anybody = {
        "permissions": [{"any": True}],
        "principals": [{"any": True}],
        "cel_config": {"enable_string_concat": True},
    }
    policies = {
        name: {**anybody, "condition": decode("google.api.expr.v1alpha1.Expr", encode_term(term))}
        for name, term in (("true", case.holds), ("false", case.fails))
    }
    rules = {"action": "DENY", "policies": policies}
    rbac = message(_RBAC)(shadow_rules=rules, shadow_rules_stat_prefix="case_")
    return {
        "match": {"prefix": "/", "headers": [{"name": "x-case", "string_match": {"exact": str(number)}}]},
        "direct_response": {"status": 200},
        "response_headers_to_add": [{"header": {"key": "x-verdict", "value": _NOTED}}],
        "typed_per_filter_config": {"conditions": pack(message(f"{_RBAC}PerRoute")(rbac=rbac))},
    }


def _verdict(answers: Any) -> str:
    first = answers.readline()
    assert b" 200 " in first, first
    verdict = NEITHER
    while (text := answers.readline().strip()) != b"":
        name, _, value = text.partition(b": ")
        if name == b"x-verdict" and value != b"-":
            verdict = value.decode()
    return verdict
