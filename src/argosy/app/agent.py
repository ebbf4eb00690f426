"""The agent as a program: `python -m argosy.app.agent SETTINGS`, run in the node by its process 1.

It ties `app.pods` to the world: configuration and pod reports over Galley's xDS, certificates from Citadel by the local
platform's tokens, the resolver, the service rules, and the socket for the command line. On SIGTERM it ends all pods;
if it is killed they run on, and the next agent adopts them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import msgspec

from argosy.agent.bootstrap import Upstreams
from argosy.agent.lifecycle import Timing
from argosy.agent.pod import PodPlan
from argosy.agent.privileges import Privileges
from argosy.agent.sandbox import NodePaths, Sandboxes
from argosy.app.pods import KINDS, Change, Pods, PodsPorts
from argosy.app.workloads import KINDS as WORKLOAD_KINDS
from argosy.app.workloads import Workloads, WorkloadsPorts
from argosy.citadel.authority import LEAF_TTL_S
from argosy.core.clock import Clock
from argosy.core.errors import ArgosyError
from argosy.core.names import ROOT_NAMESPACE
from argosy.edge import processes
from argosy.edge.async_control import control_client
from argosy.edge.citadel_client import citadel_issuer
from argosy.edge.citadel_follower import CitadelAddress, CitadelFollower
from argosy.edge.clock import SystemClock
from argosy.edge.config_client import watch_config
from argosy.edge.dns_server import DNSServer, Names
from argosy.edge.exec_api import AgentAPI
from argosy.edge.health_probes import ask_workload
from argosy.edge.kept_store import KEPT_FILE
from argosy.edge.kube_proxy import ServiceRules
from argosy.edge.netlink import NodeNetwork
from argosy.edge.netns import network_of, processes_by_network
from argosy.edge.pod_metrics import PodMetrics, ask_mixer, tell_metrics
from argosy.edge.pod_runner import NodeTools
from argosy.edge.pod_state import Processes, read_state_files
from argosy.edge.standby import Standby, StandbyPort
from argosy.edge.tls import CertificateSource, ClientTLS, Issuer
from argosy.edge.tokens import TokenSubject, load_or_create_issuer
from argosy.local.desired import AddressPool, safe_name
from argosy.local.images import parse_catalogue
from argosy.local.names_table import NamesTable
from argosy.local.node_spec import NODE_ADDRESS, POD_CIDR
from argosy.local.plans import Planner

_log = logging.getLogger("argosy.agent")
SERVICE_ACCOUNT = "agent"
REPORT_PODS = "/argosy.galley.v1.Galley/ReportPods"
REPORT_HEALTH = "/argosy.galley.v1.Galley/ReportHealth"
RETRY_S = 0.3
CALL_TIMEOUT_S = 10.0
SETTLED_S = 10.0


class AgentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that the agent is told. Addresses are `host:port` as seen in the node.

    `roots`: file with the mesh's root certificates; read for each request, since it may be replaced. `catalogue`: the
    user's image catalogue, or empty.
    """

    home: str
    roots: str
    node: str = "local"
    node_address: str = NODE_ADDRESS
    pod_cidr: str = POD_CIDR
    rootless: bool = False
    galley: str = f"{NODE_ADDRESS}:15012"
    citadel: str = f"{NODE_ADDRESS}:15013"
    pilot: tuple[str, int] = (NODE_ADDRESS, 15012)
    mixer: tuple[str, int] = (NODE_ADDRESS, 15012)
    catalogue: str = ""
    flush_s: float = 1.0
    drain_s: float = 2.0
    sandboxes_at_once: int = 4
    dns_port: int = 53
    proxy_dns_port: int = 15053
    """Where proxies ask: what an entry declares is an address in the mesh to applications, but not to them."""
    certificate_ttl_s: float = LEAF_TTL_S


@dataclass(frozen=True, slots=True)
class AgentPorts:
    """The agent's connections; tests give their own. `changes` yields (changes, synced); `settled` is `PodsPorts`'."""

    changes: Callable[[], AsyncIterator[tuple[list[Change], bool]]]
    report: Callable[[list[dict[str, Any]]], Awaitable[None]]
    report_health: Callable[[list[dict[str, Any]]], Awaitable[None]]
    issuer_of: Callable[[PodPlan], Issuer]
    settled: Callable[[], Awaitable[None]]
    follower: CitadelFollower
    standby: StandbyPort


async def serve_agent(settings: AgentSettings, ports: AgentPorts, clock: Clock) -> None:
    """Run all pods until SIGTERM, then end them."""
    found = read_state_files(_paths(settings).pods)
    living = [running for running in found if running.holder and processes.alive(running.holder)]
    remove_leftovers(settings, living)
    nothing = NamesTable().lookup
    names, rules = DNSServer(Names(nothing, nothing)), ServiceRules()
    pods = make_pods(settings, ports, clock, names, rules)
    workloads = Workloads(WorkloadsPorts(ask_workload, ports.report_health))
    resolvers = [
        await names.serve(settings.node_address, settings.dns_port),
        await names.serve(settings.node_address, settings.proxy_dns_port, proxies=True),
    ]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pods.adopt(living)
    socket_path = Path(settings.home) / "run" / "agent.sock"
    socket_path.parent.mkdir(mode=0o700, exist_ok=True)
    async with asyncio.TaskGroup() as group:
        work = [
            group.create_task(pods.run()),
            group.create_task(AgentAPI(pods).serve(socket_path)),
            group.create_task(workloads.run()),
            group.create_task(_follow(ports, pods, workloads)),
        ]
        await stop.wait()
        await pods.stop()
        for task in work:
            task.cancel()
    for resolver in resolvers:
        await resolver.close()


async def _follow(ports: AgentPorts, pods: Pods, workloads: Workloads) -> None:
    async for changes, synced in ports.changes():
        pods.apply([one for one in changes if one.kind in KINDS], synced=synced)
        theirs = [(one.kind, one.key, one.object) for one in changes if one.kind in WORKLOAD_KINDS]
        workloads.apply(theirs, synced=synced)


def make_pods(settings: AgentSettings, ports: AgentPorts, clock: Clock, names: DNSServer, rules: ServiceRules) -> Pods:
    """The pods' manager with the node's real tools."""
    catalogue = parse_catalogue(Path(settings.catalogue).read_text(), settings.catalogue) if settings.catalogue else ()
    privileges = Privileges(settings.rootless)
    series = partial(ask_mixer, Path(settings.home))

    async def metrics(plan: PodPlan, folder: Path) -> None:
        await tell_metrics(PodMetrics(plan, folder, series, pods.targets), privileges.envoy_uid)

    tools = NodeTools(
        sandboxes=Sandboxes(_paths(settings), privileges, settings.node_address),
        network=NodeNetwork(settings.node_address),
        issuer_of=ports.issuer_of,
        trust=ports.follower,
        standby=ports.standby,
        clock=clock,
        upstreams=Upstreams(
            settings.pilot, settings.mixer, (settings.node_address, settings.proxy_dns_port), settings.flush_s
        ),
        base_env=_base_env(),
        slots=asyncio.Semaphore(settings.sandboxes_at_once),
        metrics=metrics,
    )
    pool = AddressPool(settings.pod_cidr, reserved=[settings.node_address])
    pods_ports = PodsPorts(ports.report, lambda: safe_name(secrets.token_bytes(5), 5), names, rules, ports.settled)
    pods = Pods(tools, Planner(settings.node, catalogue), pool, pods_ports, Timing(drain_s=settings.drain_s))
    return pods


def _paths(settings: AgentSettings) -> NodePaths:
    base = Path("/run/argosy")
    kept = msgspec.json.decode((base / "keep.json").read_bytes(), type=tuple[str, ...])
    keep = tuple((path, str(base / "keep" / str(n))) for n, path in enumerate(kept))
    return NodePaths(home=settings.home, envoy=str(base / "envoy"), keep=keep)


def _base_env() -> Mapping[str, str]:
    """What every process of a pod gets: nothing of the agent's own environment but where programs are."""
    env = {"PATH": processes.tool_path(), "LANG": "C.UTF-8"}
    if path := os.environ.get("PYTHONPATH"):
        env["PYTHONPATH"] = path
    return env


def remove_leftovers(settings: AgentSettings, living: list[Processes]) -> None:
    """Remove what an earlier agent left half made: processes in networks of no known pod, links, directories."""
    ours = {network_of(os.getpid())} | {network_of(r.holder.pid) for r in living if r.holder}
    for network, pids in processes_by_network().items():
        if network not in ours:
            for pid in pids:
                _log.warning("process %d is in the network of no pod: killed", pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    wanted = {running.plan.ip for running in living}
    directory = Path(_paths(settings).pods)
    for entry in directory.iterdir() if directory.exists() else ():
        if entry.name not in wanted:
            shutil.rmtree(entry, ignore_errors=True)


def connect(settings: AgentSettings, clock: Clock) -> tuple[AgentPorts, CertificateSource]:
    """The real connections. The source is the agent's own certificate: `run` it."""
    identity = Path(settings.home) / "identity"
    tokens = load_or_create_issuer(identity)
    roots = Path(settings.roots)

    def issuer_for(subject: TokenSubject) -> Issuer:
        return citadel_issuer(
            settings.citadel,
            server_name=f"citadel.{ROOT_NAMESPACE}.svc",
            roots=roots.read_bytes,
            token=lambda: tokens.mint(subject, now=clock.now()),
            clock=clock,
            ttl_s=settings.certificate_ttl_s,
        )

    source = CertificateSource(issuer_for(TokenSubject(ROOT_NAMESPACE, SERVICE_ACCOUNT, node=settings.node)), clock)
    tls, server_name = ClientTLS(source), f"galley.{ROOT_NAMESPACE}.svc"

    def channel() -> Any:
        return tls.channel(settings.galley, server_name)

    async def changes() -> AsyncIterator[tuple[list[Change], bool]]:
        async for batch in watch_config(channel, (*KINDS, *WORKLOAD_KINDS)):
            yield [Change(*change) for change in batch.changes], batch.synced

    async def report(method: str, what: str, documents: list[dict[str, Any]]) -> None:
        body = msgspec.json.encode({"node": settings.node, what: documents})
        try:
            async with channel() as opened:
                await opened.unary_unary(method)(body, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise OSError(f"galley: {error.code().name}: {error.details()}") from error

    def issuer_of(plan: PodPlan) -> Issuer:
        subject = TokenSubject(plan.namespace, plan.service_account, plan.name, plan.workload, settings.node)
        return issuer_for(subject)

    subject = TokenSubject(ROOT_NAMESPACE, SERVICE_ACCOUNT, node=settings.node)
    follower = CitadelFollower(
        CitadelAddress(
            settings.citadel,
            server_name=f"citadel.{ROOT_NAMESPACE}.svc",
            roots=roots.read_bytes,
            token=lambda: tokens.mint(subject, now=clock.now()),
        )
    )
    report_pods, report_health = partial(report, REPORT_PODS, "pods"), partial(report, REPORT_HEALTH, "workloads")
    home = Path(settings.home)
    settled = partial(_proxies_settled, home)
    standby = Standby(home / KEPT_FILE, settings.pilot, source, clock)
    return AgentPorts(changes, report_pods, report_health, issuer_of, settled, follower, standby), source


async def _proxies_settled(home: Path) -> None:
    """Ask by the mesh's own sockets until Pilot has read what was reported, and all proxies run what it knows."""
    apart = (home / "run" / "pilot.sock").exists()
    for program in ("control", "pilot") if apart else ("control",):
        try:
            async with control_client(home, program) as client:
                answer = await client.post("/v1/wait", content=msgspec.json.encode({"wait_s": SETTLED_S}))
        except httpx.HTTPError as error:
            raise OSError(f"{program}: {error!r}") from error
        # Whether Mixer has read it concerns no request.
        if answer.status_code != 200 or "pilot" in answer.json()["unread"] or answer.json()["laggards"]:
            raise OSError(f"{program}: {answer.text[:200]}")


async def run_agent(settings: AgentSettings) -> None:
    """Get the agent's own certificate (as soon as Citadel answers), then serve."""
    clock = SystemClock()
    ports, source = connect(settings, clock)
    while not source.ready:
        try:
            await source.renew()
        except (OSError, grpc.aio.AioRpcError, ArgosyError) as error:
            _log.info("waiting for citadel: %s", error.details() if isinstance(error, grpc.aio.AioRpcError) else error)
            await asyncio.sleep(RETRY_S)
    async with asyncio.TaskGroup() as group:
        work = [
            group.create_task(one)
            for one in (source.run(), ports.follower.run(), ports.follower.use(f"agent {settings.node}", source))
        ]
        await serve_agent(settings, ports, clock)
        for task in work:
            task.cancel()


def main() -> int:
    """Read the settings and run."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=AgentSettings)
    asyncio.run(run_agent(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
