"""A refused connection is closed, and nothing of it comes to the application; others are as if there were no rule."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.authz_envoy.rig import Certificates, case_address, free_ports
from tests.conformance.refusals.cases import PRODUCTPAGE, REVIEWS, Request, denial, listed
from tests.conformance.refusals.test_refusals import CALLED, HOST, KNOWN, PORT
from tests.unit.mixer.mesh import DIRECTORY, node, objects

from argosy.envoy import values as v
from argosy.envoy.api import encode, envoy_binary, message
from argosy.mixer.check import begin_check
from argosy.mixer.handlers import make_handler
from argosy.mixer.refusals import CompiledChecks, compile_checks
from argosy.mixer.request import CheckFacts, request_attributes
from argosy.mixer.rules import resolve_rules
from argosy.pilot.build import filters, refusals
from argosy.pilot.checking import Checking

CASES = {
    "everything": (denial(""), 1),
    "all connections": (denial('context.protocol == "tcp"'), 1),
    "requests only": (denial('context.protocol == "http"'), 0),
    "by header": (denial('request.headers["x-user"] == "john"'), 0),
    "by header or anybody": (denial('(request.headers["x-user"] | "john") == "john"'), 1),
    "by account": (denial(f'source.principal == "{REVIEWS}"'), 1),
    "without mutual TLS": (denial("connection.mtls == false"), 1),
    "by server name": (denial('connection.requested_server_name == "a.example"'), 1),
    "addresses": (listed("source.ip", "{overrides: [127.0.0.1], entryType: IP_ADDRESSES}"), 1),
    "black addresses": (
        listed("source.ip", "{overrides: [127.0.0.2/32], entryType: IP_ADDRESSES, blacklist: true}"),
        1,
    ),
    "names of servers": (listed('connection.requested_server_name | ""', '{overrides: ["", a.example]}'), 1),
}
CALLERS = [
    Request(),
    Request(address="127.0.0.2"),
    Request(peer=f"spiffe://{REVIEWS}", server_name="a.example"),
    Request(peer=f"spiffe://{PRODUCTPAGE}", server_name="b.example"),
]


def compiled(text: str) -> CompiledChecks:
    return compile_checks(resolve_rules(objects(text)), KNOWN, CALLED.is_known, "default", tcp=True)


def admitted(text: str, caller: Request) -> bool:
    """Whether Mixer lets the connection pass when it is asked."""
    policy = resolve_rules(objects(text))
    handlers = {
        ref: made for ref, one in policy.handlers.items() if (made := make_handler(one.spec.params)) is not None
    }
    facts = CheckFacts(
        node=node("ratings-v1"),
        source_principal=caller.peer,
        source_address=caller.address,
        destination_port=PORT,
        service=HOST,
        protocol="tcp",
        requested_server_name=caller.server_name,
    )
    decision = begin_check(
        policy, handlers, request_attributes(facts, DIRECTORY), namespace="default", now=0.0
    ).decision
    assert decision is not None
    return decision.allowed


@pytest.mark.parametrize("name", CASES)
def test_what_is_compiled(name: str) -> None:
    text, count = CASES[name]
    found = compiled(text)
    assert (len(found.refusals) > 0, found.asks) == (count > 0, False)


@pytest.mark.parametrize("caller", CALLERS, ids=["plain", "elsewhere", "reviews", "productpage"])
@pytest.mark.parametrize("name", CASES)
def test_envoy_closes_what_mixer_refuses(rig: Rig, name: str, caller: Request) -> None:
    before = len(rig.received)
    echoed = rig.call(list(CASES).index(name), caller)
    assert echoed is admitted(CASES[name][0], caller)
    assert (len(rig.received) > before) is echoed


class Rig:
    """An Envoy with a chain for each case, chosen by the called address, before an application that echoes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.received: list[bytes] = []
        """What came to the application."""
        self._certificates = Certificates(folder)
        self._clients = {
            f"spiffe://{peer}": self._certificates.context(9000 + number, f"spiffe://{peer}")
            for number, peer in enumerate((REVIEWS, PRODUCTPAGE))
        }
        [self._port] = free_ports(1)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        received = self.received

        class Echo(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while more := self.request.recv(100):
                    received.append(more)
                    self.request.sendall(more)

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            with self._envoy(server.server_address[1]):
                yield
            server.shutdown()

    @contextlib.contextmanager
    def _envoy(self, backend: int) -> Iterator[None]:
        config = self._folder / "envoy.pb"
        config.write_bytes(encode(self._bootstrap(backend)))
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

    def call(self, number: int, caller: Request) -> bool:
        """Whether what is said to the case's application is echoed."""
        plain = socket.create_connection((case_address(number), self._port), 20, source_address=(caller.address, 0))
        line: socket.socket = plain
        if caller.peer:
            line = self._clients[caller.peer].wrap_socket(plain, server_hostname=caller.server_name)
        with line, contextlib.suppress(OSError):
            line.sendall(b"hello, are you there?")
            return line.recv(100) == b"hello, are you there?"
        return False

    def _bootstrap(self, backend: int) -> Any:
        chains = []
        for number, (text, _count) in enumerate(CASES.values()):
            checking = Checking(refusals=compiled(text).refusals)
            guard = [refusals.refusing_filter(checking, "x")] if checking.refusals else []
            stack = [*guard, filters.tcp_proxy(stat_prefix="tcp", clusters={"app": 1}, access_log=[])]
            match = {"prefix_ranges": [v.cidr(case_address(number))]}
            chains += [
                {
                    "filter_chain_match": {"transport_protocol": "tls", **match},
                    "transport_socket": self._certificates.server(),
                    "filters": stack,
                },
                {"filter_chain_match": {"transport_protocol": "raw_buffer", **match}, "filters": stack},
            ]
        inspector = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
        listener = message("envoy.config.listener.v3.Listener")(
            name="l",
            address=v.socket_address("0.0.0.0", self._port),
            listener_filters=[v.extension("envoy.filters.listener.tls_inspector", inspector)],
            filter_chains=chains,
        )
        host = {"lb_endpoints": [{"endpoint": {"address": v.socket_address("127.0.0.1", backend)}}]}
        cluster = message("envoy.config.cluster.v3.Cluster")(
            name="app", type="STATIC", load_assignment={"cluster_name": "app", "endpoints": [host]}
        )
        return message("envoy.config.bootstrap.v3.Bootstrap")(
            static_resources={"listeners": [listener], "clusters": [cluster]}
        )


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("envoy"))
    with made.running():
        yield made
