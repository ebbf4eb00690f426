"""Keeps the pods of this machine as the configuration wishes them: the agent without its connections.

Given batches of configuration, the node's tools and a way to report; runs one `PodRunner` a pod, walks rolling updates,
and keeps the resolver's table and the service rules in step with what is ready. One task does all deciding: everything
else only says that something changed. Nothing is decided, and nothing reported, before the configuration is complete:
an agent that has just been restarted must not take its own ignorance for a wish.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from argosy.agent.bootstrap import ADMIN_SOCKET
from argosy.agent.lifecycle import Input, PodLife, State, Timing
from argosy.agent.pod import PROXY_CONTAINER, PodPlan, Role, pod_document
from argosy.api.kubernetes import Deployment, Job, Pod, PodTemplate, TemplateMeta
from argosy.api.mesh_config import mesh_config_of
from argosy.api.meta import Object
from argosy.api.name_servers import name_servers_of
from argosy.app.connection_guard import ConnectionGuard
from argosy.core.errors import Finding
from argosy.core.names import ObjectKey
from argosy.edge.dns_server import DNSServer, Names
from argosy.edge.exec_api import PodCommand
from argosy.edge.kube_proxy import ServiceRules
from argosy.edge.pod_runner import NodeTools, PodRunner
from argosy.edge.pod_state import Processes
from argosy.edge.pod_volumes import write_volumes
from argosy.galley.admit import BARE_POD
from argosy.local import roles
from argosy.local.desired import AddressPool, PresentPod, Wish, next_moves, pod_name, template_hash
from argosy.local.names_table import build_names
from argosy.local.plans import Planner
from argosy.local.service_endpoints import Declared, PodFact, backends
from argosy.local.service_rules import service_rules
from argosy.local.volumes import volume_files

_log = logging.getLogger("argosy.agent")
ADOPTION_S = 10.0
REPORT_RETRY_S = 1.0
KINDS = (
    "Deployment",
    "Job",
    BARE_POD,
    "Namespace",
    "Service",
    "Endpoints",
    "EndpointSlice",
    "ServiceEntry",
    "ProxyConfig",
    "ConfigMap",
    "AuthorizationPolicy",
    *roles.KINDS,
)
_RUNNING: Mapping[str, str] = {"Deployment": "", "Job": "job/", BARE_POD: "pod/"}
"""Kinds that pods come from, and what tells objects of one name apart."""
_STARTED = (State.APP_STARTING, State.APP_BACKOFF, State.READY)


@dataclass(frozen=True, slots=True)
class Change:
    """One object of the configuration, as it is now; None: gone."""

    kind: str
    key: ObjectKey
    object: Object[Any] | None


@dataclass(frozen=True, slots=True)
class PodsPorts:
    """What the manager needs from outside. `new_suffix` gives five fresh letters; `settled` returns when every proxy
    runs what has been reported, and raises OSError if nobody can say."""

    report: Callable[[list[dict[str, Any]]], Awaitable[None]]
    new_suffix: Callable[[], str]
    names: DNSServer
    rules: ServiceRules
    settled: Callable[[], Awaitable[None]]


class Pods:
    """All pods of the node."""

    def __init__(
        self, tools: NodeTools, planner: Planner, pool: AddressPool, ports: PodsPorts, timing: Timing = Timing()
    ) -> None:
        self._tools = tools
        self._planner = planner
        self._pool = pool
        self._ports = ports
        self._timing = timing
        self._objects: dict[str, dict[ObjectKey, Object[Any]]] = {kind: {} for kind in KINDS}
        self._wishes: dict[ObjectKey, Wish] = {}
        self._runners: dict[ObjectKey, PodRunner] = {}
        self._tasks: dict[ObjectKey, asyncio.Task[None]] = {}
        self._findings: dict[ObjectKey, tuple[Finding, ...]] = {}
        self._synced = False
        self._stopping = False
        self._dirty = asyncio.Event()
        self._report_due = asyncio.Event()
        self._reported: list[dict[str, Any]] = []
        self._report_done = asyncio.Event()
        self._guard = ConnectionGuard(self._objects, self._plans, self._proxies)

    def _plans(self) -> Iterable[PodPlan]:
        return [runner.plan for runner in self._runners.values()]

    def _proxies(self) -> Iterable[tuple[PodPlan, int]]:
        runners = self._runners.values()
        return [(runner.plan, runner.running.envoy.pid) for runner in runners if runner.running.envoy is not None]

    # --- inputs ----------------------------------------------------------------------------------------------------

    def adopt(self, found: Iterable[Processes]) -> None:
        """Take over pods that an earlier agent left running. Call before anything else."""
        for running in found:
            self._pool.claim(running.plan.ip)
            self._run(running)
            if running.stopping:
                self._runners[running.plan.key].stop()

    def apply(self, changes: Iterable[Change], *, synced: bool) -> None:
        """Take changed objects in."""
        for change in changes:
            objects = self._objects[change.kind]
            if change.object is None:
                objects.pop(change.key, None)
            else:
                objects[change.key] = change.object
            if change.kind in _RUNNING:
                self._update_wish(change)
            if change.kind == "ConfigMap":
                self._refresh_volumes(change.key)
            self._guard.on_change(change.kind)
        self._synced = self._synced or synced
        self._dirty.set()

    def _update_wish(self, change: Change) -> None:
        wish = _wish_of(change.object) if change.object else None
        place = ObjectKey(change.key.namespace, f"{_RUNNING[change.kind]}{change.key.name}")
        self._findings.pop(place, None)
        if wish is None:
            self._wishes.pop(place, None)
        else:
            self._wishes[place] = wish

    # --- the deciding task -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Decide after every change, until cancelled; pods go on running then."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ports.rules.serve())
            group.create_task(self._report_loop())
            group.create_task(self._guard.run())
            while True:
                await self._dirty.wait()
                self._dirty.clear()
                if self._synced:
                    self._reconcile()
                    self._publish()

    def _reconcile(self) -> None:
        if self._stopping:
            return
        moves = next_moves(self._wishes, self._present())
        for key in moves.stop:
            self._runners[key].stop()
        for place in moves.create:
            self._create(place, self._wishes[place])

    def _present(self) -> list[PresentPod]:
        now = asyncio.get_running_loop().time()
        return [
            PresentPod(
                key=key,
                owner=_owner(runner.plan),
                template_hash=runner.plan.template_hash,
                ready=runner.life.ready,
                # A pod that was asked to stop is on its way out even before it has taken notice.
                terminating=runner.life.terminating or runner.running.stopping,
                age=now - runner.life.since,
                exit_code=runner.running.exit_code if runner.life.finished else None,
            )
            for key, runner in self._runners.items()
        ]

    def _create(self, place: ObjectKey, wish: Wish) -> None:
        name = pod_name(wish, self._ports.new_suffix())
        namespace = self._objects["Namespace"].get(ObjectKey("", wish.key.namespace))
        labels = namespace.labels if namespace else None
        ip = self._pool.take(captured=self._planner.captures_all(wish, labels))
        config = mesh_config_of(self._objects["ConfigMap"])
        plan = self._planner.plan(
            wish,
            name=name,
            ip=ip,
            namespace_labels=labels,
            proxy_configs=list(self._objects["ProxyConfig"].values()),
            defaults=config.default_config,
            config_maps=self._objects["ConfigMap"],
            merge_metrics=config.enable_prometheus_merge is not False,
        )
        if isinstance(plan, PodPlan):
            self._findings.pop(place, None)
            self._run(Processes(plan))
            return
        self._pool.release(ip)
        if self._findings.get(place) != plan:
            self._findings[place] = plan
            for finding in plan:
                _log.error("%s", finding)

    def _run(self, running: Processes) -> None:
        plan = running.plan
        timing = replace(self._timing, grace_s=plan.grace_s)
        life = PodLife(
            has_envoy=plan.has_envoy, has_apps=bool(plan.containers), timing=timing, finished=running.finished
        )
        runner = PodRunner(self._tools, running, life, self._on_pod_change, self._withdrawn, self._volumes)
        self._runners[plan.key] = runner
        task = asyncio.get_running_loop().create_task(runner.run(), name=f"pod:{plan.name}")
        self._tasks[plan.key] = task
        task.add_done_callback(lambda done: self._on_pod_gone(plan, done))

    def targets(self) -> list[PodPlan]:
        """The pods that there are to scrape."""
        return [one.plan for one in self._runners.values() if not one.running.stopping]

    def _volumes(self, plan: PodPlan) -> list[dict[str, str]]:
        """The files of a pod's volumes."""
        found = [volume_files(one, plan.namespace, self._objects["ConfigMap"]) for one in plan.volumes]
        if None in found:
            raise FileNotFoundError("a ConfigMap that the pod mounts is gone")
        return [files for files in found if files is not None]

    def _refresh_volumes(self, key: ObjectKey) -> None:
        for runner in self._runners.values():
            plan = runner.plan
            mounts = plan.namespace == key.namespace and any(one.config_map == key.name for one in plan.volumes)
            # What is gone stays as it was last, and a pod that is only coming writes its files itself.
            if mounts and runner.directory.exists():
                with contextlib.suppress(OSError):
                    write_volumes(runner.directory, self._volumes(plan))

    def _on_pod_change(self) -> None:
        self._dirty.set()

    def _on_pod_gone(self, plan: PodPlan, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            _log.error("%s: its runner failed", plan.key, exc_info=error)
        self._runners.pop(plan.key, None)
        self._tasks.pop(plan.key, None)
        self._pool.release(plan.ip)
        self._dirty.set()

    # --- outputs ---------------------------------------------------------------------------------------------------

    def _publish(self) -> None:
        facts = [_fact(runner) for runner in self._runners.values()]
        services = list(self._objects["Service"].values())
        declared = Declared([*self._objects["Endpoints"].values(), *self._objects["EndpointSlice"].values()])
        self._ports.names.use(self._names(services, facts, declared))
        self._ports.rules.wish(service_rules(backends(services, facts, declared)))
        self._report_due.set()

    def _names(self, services: list[Object[Any]], facts: list[PodFact], declared: Declared) -> Names:
        config = mesh_config_of(self._objects["ConfigMap"])
        mesh = build_names(services, self._objects["ServiceEntry"].values(), facts, declared, config=config)
        platform = build_names(services, (), facts, declared)
        sidecars = [r.plan for r in self._runners.values() if r.plan.role is Role.SIDECAR]
        spaces = ((plan.ip, plan.key.namespace) for plan in sidecars)
        apart = {ip: (space, mesh.apart[space].lookup) for ip, space in spaces if space in mesh.apart}
        outside = name_servers_of(self._objects["ConfigMap"])
        captured = frozenset(plan.ip for plan in sidecars)
        return Names(mesh.lookup, platform.lookup, captured, outside.servers_for, apart)

    async def _report_loop(self) -> None:
        """Report the newest state, one call at a time; what changes meanwhile goes into the next one."""
        await self._settled()
        last: list[dict[str, Any]] | None = None
        while True:
            await self._report_due.wait()
            self._report_due.clear()
            documents = self.documents()
            if documents == last:
                continue
            try:
                await self._ports.report(documents)
                last = self._reported = documents
                self._report_done.set()
                self._report_done = asyncio.Event()
            except OSError as error:
                _log.warning("pods not reported: %s", error)
                await asyncio.sleep(REPORT_RETRY_S)
                self._report_due.set()

    async def _withdrawn(self, pod: ObjectKey) -> None:
        """Wait until the pod has been reported as going away, and every proxy has heard of it."""
        while any(_tells_ready(one, pod) for one in self._reported):
            await self._report_done.wait()
        while True:
            try:
                return await self._ports.settled()
            except OSError as error:
                _log.warning("%s: nobody says who has dropped it: %s", pod, error)
                await asyncio.sleep(REPORT_RETRY_S)

    async def _settled(self) -> None:
        """Wait until adopted pods are ready again, or have had time: the agent's restart is no news of them."""
        adopted = list(self._runners.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ADOPTION_S):
                while not all(runner.life.ready or runner.life.terminating for runner in adopted):
                    await self._report_due.wait()
                    self._report_due.clear()
        self._report_due.set()

    def documents(self) -> list[dict[str, Any]]:
        """Pod documents of all pods, sorted by key."""
        return [self._document(self._runners[key]) for key in sorted(self._runners)]

    def _document(self, runner: PodRunner) -> dict[str, Any]:
        life = runner.life
        return pod_document(
            runner.plan,
            node=self._planner.node,
            phase=_phase(runner),
            ready=life.ready and not runner.running.stopping,
            terminating=life.terminating or runner.running.stopping,
            restarts=life.restarts,
            reason="" if life.ready else _state(runner),
            exit_codes=runner.running.exit_codes,
        )

    # --- ending ----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End all pods, without draining: the mesh itself is going down. Returns when they are gone."""
        self._stopping = True
        for runner in self._runners.values():
            runner.put(Input.KILL)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    # --- for the agent's socket (edge.exec_api.PodAccess) ------------------------------------------------------------

    def list_pods(self) -> list[dict[str, Any]]:
        """Every pod with its state, and what stands in the way of wished ones."""
        now = asyncio.get_running_loop().time()
        pods = [_row(self._runners[key], now) for key in sorted(self._runners)]
        blocked = [
            {"namespace": place.namespace, "name": place.name.rpartition("/")[2], "state": "Blocked", "ready": False}
            | {"reason": "; ".join(f.message for f in findings), "findings": [f.dump() for f in findings]}
            for place, findings in sorted(self._findings.items())
            if place in self._wishes
        ]
        return pods + blocked

    def log_files(self, namespace: str, pod: str) -> Mapping[str, str]:
        """Paths of log files by container."""
        runner = self._find(namespace, pod)
        return {file.stem: str(file) for file in sorted(runner.log_directory.glob("*.log"))}

    def exec_command(self, namespace: str, pod: str, container: str, argv: Sequence[str]) -> PodCommand:
        """What runs `argv` in the pod, as its container sees it."""
        runner = self._find(namespace, pod)
        holder, envoy = runner.running.holder, runner.running.envoy
        if holder is None:
            raise KeyError(f"pod {namespace}/{pod} is not running")
        boxes, env = self._tools.sandboxes, {**self._tools.base_env, "HOSTNAME": runner.plan.name}
        if container == PROXY_CONTAINER:
            if envoy is None:
                raise KeyError(f"pod {namespace}/{pod} has no running {PROXY_CONTAINER}")
            return PodCommand(boxes.exec_argv(holder.pid, envoy.pid, argv), env, envoy.pid)
        chosen = [c for c in runner.plan.containers if container in ("", c.name)]
        if not chosen and (container or not envoy):
            raise KeyError(f"pod {namespace}/{pod} has no container {container!r}")
        env |= dict(chosen[0].env) if chosen else {}
        return PodCommand(boxes.exec_argv(holder.pid, None, argv), env, holder.pid)

    def stop_pod(self, namespace: str, pod: str) -> None:
        """End a pod in order; its Deployment makes another."""
        self._find(namespace, pod).stop()
        self._dirty.set()

    def admin_socket(self, namespace: str, pod: str) -> Path:
        """The socket of the pod's Envoy."""
        runner = self._find(namespace, pod)
        if not runner.plan.has_envoy:
            raise KeyError(f"pod {namespace}/{pod} has no {PROXY_CONTAINER}")
        return Path(self._tools.sandboxes.paths.proxy_dir(runner.plan.ip)) / ADMIN_SOCKET

    def _find(self, namespace: str, pod: str) -> PodRunner:
        runner = self._runners.get(ObjectKey(namespace, pod))
        if runner is None:
            raise KeyError(f"there is no pod {namespace}/{pod}")
        return runner


def _wish_of(found: Object[Any]) -> Wish:
    spec = found.spec
    if isinstance(spec, Job):
        return Wish(
            found.key,
            spec.parallelism,
            spec.template,
            template_hash(spec.template),
            completions=spec.completions,
            failures_max=spec.backoff_limit,
        )
    if isinstance(spec, Deployment):
        return Wish(found.key, spec.replicas, spec.template, template_hash(spec.template))
    assert isinstance(spec, Pod)
    template = PodTemplate(metadata=TemplateMeta(labels=found.labels, annotations=found.annotations), spec=spec.spec)
    return Wish(found.key, 1, template, template_hash(template), bare=True)


def _tells_ready(document: Mapping[str, Any], pod: ObjectKey) -> bool:
    """True if a pod document says that this pod may be sent to."""
    meta, status = document["metadata"], document["status"]
    told = any(one["type"] == "Ready" and one["status"] == "True" for one in status["conditions"])
    return told and (meta["namespace"], meta["name"]) == pod


def _owner(plan: PodPlan) -> ObjectKey:
    prefix = "job/" if plan.owner_kind == "Job" else ""
    return ObjectKey(plan.namespace, f"{prefix}{plan.owner}" if plan.owner else f"pod/{plan.name}")


def _state(runner: PodRunner) -> str:
    """The pod's state in a word; a finished one's as Kubernetes has it."""
    if not runner.life.finished:
        return runner.life.state.value
    return "Error" if runner.running.exit_code else "Completed"


def _phase(runner: PodRunner) -> str:
    life = runner.life
    if life.finished:
        return "Failed" if runner.running.exit_code else "Succeeded"
    return "Running" if life.state in _STARTED or life.terminating else "Pending"


def _fact(runner: PodRunner) -> PodFact:
    plan = runner.plan
    named = {port.name: port.port for container in plan.containers for port in container.ports if port.name}
    ready = runner.life.ready and not runner.running.stopping
    return PodFact(plan.namespace, plan.name, plan.ip, dict(plan.labels), named, ready)


def _row(runner: PodRunner, now: float) -> dict[str, Any]:
    plan, life = runner.plan, runner.life
    containers = [c.name for c in plan.containers] + ([PROXY_CONTAINER] if plan.has_envoy else [])
    kept_at = runner.running.kept_at
    return {
        "namespace": plan.namespace,
        "name": plan.name,
        "owner": plan.owner,
        "state": _state(runner),
        "ready": life.ready,
        "restarts": life.restarts,
        "ip": plan.ip,
        "sidecar": plan.has_envoy,
        "containers": containers,
        "for_s": round(now - life.since, 1),
        "reason": runner.reason,
        "kept_s": None if kept_at is None else round(runner.tools.clock.now() - kept_at),
    }
