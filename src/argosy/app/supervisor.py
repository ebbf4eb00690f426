"""The supervisor: makes a node, keeps it, opens host ports for its gateways, and takes it down again.

It stays in the host's namespaces and does little, so that it hardly can fail: everything else is inside the node, which
the kernel removes as a whole when it ends. Host sockets are made here and handed in.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec

from argosy.app.agent import AgentSettings
from argosy.app.control_plane import CONSOLE_FD
from argosy.app.control_settings import ALL, HISTORY_DAYS, HISTORY_MB, Settings
from argosy.app.relay import RelaySettings
from argosy.app.trust_domain import choose_trust_domain
from argosy.core.errors import ArgosyError, errors_in
from argosy.core.names import DEFAULT_TRUST_DOMAIN
from argosy.edge.async_control import control_client
from argosy.edge.ca_files import ROOT_FILE, STATE_FOLDER, CAFolders, load_ca, own_folder
from argosy.edge.counts_file import COUNTS_FILE
from argosy.edge.kept_store import KEPT_FILE, forget_kept
from argosy.edge.log_files import keep_short
from argosy.edge.platform_check import check_platform
from argosy.edge.processes import NodeProcess, spawn_node
from argosy.edge.relay import PortSpec, hand_over_port
from argosy.edge.store_sqlite import DATABASE_FILE, SQLiteStore
from argosy.edge.tokens import load_or_create_issuer
from argosy.envoy.api import envoy_binary
from argosy.local.console_service import PORT as CONSOLE_PORT
from argosy.local.gateways import INGRESS
from argosy.local.node_spec import NODE_ADDRESS, ChildSpec, NodeSpec, kept_paths, node_argv

logger = logging.getLogger(__name__)

MUTUAL_PORTS = {"argosy": 15012, "pilot": 15012, "galley": 15014, "mixer": 15016, "citadel": 15018}
CITADEL_PORT = 15013
SOCKET_MARK = 1337
NODE_NAME = "local"
READY_S = 60.0
POLL_S = 0.25
GATEWAY_HOST_PORTS = (8080, 8443)
# Of a gateway's ports these have no host port of their own: the unprivileged twins stand for two, one is for probes.
GATEWAY_PORTS_INSIDE = frozenset({80, 443, 15021})
# A public port below 1024 leads to the same gateway as its unprivileged twin.
GATEWAY_TARGETS = {8080: 80, 8443: 443}


class UpOptions(msgspec.Struct, frozen=True):
    """What `argosy up` was told. `files` are applied once, directories among them are watched. Times in seconds."""

    home: str
    files: tuple[str, ...] = ()
    detach: bool = False
    envoy: str = ""
    console_port: int = CONSOLE_PORT
    gateway_ports: tuple[tuple[int, int], ...] = ()
    split: bool = False
    rootless: bool = False
    ca_dir: str = ""
    trust_domain: str = ""
    certificate_ttl_s: float = 86_400.0
    drain_s: float = 2.0
    history_days: float = HISTORY_DAYS
    history_mb: float = HISTORY_MB
    console_hosts: tuple[str, ...] = ()


class MeshFile(msgspec.Struct):
    """`run/mesh.json`: what is running and where it can be reached, for the command line."""

    pid: int
    console: str
    gateways: dict[int, str] = {}
    split: bool = False
    rootless: bool = False
    ca_dir: str = ""
    trust_domain: str = DEFAULT_TRUST_DOMAIN


Tell = Callable[[str], None]


def mesh_file(home: Path) -> Path:
    """Where `MeshFile` lies."""
    return home / "run" / "mesh.json"


def read_mesh(home: Path) -> MeshFile | None:
    """The running mesh of `home`, or None. A file that a killed supervisor left does not count."""
    try:
        found = msgspec.json.decode(mesh_file(home).read_bytes(), type=MeshFile)
    except (OSError, msgspec.DecodeError):
        return None
    return found if _is_locked(home) else None


@dataclass(slots=True)
class Supervisor:
    """One mesh, from start to end."""

    options: UpOptions
    tell: Tell
    sockets: dict[int, socket.socket] = field(default_factory=dict)
    relays: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By port the relay that it was handed over to."""
    mesh: MeshFile = field(default_factory=lambda: MeshFile(os.getpid(), ""))
    node: NodeProcess | None = None

    @property
    def home(self) -> Path:
        """The state folder."""
        return Path(self.options.home)

    async def run(self, on_ready: Callable[[Supervisor], Any] | None = None) -> int:
        """Start, call `on_ready` (if given, its result ends the mesh), wait for a signal, stop. Gives the exit code."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        with _locked(self.home):
            try:
                self._start()
                assert self.node is not None
                gone = asyncio.create_task(self.node.wait())
                work = asyncio.create_task(self._work(on_ready))
                stopping = asyncio.create_task(stop.wait())
                logs = asyncio.create_task(keep_short(self.home))
                await asyncio.wait({gone, work, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    raise ArgosyError.of(
                        "ARG0621", "the node has ended by itself", hint=f"see {self.home / 'logs' / 'node.log'}"
                    )
                code = work.result() if work.done() else 0
                work.cancel()
                logs.cancel()
                return int(code or 0)
            finally:
                await self._stop()

    # -- start --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        refused = errors_in(check_platform(rootless=self.options.rootless))
        if refused:
            raise ArgosyError(refused)
        for name in ("run", "logs", "settings"):
            (self.home / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for stale in (self.home / "run").glob("*.sock"):
            stale.unlink()
        # Counts of the mesh before this one.
        (self.home / "run" / COUNTS_FILE).unlink(missing_ok=True)
        # Before anybody needs it: programs that start together must not each make a key.
        load_or_create_issuer(self.home / "identity")
        forget_pods(self.home)
        forget_kept(self.home / KEPT_FILE)
        self._check_authority()
        console = _listen(self.options.console_port)
        self.mesh.console = f"http://127.0.0.1:{console.getsockname()[1]}/"
        self.mesh.split, self.mesh.rootless = self.options.split, self.options.rootless
        for port in GATEWAY_HOST_PORTS:
            self._open_gateway_port(port)
            self._note_gateway_port(port)
        spec = self._node_spec(console)
        log = os.open(self.home / "logs" / "node.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            program = (sys.executable, "-m", "argosy.app.node")
            argv = node_argv(program, rootless=self.options.rootless)
            inherit = [console.fileno(), *(one.fileno() for one in self.sockets.values())]
            self.node = spawn_node(argv, msgspec.json.encode(spec), inherit=inherit, log=log)
        finally:
            os.close(log)
            console.close()

    def _check_authority(self) -> None:
        """Refuse to start with an authority that cannot be used: said here, and not in a log. Raises `CAFileError`."""
        trust_domain = choose_trust_domain(self.options.trust_domain, self.options.files, self.home)
        own = own_folder(self.home, trust_domain)
        active = Path(self.options.ca_dir) if self.options.ca_dir else own
        if self.options.ca_dir or (own.exists() and any(own.iterdir())):
            load_ca(active, trust_domain, now=time.time())
        self.mesh.ca_dir, self.mesh.trust_domain = str(active.absolute()), trust_domain
        CAFolders(active, self.home / STATE_FOLDER, trust_domain).forget_ledger()

    def _open_gateway_port(self, port: int) -> socket.socket:
        if port not in self.sockets:
            self.sockets[port] = _listen(dict(self.options.gateway_ports).get(port, port))
        return self.sockets[port]

    def _note_gateway_port(self, port: int) -> None:
        host_port = self.sockets[port].getsockname()[1]
        self.mesh.gateways[port] = f"http{'s' if port == 8443 else ''}://127.0.0.1:{host_port}"
        self._write_mesh()

    def _write_mesh(self) -> None:
        path = mesh_file(self.home)
        aside = path.with_suffix(".new")
        aside.write_bytes(msgspec.json.encode(self.mesh))
        aside.replace(path)

    def _node_spec(self, console: socket.socket) -> NodeSpec:
        names = ALL if self.options.split else ("argosy",)
        children = [self._control_plane(name, console) for name in names]
        children += [self._agent(), self._relay()]
        binary = self.options.envoy or str(envoy_binary())
        # Directories only: files are read here, before they are applied, and Envoy is handed in by its descriptor.
        wanted = [str(self.home), sys.prefix, sys.base_prefix, *map(os.path.abspath, self.options.files), *sys.path]
        wanted += [self.mesh.ca_dir]
        return NodeSpec(
            home=str(self.home),
            envoy=binary,
            children=tuple(children),
            rootless=self.options.rootless,
            keep=kept_paths([path for path in wanted if os.path.isdir(path)]),
        )

    def _targets(self) -> dict[str, str]:
        split = self.options.split
        return {name: f"{NODE_ADDRESS}:{MUTUAL_PORTS[name if split else 'argosy']}" for name in ALL}

    def _control_plane(self, name: str, console: socket.socket) -> ChildSpec:
        sources = tuple(os.path.abspath(one) for one in self.options.files if os.path.isdir(one))
        settings = Settings(
            name=name,
            home=str(self.home),
            listen=f"{NODE_ADDRESS}:{MUTUAL_PORTS[name]}",
            citadel_listen=f"{NODE_ADDRESS}:{CITADEL_PORT}",
            galley=self._targets()["galley"],
            citadel=f"{NODE_ADDRESS}:{CITADEL_PORT}",
            ca_dir=os.path.abspath(self.options.ca_dir) if self.options.ca_dir else "",
            trust_domain=self.mesh.trust_domain,
            sources=sources,
            socket_mark=SOCKET_MARK if self.options.rootless else 0,
            certificate_ttl_s=self.options.certificate_ttl_s,
            platform="local",
            history_days=self.options.history_days,
            history_mb=self.options.history_mb,
            console_hosts=self.options.console_hosts,
            console_listen=f"{NODE_ADDRESS}:{CONSOLE_PORT}",
        )
        path = self._write_settings(name, settings)
        fds = {CONSOLE_FD: console.fileno()} if name in ("argosy", "mixer") else {}
        argv = (sys.executable, "-m", "argosy.app.control_plane", path)
        return ChildSpec(name=name, argv=argv, fds=fds, stop_rank=1, stop_grace_s=5.0)

    def _agent(self) -> ChildSpec:
        targets = self._targets()
        settings = AgentSettings(
            home=str(self.home),
            node=NODE_NAME,
            roots=str(self.home / "identity" / ROOT_FILE),
            galley=targets["galley"],
            pilot=_split(targets["pilot"]),
            mixer=_split(targets["mixer"]),
            citadel=f"{NODE_ADDRESS}:{CITADEL_PORT}",
            rootless=self.options.rootless,
            certificate_ttl_s=self.options.certificate_ttl_s,
            drain_s=self.options.drain_s,
        )
        argv = (sys.executable, "-m", "argosy.app.agent", self._write_settings("agent", settings))
        return ChildSpec(name="agent", argv=argv, stop_rank=0, stop_grace_s=20.0)

    def _relay(self) -> ChildSpec:
        names = {port: f"ARGOSY_GATEWAY_{port}" for port in self.sockets}
        settings = RelaySettings(
            ports={names[port]: _gateway_target(port) for port in self.sockets},
            control=str(self.home / "run" / "relay.sock"),
        )
        argv = (sys.executable, "-m", "argosy.app.relay", self._write_settings("relay", settings))
        fds = {names[port]: one.fileno() for port, one in self.sockets.items()}
        return ChildSpec(name="relay", argv=argv, fds=fds, stop_rank=1, stop_grace_s=2.0)

    def _write_settings(self, name: str, settings: Any) -> str:
        path = self.home / "settings" / f"{name}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(settings)))
        return str(path)

    # -- running ------------------------------------------------------------------------------------------------

    async def _work(self, on_ready: Callable[[Supervisor], Any] | None) -> int:
        async with control_client(self.home) as client:
            self.tell("starting the control plane")
            await _until_ready(client)
            follow = asyncio.create_task(self._follow_gateways(client))
            try:
                code = await on_ready(self) if on_ready is not None else None
                if code is not None:
                    return int(code)
                await asyncio.Event().wait()
                return 0
            finally:
                follow.cancel()

    async def _follow_gateways(self, client: httpx.AsyncClient) -> None:
        """Open a host port for every port that a Gateway asks for, as they come."""
        while True:
            # ValueError: half an answer, of a control plane that was killed meanwhile.
            with contextlib.suppress(httpx.HTTPError, OSError, ValueError):
                await self.open_gateway_ports(client)
            await asyncio.sleep(POLL_S)

    async def open_gateway_ports(self, client: httpx.AsyncClient) -> None:
        """Open a host port for every port that a Gateway asks for now and that has none.

        A relay that was started anew gets all of them again. Raises OSError where the relay does not take a port
        (yet), httpx.HTTPError where the control plane does not answer; the next call tries what is left again.
        """
        path = self.home / "run" / "relay.sock"
        status = (await client.get("/v1/status")).json()
        for port in status.get("gateway_ports", ()):
            if port in GATEWAY_PORTS_INSIDE or port in GATEWAY_HOST_PORTS:
                continue
            listener, found = self._open_gateway_port(port), path.stat()
            relay = (found.st_ino, found.st_ctime_ns)  # its socket is new whenever it is
            if self.relays.get(port) != relay:
                hand_over_port(str(path), listener, _gateway_target(port))
                self.relays[port] = relay
                self._note_gateway_port(port)

    async def _stop(self) -> None:
        if self.node is not None:
            self.tell("stopping: traffic is drained, then pods, then the control plane")
            self.node.close()
            try:
                async with asyncio.timeout(45):
                    await self.node.wait()
            except TimeoutError:
                self.node.kill()
                await self.node.wait()
        for one in self.sockets.values():
            one.close()
        _clear(self.home)


def forget_pods(home: Path) -> None:
    """Remove what the last node reported: its pods are gone with it, and nobody may wait for them or call them."""
    if (home / DATABASE_FILE).exists():
        store = SQLiteStore(home / DATABASE_FILE)
        try:
            store.save_reports(NODE_NAME, "Pod", [])
        finally:
            store.close()


def _clear(home: Path) -> None:
    """Remove what stands for a running mesh; for the holder of the lock."""
    mesh_file(home).unlink(missing_ok=True)
    for stale in (home / "run").glob("*.sock"):
        stale.unlink()
    shutil.rmtree(home / "settings", ignore_errors=True)


async def _until_ready(client: httpx.AsyncClient) -> None:
    try:
        async with asyncio.timeout(READY_S):
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get("/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise ArgosyError.of(
            "ARG0622", f"the control plane is not ready after {READY_S:.0f} s", hint="see the files in logs/"
        ) from None


def _split(target: str) -> tuple[str, int]:
    host, _colon, port = target.rpartition(":")
    return host, int(port)


def _gateway_target(port: int) -> PortSpec:
    return PortSpec(target=f"{INGRESS.address}:{GATEWAY_TARGETS.get(port, port)}", name=str(port))


def _listen(port: int) -> socket.socket:
    """A listening socket on the loopback; another port if that one is taken."""
    for candidate in (port, 0):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind(("127.0.0.1", candidate))
            made.listen(512)
        except OSError:
            made.close()
            if candidate == 0:
                raise
        else:
            return made
    raise AssertionError("port 0 is bound or raises")


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One mesh for each home; the lock goes with the process, however it ends."""
    (home / "run").mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(home / "run" / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            hint = "`argosy down` stops it; another one needs another ARGOSY_HOME"
            raise ArgosyError.of("ARG0623", f"a mesh is running already in {home}", hint=hint) from None
        yield
    finally:
        os.close(descriptor)


def _is_locked(home: Path) -> bool:
    try:
        with _locked(home):
            return False
    except ArgosyError:
        return True


def down(home: Path, tell: Tell = print, *, wait_s: float = 60.0) -> int:
    """Stop the mesh of `home`, if one is running. A mesh whose supervisor was killed is gone already."""
    found = read_mesh(home)
    if found is None:
        if (home / "run").is_dir():
            with contextlib.suppress(ArgosyError), _locked(home):
                _clear(home)
        tell("no mesh is running")
        return 0
    descriptor = os.pidfd_open(found.pid)
    os.kill(found.pid, signal.SIGTERM)
    tell("stopping: requests under way end first, then pods, then the control plane")
    try:
        ended, _writable, _broken = select.select([descriptor], [], [], wait_s)
    finally:
        os.close(descriptor)
    if not ended:
        raise ArgosyError.of("ARG0624", f"the mesh (process {found.pid}) does not stop", hint="look at its logs")
    tell("stopped")
    return 0


def detach(options: UpOptions, tell: Tell) -> int:
    """Start the supervisor in the background, and return when it is ready or has failed."""
    home = Path(options.home)
    (home / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
    log = home / "logs" / "supervisor.log"
    # Behind what is there: it may be of a mesh that runs, and then this one will not.
    with log.open("ab") as file:
        begin = file.tell()
        process = subprocess.Popen(
            [sys.executable, "-m", "argosy.app.up", msgspec.json.encode(options).decode()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
        )
    assert process.stdout is not None
    for line in process.stdout:
        text = line.decode().rstrip()
        if text == READY_LINE:
            return 0
        tell(text)
    code = process.wait()
    sys.stderr.write(log.read_bytes()[begin:].decode(errors="replace"))
    return code or 1


READY_LINE = "ready"
