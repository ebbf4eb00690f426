"""What a real Envoy's memory grows to with the size of the mesh, fed by our control plane over mutual TLS.

Given a number of services; starts Pilot on a unix socket and one Envoy in network and mount namespaces of its own (with
the bootstrap that a pod's has), waits until it runs everything, and weighs it. Root is needed, as for a mesh.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from argosy.agent.bootstrap import ADMIN_SOCKET, BOOTSTRAP_FILE, PROXY_DIR, Upstreams, build_bootstrap, build_sds_files
from argosy.agent.pod import PodPlan, Role
from argosy.agent.privileges import Privileges
from argosy.api import Document, Object, decode_object
from argosy.app.pilot import Pilot, pilot_server
from argosy.citadel.authority import Authority
from argosy.citadel.identity import vouch
from argosy.citadel.policy import own_component
from argosy.core.names import XDS_CLUSTER
from argosy.edge.clock import SystemClock
from argosy.edge.grpc_server import start_server
from argosy.edge.tls import CertificateSource, Material, ServerTLS
from argosy.envoy.api import envoy_binary
from argosy.pilot.mesh import MeshSettings
from argosy.testing import meshes
from argosy.testing.meshes import Size
from bench.certificates import make_authority, make_material

SETTLE_S = 240.0
SEEN = 5
"""Services that the Sidecar of the scoped measurement lets through."""
_NOWHERE = ("127.0.0.1", 9)


@dataclass(frozen=True, slots=True)
class Weight:
    """One Envoy in sync: proportional set and anonymous memory in megabytes, and the clusters that it has."""

    services: int
    scoped: bool
    pss_mb: float
    anonymous_mb: float
    clusters: int


def weigh(services: int, *, scoped: bool) -> Weight:
    """The memory of an Envoy in a mesh of so many services; `scoped`: with a Sidecar that lets five of them through."""
    return asyncio.run(_weigh(services, scoped=scoped))


async def _weigh(services: int, *, scoped: bool) -> Weight:
    size = Size(services, endpoints=2, namespaces=min(50, services), classes=1, proxies=1)
    objects = [*meshes.mesh_objects(size), *([_sidecar(size)] if scoped else [])]
    pod, authority, clock = meshes.client(size, 0), make_authority(), SystemClock()
    pilot = Pilot(MeshSettings(), lambda *_: False, clock)
    pilot.on_changes([(one.kind, one.key, one) for one in objects], synced=True)
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as name:
        folder = Path(name)
        _write_files(folder, pod, authority)
        async with _serving(pilot, folder / "pilot.sock", authority, clock), _envoy(folder) as pid:
            clusters = await _in_sync(pilot, folder / ADMIN_SOCKET, pid)
            pss_mb, anonymous_mb = _memory(pid)
    return Weight(services, scoped, pss_mb, anonymous_mb, clusters)


def _sidecar(size: Size) -> Object[Any]:
    """Lets the clients' namespace call five services."""
    names = [(meshes.namespace_of(size, number), meshes.service_name(number)) for number in range(SEEN)]
    hosts = [f"{namespace}/{name}.{namespace}.svc.cluster.local" for namespace, name in names]
    meta = {"name": "default", "namespace": meshes.namespace_of(size, 0)}
    data = {"apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": meta}
    return decode_object(Document({**data, "spec": {"egress": [{"hosts": hosts}]}}))


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
    bootstrap = build_bootstrap(plan, Upstreams(_NOWHERE, _NOWHERE), Privileges(rootless=False))
    (xds,) = (one for one in bootstrap["static_resources"]["clusters"] if one["name"] == XDS_CLUSTER)
    xds["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] = {
        "pipe": {"path": f"{PROXY_DIR}/pilot.sock"}
    }
    del xds["upstream_connection_options"]  # keepalive is for TCP
    (folder / BOOTSTRAP_FILE).write_text(json.dumps(bootstrap))
    made = make_material(authority, vouch(pod.namespace, account, pod=pod.name, workload=workload))
    files = build_sds_files(chain_pem=made.chain.decode(), key_pem=made.key.decode(), roots_pem=made.roots.decode())
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))


@asynccontextmanager
async def _serving(pilot: Pilot, socket: Path, authority: Authority, clock: SystemClock) -> AsyncIterator[None]:
    server = pilot_server(pilot, trust_domain=MeshSettings().trust_domain, clock=clock)

    async def issue() -> Material:
        return make_material(authority, own_component("argosy"))

    source = CertificateSource(issue, clock)
    await source.renew()
    grpc = await start_server(server.handlers(), address=f"unix:{socket}", credentials=ServerTLS(source).mutual())
    try:
        yield
    finally:
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


async def _in_sync(pilot: Pilot, admin: Path, pid: int) -> int:
    """Wait until Envoy has acknowledged everything and nothing warms; gives how many clusters it has."""
    async with asyncio.timeout(SETTLE_S):
        while True:
            await asyncio.sleep(0.2)
            _assert_alive(pid, admin.parent)
            if pilot.clients and not pilot.laggards():
                found = await _stats(admin)
                if not found["warming_clusters"] and found["active_clusters"] > SEEN:
                    return found["active_clusters"]


async def _stats(admin: Path) -> dict[str, int]:
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(admin))) as client:
        text = (await client.get("http://envoy/stats?filter=cluster_manager")).text
    return {name: int(value) for name, value in re.findall(r"cluster_manager\.(\w+): (\d+)", text)}


def _assert_alive(pid: int, folder: Path) -> None:
    assert Path(f"/proc/{pid}/exe").exists(), (folder / "envoy.log").read_text()


def _memory(pid: int) -> tuple[float, float]:
    """Proportional set and anonymous memory of a process, in megabytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = dict(re.findall(r"^(\w+): +(\d+) kB", rollup, re.MULTILINE))
    return int(found["Pss"]) / 1e3, int(found["Anonymous"]) / 1e3
