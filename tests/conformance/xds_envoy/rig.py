"""One real Envoy, one real xDS server with a scripted source, backends and a load: all on loopback, in one loop.

Nothing waits for time: tests wait for events of the server's sessions, or for a state that Envoy's admin page shows.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.agent.bootstrap import REGEX_PROGRAM_MAX
from argosy.citadel.authority import Authority, create_root
from argosy.core.spiffe import SpiffeID
from argosy.edge.citadel_client import authority_issuer
from argosy.edge.clock import SystemClock
from argosy.edge.grpc_server import GRPCServer, start_server
from argosy.edge.tls import CertificateSource, Material, RequireIdentity, ServerTLS
from argosy.edge.xds_server import Push, Refusal, XdsServer
from argosy.envoy.api import envoy_binary
from argosy.pilot.xds_rules import ENVOY_RULES
from argosy.xds.messages import Resource, Snapshot, changes_between
from argosy.xds.server import Event, Rules, Settled

TRUST_DOMAIN = "td"
SERVER_NAME = "pilot.istio-system.svc"
API_TYPES = {"delta": "DELTA_GRPC", "sotw": "GRPC"}
PATIENCE_S = 90.0
"""When a condition that never comes becomes a failure; shorter than the 30 s in which Envoy tries to connect at last,
longer than any wait that is expected here."""


def new_authority() -> Authority:
    return create_root(TRUST_DOMAIN, ec.generate_private_key(ec.SECP256R1()), now=time.time(), serial=1)


class _Fixed:
    """An authority that stays."""

    def __init__(self, authority: Authority) -> None:
        self.authority, self.trust, self.changed = authority, authority.trust(), asyncio.Event()

    def report(self, reporter: str, holders: object) -> None:
        """Nobody reports here."""

    def leave(self, reporter: str) -> None:
        """Nobody reports here."""

    def suspect(self, caller: str) -> None:
        """Nobody asks but for itself."""


async def material_of(authority: Authority, account: str) -> CertificateSource:
    clock = SystemClock()
    source = CertificateSource(authority_issuer(_Fixed(authority), account, clock=clock), clock)
    await source.renew()
    return source


@dataclass
class Script:
    """The source: gives every client the newest world that the test has offered, and keeps what sessions report."""

    snapshot: Snapshot | None = None
    number: int = 0
    clients: list[_Client] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    refused: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def connect(self, identity: SpiffeID, node: bytes, push: Push) -> _Client:
        if self.snapshot is None:
            self.refused += 1
            self._notify()
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "configuration is still being read")
        client = _Client(self, push, self.snapshot)
        self.clients.append(client)
        self._notify()
        return client

    def offer(self, *resources: Resource) -> int:
        """Push a new world, made of exactly these; gives its number."""
        groups: dict[str, dict[str, Resource]] = {}
        for one in resources:
            assert one.name not in groups.setdefault(one.type_url, {}), one.ref
            groups[one.type_url][one.name] = one
        self.number += 1
        old, self.snapshot = self.snapshot, Snapshot(self.number, groups)
        for client in self.clients:
            assert old is not None
            client.push(self.snapshot, changes_between(old, self.snapshot))
        return self.number

    def note(self, event: Event) -> None:
        self.events.append(event)
        self._notify()

    def of(self, kind: type) -> list[Any]:
        """Events of one kind, oldest first."""
        return [event for event in self.events if isinstance(event, kind)]

    def _notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until a condition about the sessions holds."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    await self.changed.wait()
        except TimeoutError:
            raise AssertionError(f"never: {what}; events: {self.events[-8:]}") from None

    async def settled(self) -> None:
        """Wait until Envoy has acknowledged the whole newest world."""
        number = self.number
        await self.until(lambda: Settled(number) in self.events, f"settled {number}")

    def forget(self) -> None:
        """Look only at what comes from now on."""
        self.events.clear()


class _Client:
    """One stream, as the server sees it."""

    name = "envoy"

    def __init__(self, script: Script, push: Push, snapshot: Snapshot) -> None:
        self._script = script
        self.push = push
        self.snapshot = snapshot

    def on_event(self, event: Event) -> None:
        self._script.note(event)

    def close(self) -> None:
        self._script.clients.remove(self)


@dataclass
class Rig:
    """What a test talks to."""

    variant: str
    script: Script
    admin: httpx.AsyncClient
    authority: Authority
    server_side: CertificateSource
    port: int = 0
    xds: XdsServer | None = None
    rules: Rules = ENVOY_RULES
    _server: GRPCServer | None = None

    # -- the control plane's life

    async def start_server(self) -> XdsServer:
        """A new server, which knows nothing of earlier streams, on the port that Envoy knows."""
        self.xds = XdsServer(self.script, self.rules, trust_domain=TRUST_DOMAIN, clock=SystemClock())
        await self.serve(self.xds.handlers())
        return self.xds

    async def serve(self, handlers: list[grpc.GenericRpcHandler]) -> None:
        self._server = await start_server(
            handlers,
            address=f"127.0.0.1:{self.port}",
            credentials=ServerTLS(self.server_side).mutual(),
            interceptors=[RequireIdentity(TRUST_DOMAIN)],
        )
        self.port = self._server.port

    async def stop_server(self) -> None:
        """Cut all streams, as a crash does."""
        assert self._server is not None
        await self._server.stop(0)
        self._server = None

    async def restart_server(self) -> XdsServer:
        """Stop, forget what sessions reported, start anew and wait for Envoy."""
        await self.stop_server()
        await self.disconnected()
        self.script.forget()
        server = await self.start_server()
        await self.script.until(lambda: self.script.clients, "Envoy connected again")
        return server

    def session(self) -> dict[str, Any]:
        """The one live stream's account, as plain data."""
        assert self.xds is not None
        (stream,) = self.xds.dump()
        found: dict[str, Any] = stream["session"]
        return found

    async def close(self) -> None:
        await self.admin.aclose()
        if self._server is not None:
            await self._server.stop(0)

    # -- Envoy's own view

    async def stat(self, name: str) -> int:
        """A counter or gauge by its whole name; 0 if Envoy has none of that name."""
        return (await self.stats()).get(name, 0)

    async def stats(self) -> dict[str, int]:
        text = (await self.admin.get("/stats")).text
        pairs = (line.rpartition(": ") for line in text.splitlines())
        return {name: int(value) for name, _, value in pairs if value.isdigit()}

    async def dump(self, section: str) -> list[dict[str, Any]]:
        """One list of the configuration dump, such as `dynamic_active_clusters`."""
        answer = await self.admin.get("/config_dump", params={"resource": section, "include_eds": ""})
        found: list[dict[str, Any]] = json.loads(answer.text).get("configs", [])
        return found

    async def clusters(self, section: str = "dynamic_active_clusters") -> dict[str, dict[str, Any]]:
        return {one["cluster"]["name"]: one["cluster"] for one in await self.dump(section)}

    async def hosts(self, cluster: str) -> set[int]:
        """Ports of a cluster's endpoints."""
        answer = (await self.admin.get("/clusters?format=json")).json()
        return {
            host["address"]["socket_address"]["port_value"]
            for one in answer.get("cluster_statuses", [])
            if one["name"] == cluster
            for host in one.get("host_statuses", [])
        }

    async def listeners(self) -> dict[str, int]:
        """Ports of the active listeners by name."""
        answer = (await self.admin.get("/listeners?format=json")).json()
        return {
            one["name"]: one["local_address"]["socket_address"]["port_value"]
            for one in answer.get("listener_statuses", [])
        }

    async def disconnected(self) -> None:
        await self.until(lambda: self._is_connected(False), "Envoy noticed that the server is gone")

    async def _is_connected(self, wanted: bool) -> bool:
        return bool(await self.stat("control_plane.connected_state")) is wanted

    async def is_up(self) -> bool:
        try:
            return (await self.admin.get("/stats")).is_success
        except httpx.ConnectError:
            return False

    async def live(self) -> None:
        """Have Envoy finish its start with an empty world: from now on what is new warms by itself."""
        self.script.offer()
        await self.until_stat("listener_manager.workers_started", 1)

    async def until(self, condition: Callable[[], Awaitable[Any]], what: str) -> None:
        """Wait until Envoy's state shows something."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not await condition():  # noqa: ASYNC110 - the state is another process's
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"never: {what}") from None

    async def until_stat(self, name: str, value: int) -> None:
        await self.until(lambda: self._has(name, value), f"{name} is {value}")

    async def _has(self, name: str, value: int) -> bool:
        return await self.stat(name) == value

    async def is_listening(self, name: str) -> bool:
        """Tell whether a listener is active and bound; before Envoy is live, none is bound."""
        return name in await self.listeners() and bool(await self.stat("listener_manager.workers_started"))

    async def until_listening(self, name: str) -> int:
        """Wait until a listener accepts connections, and no version of any is warming; gives its port."""

        async def bound() -> bool:
            warm = not await self.stat("listener_manager.total_listeners_warming")
            return warm and await self.is_listening(name)

        await self.until(bound, f"listener {name}")
        return (await self.listeners())[name]


async def ask(port: int, tls: ssl.SSLContext | None = None) -> str:
    """One request on a connection of its own: the status and who answered, or what went wrong."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    except OSError as error:
        return type(error).__name__
    try:
        writer.write(b"GET / HTTP/1.1\r\nhost: mesh\r\nconnection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            answer = (await reader.read()).decode()
    except (OSError, TimeoutError) as error:
        return type(error).__name__
    finally:
        writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return f"{head.partition(' ')[2][:3]} {body}" if head else "closed without an answer"


@asynccontextmanager
async def load(port: int, rate: float) -> AsyncIterator[Counter[str]]:
    """Open-loop requests for as long as the block lasts; the ledger is whole after it. Errors count as answers."""
    answers: Counter[str] = Counter()
    tasks: set[asyncio.Task[None]] = set()

    async def one() -> None:
        answers[await ask(port)] += 1

    async def send() -> None:
        loop = asyncio.get_running_loop()
        start, sent = loop.time(), 0
        while True:
            while sent < (loop.time() - start) * rate:
                sent += 1
                tasks.add(asyncio.create_task(one()))
            await asyncio.sleep(1 / rate)

    sender = asyncio.create_task(send())
    try:
        yield answers
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        await asyncio.gather(*tasks)


class _Answering(asyncio.Protocol):
    """One connection to a backend: the backend's name for every request."""

    def __init__(self, name: str, open_ones: set[asyncio.BaseTransport]) -> None:
        self._answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(name), name.encode())
        self._open_ones = open_ones
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_ones.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_ones.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, self._received = self._received.partition(b"\r\n\r\n")
            # Not at once: requests must be under way while configuration changes.
            asyncio.get_running_loop().call_later(0.005, self._reply, b"connection: close" in head)

    def _reply(self, last: bool) -> None:
        self._transport.write(self._answer)
        if last:
            self._transport.close()


@asynccontextmanager
async def backend(name: str) -> AsyncIterator[int]:
    """A server that answers every request with its name; gives its port."""
    open_ones: set[asyncio.BaseTransport] = set()
    server = await asyncio.get_running_loop().create_server(lambda: _Answering(name, open_ones), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for transport in open_ones:
            transport.close()


@asynccontextmanager
async def running(variant: str, folder: Path, rules: Rules = ENVOY_RULES) -> AsyncIterator[Rig]:
    """Envoy against a server that has nothing to say yet; both end with the block."""
    authority = new_authority()
    rig = Rig(
        variant,
        Script(),
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(folder / "admin.sock")), base_url="http://envoy", timeout=60
        ),
        authority,
        await material_of(authority, "argosy"),
        rules=rules,
    )
    process = None
    try:
        await rig.start_server()
        process = _start_envoy(folder, rig, (await material_of(rig.authority, "galley")).material)
        await rig.until(rig.is_up, "Envoy's admin page")
        yield rig
        assert process.poll() is None, (folder / "envoy.log").read_text()
    finally:
        await rig.close()
        if process is not None:
            process.terminate()
            process.wait(30)


def _start_envoy(folder: Path, rig: Rig, certificate: Material) -> subprocess.Popen[bytes]:
    config = folder / "bootstrap.json"
    config.write_text(json.dumps(bootstrap(folder, rig.port, rig.variant, certificate)))
    command = [str(envoy_binary()), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    # A removed listener keeps its routes, and so their clusters, until it has drained.
    command += ["--drain-time-s", "1"]
    with (folder / "envoy.log").open("w") as log:
        return subprocess.Popen(command, stderr=log, stdout=log)


def bootstrap(folder: Path, port: int, variant: str, material: Material) -> dict[str, Any]:
    """As the agent's, but with its certificate inline and the admin page on a socket in `folder`."""
    ads = {
        "api_type": API_TYPES[variant],
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
    }
    source = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    return {
        "node": {"id": "sidecar~127.0.0.1~web.default~default.svc", "cluster": "web.default"},
        "admin": {"address": {"pipe": {"path": str(folder / "admin.sock")}}},
        "layered_runtime": {
            "layers": [{"name": "r", "static_layer": {"re2.max_program_size.error_level": REGEX_PROGRAM_MAX}}]
        },
        "dynamic_resources": {"ads_config": ads, "cds_config": source, "lds_config": source},
        "static_resources": {"clusters": [_xds_cluster(port, material)]},
    }


def _xds_cluster(port: int, material: Material) -> dict[str, Any]:
    matcher = {"san_type": "DNS", "matcher": {"exact": SERVER_NAME}}
    certificate = {
        "certificate_chain": {"inline_string": material.chain.decode()},
        "private_key": {"inline_string": material.key.decode()},
    }
    trusted = {"trusted_ca": {"inline_string": material.roots.decode()}, "match_typed_subject_alt_names": [matcher]}
    prefix = "type.googleapis.com/envoy.extensions"
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    host = {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
    return {
        "name": "xds",
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [host]}]},
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{prefix}.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": SERVER_NAME,
                "common_tls_context": {
                    "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
                    "alpn_protocols": ["h2"],
                    "tls_certificates": [certificate],
                    "validation_context": trusted,
                },
            },
        },
        "typed_extension_protocol_options": {
            options: {
                "@type": f"{prefix}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }


__all__ = ["Rig", "Script", "ask", "backend", "load", "running"]
