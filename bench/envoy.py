"""A real Envoy that our control plane feeds over mutual TLS, without a mesh around it.

Given objects and one pod of theirs; runs Pilot in this process on a unix socket, and the pod's Envoy in network and
mount namespaces of its own, with the bootstrap that a pod's has. Root is needed, as for a mesh.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from argosy.agent.bootstrap import ADMIN_SOCKET, BOOTSTRAP_FILE, PROXY_DIR, Upstreams, build_bootstrap
from argosy.agent.pod import PodPlan, Role
from argosy.agent.privileges import Privileges
from argosy.agent.secrets import build_sds_files
from argosy.api import Object
from argosy.app.pilot import Pilot, pilot_server
from argosy.citadel.authority import Authority
from argosy.citadel.identity import vouch
from argosy.citadel.policy import own_component
from argosy.core.names import XDS_CLUSTER
from argosy.edge.clock import SystemClock
from argosy.edge.grpc_server import start_server
from argosy.edge.tls import CertificateSource, Material, ServerTLS
from argosy.envoy.api import envoy_binary
from argosy.pilot.mesh import MeshSettings, Unconcerned
from bench.certificates import make_authority, make_material

SETTLE_S = 240.0
_NOWHERE = ("127.0.0.1", 9)


@dataclass(frozen=True, slots=True)
class Fed:
    """A running Envoy and its control plane."""

    pilot: Pilot
    pid: int
    folder: Path

    async def in_sync(self) -> None:
        """Wait until Envoy has acknowledged all that was given so far, and nothing warms."""
        async with asyncio.timeout(SETTLE_S):
            while not self.pilot.clients:
                self._assert_alive()
                await asyncio.sleep(0.05)
            laggards = await self.pilot.wait_settled(SETTLE_S)
            assert not laggards, laggards
            while (await self.stats("cluster_manager"))["warming_clusters"]:
                self._assert_alive()
                await asyncio.sleep(0.05)

    async def stats(self, area: str) -> dict[str, int]:
        """Envoy's counters and gauges below `area`."""
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(self.folder / ADMIN_SOCKET))) as client:
            text = (await client.get(f"http://envoy/stats?filter=^{area}[.]")).text
        return {name: int(value) for name, value in re.findall(rf"^{area}\.([\w.]+): (\d+)$", text, re.MULTILINE)}

    def set(self, objects: Sequence[Object[Any]]) -> None:
        """Give Pilot a batch of objects."""
        self.pilot.on_changes([(one.kind, one.key, one) for one in objects], synced=True)

    def _assert_alive(self) -> None:
        assert Path(f"/proc/{self.pid}/exe").exists(), (self.folder / "envoy.log").read_text()


@asynccontextmanager
async def feeding(objects: Sequence[Object[Any]], pod: Object[Any]) -> AsyncIterator[Fed]:
    """The Envoy of `pod`, in sync with `objects` (the pod is one of them)."""
    authority, clock = make_authority(), SystemClock()
    pilot = Pilot(MeshSettings(), Unconcerned(), clock)
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as name:
        folder = Path(name)
        _write_files(folder, pod, authority)
        pilot.on_changes([(one.kind, one.key, one) for one in objects], synced=True)
        async with _serving(pilot, folder / "pilot.sock", authority, clock), _envoy(folder) as pid:
            fed = Fed(pilot, pid, folder)
            await fed.in_sync()
            yield fed


def _write_files(folder: Path, pod: Object[Any], authority: Authority) -> None:
    """What the agent would put beside an Envoy: its bootstrap and its certificate."""
    account, workload = pod.spec.spec.service_account_name, pod.spec.workload
    plan = PodPlan(
        namespace=pod.namespace,
        name=pod.name,
        ip=pod.spec.pod_ip,
        role=Role.SIDECAR,
        service_account=account,
        owner=workload,
        labels=tuple(pod.labels.items()),
    )
    bootstrap = build_bootstrap(plan, Upstreams(_NOWHERE, _NOWHERE, _NOWHERE), Privileges(rootless=False))
    (xds,) = (one for one in bootstrap["static_resources"]["clusters"] if one["name"] == XDS_CLUSTER)
    xds["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = {
        "pipe": {"path": f"{PROXY_DIR}/pilot.sock"}
    }
    del xds["upstream_connection_options"]  # keepalive is for TCP
    (folder / BOOTSTRAP_FILE).write_text(json.dumps(bootstrap))
    made = make_material(authority, vouch(pod.namespace, account, pod=pod.name, workload=workload))
    files = build_sds_files(chain_pem=made.chain.decode(), key_pem=made.key.decode(), trust=made.trust)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


@asynccontextmanager
async def _serving(pilot: Pilot, socket: Path, authority: Authority, clock: SystemClock) -> AsyncIterator[None]:
    server = pilot_server(pilot, trust_domain=MeshSettings().trust_domain, clock=clock)

    async def issue() -> Material:
        return make_material(authority, own_component("argosy"))

    source = CertificateSource(issue, clock)
    await source.renew()
    committing = asyncio.create_task(pilot.run())
    grpc = await start_server(server.handlers(), address=f"unix:{socket}", credentials=ServerTLS(source).mutual())
    try:
        yield
    finally:
        committing.cancel()
        await grpc.stop(0)


@asynccontextmanager
async def _envoy(folder: Path) -> AsyncIterator[int]:
    """An Envoy that finds its files where a pod's does."""
    setup = f'mount -t tmpfs none /etc; mkdir -p {PROXY_DIR}; mount --bind "$1" {PROXY_DIR}; shift; exec "$@"'
    isolate = ("unshare", "--net", "--mount", "--propagation", "private", "sh", "-e", "-c", setup, "sh", str(folder))
    command = (str(envoy_binary()), "-c", f"{PROXY_DIR}/{BOOTSTRAP_FILE}", "--disable-hot-restart")
    with (folder / "envoy.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            *isolate, *command, "--concurrency", "1", "--log-level", "warning", stdout=log, stderr=log
        )
        try:
            yield process.pid
        finally:
            process.terminate()
            await process.wait()
