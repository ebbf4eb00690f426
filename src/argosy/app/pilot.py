"""Pilot as a running thing: takes configuration in batches, commits, and pushes to the proxies that are connected.

One writer: changes are queued, drained after a short quiet time, and committed in one step without awaiting; streams
take their merged pending push. Until everything was seen once, no proxy is served (it keeps what it has).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import grpc

from argosy.api import Object
from argosy.api.mesh_config import NAME as MESH_NAME
from argosy.api.mesh_config import NAMESPACE as MESH_NAMESPACE
from argosy.api.mesh_config import mesh_config_of
from argosy.app.key_loader import KeyLoader
from argosy.app.module_loader import ModuleLoader
from argosy.app.pilot_client import Client
from argosy.app.pilot_findings import asked_about, left_out, moving, refusal
from argosy.app.proxy_status import ProxyStatus, lacks_nothing_new, refuses_anything, refuses_anything_new
from argosy.core.clock import Clock
from argosy.core.errors import Finding, Level
from argosy.core.names import ObjectKey
from argosy.core.spiffe import SpiffeID
from argosy.edge.xds_server import Push, Refusal, ServerStats, XdsServer
from argosy.incr import Change, Engine
from argosy.pilot.aspects import Aspect
from argosy.pilot.build.origins import owners_of
from argosy.pilot.build.report import REQUEST_HEADERS
from argosy.pilot.checking import CalledPort, OwnAnswers
from argosy.pilot.classes import ROUTER, ProxyClass
from argosy.pilot.effects import Facts
from argosy.pilot.mesh import KINDS, SETTINGS_KEY, ConcernPort, Mesh, MeshSettings
from argosy.pilot.model import Model
from argosy.pilot.mtls_rollout import Audience, Goal, Moves, Rollout, Way
from argosy.pilot.policy import DISABLE, PERMISSIVE
from argosy.pilot.quarantine import Quarantine
from argosy.pilot.reporting import ReportPort, Switches, Watched
from argosy.pilot.scopes import MovingMode, ServerKey
from argosy.pilot.watching import Watchers
from argosy.pilot.world import Outcome, World
from argosy.pilot.xds_rules import ENVOY_RULES, pod_of_node
from argosy.xds.keeping import Layer
from argosy.xds.messages import Resource, ResourceRef
from argosy.xds.server import Acked, Nacked, Stuck

logger = logging.getLogger(__name__)

QUIET_S = 0.02
"""How long no change may come before a commit; a transaction's parts arrive together."""
QUIET_MAX_S = 0.5
"""How long changes may wait for quiet."""


class Pilot:
    """Engine, world and clients of one process."""

    def __init__(
        self,
        settings: MeshSettings,
        concerns: ConcernPort,
        clock: Clock,
        keys: KeyLoader | None = None,
        *,
        reporting: ReportPort | None = None,
        modules: ModuleLoader | None = None,
    ) -> None:
        self.mesh = Mesh(Engine(), concerns, reporting)
        self.model = Model(self.mesh)
        self.world = World(self.model)
        self.synced = False
        self.clients: dict[int, Client] = {}
        self.commits = 0
        self.last: Outcome | None = None
        self._settings = settings
        self._clock = clock
        self.quarantine = Quarantine()
        self.objects: dict[tuple[str, ObjectKey], Object[Any]] = {}
        """All that was read, by kind and key."""
        self.gone: set[ObjectKey] = set()
        """Pods that are there and whose proxies were connected and are not."""
        self.ran: dict[ObjectKey, tuple[Layer, ...]] = {}
        """What proxies have acknowledged as a whole and `app.kept` has not yet taken to be kept."""
        self._queue: dict[tuple[str, ObjectKey], Object[Any] | None] = {}
        self._verdicts: set[ObjectKey] = set()
        """EnvoyFilters of which it has changed whether they are left out."""
        self._judged: set[ResourceRef] = set()
        """Resources that brought about a verdict: what proxies still say of them is about what was before it."""
        self._wake = asyncio.Event()
        self._progress = asyncio.Event()
        self.rollout = Rollout()
        self.watchers = Watchers()
        self._accepted = 0
        self._committed = 0
        self.keys = keys
        self.modules = modules
        for loader in (keys, modules):
            if loader is not None:
                loader.changed = self._on_loaded
        self.world.commit([Change(self.mesh.settings, SETTINGS_KEY, settings)])

    # -- configuration in ---------------------------------------------------------------------------------------

    def on_changes(self, changes: Iterable[tuple[str, ObjectKey, Object[Any] | None]], *, synced: bool) -> None:
        """Queue changes. Of several changes to one object the last counts, so the queue is bounded by the mesh."""
        for kind, key, value in changes:
            if kind not in KINDS:
                continue
            self._queue[kind, key] = value
            for loader in (self.keys, self.modules):
                if loader is not None:
                    loader.on_change(kind, key, value)
            if value is None:
                self.objects.pop((kind, key), None)
                if kind == "Pod":
                    self.gone.discard(key)
            else:
                self.objects[kind, key] = value
            if kind == "EnvoyFilter" and self.quarantine.note(key, value):
                self._verdicts.add(key)
        self._accepted += 1
        if synced and not self.synced:
            self.commit_now()
            self.synced = True
        self._wake.set()

    def set_federated(self, trust_domains: tuple[str, ...]) -> None:
        """Let servers accept workloads of these other trust domains; their roots come from Citadel."""
        if trust_domains == self._settings.federated:
            return
        self._settings = replace(self._settings, federated=trust_domains)
        self._push(self.world.commit([Change(self.mesh.settings, SETTINGS_KEY, self._settings)]))
        self.note_progress()

    def _on_loaded(self) -> None:
        self._accepted += 1
        self._wake.set()

    def watch(self, name: str, places: Collection[Watched], switches: Switches, *, lease_s: float) -> bool:
        """Let the proxies of these workloads report to Mixer for that long; see `Watchers.hold`."""
        held = self.watchers.hold(name, places, switches, now=self._clock.monotonic(), lease_s=lease_s)
        self._accepted += 1
        self._wake.set()
        return held

    def told_headers(self) -> list[str]:
        """The request headers that proxies report."""
        settings = self.mesh.engine.get(self.mesh.aspects, Aspect.LISTENERS) or self._settings
        return sorted({*REQUEST_HEADERS, *settings.reported.request})

    async def run(self) -> None:
        """Commit whatever is queued, until cancelled."""
        while True:
            await self._wait()
            await self._quiet()
            self.commit_now()
            self.note_progress()

    async def _wait(self) -> None:
        """Until there is something to commit."""
        due = min((at for at in (self.rollout.next_due(), self.watchers.next_due()) if at is not None), default=None)
        try:
            async with asyncio.timeout(None if due is None else max(0.0, due - self._clock.monotonic())):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _quiet(self) -> None:
        deadline = self._clock.monotonic() + QUIET_MAX_S
        while self._wake.is_set() and self._clock.monotonic() < deadline:
            self._wake.clear()
            await asyncio.sleep(QUIET_S)
        self._wake.clear()
        for loader in (self.keys, self.modules):
            if loader is not None:
                # With its keys a new policy refuses nobody who has a good token. A slow source holds up nothing.
                await loader.wait_tried(max(deadline - self._clock.monotonic(), 0))

    def commit_now(self) -> None:
        """Commit the queue as one step and push. Nothing awaits in here."""
        queued, self._queue = self._queue, {}
        verdicts, self._verdicts = self._verdicts, set()
        self._judged.clear()
        self._committed = self._accepted
        self._move(self.rollout.advance(self._clock.monotonic()))
        changes: list[Change] = [Change(self.mesh.kinds[kind], key, value) for (kind, key), value in queued.items()]
        for key in verdicts:
            refused = self.quarantine.held.get(key)
            changes.append(Change(self.mesh.left_out, key, refused.filter if refused is not None else None))
        self.watchers.expire(self._clock.monotonic())
        changes += [Change(self.mesh.watchers, key, value) for key, value in self.watchers.take_changes().items()]
        if self.modules is not None:
            changes += [Change(self.mesh.modules, key, value) for key, value in self.modules.take_changes().items()]
        if self.keys is not None:
            changes += [Change(self.mesh.key_sets, key, value) for key, value in self.keys.take_changes().items()]
        if not changes:
            return
        touched = any(kind == "PeerAuthentication" for kind, _key in queued)
        before = self._modes() if touched else {}
        outcome = self.world.commit(changes)
        self.commits += 1
        self.last = outcome
        for failure in outcome.commit.failures:
            logger.error("cannot build %s %s: %r", failure.name, failure.key, failure.exception)
        self._push(outcome)
        # Nothing has been sent yet: streams take their newest snapshot when this turn of the loop ends.
        wanted = {key: self.mesh.engine.get(self.model.wanted_mode, key) or PERMISSIVE for key in before}
        self._move(self.rollout.begin(before, wanted))

    def _modes(self) -> dict[ServerKey, MovingMode]:
        """What holds now of every port of every connected sidecar."""
        engine, model, found = self.mesh.engine, self.model, {}
        for one in {client.status.proxy_class for client in self.clients.values()}:
            ports = engine.get(model.inbound.ports, one) or ()
            for number in (0, *(port.number for port in ports)):
                key = ServerKey(one.namespace, one.labels, number)
                mode = engine.get(model.server_mode, key)
                # A gateway has none: it decides nothing about who may call it without TLS.
                if mode is not None:
                    moving = engine.get(self.mesh.moving_modes, key)
                    found[key] = moving or MovingMode(mode, mode != DISABLE)
        return found

    def mtls_modes(self) -> list[dict[str, Any]]:
        """What every workload with a connected sidecar takes: mode by port, `other` for ports that nobody declared.

        `wanted` differs from `mode` while callers have yet to follow.
        """
        engine, model, rows = self.mesh.engine, self.model, {}
        for one in {client.status.proxy_class for client in self.clients.values()}:
            if one.role == ROUTER:
                continue
            ports = []
            for port in (*(engine.get(model.inbound.ports, one) or ()), None):
                key = ServerKey(one.namespace, one.labels, port.number if port is not None else 0)
                modes = [engine.get(derived, key) or PERMISSIVE for derived in (model.server_mode, model.wanted_mode)]
                ports.append(
                    {"port": key.port, "service": port.service if port else "", "mode": modes[0], "wanted": modes[1]}
                )
            rows[one.namespace, one.workload] = {
                "namespace": one.namespace, "workload": one.workload, "labels": dict(one.labels), "ports": ports
            }  # fmt: skip
        return [rows[key] for key in sorted(rows)]

    def _move(self, moves: Moves) -> None:
        if moves:
            changes = [Change(self.mesh.moving_modes, key, mode) for key, mode in moves.items()]
            self._push(self.world.commit(changes))
            self.rollout.set_goals(self._goal)

    def _goal(self, server: ServerKey, audience: Audience) -> Goal:
        """Who has to have what was just offered."""
        goals = {
            id(client): (client, client.status.offered)
            for client in self.clients.values()
            if audience is Audience.EVERYONE or client.status.proxy_class.serves(server.namespace, server.labels)
        }

        def behind() -> tuple[str, ...]:
            late = [one for key, (one, number) in goals.items() if key in self.clients and one.status.settled < number]
            return tuple(sorted(one.name for one in late))

        return behind

    def _push(self, outcome: Outcome) -> None:
        by_class: dict[ProxyClass, list[Client]] = {}
        moved = set(outcome.moved)
        for client in list(self.clients.values()):
            if client.status.pod in moved:
                client.move()
            else:
                by_class.setdefault(client.status.proxy_class, []).append(client)
        for offer in outcome.offers:
            for client in by_class.get(offer.proxy_class, ()):
                client.status.offered = offer.snapshot.number
                client.note_age()
                client.push(offer.snapshot, offer.changes)

    # -- proxies ------------------------------------------------------------------------------------------------

    def connect(self, identity: SpiffeID, node: bytes, push: Push) -> Client:
        """Accept a proxy: its certificate must be that of the pod that its node id names."""
        if not self.synced:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "configuration is still being read")
        pod = pod_of_node(node)
        if pod is None:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "node.id must be <role>~<ip>~<pod>.<namespace>~<domain>")
        self.commit_now()
        found = self.mesh.engine.get(self.mesh.pods, pod)
        if found is None:
            raise Refusal(grpc.StatusCode.UNAVAILABLE, "the pod is not known yet")
        if (identity.namespace, identity.service_account) != (pod.namespace, found.spec.spec.service_account_name):
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "the certificate is not this pod's")
        return Client(self, pod, push)

    def on_answer(self, status: ProxyStatus, event: Acked | Nacked) -> None:
        """Leave out whose patches a proxy cannot take. What it says is judged only if it is about the newest."""
        if isinstance(event, Acked) and not self.quarantine.held:
            return
        snapshot = self.world.current(status.proxy_class)
        about = [
            one
            for name, version in event.versions.items()
            if (one := snapshot.of(event.type_url).get(name)) is not None
            and one.version == version
            and one.ref not in self._judged
        ]
        if isinstance(event, Acked):
            for one in about:
                self._note_verdict(one.ref, self.quarantine.accepted(one.ref))
            return
        named = any(name in event.detail.message for name in event.versions)
        suspects = {one.ref: _patchers(one) for one in about}
        if not named and len(about) > 1:
            # Envoy does not say which: only the newest patch of all is taken out.
            suspects = {about[0].ref: [key for one in about for key in suspects[one.ref]]}
        for ref, keys in suspects.items():
            text = event.detail.message
            self._note_verdict(ref, self.quarantine.judge(ref, keys, status.pod, text))

    def _note_verdict(self, ref: ResourceRef, changed: list[ObjectKey]) -> None:
        if changed:
            self._judged.add(ref)
            self._verdicts.update(changed)
            self._accepted += 1
            self._wake.set()

    async def wait_settled(self, deadline_s: float) -> list[ProxyStatus]:
        """Wait until every connected proxy runs what is known now; gives those that do not at the deadline, or as soon
        as all others do and these have refused it. A proxy that refuses something bars changes of mutual TLS, too.

        What changes later is not waited for: where something always changes, nobody would ever be told. Nor is what a
        proxy has refused or held back since before: it says nothing about a change that does not touch it.
        """
        asked = None
        before = {key: one.status.stuck for key, one in self.clients.items()}
        barred = self.rollout.held_up(self._refusing())
        try:
            async with asyncio.timeout(deadline_s):
                for loader in (self.keys, self.modules):
                    if loader is not None:
                        await loader.wait_tried(deadline_s)
                goal = self._accepted
                while self._committed < goal or self._is_rolling_out(barred):
                    if bars := self._barring(barred):
                        return bars
                    await self._progress.wait()
                asked = [(one, one.status.proxy_class, one.status.offered) for one in self.clients.values()]
                while (late := self._behind(asked, before)) and not self._is_refused(late, before, barred):
                    await self._progress.wait()
        except TimeoutError:
            if asked is None:
                return self.laggards()
            late = self._behind(asked, before)
        return [one.status for one in late]

    def _behind(self, asked: list[tuple[Client, ProxyClass, int]], before: Mapping[int, Stuck | None]) -> list[Client]:
        """Of proxies that were to run a snapshot, those that are still here and do not. `before`: what each lacked."""
        found = []
        for client, proxy_class, number in asked:
            status = client.status
            goal = number if status.proxy_class == proxy_class else status.offered
            here = id(client) in self.clients and status.settled < goal
            if here and not lacks_nothing_new(status.stuck, before.get(id(client)), goal):
                found.append(client)
        return found

    def _refusing(self) -> dict[str, ProxyStatus]:
        """Proxies that have all they can have but what they refuse, by name."""
        return {one.name: one.status for one in self.clients.values() if refuses_anything(one.status)}

    def _is_rolling_out(self, barred: Container[Way]) -> bool:
        """Whether mutual TLS changes anywhere but where the way was `barred` before."""
        return any(way not in barred for way in self.rollout.under_way())

    def _barring(self, barred: Container[Way]) -> list[ProxyStatus]:
        """Those that bar all changes of mutual TLS that are on their way: waiting for these does not help."""
        if self._committed < self._accepted:
            return []
        refusing = self._refusing()
        held_up = self.rollout.held_up(refusing)
        ways = [way for way in self.rollout.under_way() if way not in barred]
        if not all(way in held_up for way in ways):
            return []
        names = {name for way in ways for name in held_up[way]}
        return [refusing[name] for name in sorted(names)]

    def _is_refused(self, late: list[Client], before: Mapping[int, Stuck | None], barred: Container[Way]) -> bool:
        """Whether nothing is under way to these: no verdict about whose patch to leave out, no step of a rollout."""
        if self._committed < self._accepted or self._is_rolling_out(barred):
            return False
        return all(refuses_anything_new(one.status, before.get(id(one))) for one in late)

    def laggards(self) -> list[ProxyStatus]:
        """Connected proxies that have not acknowledged all of their newest snapshot."""
        return [one.status for one in self.clients.values() if one.status.settled < one.status.offered]

    def now(self) -> float:
        """Monotonic seconds, as in `ProxyStatus.behind_since`."""
        return self._clock.monotonic()

    def note_progress(self) -> None:
        """Wake those who wait for proxies."""
        if self.rollout.active:
            self._wake.set()
        self._progress.set()
        self._progress = asyncio.Event()

    def facts(self) -> Facts:
        """A copy of all that the world follows from, for another thread."""
        left_out = {key: one.filter for key, one in self.quarantine.held.items()}
        return Facts(self._settings, self.mesh.concerns, dict(self.objects), left_out, self.mesh.reporting)

    def metrics(self, stats: ServerStats) -> list[tuple[str, str, str, float]]:
        """Rows for `/metrics`, with what the xDS server counts."""
        return [
            ("pilot_xds", "gauge", "Connected proxies.", float(stats.streams)),
            ("pilot_xds_pushes_total", "counter", "Responses sent to proxies.", float(stats.responses)),
            ("pilot_xds_push_bytes_total", "counter", "Bytes sent to proxies.", float(stats.response_bytes)),
            ("pilot_total_xds_rejects", "counter", "Responses that proxies refused.", float(stats.nacks)),
            ("pilot_commits_total", "counter", "Commits of the engine.", float(self.commits)),
            ("pilot_failing_keys", "gauge", "Keys that cannot be built now.", float(len(self.mesh.engine.findings))),
            *(self.keys.metrics() if self.keys is not None else ()),
            *(self.modules.metrics() if self.modules is not None else ()),
        ]

    def findings(self) -> list[Finding]:
        """What is wrong now: keys that cannot be built, resources that proxies refused."""
        found = [
            Finding("ARG0501", Level.ERROR, f"cannot be built: {failure.exception!r}", name=f"{name} {key}")
            for (name, key), failure in self.mesh.engine.findings.items()
        ]
        refusing = self._refusing()
        found += [moving(*one, refusing) for one in self.rollout.waiting()]
        found += [left_out(one) for one in self.quarantine.held.values()]
        for client in self.clients.values():
            for type_url, (names, text) in client.status.rejected.items():
                found.append(
                    refusal(self.world.current(client.status.proxy_class), client.status.pod, type_url, names, text)
                )
        found += self.keys.findings(self.mesh) if self.keys is not None else []
        found += self.modules.findings() if self.modules is not None else []
        found += asked_about(self._answers())
        return [*found, *self._trust_domain_findings()]

    def _answers(self) -> Iterator[tuple[str, OwnAnswers]]:
        """What proxies answer themselves for Mixer, by workload."""
        engine, model = self.mesh.engine, self.world.model
        for proxies in {client.status.proxy_class for client in self.clients.values()}:
            for port in engine.get(model.inbound.ports, proxies) or ():
                for called in (CalledPort(port.number, port.service), CalledPort(port.number, port.service, tcp=True)):
                    found = engine.get(model.checks.answers, (proxies, called))
                    if found is not None:
                        yield f"{proxies.namespace}/{proxies.workload}", found

    def _trust_domain_findings(self) -> list[Finding]:
        place = ObjectKey(MESH_NAMESPACE, MESH_NAME)
        found = self.mesh.engine.get(self.mesh.kinds["ConfigMap"], place)
        wished = mesh_config_of({place: found}).trust_domain if found is not None else ""
        if wished in ("", self._settings.trust_domain):
            return []
        message = f"the mesh runs with trust domain {self._settings.trust_domain}, not yet with {wished}"
        hint = "`argosy down` and `argosy up`: every certificate carries it"
        return [Finding("ARG0530", Level.WARNING, message, "ConfigMap", MESH_NAMESPACE, MESH_NAME, hint=hint)]


def _patchers(resource: Resource) -> list[ObjectKey]:
    return [ObjectKey(by.namespace, by.name) for by in owners_of(resource) if by.kind == "EnvoyFilter"]


def pilot_server(pilot: Pilot, *, trust_domain: str, clock: Clock) -> XdsServer:
    """The xDS server for Envoys."""
    return XdsServer(pilot, ENVOY_RULES, trust_domain=trust_domain, clock=clock)
