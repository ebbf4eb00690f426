"""Envoy refuses what Mixer would refuse, with the same status, words and rule; and compiled checks ask nobody."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from tests.conformance.authz_envoy.rig import Certificates, free_ports
from tests.conformance.refusals.cases import CASES, PRODUCTPAGE, REQUESTS, REVIEWS, Case, Request
from tests.unit.mixer.mesh import DIRECTORY, PODS, node, objects

from argosy.core.names import DENIED_BY_HEADER
from argosy.envoy import values as v
from argosy.envoy.api import encode, envoy_binary, message
from argosy.mixer.check import Decision, begin_check
from argosy.mixer.handlers import make_handler
from argosy.mixer.refusals import CompiledChecks, compile_checks
from argosy.mixer.request import CheckFacts, destination_attributes, port_attributes, request_attributes
from argosy.mixer.rules import resolve_rules
from argosy.pilot.build import filters, refusals
from argosy.pilot.mesh import MeshSettings

RATINGS = next(pod for pod in PODS if pod.workload.name == "ratings-v1")
HOST, PORT = "ratings.default.svc.cluster.local", 9080
CALLED = port_attributes(HOST, PORT)
KNOWN = {**destination_attributes(RATINGS), **CALLED.known}


GRPC_STATUS = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
"""What Envoy tells a gRPC client where others are told the HTTP status. Here such answers are negative numbers."""


def compiled(case: Case) -> CompiledChecks:
    return compile_checks(resolve_rules(objects(case.text)), KNOWN, CALLED.is_known, "default")


def decided(case: Case, request: Request) -> Decision:
    """What Mixer says when it is asked."""
    policy = resolve_rules(objects(case.text))
    handlers = {
        ref: made for ref, one in policy.handlers.items() if (made := make_handler(one.spec.params)) is not None
    }
    facts = CheckFacts(
        node=node("ratings-v1"),
        source_principal=request.peer,
        source_address=request.address,
        destination_port=PORT,
        service=HOST,
        method=request.method,
        scheme="https" if request.peer else "http",
        path=request.path,
        host=request.host,
        requested_server_name=request.server_name,
        headers={**dict(request.headers), **request.joined},
    )
    decision = begin_check(
        policy, handlers, request_attributes(facts, DIRECTORY), namespace="default", now=0.0
    ).decision
    assert decision is not None
    return decision


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_compiled(case: Case) -> None:
    found = resolve_rules(objects(case.text))
    assert found.findings == ()
    made = compiled(case)
    assert (len(made.refusals), made.asks) == (case.refusals, case.asks)
    assert all(reason for _rule, reason in made.reasons)


def test_envoy_refuses_what_mixer_refuses(rig: Rig) -> None:
    differences, refused = [], 0
    for request in REQUESTS:
        answers = rig.ask(request)
        for case, answer in zip(CASES, answers, strict=True):
            decision = decided(case, request)
            passed = not answer[2]
            if passed and (decision.allowed or case.asks):
                continue
            refused += 1
            status = decision.http_status
            if request.grpc:
                status = -GRPC_STATUS.get(status, 2)
            meant = (status, decision.body, str(decision.rule))
            if answer != meant:
                differences.append((case.name, request, "meant", meant, "got", answer))
    assert differences == []
    assert refused > len(REQUESTS) * 20


class Rig:
    """One Envoy; a case is a virtual host that the header `x-case` chooses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._certificates = Certificates(folder)
        peers = (REVIEWS, PRODUCTPAGE)
        self._clients = {
            f"spiffe://{peer}": self._certificates.context(9000 + number, f"spiffe://{peer}")
            for number, peer in enumerate(peers)
        }
        [self._port] = free_ports(1)

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

    def ask(self, request: Request) -> list[tuple[int, str, str]]:
        """Status, body and rule for each case."""
        return [self._ask(request, number) for number in range(len(CASES))]

    def _ask(self, request: Request, number: int) -> tuple[int, str, str]:
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
            vhost_header="x-case", virtual_hosts=[_host(number, case) for number, case in enumerate(CASES)]
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
        return message("envoy.config.bootstrap.v3.Bootstrap")(
            layered_runtime={"layers": [runtime]}, static_resources={"listeners": [listener]}
        )


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("envoy"))
    with made.running():
        yield made


def _host(number: int, case: Case) -> dict[str, Any]:
    found = compiled(case).refusals
    app = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    return {
        "name": f"case-{number}",
        "domains": [f"case-{number}"],
        "routes": [*refusals.refusal_routes(found, {}), app],
        "typed_per_filter_config": refusals.route_settings(found),
    }


def _answer(answers: Any) -> tuple[int, str, str]:
    status = int(answers.readline().split()[1])
    headers: dict[str, str] = {}
    while text := answers.readline().strip():
        name, _, value = text.decode("latin-1").partition(": ")
        headers[name] = value
    body = answers.read(int(headers.get("content-length", "0"))).decode()
    if "grpc-status" in headers:
        status = -int(headers["grpc-status"])
        body = unquote(headers.get("grpc-message", ""))
    return status, body, headers.get(DENIED_BY_HEADER, "")
