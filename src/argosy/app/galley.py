"""Galley as a running thing: the one writer of configuration, and its readers in this process and beyond.

Applies come from the command line's API and from watched directories; pods from agents. Every change is handed to the
listeners of this process at once and to remote components over delta xDS.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
import msgspec

from argosy.api import Document, Object
from argosy.api.workload import HEALTH
from argosy.core.clock import Clock
from argosy.core.errors import ArgosyError
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.core.spiffe import SpiffeID
from argosy.edge.config_client import CONFIG_SERVICE
from argosy.edge.directory_source import watch_source
from argosy.edge.tls import peer_identity
from argosy.edge.xds_server import Limits, Push, Refusal, XdsServer
from argosy.galley.admit import BARE_POD
from argosy.galley.publish import config_type_url
from argosy.galley.state import Applied, Change, Galley
from argosy.xds.messages import Changes, Snapshot
from argosy.xds.server import Event, Rules, Settled, Subscribed

logger = logging.getLogger(__name__)

REPORT_PODS = "argosy.galley.v1.Galley"
READERS = frozenset({"argosy", "pilot", "mixer", "agent"})
REPORTERS = frozenset({"agent"})

# What others refer to comes first, so that a reader that commits between two messages sees nothing dangling.
KIND_ORDER = (
    "Namespace",
    "ServiceAccount",
    "Secret",
    "Service",
    "ServiceEntry",
    "Pod",
    HEALTH,
    "WorkloadGroup",
    "WorkloadEntry",
    "DestinationRule",
    "Gateway",
    "VirtualService",
)
CONFIG_RULES = Rules(order=tuple(config_type_url(kind) for kind in KIND_ORDER))

# Readers take a kind's first response for all of it, so it is not cut; they are our own: messages may have any size.
READER_LIMITS = Limits(request_bytes=1 << 30, response_bytes=1 << 30)

_Report = TypeVar("_Report", "PodReport", "HealthReport")
ObjectChange = tuple[str, ObjectKey, Object[Any] | None]
Listener = Callable[[Iterable[ObjectChange]], None]


class PodReport(msgspec.Struct, frozen=True):
    """All pods of one node, as Kubernetes-shaped documents."""

    node: str
    pods: list[dict[str, Any]]


class HealthReport(msgspec.Struct, frozen=True):
    """What a node knows of the health of workloads that are no pods, as WorkloadEntry documents."""

    node: str
    workloads: list[dict[str, Any]]


class GalleyService:
    """One `Galley` with its listeners and remote readers; also the `Source` of the configuration's xDS server."""

    def __init__(self, galley: Galley, clock: Clock, expected: Mapping[str, Collection[str]] | None = None) -> None:
        """`expected`: the kinds that remote components must read; while one is away it has read nothing."""
        self.galley = galley
        self._expected = {name: frozenset(map(config_type_url, kinds)) for name, kinds in (expected or {}).items()}
        self._clock = clock
        self._listeners: list[Listener] = []
        self._readers: dict[int, _Reader] = {}
        self._progress = asyncio.Event()

    def listen(self, listener: Listener) -> None:
        """Hand all that is accepted to `listener` now, and every change from now on."""
        self._listeners.append(listener)
        listener([(one.kind, one.key, one) for one in self.galley.objects()])

    def apply(
        self,
        documents: Iterable[Document],
        *,
        who: str,
        namespace: str = "default",
        prune: str | None = None,
        dry_run: bool = False,
    ) -> Applied:
        """One transaction; see `Galley.apply`. Raises `ArgosyError`."""
        applied = self.galley.apply(
            documents, now=self._clock.now(), who=who, namespace=namespace, prune=prune, dry_run=dry_run
        )
        if not dry_run:
            self._publish(applied.changes)
        return applied

    def delete(
        self, ids: Iterable[tuple[str, ObjectKey]], *, who: str, missing_ok: bool = False, dry_run: bool = False
    ) -> Applied:
        """Remove objects in one transaction. Raises `ArgosyError`."""
        applied = self.galley.delete(ids, now=self._clock.now(), who=who, missing_ok=missing_ok, dry_run=dry_run)
        if not dry_run:
            self._publish(applied.changes)
        return applied

    def rollback(self, revision: int, *, who: str, dry_run: bool = False) -> Applied:
        """Go back to what a revision held. Raises `ArgosyError`."""
        applied = self.galley.rollback(revision, now=self._clock.now(), who=who, dry_run=dry_run)
        if not dry_run:
            self._publish(applied.changes)
        return applied

    def wished_pods(self) -> int:
        """How many pods the configuration asks for that are to stay; those that end are nobody's to wait for."""
        deployments: int = sum(one.spec.replicas for one in self.galley.objects("Deployment"))
        lasting = [one for one in self.galley.objects(BARE_POD) if one.spec.spec.restart_policy == "Always"]
        return deployments + len(lasting)

    def report_pods(self, report: PodReport) -> None:
        """Take a node's pods. Raises `ArgosyError`."""
        documents = [Document(pod) for pod in report.pods]
        self._publish(self.galley.report_pods(report.node, documents))

    def report_health(self, report: HealthReport) -> None:
        """Take a node's knowledge of workloads. Raises `ArgosyError`."""
        documents = [Document(one) for one in report.workloads]
        self._publish(self.galley.report_health(report.node, documents))

    def _publish(self, changes: tuple[Change, ...]) -> None:
        if not changes:
            return
        names: dict[str, set[str]] = {}
        for change in changes:
            names.setdefault(config_type_url(change.kind), set()).add(f"{change.key.namespace}/{change.key.name}")
        frozen = {type_url: frozenset(found) for type_url, found in names.items()}
        # Readers first: a listener may answer with a change of its own, and readers must hear of both in order.
        for reader in list(self._readers.values()):
            reader.offer(self.galley.snapshot, frozen)
        told = [(change.kind, change.key, change.new_object) for change in changes]
        for listener in self._listeners:
            listener(told)

    # -- remote readers -----------------------------------------------------------------------------------------

    def connect(self, identity: SpiffeID, node: bytes, push: Push) -> _Reader:
        """Accept a component of the control plane, and nobody else: configuration holds secrets."""
        if identity.namespace != ROOT_NAMESPACE or identity.service_account not in READERS:
            raise Refusal(grpc.StatusCode.PERMISSION_DENIED, "not a component of the control plane")
        name = identity.service_account
        reader = _Reader(name, self, push, self._expected.get(name, frozenset()))
        self._readers[id(reader)] = reader
        return reader

    def forget(self, reader: _Reader) -> None:
        """A reader has gone."""
        del self._readers[id(reader)]
        self.note_progress()

    def note_progress(self) -> None:
        """Wake those who wait for readers."""
        self._progress.set()
        self._progress = asyncio.Event()

    async def wait_read(self, deadline_s: float) -> list[str]:
        """Wait until every reader has taken over what is in force; gives the names of those that have not."""
        goal = self.galley.snapshot.number
        try:
            async with asyncio.timeout(deadline_s):
                while self._behind(goal):
                    await self._progress.wait()
        except TimeoutError:
            return self._behind(goal)
        return []

    def _behind(self, goal: int) -> list[str]:
        readers = self._readers.values()
        away = self._expected.keys() - {reader.name for reader in readers}
        return sorted([*away, *(reader.name for reader in readers if reader.settled < goal)])


class _Reader:
    """One remote component: a `Connection` of the xDS server."""

    def __init__(self, name: str, service: GalleyService, push: Push, awaited: frozenset[str]) -> None:
        """`awaited`: the types that it must have asked for before what it has says anything."""
        self.name = name
        self._awaited = set(awaited)
        self.snapshot = service.galley.snapshot
        self.settled = -1
        self._push = push
        self._service = service

    def offer(self, snapshot: Snapshot, names: dict[str, frozenset[str]]) -> None:
        """Push the newest configuration."""
        since, self.snapshot = self.snapshot.number, snapshot
        self._push(snapshot, Changes(since, names))

    def on_event(self, event: Event) -> None:
        """Note how far the reader is. It accepts all that it can read; a refusal is its version's, and it logs it."""
        if isinstance(event, Subscribed):
            self._awaited.discard(event.type_url)
        elif isinstance(event, Settled) and not self._awaited:
            self.settled = max(self.settled, event.number)
            self._service.note_progress()

    def close(self) -> None:
        """The stream has ended."""
        self._service.forget(self)


def galley_handlers(service: GalleyService, *, trust_domain: str, clock: Clock) -> list[grpc.GenericRpcHandler]:
    """gRPC handlers: configuration over xDS, and pods from agents."""
    xds = XdsServer(service, CONFIG_RULES, trust_domain=trust_domain, clock=clock, limits=READER_LIMITS)

    async def report(data: bytes, context: Any, shape: type[_Report], take: Callable[[_Report], None]) -> bytes:
        identity = peer_identity(context, trust_domain)
        if identity.namespace != ROOT_NAMESPACE or identity.service_account not in REPORTERS:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "only agents report")
        try:
            take(msgspec.json.decode(data, type=shape))
        except (msgspec.DecodeError, ArgosyError) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return b""

    methods = {
        "ReportPods": grpc.unary_unary_rpc_method_handler(partial(report, shape=PodReport, take=service.report_pods)),
        "ReportHealth": grpc.unary_unary_rpc_method_handler(
            partial(report, shape=HealthReport, take=service.report_health)
        ),
    }
    return [*xds.handlers(CONFIG_SERVICE), grpc.method_handlers_generic_handler(REPORT_PODS, methods)]


async def follow_source(service: GalleyService, path: Path, on_read: Callable[[], None]) -> None:
    """Apply a watched directory, and again after each change; what was accepted stays while it cannot be read."""
    async for found in watch_source(path):
        try:
            if isinstance(found, ArgosyError):
                raise found
            applied = service.apply(found, who=f"directory {path}", prune=f"dir:{path}")
        except ArgosyError as error:
            logger.error("%s is not applied: %s", path, error)
        else:
            for finding in applied.findings:
                logger.warning("%s", finding)
        on_read()
