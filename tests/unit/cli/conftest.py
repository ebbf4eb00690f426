"""A mesh for the command line: the real control API and the real agent's socket over a real Galley and Pilot.

Proxies are stand-ins that say at once that they run what they are offered, unless told to lag. Everything is served by
one thread for the whole run of the tests; each test gets a new mesh behind the same sockets.
"""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner, Result

from argosy.agent.pod import Container, PodPlan, Port, Role, pod_document
from argosy.app.galley import GalleyService, PodReport
from argosy.app.pilot import Pilot
from argosy.app.taps import Taps
from argosy.cli.main import build_app
from argosy.core.errors import ArgosyError
from argosy.core.spiffe import workload_id
from argosy.edge.ca_files import STATE_FOLDER, CAFolders, load_or_create_ca
from argosy.edge.ca_keeper import CAKeeper
from argosy.edge.clock import SystemClock
from argosy.edge.console_http import DiffQuery, GraphQuery
from argosy.edge.control_api import ControlPorts, control_app
from argosy.edge.control_graph import GraphPorts
from argosy.edge.exec_api import AgentAPI, PodCommand
from argosy.edge.unix_socket import private_listener
from argosy.envoy import api
from argosy.flow.record import Outcome
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley
from argosy.graph.diff import diff_graphs
from argosy.graph.model import Edge, Graph, Node, NodeKind
from argosy.graph.served import Served
from argosy.mixer.access_record import AccessRecord
from argosy.pilot.mesh import MeshSettings, Unconcerned
from argosy.xds.messages import Changes, ErrorDetail, Snapshot
from argosy.xds.server import Nacked, Settled

from ..mixer.test_tap import DIRECTORY

GRAPH = {
    "nodes": [
        {"id": "a", "title": "productpage", "version": "v1", "address": ""},
        {"id": "b", "title": "reviews", "version": "v3", "address": ""},
        {"id": "u", "title": "unknown", "version": "", "address": "10.88.0.9"},
    ],
    "edges": [
        {
            "source": "a",
            "target": "b",
            "protocol": "http",
            "label": "12/s",
            "error_rate": 0.05,
            "p95_ms": 7.6,
            "mtls": 1,
        },
        {
            "source": "u",
            "target": "a",
            "protocol": "http",
            "label": "1.0/s",
            "error_rate": 0,
            "p95_ms": None,
            "mtls": 0,
        },
    ],
}


_NODES = tuple(Node(f"ns/{name}/v1", NodeKind.APP, name, "ns", "v1") for name in "abcd")
_EDGE = Edge(_NODES[0].id, _NODES[1].id, "http", 10.0, ((Outcome("200", "-", ""), 10.0),), 1.0, 8.0, 9.0, mtls=0.0)
_FAILING = ((Outcome("200", "-", ""), 18.0), (Outcome("503", "UF", ""), 2.0))
_OTHER = Edge(_NODES[1].id, _NODES[2].id, "http", 1.0)
DIFFERENT = (
    Graph(_NODES, (_EDGE, _OTHER, replace(_OTHER, protocol="grpc"))),
    Graph(
        _NODES,
        (
            replace(_EDGE, rps=20.0, outcomes=_FAILING, p95_ms=90.0, mtls=1.0),
            _OTHER,
            replace(_OTHER, target=_NODES[3].id, protocol="tcp"),
        ),
    ),
)
"""Two graphs: one edge appeared, one is gone, one changed in everything, one stayed."""

SERVED = (Served("default", "web-v1", 4.5, 0.5, 3.2, 12.0, None), Served("shop", "web-v1", 1.0, 0.0, 1.0, 2.0, 3.0))
"""What two workloads served."""


class Proxy:
    """One connected proxy. It accepts everything as soon as it is told to follow."""

    def __init__(self, pilot: Pilot, pod: PodPlan, *, follows: bool) -> None:
        node = api.encode(api.message("envoy.config.core.v3.Node")(id=pod.node_id))
        self.follows = follows
        self.client = pilot.connect(
            workload_id("cluster.local", pod.namespace, pod.service_account), node, self._on_push
        )
        self._on_push(self.client.snapshot, None)

    def _on_push(self, snapshot: Snapshot, changes: Changes | None) -> None:
        if self.follows:
            self.client.on_event(Settled(snapshot.number))

    def refuse(self, name: str, text: str) -> None:
        url = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
        self.client.on_event(Nacked(url, "1", (name,), {name: "x"}, ErrorDetail(13, text)))


class Access:
    """What the agent knows, as a test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.logs: dict[str, str] = {}

    def list_pods(self) -> list[dict[str, Any]]:
        return self.rows

    def log_files(self, namespace: str, pod: str) -> Mapping[str, str]:
        return self.logs

    def exec_command(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> PodCommand:
        if container == "nothing":
            raise KeyError(f"pod {namespace}/{pod} has no container 'nothing'")
        return PodCommand(argv, {"PATH": os.environ["PATH"], "POD": pod}, os.getpid())

    def stop_pod(self, namespace: str, pod: str) -> None:
        raise KeyError("not in these tests")

    def admin_socket(self, namespace: str, pod: str) -> Path:
        return self.folder / "admin.sock"


class Mesh:
    """The rig. `run` is one use of the command line."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.loop = asyncio.new_event_loop()
        self.access = Access(home)
        self.unready = ""
        self.has_pilot = True
        self._committing: asyncio.Task[None] | None = None
        (home / "run").mkdir()
        load_or_create_ca(home / "ca", "cluster.local", now=SystemClock().now())
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._listeners = [private_listener(home / "run" / "control.sock")]
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        ports = ControlPorts(
            galley=lambda: self.galley,
            pilot=lambda: self.pilot if self.has_pilot else None,
            metrics=lambda: [b"istio_requests_total 7\n"],
            plaintext=lambda: self.plaintext,
            graph=GraphPorts(
                lambda query: {**GRAPH, "window_s": query.window_s, "namespaces": sorted(query.namespaces)},
                self._past,
                self._diff,
                lambda window_s: [{**asdict(one), "rps": one.rps * window_s / 60} for one in SERVED],
            ),
            ready=lambda: self.unready,
            streams=lambda: [
                {"client": str(one.status.pod), "session": {"types": {}}} for one in self.pilot.clients.values()
            ],
            ca=lambda: self.keeper,
            tap=self._tap,
            status=lambda: {"name": "argosy", "pid": 7, "ready": self.unready or "ok", "revision": 3},
        )
        config = uvicorn.Config(control_app(ports), log_level="warning", access_log=False, lifespan="off")
        self._server = uvicorn.Server(config)
        agent = self.loop.create_task(AgentAPI(self.access).serve(self.home / "run" / "agent.sock"))
        self.loop.run_until_complete(self._server.serve(sockets=self._listeners))
        agent.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(agent)

    async def _past(self, query: GraphQuery) -> dict[str, Any]:
        assert query.at is not None
        if query.at < 1_700_000_000:
            raise ArgosyError.of("ARG0940", "no flows are kept of then", hint="the history begins at noon")
        start = int(query.at // 60 * 60)
        return {
            **GRAPH,
            "namespaces": sorted(query.namespaces),
            "past": {"start": start, "end": start + 60, "watched_s": 20.0, "revision": 3},
        }

    async def _diff(self, query: DiffQuery) -> dict[str, Any]:
        revisions = self.revisions
        times = [int(at // 60 * 60) for at in (query.before, query.after)]
        sides = [
            {"start": at, "end": at + 60, "watched_s": 60.0, "revision": revision}
            for at, revision in zip(times, revisions, strict=True)
        ]
        return {"before": sides[0], "after": sides[1], "edges": diff_graphs(*DIFFERENT)}

    def _tap(self, query: Iterable[tuple[str, str]]) -> AsyncIterator[bytes]:
        """The real stream, over which the records of the test come once it is open."""
        taps = Taps(lambda: DIRECTORY)
        stream = taps.stream(query)

        async def following() -> AsyncIterator[bytes]:
            async for line in stream:
                yield line
                records, self.records = self.records, []
                for record in records:
                    taps.on_record(record)

        return following()

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(10)

    def reset(self) -> None:
        self.call(self._reset())

    async def _reset(self) -> None:
        if self._committing is not None:
            self._committing.cancel()
        clock = SystemClock()
        self.unready, self.has_pilot = "", True
        self.revisions: tuple[int | None, int | None] = (1, 2)
        self.records: list[AccessRecord] = []
        self.plaintext: dict[str, Any] = {"observed_s": 1e6, "callers": []}
        self.access.rows, self.access.logs = [], {}
        self.documents: list[dict[str, Any]] = []
        shutil.rmtree(self.home / STATE_FOLDER, ignore_errors=True)
        self.keeper = CAKeeper(CAFolders(self.home / "ca", self.home / STATE_FOLDER, "cluster.local"), clock)
        self.galley = GalleyService(Galley(MemoryStore()), clock)
        self.pilot = Pilot(MeshSettings(), Unconcerned(), clock)
        pilot = self.pilot
        self.galley.listen(lambda changes: pilot.on_changes(changes, synced=True))
        self._committing = self.loop.create_task(pilot.run())

    def close(self) -> None:
        if self._committing is not None:
            self.loop.call_soon_threadsafe(self._committing.cancel)
        self._server.should_exit = True
        self._thread.join(10)
        self.loop.close()

    # -- what tests do --------------------------------------------------------------------------------------------

    def run(self, *arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(build_app(), list(arguments), input=input)

    def apply(self, text: str) -> None:
        result = self.run("apply", "-f", "-", input=text)
        assert result.exit_code == 0, result.output

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "-o", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def add_pod(self, plan: PodPlan, *, ready: bool = True, state: str = "Ready", for_s: float = 1.0) -> None:
        """Report a pod, as the agent does, and list it."""
        self.access.rows.append(
            {
                "namespace": plan.namespace,
                "name": plan.name,
                "owner": plan.owner,
                "state": state,
                "ready": ready,
                "restarts": 0,
                "ip": plan.ip,
                "sidecar": plan.has_envoy,
                "containers": [c.name for c in plan.containers] + ["istio-proxy"] * plan.has_envoy,
                "for_s": for_s,
                "reason": "" if ready else "it fell over",
            }
        )
        self.documents.append(
            pod_document(plan, node="here", phase="Running", ready=ready, reason="" if ready else state)
        )

        async def report() -> None:
            self.galley.report_pods(PodReport("here", self.documents))

        self.call(report())

    def connect(self, plan: PodPlan, *, follows: bool = True) -> Proxy:
        async def connect() -> Proxy:
            return Proxy(self.pilot, plan, follows=follows)

        found: Proxy = self.call(connect())
        return found


@pytest.fixture(scope="session")
def _served_mesh() -> Iterator[Mesh]:
    # Paths of unix sockets may not be long.
    folder = Path(tempfile.mkdtemp(prefix="argosy-cli-"))
    mesh = Mesh(folder)
    yield mesh
    mesh.close()
    shutil.rmtree(folder)


@pytest.fixture
def mesh(_served_mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> Mesh:
    """A mesh without configuration, pods and proxies; `argosy` finds it."""
    _served_mesh.reset()
    monkeypatch.setenv("ARGOSY_HOME", str(_served_mesh.home))
    return _served_mesh


@pytest.fixture
def no_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a mesh that does not run."""
    monkeypatch.setenv("ARGOSY_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def pod() -> PodPlan:
    """A pod with a sidecar."""
    return PodPlan(
        namespace="default",
        name="web-v1-abc-xyz",
        ip="10.88.0.5",
        role=Role.SIDECAR,
        service_account="web",
        owner="web-v1",
        labels=(("app", "web"), ("version", "v1")),
        containers=(Container("app", "web:1", ("web",), ports=(Port(8080),)),),
    )


SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
"""

ROUTE = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http:
  - route:
    - destination: {host: web}
"""

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-v1}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web, version: v1}}
    spec: {containers: [{name: app, image: "web:1"}]}
"""


@pytest.fixture
def service() -> str:
    return SERVICE


@pytest.fixture
def route() -> str:
    return ROUTE


@pytest.fixture
def deployment() -> str:
    return DEPLOYMENT
