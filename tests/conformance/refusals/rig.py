"""One Envoy with a virtual host for each case, chosen by the header `x-case`; and an application that tells headers."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.conformance.authz_envoy.rig import Certificates, free_ports
from tests.conformance.refusals.cases import PRODUCTPAGE, REVIEWS, Request

from argosy.core.names import DENIED_BY_HEADER
from argosy.envoy import values as v
from argosy.envoy.api import encode, envoy_binary, message
from argosy.mixer.refusals import CompiledChecks
from argosy.pilot.build import filters, refusals
from argosy.pilot.checking import Checking, Concern
from argosy.pilot.mesh import MeshSettings

TOLD = ("x-one", "x-two", "x-user", "x-three")
"""Headers of requests that the application tells, in this order; `-` where there is none."""


@dataclass(frozen=True)
class Answer:
    """`status` is negative where a gRPC client is told another. `rule`: who refused, if anybody did."""

    status: int
    body: str
    rule: str
    headers: dict[str, str]


class Rig:
    """The Envoy."""

    def __init__(self, folder: Path, cases: list[CompiledChecks]) -> None:
        self._folder = folder
        self._cases = cases
        self._certificates = Certificates(folder)
        self._clients = {
            f"spiffe://{peer}": self._certificates.context(9000 + number, f"spiffe://{peer}")
            for number, peer in enumerate((REVIEWS, PRODUCTPAGE))
        }
        self._port, self._app = free_ports(2)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        config = self._folder / "envoy.pb"
        config.write_bytes(encode(self._bootstrap()))
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

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            assert process.poll() is None, (self._folder / "envoy.log").read_text()[-3000:]
            assert time.monotonic() < deadline, "Envoy does not listen"
            time.sleep(0.05)

    def ask(self, request: Request) -> list[Answer]:
        """The answer in each case."""
        return [self._ask(request, number) for number in range(len(self._cases))]

    def _ask(self, request: Request, number: int) -> Answer:
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers)
        head = f"{request.method} {request.path} HTTP/1.1\r\nhost: {request.host}\r\nx-case: case-{number}\r\n"
        with self._connect(request) as line, line.makefile("rb") as answers:
            line.sendall(f"{head}{lines}\r\n".encode())
            return _answer(answers)

    def _connect(self, request: Request) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self._port), 20, source_address=(request.address, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not request.peer:
            return plain
        return self._clients[request.peer].wrap_socket(plain, server_hostname=request.server_name or None)

    def _bootstrap(self) -> Any:
        runtime = {"name": "r", "static_layer": v.struct({"re2.max_program_size.error_level": 32768})}
        config = message("envoy.config.route.v3.RouteConfiguration")(
            vhost_header="x-case", virtual_hosts=[_host(number, case) for number, case in enumerate(self._cases)]
        )
        manager = filters.http_connection_manager(
            stat_prefix="x",
            access_log=[],
            settings=MeshSettings(),
            route_config=config,
            mtls=True,
            http_filters=refusals.refusal_filters(),
        )
        chains = [
            {
                "filter_chain_match": {"transport_protocol": "tls"},
                "transport_socket": self._certificates.server(),
                "filters": [manager],
            },
            {"filter_chain_match": {"transport_protocol": "raw_buffer"}, "filters": [manager]},
        ]
        inspector = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
        listener = message("envoy.config.listener.v3.Listener")(
            name="l",
            address=v.socket_address("127.0.0.1", self._port),
            listener_filters=[v.extension("envoy.filters.listener.tls_inspector", inspector)],
            filter_chains=chains,
        )
        host = {"lb_endpoints": [{"endpoint": {"address": v.socket_address("127.0.0.1", self._app)}}]}
        cluster = message("envoy.config.cluster.v3.Cluster")(
            name="app", type="STATIC", load_assignment={"cluster_name": "app", "endpoints": [host]}
        )
        return message("envoy.config.bootstrap.v3.Bootstrap")(
            layered_runtime={"layers": [runtime]},
            static_resources={"listeners": [listener, self._application()], "clusters": [cluster]},
        )

    def _application(self) -> Any:
        """Answers with the headers that came."""
        told = "|".join(f'%CEL(request.headers["{name}"])%' for name in TOLD)
        answer = {"status": 200, "body_format": {"text_format_source": {"inline_string": told}}}
        route = {
            "match": {"prefix": "/"},
            "direct_response": answer,
            "response_headers_to_add": [{"header": {"key": "x-app", "value": "app"}}],
        }
        config = message("envoy.config.route.v3.RouteConfiguration")(
            virtual_hosts=[{"name": "app", "domains": ["*"], "routes": [route]}]
        )
        manager = filters.http_connection_manager(
            stat_prefix="a", access_log=[], settings=MeshSettings(), route_config=config, http_filters=[]
        )
        return message("envoy.config.listener.v3.Listener")(
            name="app", address=v.socket_address("127.0.0.1", self._app), filter_chains=[{"filters": [manager]}]
        )


def _host(number: int, case: CompiledChecks) -> dict[str, Any]:
    checking = Checking(Concern(), refusals=case.refusals, variants=case.variants)
    return {
        "name": f"case-{number}",
        "domains": [f"case-{number}"],
        "routes": [
            *refusals.refusal_routes(checking, {}),
            *refusals.application_routes(checking, {"cluster": "app"}),
        ],
        "typed_per_filter_config": refusals.route_settings(checking),
    }


def _answer(answers: Any) -> Answer:
    status = int(answers.readline().split()[1])
    headers: dict[str, str] = {}
    while text := answers.readline().strip():
        name, _, value = text.decode("latin-1").partition(": ")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    body = answers.read(int(headers.get("content-length", "0"))).decode()
    if "grpc-status" in headers:
        status = -int(headers["grpc-status"])
        body = unquote(headers.get("grpc-message", ""))
    return Answer(status, body, headers.get(DENIED_BY_HEADER, ""), headers)
