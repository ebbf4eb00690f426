"""The control plane's programs: Galley, Pilot, Citadel and Mixer in one process, or each as its own.

Same parts, other composition: in one process Galley hands changes over as objects; apart, Pilot and Mixer read them
from Galley over delta xDS. Every server takes mutual TLS (Citadel: TLS and a token); each program answers `/healthz`,
`/readyz`, `/metrics` and its part of the control API on a socket that only its user can open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import msgspec

from argosy.app import mixer as mixer_app
from argosy.app.configuration_view import ConfigurationView, ConsoleFindings
from argosy.app.console_server import is_gateway, serve_console
from argosy.app.control_settings import ALL, Settings
from argosy.app.flow_recorder import ask_revision
from argosy.app.galley import GalleyService, follow_source, galley_handlers
from argosy.app.kept import Keeper
from argosy.app.key_loader import KeyLoader
from argosy.app.mixer import Mixer
from argosy.app.module_loader import ModuleLoader
from argosy.app.pilot import Pilot, pilot_server
from argosy.app.platform_source import PlatformSource
from argosy.citadel.errors import CAFileError, Code
from argosy.citadel.identity import AuthenticatedIdentity
from argosy.citadel.policy import component_host
from argosy.citadel.tokens import CA_AUDIENCE, verify_token
from argosy.citadel.trust import TrustState
from argosy.core.errors import ArgosyError, Finding, Origin
from argosy.core.names import ROOT_NAMESPACE
from argosy.edge.ca_files import ROOT_FILE, STATE_FOLDER, CAFolders, load_or_create_ca, own_folder
from argosy.edge.ca_keeper import CAKeeper
from argosy.edge.citadel_client import authority_issuer, citadel_issuer
from argosy.edge.citadel_follower import CitadelAddress, CitadelFollower, holder_of
from argosy.edge.citadel_server import CitadelService
from argosy.edge.clock import SystemClock
from argosy.edge.config_client import watch_config
from argosy.edge.console_http import ConsolePorts
from argosy.edge.control_api import ControlPorts, control_app
from argosy.edge.control_graph import GraphPorts
from argosy.edge.counts_file import COUNTS_FILE
from argosy.edge.denials import CountDenials
from argosy.edge.flow_store import FLOWS_FILE, Bounds
from argosy.edge.grpc_server import GRPCServer, start_server
from argosy.edge.http_server import serve_http
from argosy.edge.kept_store import KEPT_FILE
from argosy.edge.memory import return_freed_memory
from argosy.edge.other_programs import other_programs
from argosy.edge.store_sqlite import DATABASE_FILE, SQLiteStore
from argosy.edge.tls import CertificateSource, ClientTLS, Issuer, RequireIdentity, ServerTLS, error_text
from argosy.edge.tokens import PUBLIC_FILE, TokenSubject, load_or_create_issuer, load_public_key, write_file
from argosy.edge.unix_socket import private_listener
from argosy.edge.xds_server import XdsServer
from argosy.galley.state import Analyzer, Galley
from argosy.local.node_spec import CAPTURED_CIDR
from argosy.mixer.analyze import ANALYZED_KINDS, analyze_rules
from argosy.mixer.exposition import expose_rows
from argosy.mixer.validate import validate_expressions
from argosy.pilot.mesh import KINDS as PILOT_KINDS
from argosy.pilot.mesh import MeshSettings

logger = logging.getLogger(__name__)

READ_KINDS: Mapping[str, tuple[str, ...]] = {"pilot": PILOT_KINDS, "mixer": mixer_app.KINDS}
"""What each reader of the configuration reads of it."""
CONSOLE_FD = "ARGOSY_CONSOLE_FD"


@dataclass(slots=True)
class Parts:
    """What this process has of the control plane."""

    citadel: CitadelService | None = None
    keeper: CAKeeper | None = None
    galley: GalleyService | None = None
    view: ConfigurationView | None = None
    pilot: Pilot | None = None
    xds: XdsServer | None = None
    mixer: Mixer | None = None
    platform: PlatformSource | None = None
    tasks: list[Coroutine[Any, Any, None]] = field(default_factory=list)


class ControlPlane:
    """One program: builds the parts that its settings name, serves them, and stops in order."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = Path(settings.home)
        self.clock = SystemClock()
        self.parts = Parts()
        self.certificates: CertificateSource
        self.denials = CountDenials()
        self._problem = "starting"
        self._unread: set[str] = set()

    async def serve(self) -> None:
        """Run until SIGTERM or SIGINT."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if "citadel" in self.settings.components:
            self.parts.keeper = self._keeper()
        self.certificates = CertificateSource(self._issuer(), self.clock)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._serve_control())]
            if self.parts.keeper is not None:
                tasks.append(group.create_task(self._serve_citadel(self.parts.keeper)))
            tasks.append(group.create_task(self._serve_mutual(group)))
            await stop.wait()
            for task in list(asyncio.all_tasks() - {asyncio.current_task()}):
                task.cancel()

    # -- certificates -------------------------------------------------------------------------------------------

    def _keeper(self) -> CAKeeper:
        now, settings = self.clock.now(), self.settings
        active = Path(settings.ca_dir) if settings.ca_dir else own_folder(self.home, settings.trust_domain)
        if not settings.ca_dir:
            load_or_create_ca(active, settings.trust_domain, now=now)
        keeper = CAKeeper(CAFolders(active, self.home / STATE_FOLDER, settings.trust_domain), self.clock)
        keeper.on_change(partial(self._on_authority, keeper))
        self._publish_roots(keeper)
        return keeper

    def _publish_roots(self, keeper: CAKeeper) -> None:
        """Public, and apart from the keys: what everybody who asks Citadel verifies it by."""
        path = self.home / "identity" / ROOT_FILE
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(path, "".join(keeper.trust.roots).encode(), mode=0o644)
        except OSError as error:
            message = f"the mesh's roots cannot be written: {error.strerror}"
            raise CAFileError.of(Code.CA_FILE_MISSING, message, origin=Origin(str(path))) from error

    def _on_authority(self, keeper: CAKeeper) -> None:
        self._publish_roots(keeper)
        self.certificates.follow(keeper.trust)
        self._on_trust(keeper.trust)

    def _on_trust(self, trust: TrustState) -> None:
        """Pilot lets proxies accept workloads of the trust domains that Citadel gave them the roots of."""
        if self.parts.pilot is not None:
            self.parts.pilot.set_federated(tuple(one.trust_domain for one in trust.federated))

    def _roots(self) -> bytes:
        return (self.home / "identity" / ROOT_FILE).read_bytes()

    def _issuer(self) -> Issuer:
        settings, keeper = self.settings, self.parts.keeper
        if keeper is not None:
            return authority_issuer(keeper, settings.name, clock=self.clock, ttl_s=settings.certificate_ttl_s)
        address = self._citadel_address()
        return citadel_issuer(
            address.target,
            server_name=address.server_name,
            roots=address.roots,
            token=address.token,
            clock=self.clock,
            ttl_s=settings.certificate_ttl_s,
        )

    def _citadel_address(self) -> CitadelAddress:
        """Citadel in another program, and what proves this one."""
        tokens = load_or_create_issuer(self.home / "identity")
        subject = TokenSubject(ROOT_NAMESPACE, self.settings.name)
        return CitadelAddress(
            self.settings.citadel,
            server_name=component_host("citadel"),
            roots=self._roots,
            token=lambda: tokens.mint(subject, now=self.clock.now()),
        )

    async def _follow_citadel(self) -> None:
        """Keep this program's own certificate in step, and say what it has."""
        name, keeper = self.settings.name, self.parts.keeper
        if keeper is not None:
            self._on_trust(keeper.trust)
            async for material in self.certificates.watch():
                keeper.report(name, (holder_of(name, material),))
            return
        follower = CitadelFollower(self._citadel_address())
        follower.on_trust(self._on_trust)
        async with asyncio.TaskGroup() as group:
            group.create_task(follower.run())
            group.create_task(follower.use(name, self.certificates))

    async def _first_certificate(self) -> None:
        while True:
            try:
                await self.certificates.renew()
                return
            except (ArgosyError, grpc.RpcError, OSError) as error:
                self._problem = f"no certificate yet: {error_text(error)}"
                await asyncio.sleep(0.2)

    # -- servers ------------------------------------------------------------------------------------------------

    async def _serve_citadel(self, keeper: CAKeeper) -> None:
        load_or_create_issuer(self.home / "identity")
        key = load_public_key(self.home / "identity" / PUBLIC_FILE)

        async def verify(token: str, now: float) -> AuthenticatedIdentity:
            return verify_token(token, [key], audience=CA_AUDIENCE, now=now)

        self.parts.citadel = CitadelService(keeper, verify, self.clock)
        async with asyncio.TaskGroup() as group:
            # From the beginning: an authority that has just ended gives no certificate until its files are renewed.
            group.create_task(keeper.run())
            await self._first_certificate()
            server = await start_server(
                [self.parts.citadel.handler()],
                address=self.settings.citadel_listen,
                credentials=ServerTLS(self.certificates).token(),
            )
            async with _running(server):
                await asyncio.Event().wait()

    async def _serve_mutual(self, group: asyncio.TaskGroup) -> None:
        await self._first_certificate()
        group.create_task(self.certificates.run())
        handlers = self._build()
        group.create_task(self._follow_citadel())
        for task in self.parts.tasks:
            group.create_task(task)
        self._problem = ""
        if not handlers:
            await asyncio.Event().wait()
        server = await start_server(
            handlers,
            address=self.settings.listen,
            credentials=ServerTLS(self.certificates).mutual(),
            interceptors=[
                self.denials,
                RequireIdentity(self.settings.trust_domain, lambda: self.certificates.material.trust.crls),
            ],
        )
        async with _running(server):
            await asyncio.Event().wait()

    def _build(self) -> list[grpc.GenericRpcHandler]:
        handlers: list[grpc.GenericRpcHandler] = []
        wanted = self.settings.components
        if "galley" in wanted:
            handlers += self._build_galley()
        if "pilot" in wanted:
            handlers += self._build_pilot()
        if "mixer" in wanted:
            handlers += self._build_mixer()
        self._connect()
        return handlers

    def _build_galley(self) -> list[grpc.GenericRpcHandler]:
        store = SQLiteStore(self.home / DATABASE_FILE)
        service = self.parts.galley = GalleyService(
            Galley(store, validators=[validate_expressions], analyzers=[Analyzer(ANALYZED_KINDS, analyze_rules)]),
            self.clock,
            expected={name: kinds for name, kinds in READ_KINDS.items() if name not in self.settings.components},
        )
        self.parts.view = ConfigurationView(service.galley)
        self._unread = set(self.settings.sources)
        for source in self.settings.sources:
            read = partial(self._unread.discard, source)
            self.parts.tasks.append(follow_source(service, Path(source), read))
        return galley_handlers(service, trust_domain=self.settings.trust_domain, clock=self.clock)

    def _build_pilot(self) -> list[grpc.GenericRpcHandler]:
        settings = self.settings
        mesh = MeshSettings(
            trust_domain=settings.trust_domain,
            socket_mark=settings.socket_mark,
            access_log=settings.access_log,
            captured_network=CAPTURED_CIDR if settings.platform == "local" else "",
        )
        keys, modules = KeyLoader(self.home, self.clock), ModuleLoader(self.clock)
        concerns, reports = mixer_app.Concerns(), mixer_app.Reports()
        pilot = self.parts.pilot = Pilot(mesh, concerns, self.clock, keys, reporting=reports, modules=modules)
        keeper = Keeper(pilot, self.home / KEPT_FILE, self.clock)
        self.parts.tasks += [pilot.run(), keys.run(), modules.run(), keeper.run()]
        self.parts.xds = pilot_server(pilot, trust_domain=settings.trust_domain, clock=self.clock)
        return self.parts.xds.handlers()

    def _build_mixer(self) -> list[grpc.GenericRpcHandler]:
        settings = self.settings
        mixer = self.parts.mixer = Mixer(trust_domain=settings.trust_domain, clock=self.clock, home=self.home)
        self.parts.tasks += [mixer.reports.run(), mixer.keep_totals(self.home / "run" / COUNTS_FILE).run()]
        if settings.history_days > 0 and settings.history_mb > 0:
            bounds = Bounds(days=settings.history_days, bytes=int(settings.history_mb * (1 << 20)))
            self.parts.tasks.append(mixer.record(self.home / FLOWS_FILE, bounds, self._revision).run())
        return mixer.handlers()

    async def _revision(self) -> int | None:
        """The revision of the configuration in force, by this process's Galley or the one that runs apart."""
        if self.parts.galley is not None:
            return self.parts.galley.galley.revision
        return await ask_revision(self.home)

    def _connect(self) -> None:
        """Let Pilot and Mixer hear of changes: from Galley in this process, or over xDS."""
        readers: tuple[tuple[str, Pilot | Mixer | None], ...] = (
            ("pilot", self.parts.pilot),
            ("mixer", self.parts.mixer),
        )
        for name, reader in readers:
            if reader is None:
                continue
            if self.parts.galley is not None:
                self.parts.galley.listen(partial(reader.on_changes, synced=True))
            else:
                self.parts.tasks.append(self._follow_galley(reader, READ_KINDS[name]))
        if self.parts.galley is not None and self.settings.platform == "local":
            # Last of the listeners: it answers changes with changes of its own.
            console = self.settings.console_listen if self.settings.console_hosts else ""
            self.parts.platform = PlatformSource(self.parts.galley, console)
            self.parts.galley.listen(self.parts.platform.on_changes)

    async def _follow_galley(self, reader: Pilot | Mixer, kinds: tuple[str, ...]) -> None:
        tls = ClientTLS(self.certificates)
        channel = lambda: tls.channel(self.settings.galley, component_host("galley"))  # noqa: E731
        async for batch in watch_config(channel, kinds):
            reader.on_changes(batch.changes, synced=batch.synced)

    # -- HTTP ---------------------------------------------------------------------------------------------------

    def ready(self) -> str:
        """Empty when this program can do its work, else why not."""
        if self._problem:
            return self._problem
        if not self.certificates.ready:
            return "the certificate has expired"
        for name, part in (("pilot", self.parts.pilot), ("mixer", self.parts.mixer)):
            if part is not None and not part.synced:
                return f"{name} is still reading the configuration"
        if self._unread:
            return f"{', '.join(sorted(self._unread))} is still being read"
        return ""

    def metrics(self) -> Iterable[bytes]:
        """The text of `/metrics` of this program, in pieces."""
        denied = float(self.denials.counts.total())
        own = [
            ("argosy_ready", "gauge", "1 if this program can do its work.", float(not self.ready())),
            ("argosy_denied_calls_total", "counter", "Calls refused because of who called.", denied),
        ]
        if self.parts.pilot is not None and self.parts.xds is not None:
            own += self.parts.pilot.metrics(self.parts.xds.stats)
        if self.parts.keeper is not None and self.parts.citadel is not None:
            own += [*self.parts.citadel.metrics(), *self.parts.keeper.metrics()]
        if self.parts.mixer is not None:
            return self.parts.mixer.metrics(own)
        return [expose_rows(own)]

    def _status(self) -> dict[str, Any]:
        return {
            "name": self.settings.name,
            "pid": os.getpid(),
            "ready": self.ready() or "ok",
            "certificate": self.certificates.dump(),
            "revision": self.parts.galley.galley.revision if self.parts.galley else None,
            "wished_pods": self.parts.galley.wished_pods() if self.parts.galley else None,
            "gateway_ports": self.parts.platform.ports if self.parts.platform else [],
            "proxies": len(self.parts.pilot.clients) if self.parts.pilot else None,
        }

    async def _serve_control(self) -> None:
        """The control API on a unix socket, and the console on the socket that the supervisor opened, if any."""
        name = "control" if "galley" in self.settings.components else self.settings.name
        path = self.home / "run" / f"{name}.sock"
        path.parent.mkdir(parents=True, exist_ok=True)
        servers = [serve_http(control_app(self._control_ports()), private_listener(path))]
        descriptor = os.environ.get(CONSOLE_FD)
        if descriptor and "mixer" in self.settings.components:
            ports = ConsolePorts(
                graph=self._graph,
                metrics=self.metrics,
                ready=self.ready,
                past=lambda query: self._mixer().past(query),
                diff=lambda query: self._mixer().diff(query),
                configuration=self._console_findings().read,
                programs=partial(other_programs, self.home, self.settings.components),
                name=self.settings.name,
                on_spans=lambda spans: self._mixer().traces.add(spans),
            )
            servers += serve_console(ports, self.settings, int(descriptor), self._is_gateway)
        await asyncio.gather(*servers)

    def _graph(self, query: Any) -> Any:
        return self.parts.mixer.graph(query) if self.parts.mixer is not None else {}

    def _is_gateway(self, address: str) -> bool:
        return is_gateway(self.parts.mixer, address)

    def _console_findings(self) -> ConsoleFindings:
        return ConsoleFindings(
            self.home,
            self.clock,
            view=lambda: self.parts.view,
            findings=self._own_findings,
            others=[name for name in ALL if name not in self.settings.components],
        )

    def _own_findings(self) -> list[Finding]:
        """What Pilot and Mixer find, as far as they are in this process."""
        found = self.parts.pilot.findings() if self.parts.pilot is not None else []
        return found + (self.parts.mixer.findings() if self.parts.mixer is not None else [])

    async def _configuration(self) -> dict[str, Any]:
        if self.parts.view is None:
            raise ArgosyError.of("ARG0702", "Galley is not ready", hint=self.ready())
        return (await self.parts.view.read()).dump()

    def _mixer(self) -> Mixer:
        if self.parts.mixer is None:
            raise ArgosyError.of("ARG0702", "Mixer is not ready", hint=self.ready())
        return self.parts.mixer

    def _plaintext(self) -> dict[str, Any]:
        return self.parts.mixer.plaintext() if self.parts.mixer is not None else {"observed_s": 0.0, "callers": []}

    def _control_ports(self) -> ControlPorts:
        graph = GraphPorts(
            self._graph,
            lambda query: self._mixer().past(query),
            lambda query: self._mixer().diff(query),
            lambda window_s: self._mixer().served(window_s),
        )
        return ControlPorts(
            galley=lambda: self.parts.galley,
            pilot=lambda: self.parts.pilot,
            metrics=self.metrics,
            graph=graph if "mixer" in self.settings.components else None,
            traces=(lambda: self._mixer().traces) if "mixer" in self.settings.components else None,
            proxy_metrics=(lambda node: self._mixer().proxy_metrics(node))
            if "mixer" in self.settings.components
            else None,
            plaintext=self._plaintext if "mixer" in self.settings.components else None,
            seen=lambda: self.parts.mixer.findings() if self.parts.mixer is not None else (),
            tap=(lambda query: self._mixer().taps.stream(query)) if "mixer" in self.settings.components else None,
            configuration=self._configuration if "galley" in self.settings.components else None,
            ready=self.ready,
            status=self._status,
            streams=lambda: self.parts.xds.dump() if self.parts.xds is not None else [],
            ca=lambda: self.parts.keeper,
            readers=self._wait_read if "galley" in self.settings.components else None,
        )

    async def _wait_read(self, deadline_s: float) -> list[str]:
        return await self.parts.galley.wait_read(deadline_s) if self.parts.galley is not None else []


@contextlib.asynccontextmanager
async def _running(server: GRPCServer) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await server.stop(grace_s=0.5)


def main(arguments: list[str]) -> int:
    """Run one program: `[settings.json]`. Gives the exit code."""
    settings = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=Settings)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format=f"%(asctime)s {settings.name} %(levelname)s %(name)s: %(message)s"
    )
    # What programs ask each other is nobody's news.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return_freed_memory()
    try:
        asyncio.run(ControlPlane(settings).serve())
    except ArgosyError as error:
        print(error, file=sys.stderr)
        return 1
    except BaseExceptionGroup as group:
        known, rest = group.split(ArgosyError)
        if rest is not None:
            raise rest from None
        print(known, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
