"""One real Envoy that enforces many cases at once, and callers that ask it.

Each HTTP case is a route that the header `x-case` chooses; each TCP case a chain that the called address chooses. What
Envoy decided, by which rule, and what it noted of rules that are not enforced, comes back in headers (of connections:
in a log).
"""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.conformance.authz_envoy.cases import CLAIMS, DOMAINS, FOUND, PEERS, PROVIDER, Case

from argosy.api.extension_provider import ExtAuthzGrpc, ExtensionProvider
from argosy.authz.call import Call
from argosy.envoy import values as v
from argosy.envoy.api import encode, envoy_binary, message, pack
from argosy.pilot.build import authz, authz_places, filters
from argosy.pilot.build.authz import Authorization
from argosy.pilot.mesh import MeshSettings

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
# Nobody answers: what is asked is let pass, so that what was asked stays the only question.
PROVIDERS = (
    ExtensionProvider(name=PROVIDER, envoy_ext_authz_grpc=ExtAuthzGrpc(service="nobody", port=1, fail_open=True)),
)
_TCP_LOG = "%DOWNSTREAM_REMOTE_ADDRESS%-%DOWNSTREAM_LOCAL_ADDRESS% %CONNECTION_TERMINATION_DETAILS%\n"
_NOTED = {
    "x-audit": f"{authz_places.NOTES['AUDIT']}",
    "x-dry-deny": f"{authz_places.NOTES['DENY']}",
    "x-dry-allow": f"{authz_places.NOTES['ALLOW']}",
    "x-custom": f"custom_{PROVIDER}_",
}


@dataclass(frozen=True)
class Answer:
    """What Envoy did. `details` names the rule; `noted`: results and rules by header."""

    allowed: bool
    details: str
    noted: dict[str, tuple[str, str]] = field(default_factory=dict)


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("0.0.0.0", 0))
        return [one.getsockname()[1] for one in sockets]


def case_address(number: int) -> str:
    """The address that chooses a TCP case."""
    return f"127.9.{number // 250}.{number % 250 + 1}"


class Rig:
    """A running Envoy with its cases."""

    def __init__(self, folder: Path, ports: Sequence[int], tcp_port: int) -> None:
        self.folder = folder
        self.ports = tuple(ports)
        self.tcp_port = tcp_port
        self.certificates = Certificates(folder)
        self._lines: dict[tuple[Any, ...], _Line] = {}
        self._callers: set[str] = set()

    @contextlib.contextmanager
    def running(self, http: Sequence[Case], tcp: Sequence[Case] = ()) -> Iterator[None]:
        """Envoy with these cases."""
        config = self.folder / "envoy.pb"
        config.write_bytes(encode(self._bootstrap(http, tcp)))
        log = (self.folder / "envoy.log").open("w")
        argv = [str(envoy_binary()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            self._await(process)
            yield
        finally:
            for line in self._lines.values():
                line.close()
            self._lines.clear()
            process.terminate()
            process.wait()
            log.close()

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 60
        for port in (*self.ports, self.tcp_port):
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                assert process.poll() is None, (self.folder / "envoy.log").read_text()[-3000:]
                assert time.monotonic() < deadline, "Envoy does not listen"
                time.sleep(0.05)

    # -- asking -------------------------------------------------------------------------------------------------

    def ask(self, number: int, calls: Sequence[Call]) -> list[Answer]:
        """Send requests to one case."""
        return [self._line(call).ask(number, call) for call in calls]

    def _line(self, call: Call) -> _Line:
        key = (call.peer, call.source_ip, call.destination_ip, call.destination_port, call.sni)
        if key not in self._lines:
            self._lines[key] = _Line(self._connect(call, call.destination_ip, call.destination_port))
        return self._lines[key]

    def _connect(self, call: Call, address: str, port: int) -> socket.socket:
        plain = socket.create_connection((address, port), 20, source_address=(call.source_ip, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not call.peer:
            return plain
        return self.certificates.client(call.peer).wrap_socket(plain, server_hostname=call.sni or None)

    def connect(self, number: int, call: Call) -> tuple[bool, str]:
        """Open a connection to one TCP case: whether it echoes, and its two ends, which no connection had before."""
        while True:
            with self._connect(call, case_address(number), self.tcp_port) as line:
                caller = "{}:{}-{}:{}".format(*line.getsockname(), *line.getpeername())
                if caller in self._callers:
                    continue  # the system has given a port a second time, and the log knows connections by it
                self._callers.add(caller)
                with contextlib.suppress(OSError):
                    line.sendall(b"enough to tell what is spoken")
                    return line.recv(1) == b"e", caller
                return False, caller

    def rules_of_refused(self) -> dict[str, str]:
        """By their ends, why connections were refused; after Envoy has ended."""
        found = {}
        for line in (self.folder / "tcp.log").read_text().splitlines():
            address, _, details = line.partition(" ")
            found.setdefault(address, details)
        return found

    # -- configuration ------------------------------------------------------------------------------------------

    def _bootstrap(self, http: Sequence[Case], tcp: Sequence[Case]) -> Any:
        echo = free_ports(1)[0]
        runtime = {"name": "r", "static_layer": v.struct({"re2.max_program_size.error_level": 32768})}
        listeners = [self._listener(port, CLAIMS[n], http) for n, port in enumerate(self.ports)]
        listeners += [self._tcp_listener(tcp), _echo_listener(echo)]
        return message("envoy.config.bootstrap.v3.Bootstrap")(
            layered_runtime={"layers": [runtime]},
            static_resources={"listeners": listeners, "clusters": [_cluster("echo", echo)]},
        )

    def _listener(self, port: int, claims: dict[str, Any] | None, cases: Sequence[Case]) -> Any:
        manager = _manager(claims, cases)
        return _listener(port, self._chains([manager]))

    def _chains(self, filters_: list[Any], **match: Any) -> list[dict[str, Any]]:
        secure = {
            "filter_chain_match": {"transport_protocol": "tls", **match},
            "transport_socket": self.certificates.server(),
            "filters": filters_,
        }
        plain = {"filter_chain_match": {"transport_protocol": "raw_buffer", **match}, "filters": filters_}
        return [secure, plain]

    def _tcp_listener(self, cases: Sequence[Case]) -> Any:
        log = v.extension(
            "envoy.access_loggers.file",
            "envoy.extensions.access_loggers.file.v3.FileAccessLog",
            path=str(self.folder / "tcp.log"),
            log_format={"text_format_source": {"inline_string": _TCP_LOG}},
        )
        proxy = filters.tcp_proxy(
            stat_prefix="tcp", clusters={"echo": 1}, access_log=[message("envoy.config.accesslog.v3.AccessLog")(**log)]
        )
        chains = []
        for number, case in enumerate(cases):
            guards = authz.tcp_authorization(authorization(case), "tcp.")
            chains += self._chains([*guards, proxy], prefix_ranges=[v.cidr(case_address(number))])
        return _listener(self.tcp_port, chains or self._chains([proxy]))


def authorization(case: Case) -> Authorization:
    """A case as the builder takes it."""
    return Authorization(case.policies, DOMAINS, PROVIDERS, case.default_action)


def _manager(claims: dict[str, Any] | None, cases: Sequence[Case]) -> Any:
    routes = [
        {
            "match": {"prefix": "/", "headers": [{"name": "x-case", "string_match": {"exact": str(number)}}]},
            "direct_response": {"status": 200},
            "typed_per_filter_config": authz.route_settings(authorization(case)),
        }
        for number, case in enumerate(cases)
    ]
    config = message("envoy.config.route.v3.RouteConfiguration")(
        ignore_path_parameters_in_path_matching=True,
        virtual_hosts=[{"name": "all", "domains": ["*"], "routes": routes}],
    )
    known = {**FOUND, **({"envoy.filters.http.jwt_authn": {"payload": claims}} if claims else {})}
    data = message("envoy.extensions.filters.http.set_metadata.v3.Config")(
        metadata=[{"metadata_namespace": name, "value": v.struct(value)} for name, value in known.items()]
    )
    made = filters.http_connection_manager(
        stat_prefix="x",
        access_log=[],
        settings=MeshSettings(),
        route_config=config,
        mtls=True,
        http_filters=[filters.http_filter("set_metadata", data), *authz.http_filters(PROVIDERS)],
    )
    manager = message(_HCM).FromString(made.typed_config.value)
    manager.local_reply_config.CopyFrom(_replies())
    made.typed_config.CopyFrom(pack(manager))
    return made


def _replies() -> Any:
    headers = {"x-details": "%RESPONSE_CODE_DETAILS%"}
    for name, prefix in _NOTED.items():
        headers[name] = (
            f"%DYNAMIC_METADATA({authz_places.HTTP_NOTES}:{prefix}{authz_places.RESULT})% "
            f"%DYNAMIC_METADATA({authz_places.HTTP_NOTES}:{prefix}{authz_places.POLICY})%"
        )
    always = {"comparison": {"op": "GE", "value": {"default_value": 100, "runtime_key": "none"}}}
    added = [{"header": {"key": key, "value": value}} for key, value in headers.items()]
    return message(f"{_HCM.rpartition('.')[0]}.LocalReplyConfig")(
        mappers=[{"filter": {"status_code_filter": always}, "headers_to_add": added}]
    )


def _listener(port: int, chains: list[dict[str, Any]]) -> Any:
    inspector = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
    return message("envoy.config.listener.v3.Listener")(
        name=f"l{port}",
        address=v.socket_address("0.0.0.0", port),
        listener_filters=[v.extension("envoy.filters.listener.tls_inspector", inspector)],
        filter_chains=chains,
    )


def _echo_listener(port: int) -> Any:
    echo = message("envoy.extensions.filters.network.echo.v3.Echo")()
    chain = {"filters": [filters.network_filter("envoy.filters.network.echo", echo)]}
    return message("envoy.config.listener.v3.Listener")(
        name="echo", address=v.socket_address("127.0.0.1", port), filter_chains=[chain]
    )


def _cluster(name: str, port: int) -> Any:
    host = {"lb_endpoints": [{"endpoint": {"address": v.socket_address("127.0.0.1", port)}}]}
    return message("envoy.config.cluster.v3.Cluster")(
        name=name, type="STATIC", load_assignment={"cluster_name": name, "endpoints": [host]}
    )


class _Line:
    """One connection that carries many requests."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._rest = b""

    def ask(self, number: int, call: Call) -> Answer:
        """One request."""
        headers = "".join(f"{name}: {value}\r\n" for name, value in call.headers)
        head = f"{call.method} {call.path} HTTP/1.1\r\nhost: {call.host}\r\nx-case: {number}\r\n"
        self._line.sendall(f"{head}{headers}content-length: 0\r\n\r\n".encode("latin-1"))
        return self._answer()

    def _answer(self) -> Answer:
        while b"\r\n\r\n" not in self._rest:
            more = self._line.recv(65536)
            assert more, "Envoy closed the connection"
            self._rest += more
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        found = dict(line.split(": ", 1) for line in lines if ": " in line)
        length = int(found.get("content-length", "0"))
        while len(self._rest) < length:
            self._rest += self._line.recv(65536)
        self._rest = self._rest[length:]
        status = first.split()[1]
        assert status in ("200", "403"), (first, found)
        noted = {}
        for name in _NOTED:
            result, _, rule = found.get(name, "- -").partition(" ")
            noted[name] = (result, rule)
        return Answer(status == "200", found.get("x-details", ""), noted)

    def close(self) -> None:
        """Hang up."""
        self._line.close()


class Certificates:
    """An authority of the test's own, and a certificate for every caller."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
        root = self._build(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))
        (folder / "root.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
        self.issue("server", "spiffe://td/ns/shop/sa/server")
        self._clients = {peer: self.context(number, peer) for number, peer in enumerate(PEERS) if peer}

    def client(self, peer: str) -> ssl.SSLContext:
        """How a caller with that identity connects."""
        return self._clients[peer]

    def server(self) -> Any:
        """Envoy's side."""
        context = message("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext")(
            require_client_certificate=v.wrap(True),
            common_tls_context={
                "tls_certificates": [
                    {
                        "certificate_chain": {"filename": str(self.folder / "server.pem")},
                        "private_key": {"filename": str(self.folder / "server.key")},
                    }
                ],
                "validation_context": {"trusted_ca": {"filename": str(self.folder / "root.pem")}},
            },
        )
        return {"name": "envoy.transport_sockets.tls", "typed_config": pack(context)}

    def context(self, number: int, peer: str) -> ssl.SSLContext:
        self.issue(f"client{number}", peer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.load_cert_chain(self.folder / f"client{number}.pem", self.folder / f"client{number}.key")
        return context

    def issue(self, name: str, uri: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        made = self._build(x509.Name([]), key, names)
        (self.folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / f"{name}.key").write_bytes(private)

    def _build(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(days=1),
            not_valid_after=now + datetime.timedelta(days=1),
        )
        return builder.add_extension(extension, critical=True).sign(self._key, hashes.SHA256())


def show(case: Case, call: Call) -> str:
    """A pair for people: YAML and the call."""
    policies = "\n".join(json.dumps(json.loads(one), indent=1) for one in case.text.split("---\n"))
    return f"default {case.default_action}\n{policies}\n{call}"
