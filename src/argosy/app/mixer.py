"""Mixer as a running thing: a directory from configuration, telemetry in, checks answered, graph and metrics out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc

from argosy.api import Object
from argosy.api.mixer import MIXER_KINDS, Handler
from argosy.app.checks import Checks, Place, make_remote
from argosy.app.flow_recorder import NO_HISTORY, FlowRecorder, Past, Revision
from argosy.app.report import ReportHandlers
from argosy.app.taps import Taps
from argosy.app.totals import FRESH_S, Totals
from argosy.citadel.errors import SVIDError
from argosy.core.clock import Clock
from argosy.core.errors import ArgosyError, Finding, Level
from argosy.core.hosts import service_host
from argosy.core.names import ObjectKey
from argosy.core.spiffe import SpiffeID, SpiffeIDError, workload_id
from argosy.edge.adapter_client import AdapterClient
from argosy.edge.console_http import DiffQuery, GraphQuery
from argosy.edge.flow_store import Bounds
from argosy.edge.mixer_server import MixerPorts, mixer_handlers
from argosy.edge.tls import peer_identity
from argosy.edge.trace_server import trace_handler
from argosy.flow.directory import MeshDirectory
from argosy.flow.misread import MisreadRow
from argosy.flow.workload import ContainerRef, PodRef, ServiceRef, workload_ref
from argosy.graph.build import GraphOptions, build_graph
from argosy.graph.diff import diff_graphs
from argosy.graph.mtls import dump_caller
from argosy.graph.served import served_by_workloads
from argosy.graph.view import build_view
from argosy.mixer.access_record import AccessRecord
from argosy.mixer.adapters.models import Models, build_models
from argosy.mixer.attribute_generators import with_generated
from argosy.mixer.check import Decision
from argosy.mixer.exposition import expose, expose_proxy
from argosy.mixer.mesh_addresses import MeshAddresses
from argosy.mixer.metrics import MetricsAggregator
from argosy.mixer.refusals import compile_checks
from argosy.mixer.report_attributes import workload_attributes
from argosy.mixer.report_needs import header_needs, inbound_reports, outbound_reports
from argosy.mixer.report_rules import ReportPolicy, resolve_reports
from argosy.mixer.request import (
    CheckFacts,
    destination_attributes,
    find_asker,
    gateway_attributes,
    is_constant,
    node_belongs,
    port_attributes,
    request_attributes,
)
from argosy.mixer.rules import CheckPolicy, changes_answers, concern_of, resolve_rules
from argosy.mixer.telemetry import COUNTERS, HISTOGRAMS, parse_node_id
from argosy.mixer.traces import TraceStore
from argosy.pilot.build.check import TIMEOUT_S
from argosy.pilot.checking import NO_CONCERN, CalledPort, Concern, OwnAnswers
from argosy.pilot.classes import ROUTER, role_of_pod
from argosy.pilot.reporting import Destination, ReportedHeaders, Switches

KINDS = ("Pod", "Service", "ServiceEntry", "Secret", *MIXER_KINDS)
_MIXER_KINDS = frozenset(MIXER_KINDS)
ALL_FAMILIES = frozenset((*COUNTERS, *HISTOGRAMS))
READY_HELP = "0 for some seconds after Mixer was started anew, when istio_* would be behind what was told before."
MISREAD = "ARG0920"
MISREAD_S = 3600.0
"""For how long it is told that a port was sent what it does not speak."""


class Mixer:
    """Directory, aggregator and rules of one process."""

    def __init__(self, *, trust_domain: str, clock: Clock, home: Path) -> None:
        self.trust_domain = trust_domain
        self.synced = False
        self._clock = clock
        self._objects: dict[str, dict[ObjectKey, Object[Any]]] = {kind: {} for kind in KINDS}
        self._revision = 0
        self.directory = MeshDirectory()
        self._places: dict[tuple[str, int, str], tuple[str, int]] = {}
        """Addresses that were found in the present state of the registry."""
        self._models = Models()
        self.checks = Checks(clock, self._place, (partial(make_remote, secret=self._secret), self._make_adapter))
        self.aggregator = MetricsAggregator(self.directory)
        self.totals: Totals | None = None
        self.recorder: FlowRecorder | None = None
        self.traces = TraceStore()
        self._began = clock.now()
        self.records = 0
        self.reports = ReportHandlers(home=home, clock=clock, resolve=self._address, remote=self._make_teller)
        self.taps = Taps(lambda: self.directory)
        self.consumers: list[Callable[[AccessRecord], None]] = [self.taps.on_record]
        """Who is given every record that a proxy reports."""

    def on_changes(self, changes: Iterable[tuple[str, ObjectKey, Object[Any] | None]], *, synced: bool) -> None:
        """Take over changed objects."""
        touched = set()
        for kind, key, value in changes:
            if kind not in KINDS:
                continue
            touched.add(kind)
            if value is None:
                self._objects[kind].pop(key, None)
            else:
                self._objects[kind][key] = value
        if touched & {"Pod", "Service", "ServiceEntry"}:
            self._refresh_directory()
        if touched & _MIXER_KINDS:
            objects = [one for kind in MIXER_KINDS for one in self._objects[kind].values()]
            self._models = build_models(objects)
            self.checks.set_policy(resolve_rules(objects))
            self.reports.use(resolve_reports(objects))
        self.synced = self.synced or synced

    def _refresh_directory(self) -> None:
        self._revision += 1
        self._places.clear()
        pods = [_pod_ref(pod, self.trust_domain) for pod in self._objects["Pod"].values()]
        services = [
            ServiceRef(host=service_host(key.name, key.namespace), name=key.name, namespace=key.namespace)
            for key in self._objects["Service"]
        ]
        services += [
            ServiceRef(host=host, name=host, namespace=key.namespace)
            for key, entry in self._objects["ServiceEntry"].items()
            for host in entry.spec.names
        ]
        selectors = {
            service_host(key.name, key.namespace): service.spec.selector
            for key, service in self._objects["Service"].items()
        }
        self.directory = MeshDirectory(pods, services, selectors, revision=self._revision)
        self.aggregator.set_directory(self.directory)

    async def check(self, facts: CheckFacts) -> Decision:
        """Decide one request."""
        attributes = request_attributes(facts, self.directory)
        namespace, open_ = facts.node.namespace, facts.fail_open
        attributes = with_generated(self.checks.policy.generators, attributes, self.directory, namespace)
        wait_s = min(facts.wait_s, TIMEOUT_S)
        return await self.checks.check(namespace, attributes, facts.stream, fail_open=open_, wait_s=wait_s)

    def _make_adapter(self, handler: Object[Handler], place: Place) -> AdapterClient | None:
        """The client of an adapter out of process, or None."""
        connection, namespace = handler.spec.connection, handler.namespace
        if handler.spec.compiled_adapter or connection is None:
            return None
        ask = lambda call: self._models.question(handler, call, uuid4().hex)  # noqa: E731
        return AdapterClient(connection, partial(place, namespace), ask)

    def _make_teller(self, handler: Object[Handler]) -> AdapterClient | None:
        return self._make_adapter(handler, self._place)

    def _place(self, namespace: str, address: str) -> tuple[str, int]:
        """Where a handler of `namespace` finds `host:port`; raises OSError if nobody is there."""
        host, _colon, port = address.rpartition(":")
        return self._address(host.strip("[]"), int(port), namespace)

    def _secret(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        """What a Secret holds that a handler of its namespace names."""
        found = self._objects["Secret"].get(ObjectKey(namespace, name))
        return found.spec.entries() if found is not None else None

    def on_record(self, record: AccessRecord) -> None:
        """Take what a proxy reports of one request or of one moment of a connection."""
        self.records += 1
        self.reports.on_record(record, self.directory)
        for consumer in self.consumers:
            consumer(record)

    def metrics(self, own: Sequence[tuple[str, str, str, float]] = ()) -> Iterable[bytes]:
        """The text of `/metrics`, in pieces."""
        self.aggregator.pass_time(self._clock.now())
        mine = (
            *self.checks.metrics(),
            ("mixer_spans_total", "counter", "Spans that proxies sent.", float(self.traces.received)),
            ("mixer_records_total", "counter", "Reports of single requests and connections.", float(self.records)),
        )
        kept = self.recorder.metrics() if self.recorder is not None else ()
        reports, told = self.reports, self.totals is None or self.totals.ready
        if self.totals is not None and told:
            self.totals.keep(FRESH_S)
        mine = (*mine, ("mixer_metrics_ready", "gauge", READY_HELP, float(told)))
        families = (*self.checks.families(), *reports.families())
        without = reports.defined if told else ALL_FAMILIES
        pieces = expose(self.aggregator, (*mine, *kept, *own), more=families, without=without)
        return chain(pieces, reports.expose())

    def proxy_metrics(self, node_id: str) -> bytes:
        """What one proxy has counted, as the text of a page; nothing while totals are not whole (see `metrics`)."""
        node = parse_node_id(node_id)
        if node is None or (self.totals is not None and not self.totals.ready):
            return b""
        return expose_proxy(*self.aggregator.of_proxy(node))

    def keep_totals(self, path: Path) -> Totals:
        """Go on from the totals in that file and keep them there; run what is given back."""
        self.totals = Totals(self.aggregator, path, self._clock)
        return self.totals

    def graph(self, query: GraphQuery) -> Mapping[str, Any]:
        """The finished view of the traffic graph."""
        window = self.aggregator.window(query.window_s, self._clock.now())
        return build_view(build_graph(window, _options(query)))

    def served(self, window_s: int) -> list[dict[str, Any]]:
        """What each workload served in the last so many seconds, as plain data."""
        window = self.aggregator.window(window_s, self._clock.now())
        return [asdict(one) for one in served_by_workloads(window)]

    def record(self, path: Path, bounds: Bounds, revision: Revision) -> FlowRecorder:
        """Keep flows in that file; run what is given back. `revision` tells that of the configuration in force."""
        log = self.aggregator.minutes
        self.recorder = FlowRecorder(log, path, bounds, clock=self._clock, revision=revision)
        return self.recorder

    async def past(self, query: GraphQuery) -> Mapping[str, Any]:
        """The view of the graph as it was at `query.at`. Raises `ArgosyError`."""
        assert query.at is not None
        found = await self._recorder().past(query.at, query.window_s)
        return {**build_view(build_graph(found.window, _options(query))), "past": _dump_past(found)}

    async def diff(self, query: DiffQuery) -> Mapping[str, Any]:
        """Two times compared. Raises `ArgosyError`."""
        options = _options(query.graph)
        sides = [await self._recorder().past(at, query.graph.window_s) for at in (query.before, query.after)]
        graphs = [build_graph(one.window, options) for one in sides]
        before, after = (_dump_past(one) for one in sides)
        return {"before": before, "after": after, "edges": diff_graphs(*graphs)}

    def _recorder(self) -> FlowRecorder:
        if self.recorder is None:
            raise ArgosyError.of(NO_HISTORY, "this mesh keeps no history of flows")
        return self.recorder

    def _address(self, host: str, port: int, namespace: str) -> tuple[str, int]:
        """Where a handler's server is; raises OSError if nobody is there."""
        key = (host, port, namespace)
        if key not in self._places:
            mesh = MeshAddresses(self._objects["Pod"].values(), self._objects["Service"].values())
            self._places[key] = mesh.find(host, port, namespace)
        return self._places[key]

    def plaintext(self) -> dict[str, Any]:
        """Who calls without mutual TLS. `observed_s`: for how long this Mixer has been looking."""
        now = self._clock.now()
        rows = [dump_caller(row, now) for row in self.aggregator.plaintext.rows()]
        return {"observed_s": now - self._began, "callers": rows}

    def findings(self) -> list[Finding]:
        """Ports that are declared to speak HTTP and were sent something else in the last hour; too many series;
        handlers that cannot deliver or ask; a history with gaps."""
        found = [_misread(row) for row in self.aggregator.misread.rows(self._clock.now() - MISREAD_S)]
        found += [*self.aggregator.findings(), *self.checks.findings(), *self.reports.findings()]
        found += self.totals.findings() if self.totals is not None else []
        return found + (self.recorder.findings() if self.recorder is not None else [])

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """gRPC handlers for proxies."""
        ports = mixer_handlers(
            MixerPorts(
                receive=self.aggregator.receive,
                check=self.check,
                now=self._clock.now,
                identity=self._identity,
                belongs=lambda identity, node: node_belongs(self.directory, identity, node),
                on_record=self.on_record,
                asker=lambda identity, address: find_asker(self.directory, identity, address),
            )
        )
        return [*ports, trace_handler(self.traces.add, self._identity)]

    def _identity(self, context: Any) -> SpiffeID | None:
        try:
            return peer_identity(context, self.trust_domain)
        except SVIDError:
            return None


class Concerns:
    """Pilot's port: whom do rules concern, so that its proxies must ask Mixer?"""

    def policy(self, objects: Sequence[Object[Any]]) -> CheckPolicy:
        """The rules."""
        return resolve_rules(objects)

    def concerns(self, policy: CheckPolicy, destination: Destination) -> Concern:
        """What any rule has to say about that workload's requests and connections."""
        if not policy.rules:
            return NO_CONCERN
        pod, gateway = _known_pod(destination), destination.gateway
        known = gateway_attributes(pod) if gateway else destination_attributes(pod)
        about = (policy, known, partial(is_constant, gateway=gateway), destination.namespace)
        return Concern(*concern_of(*about), changes_answers(*about))

    def answers(self, policy: CheckPolicy, destination: Destination, port: CalledPort) -> OwnAnswers:
        """What a sidecar answers itself; gateways ask about everything."""
        if destination.gateway:
            return OwnAnswers()
        called = port_attributes(port.service, port.number)
        known = {**destination_attributes(_known_pod(destination)), **called.known}
        made = compile_checks(policy, known, called.is_known, destination.namespace, tcp=port.tcp)
        return OwnAnswers(made.refusals, made.variants, made.asks, made.reasons)


class Reports:
    """Pilot's port: what do rules want to be told of single requests?"""

    def policy(self, objects: Sequence[Object[Any]]) -> ReportPolicy:
        """The rules."""
        return resolve_reports(objects)

    def sides(self, policy: ReportPolicy, workload: Destination) -> Switches:
        """The sides that some rule could report."""
        if not policy.rules:
            return Switches()
        pod = _known_pod(workload)
        return Switches(
            inbound_reports(policy, workload_attributes(pod, "destination")),
            outbound_reports(policy, workload_attributes(pod, "source")),
        )

    def headers(self, policy: ReportPolicy) -> ReportedHeaders:
        """The headers that expressions name."""
        needs = header_needs(policy)
        return ReportedHeaders(needs.request, needs.response)


def _known_pod(workload: Destination) -> PodRef:
    """What is known beforehand of all pods of a workload."""
    return PodRef(
        namespace=workload.namespace,
        name="",
        address="",
        labels=workload.labels,
        service_account=workload.service_account,
        owner=_owner(workload.namespace, workload.workload),
        workload=workload_ref(workload.namespace, workload.workload, workload.labels),
    )


def _options(query: GraphQuery) -> GraphOptions:
    return GraphOptions(namespaces=query.namespaces, service_nodes=query.service_nodes, type=query.type)


def _dump_past(found: Past) -> dict[str, Any]:
    """Which minutes a graph is of. `watched_s`: for how many of their seconds somebody counted."""
    return {
        "start": found.start,
        "end": found.end,
        "watched_s": round(found.window.seconds, 1),
        "revision": found.revision,
    }


def _pod_ref(pod: Object[Any], trust_domain: str) -> PodRef:
    account = pod.spec.spec.service_account_name
    sidecar = pod.annotations.get("argosy.io/sidecar") == "true"
    try:
        principal = str(workload_id(trust_domain, pod.namespace, account)) if sidecar else ""
    except SpiffeIDError:
        principal = ""
    return PodRef(
        namespace=pod.namespace,
        name=pod.name,
        address=pod.spec.pod_ip,
        labels=pod.labels,
        service_account=account,
        principal=principal,
        owner=_owner(pod.namespace, pod.spec.workload),
        workload=workload_ref(pod.namespace, pod.spec.workload or pod.name, pod.labels, sidecar=sidecar),
        router=role_of_pod(pod) == ROUTER,
        containers=tuple(
            ContainerRef(one.name, one.image, tuple(port.container_port for port in one.ports))
            for one in pod.spec.spec.containers
        ),
    )


def _owner(namespace: str, workload: str) -> str:
    return f"kubernetes://apis/apps/v1/namespaces/{namespace}/deployments/{workload}" if workload else ""


def _misread(row: MisreadRow) -> Finding:
    """Traffic that is not what its port is declared to be, as a finding about the Service."""
    workload = f"{row.destination.namespace}/{row.destination.name}"
    sender = f"{row.source.namespace}/{row.source.name}" if row.source.known else "somebody unknown"
    message = (
        f"a port of {row.service.host or workload} is taken to speak HTTP, and {workload} was sent something else "
        f"{row.count:.0f} times, last by {sender}"
    )
    hint = "`argosy proxy-config clusters` says why it is taken so; correct appProtocol or the port's name"
    return Finding(MISREAD, Level.WARNING, message, "Service", row.service.namespace, row.service.name, hint=hint)
