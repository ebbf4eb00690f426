"""Runs one pod: performs the actions of `agent.lifecycle` with real processes and says what came of it.

Given the plan and the node's tools; calls `changed` after every step, so that the agent can report. What runs is noted
in a state file in the pod's directory after each start: a restarted agent gives it back and the same actions, being
idempotent, adopt instead of start.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from argosy.agent.bootstrap import (
    ADMIN_SOCKET,
    BOOTSTRAP_FILE,
    SYSTEM_ROOTS_FILE,
    Upstreams,
    build_bootstrap,
)
from argosy.agent.lifecycle import Action, Input, PodLife, State, step
from argosy.agent.pod import PROXY_CONTAINER, Container, PodPlan, Probe
from argosy.agent.proxy_environment import proxy_environment
from argosy.agent.sandbox import CERTIFICATES, Sandboxes
from argosy.core.clock import Clock
from argosy.core.names import HEALTH_PORT, ObjectKey
from argosy.edge import processes
from argosy.edge.kept_store import Kept
from argosy.edge.netlink import NodeNetwork, link_name
from argosy.edge.netns import child_apart, children_inside, network_of, processes_by_network
from argosy.edge.pod_holder import REASON_CHARS_MAX, start_holder
from argosy.edge.pod_probes import PodProbes
from argosy.edge.pod_secrets import Files, PodSecrets, TrustPort
from argosy.edge.pod_state import Processes, save_state
from argosy.edge.pod_volumes import VolumesPort, write_volumes
from argosy.edge.probes import envoy_admin
from argosy.edge.processes import ProcessId
from argosy.edge.standby import StandbyPort
from argosy.edge.system_roots import system_roots
from argosy.edge.tls import CertificateSource, Issuer, Material

_log = logging.getLogger("argosy.pod")
ENVOY_POLL_S = 0.03
STANDBY_AFTER_S = 3.0
"""How long an Envoy waits for Pilot before the agent looks whether that is away."""
# Does the Envoy still take connections? Asked of the kernel alone, so that a busy machine makes no pod unready.
_PROXY = Container(name=PROXY_CONTAINER, image="", argv=(), probe=Probe(HEALTH_PORT, failures_max=2))


@dataclass(frozen=True, slots=True)
class NodeTools:
    """What all pods of a node share. `slots` bounds how many sandboxes are made at once."""

    sandboxes: Sandboxes
    network: NodeNetwork
    issuer_of: Callable[[PodPlan], Issuer]
    trust: TrustPort
    standby: StandbyPort
    clock: Clock
    upstreams: Upstreams
    base_env: Mapping[str, str]
    slots: asyncio.Semaphore
    metrics: Callable[[PodPlan, Path], Coroutine[Any, Any, None]]
    """Answers those who scrape a pod, on a socket in that folder, until cancelled."""


@dataclass
class PodRunner:
    """One pod's runner. `run()` ends when the pod is gone."""

    tools: NodeTools
    running: Processes
    life: PodLife
    changed: Callable[[], None]
    withdrawn: Callable[[ObjectKey], Awaitable[None]]
    """Returns when no client's proxy has the pod as an endpoint any more."""
    volumes: VolumesPort
    reason: str = ""
    _inputs: asyncio.Queue[Input] = field(default_factory=asyncio.Queue)
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _timer: asyncio.TimerHandle | None = None
    _source: CertificateSource | None = None

    @property
    def plan(self) -> PodPlan:
        """What the pod is to run."""
        return self.running.plan

    @property
    def directory(self) -> Path:
        """The pod's private directory."""
        return Path(self.tools.sandboxes.paths.of_pod(self.plan.ip))

    @property
    def _proxy_directory(self) -> Path:
        return Path(self.tools.sandboxes.paths.proxy_dir(self.plan.ip))

    @property
    def _secrets(self) -> PodSecrets:
        application = self.directory / CERTIFICATES if self.plan.metrics.certificates else None
        return PodSecrets(self._proxy_directory, self.tools.sandboxes.privileges.envoy_uid, application)

    @property
    def log_directory(self) -> Path:
        """Where the pod's logs are, one file a container."""
        return Path(self.tools.sandboxes.paths.home) / "pods" / self.plan.namespace / self.plan.name

    def put(self, event: Input) -> None:
        """Let something happen to the pod."""
        self._inputs.put_nowait(event)

    def stop(self) -> None:
        """Ask for an orderly end; remembered across a restart of the agent."""
        self.running.stopping = True
        if self.directory.exists():
            self._save()
        self.put(Input.STOP)

    async def run(self) -> None:
        """Walk through the pod's life until it is gone."""
        self.put(Input.START)
        try:
            while self.life.state is not State.GONE:
                event = await self._inputs.get()
                now, before = asyncio.get_running_loop().time(), self.life.state
                if event is Input.TIMER and (self.life.due is None or now < self.life.due):
                    continue  # it was for a state that something else has ended meanwhile
                self.life, actions = step(self.life, event, now)
                if self.life.state is not before:
                    _log.debug("%s %s: %s -> %s", self.plan.key, event, before, self.life.state)
                self._set_timer()
                for action in actions:
                    self._perform(action)
        except Exception:
            # A programmer's error in this runner must not leave processes that nobody watches.
            await self._clear()
            raise
        finally:
            self._cancel_all()

    def _set_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self.life.due is not None:
            self._timer = asyncio.get_running_loop().call_at(self.life.due, self.put, Input.TIMER)

    def _perform(self, action: Action) -> None:
        match action:
            case Action.ENSURE_SANDBOX:
                self._attempt("sandbox", self._ensure_sandbox(), Input.SANDBOX_UP)
            case Action.ENSURE_CERTIFICATE:
                self._attempt("certificate", self._ensure_certificate(), Input.CERTIFICATE_READY)
            case Action.ENSURE_ENVOY:
                self._background("start", self._ensure_envoy())
            case Action.WATCH_ENVOY:
                self._background("live", self._watch_envoy())
            case Action.ENSURE_APPS:
                self._try_start(self._ensure_apps)
            case Action.PROBE_APPS:
                self._background("probe", self._probe_apps())
            case Action.REPORT:
                self.changed()
            case Action.AWAIT_WITHDRAWAL:
                self._attempt("withdrawn", self.withdrawn(self.plan.key), Input.WITHDRAWN)
            case Action.FAIL_HEALTH_CHECK:
                self._background("lame", self._fail_health_check())
            case Action.TERMINATE_APPS:
                self._signal_apps(signal.SIGTERM)
                self._background("apps-gone", self._await_apps_gone())
            case Action.KILL_APPS:
                self._signal_apps(signal.SIGKILL)
            case Action.TERMINATE_ENVOY:
                self._terminate_envoy(signal.SIGTERM)
            case Action.KILL_ENVOY:
                self._terminate_envoy(signal.SIGKILL)
            case Action.REMOVE_SANDBOX:
                self._cancel_all()
                self._attempt("remove", self._remove_sandbox(), Input.SANDBOX_GONE)

    # --- tasks -----------------------------------------------------------------------------------------------------

    def _background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`, replacing an earlier task of the same name."""
        if old := self._tasks.pop(name, None):
            old.cancel()
        task = asyncio.get_running_loop().create_task(work, name=f"{self.plan.name}:{name}")
        task.add_done_callback(self._on_task_done)
        self._tasks[name] = task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            _log.error("%s: task %s failed: %r", self.plan.key, task.get_name(), error)
            self._fail(error)

    def _attempt(self, name: str, work: Awaitable[None], success: Input) -> None:
        async def attempt() -> None:
            await work
            self.put(success)

        self._background(name, attempt())

    def _try_start(self, start: Callable[[], None]) -> None:
        try:
            start()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self.reason = str(error)[:REASON_CHARS_MAX] or type(error).__name__
        self.put(Input.FAILED)

    def _cancel_all(self) -> None:
        if self._timer:
            self._timer.cancel()
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    def _watch_exit(self, name: str, process: ProcessId, event: Input) -> None:
        async def watch() -> None:
            code = await processes.wait_exit(process)
            ending = self.life.terminating or self.running.finished
            if event is not Input.SANDBOX_GONE and not ending:
                self.reason = f"{name} ended with code {code}"
                _log.info("%s: %s", self.plan.key, self.reason)
            self.put(event)

        self._background(f"exit:{name}", watch())

    # --- steps -----------------------------------------------------------------------------------------------------

    async def _ensure_sandbox(self) -> None:
        holder = self.running.holder
        if holder is None or not processes.alive(holder):
            async with self.tools.slots:
                holder = await self._make_sandbox()
        self._watch_exit("holder", holder, Input.SANDBOX_GONE)

    async def _make_sandbox(self) -> ProcessId:
        boxes, plan = self.tools.sandboxes, self.plan
        if serving := self._tasks.pop("kept", None):
            serving.cancel()
            await asyncio.wait({serving})
        await self._clear()
        self._proxy_directory.mkdir(parents=True, mode=0o700)
        os.chown(self._proxy_directory, boxes.privileges.envoy_uid, boxes.privileges.envoy_uid)
        # Envoy, another uid, must be able to pass through to its own directory.
        self.directory.chmod(0o755)
        self.log_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.directory / "resolv.conf").write_text(boxes.resolv_conf(plan.namespace))
        (self.directory / "hosts").write_text(boxes.hosts(plan))
        write_volumes(self.directory, self.volumes(plan))
        link = link_name(plan.ip)
        holder = await start_holder(boxes.holder_argv(plan, link=link), self.tools.base_env)
        await self.tools.network.connect_pod(link, plan.ip)
        self.running.holder = holder
        self._save()
        return holder

    async def _ensure_certificate(self) -> None:
        if self._source is None:
            self._source = CertificateSource(self.tools.issuer_of(self.plan), self.tools.clock)
        source = self._source
        adopted = self.running.envoy is not None and processes.alive(self.running.envoy)
        if source.ready:
            # The pod's namespaces are made again: Citadel need not be there for that.
            self._secrets.write_material(source.material)
        # An adopted Envoy has a certificate: it goes on serving while a new one is asked for, or Citadel is away.
        elif not (adopted and self._secrets.has_certificate):
            self._secrets.write_material(await source.renew())
        self._background("renew", self._keep_certificate(source))

    async def _keep_certificate(self, source: CertificateSource) -> None:
        name = str(self.plan.key)
        self.tools.trust.add(name, source)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(source.run())
                async for material in source.watch():
                    files = self._secrets.write_material(material)
                    self._background("secrets", self._note_in_use(name, material, files))
        finally:
            self.tools.trust.remove(name)

    async def _note_in_use(self, name: str, material: Material, files: Files) -> None:
        await self._secrets.await_use(files)
        self.tools.trust.note(name, material)

    async def _ensure_envoy(self) -> None:
        try:
            if self.running.envoy is None or not processes.alive(self.running.envoy):
                self._start_envoy(kept=await self._stand_by())
            elif self.running.kept_at is not None:
                await self._stand_by()
        except OSError as error:
            self._fail(error)
            return
        assert self.running.envoy is not None
        self._background("metrics", self.tools.metrics(self.plan, self._proxy_directory))
        self._watch_exit(PROXY_CONTAINER, self.running.envoy, Input.ENVOY_EXITED)

    async def _stand_by(self) -> bool:
        """If Pilot is away, serve the proxy what it last ran. False if Pilot is there, or nothing is kept."""
        if "kept" in self._tasks and self.running.kept_at is not None:
            return True  # Pilot has not come back since an earlier Envoy was served
        kept = await self.tools.standby.find(self.plan)
        self.running.kept_at = kept.at if kept is not None else None
        if kept is None:
            return False
        serving = asyncio.Event()
        self._background("kept", self._serve_kept(kept, serving))
        await serving.wait()
        return True

    async def _serve_kept(self, kept: Kept, serving: asyncio.Event) -> None:
        uid = self.tools.sandboxes.privileges.envoy_uid
        try:
            await self.tools.standby.serve(self.plan, kept, self._proxy_directory, uid, serving)
        finally:
            self.running.kept_at = None
        self._save()
        self.changed()

    def _start_envoy(self, *, kept: bool) -> None:
        assert self.running.holder is not None
        boxes = self.tools.sandboxes
        bootstrap = build_bootstrap(self.plan, self.tools.upstreams, boxes.privileges, kept=kept)
        self._secrets.write(BOOTSTRAP_FILE, json.dumps(bootstrap))
        self._secrets.write(SYSTEM_ROOTS_FILE, system_roots())
        argv = boxes.envoy_argv(self.plan, self.running.holder.pid)
        environment = {**self.tools.base_env, **proxy_environment(self.plan)}
        self.running.envoy = self._spawn_logged(PROXY_CONTAINER, argv, environment, child_apart())
        self._save()

    async def _watch_envoy(self) -> None:
        """Wait until Envoy says that it has its first whole configuration."""
        loop = asyncio.get_running_loop()
        look_at = loop.time() + STANDBY_AFTER_S
        while True:
            if await envoy_admin(self._proxy_directory / ADMIN_SOCKET, "GET", "/ready") == 200:
                break
            if loop.time() >= look_at:
                await self._start_again_if_kept()
                look_at = loop.time() + STANDBY_AFTER_S
            await asyncio.sleep(ENVOY_POLL_S)
        self.put(Input.ENVOY_LIVE)

    async def _start_again_if_kept(self) -> None:
        """End an Envoy that has nothing yet, if Pilot has gone away meanwhile and there is something to start with."""
        envoy = self.running.envoy
        if envoy is None or self.running.kept_at is not None or await self.tools.standby.find(self.plan) is None:
            return
        _log.info("%s: Pilot has gone away before it gave the proxy anything", self.plan.key)
        processes.send_signal(envoy, signal.SIGKILL)

    async def _fail_health_check(self) -> None:
        await envoy_admin(self._proxy_directory / ADMIN_SOCKET, "POST", "/healthcheck/fail")

    def _ensure_apps(self) -> None:
        assert self.running.holder is not None
        for container in self.plan.containers:
            if container.name in self.running.exit_codes:
                continue
            process = self.running.apps.get(container.name)
            if process is None or not processes.alive(process):
                holder = self.running.holder.pid
                argv = self.tools.sandboxes.app_argv(holder, container.argv)
                env = self._environment(container)
                process = self._spawn_logged(container.name, argv, env, children_inside(holder))
                self.running.apps[container.name] = process
            self._background(f"exit:{container.name}", self._watch_app(container.name, process))
        self._save()

    async def _watch_app(self, name: str, process: ProcessId) -> None:
        """Wait for an application's end, and say whether it is to run again."""
        code = await processes.wait_exit(process)
        if self.life.terminating:
            self.put(Input.APP_EXITED)
            return
        self.reason = f"{name} ended with code {code}"
        _log.info("%s: %s", self.plan.key, self.reason)
        if self.plan.runs_again(code):
            self.put(Input.APP_EXITED)
            return
        self.running.exit_codes[name] = code
        self._save()
        if self.running.finished:
            self.reason = "" if not self.running.exit_code else self.reason
            self.put(Input.APPS_DONE)

    async def _probe_apps(self) -> None:
        """Say PROBE_OK when every container serves; afterwards watch those with a readiness probe, and the proxy."""
        assert self.running.holder is not None
        pid = self.running.holder.pid
        probes = PodProbes(pid, self.plan.ip, partial(self.tools.sandboxes.app_argv, pid), self._environment)
        async with asyncio.TaskGroup() as group:
            for container in self.plan.containers:
                group.create_task(probes.until_serving(container))
        self.reason = ""
        self.put(Input.PROBE_OK)
        watched = [container for container in self.plan.containers if container.probe]
        watched += [_PROXY] if self.plan.has_envoy else []
        failing: set[str] = set()
        async with asyncio.TaskGroup() as group:
            for container in watched:
                group.create_task(self._watch_probe(probes, container, failing))

    async def _watch_probe(self, probes: PodProbes, container: Container, failing: set[str]) -> None:
        """Watch one container; `failing` are those of the pod whose probe has failed: it is ready with none of them."""
        assert container.probe is not None
        failures = successes = 0
        while True:
            await asyncio.sleep(container.probe.period_s)
            if await probes.serves(container):
                failures, successes = 0, successes + 1
                if container.name not in failing or successes >= container.probe.successes_min:
                    failing.discard(container.name)
                if not failing:
                    self.put(Input.PROBE_OK)
                continue
            failures, successes = failures + 1, 0
            if failures == container.probe.failures_max:
                failing.add(container.name)
                self.reason = f"readiness probe of {container.name} failed"
                self.put(Input.PROBE_FAILED)

    def _environment(self, container: Container) -> dict[str, str]:
        return {**self.tools.base_env, "HOSTNAME": self.plan.name, **dict(container.env)}

    def _spawn_logged(
        self, name: str, argv: tuple[str, ...], env: Mapping[str, str], place: AbstractContextManager[None]
    ) -> ProcessId:
        """Start a program in the process namespace that `place` chooses; what it says goes to its log."""
        log = os.open(self.log_directory / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            with place:
                return processes.spawn(argv, env=env, stdin=None, stdout=log, stderr=log)
        finally:
            os.close(log)

    # --- ending ----------------------------------------------------------------------------------------------------

    def _signal_apps(self, number: int) -> None:
        for process in self.running.apps.values():
            processes.send_signal(process, number, group=True)

    async def _await_apps_gone(self) -> None:
        for process in self.running.apps.values():
            await processes.wait_exit(process)
        self.put(Input.APPS_GONE)

    def _terminate_envoy(self, number: int) -> None:
        if starting := self._tasks.pop("start", None):
            starting.cancel()
        if self.running.envoy is None or not processes.alive(self.running.envoy):
            self.put(Input.ENVOY_EXITED)
            return
        processes.send_signal(self.running.envoy, number)
        self._watch_exit(PROXY_CONTAINER, self.running.envoy, Input.ENVOY_EXITED)

    async def _remove_sandbox(self) -> None:
        await self._clear()
        self.running.holder = self.running.envoy = None
        self.running.apps.clear()
        self.running.exit_codes.clear()

    async def _clear(self) -> None:
        """Remove whatever is left of the pod: processes, link, files. Works from any half-made state."""
        holder = self.running.holder
        # The number of a holder that has ended may be another process's by now, and its network another pod's.
        network = network_of(holder.pid) if holder is not None and processes.alive(holder) else None
        # The holder's end is the end of all in its process namespace, and it is gone only when the applications have
        # been collected: so it is killed first and awaited last.
        ours = [p for p in (*self.running.apps.values(), self.running.envoy, holder) if p]
        if holder is not None:
            processes.send_signal(holder, signal.SIGKILL)
        if network is not None and network != network_of(os.getpid()):
            for pid in processes_by_network().get(network, []):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in ours:
            processes.send_signal(process, signal.SIGKILL, group=True)
        for process in ours:
            await processes.wait_exit(process)
        await self.tools.network.remove_link(link_name(self.plan.ip))
        shutil.rmtree(self.directory, ignore_errors=True)

    def _save(self) -> None:
        save_state(self.directory, self.running)
