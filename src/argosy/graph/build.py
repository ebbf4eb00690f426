"""Flows to a graph: which nodes there are, which edges, and what each edge carries.

Given: a `FlowWindow` and options. Gives: a `Graph`. Both ends report most traffic; the caller's report counts (it also
knows of requests that never arrived), the receiver's stands in where the caller has no proxy, and decides about mutual
TLS, since it saw the certificate. What only one side tells is marked. Peers that nobody vouches for become honest
unknown nodes that say why.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise

from argosy.core.hosts import service_host, service_of_host
from argosy.core.names import BLACKHOLE_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER, PASSTHROUGH_CLUSTER
from argosy.flow.record import DESTINATION, MUTUAL_TLS, PLAINTEXT, SOURCE, FlowCounters, FlowKey, FlowWindow
from argosy.flow.workload import WorkloadRef
from argosy.graph.health import health_of
from argosy.graph.model import Edge, Graph, Node, NodeKind

_NO_SIDECAR = "This workload runs without a sidecar: its traffic is plaintext. Enable injection for its namespace."
_UNKNOWN_PLAINTEXT = (
    "Something at this address calls in plaintext and is no pod of the mesh: let it come through the ingress gateway "
    "or run it with a sidecar; STRICT mutual TLS refuses it."
)
_UNKNOWN = (
    "This caller showed no certificate, and nothing in the registry has its address: let it come through the ingress "
    "gateway, or run it with a sidecar."
)
_OWN_ANSWER = (
    "The caller's proxy answered by itself (a redirect, a fixed response, or no route): if that is not meant, see the "
    "route's name in `argosy logs POD -c istio-proxy`."
)
_PASSTHROUGH = (
    "Hosts that the mesh does not know were called and let through (outboundTrafficPolicy ALLOW_ANY): a ServiceEntry "
    "gives them names, metrics and policy."
)
_INBOUND_PASSTHROUGH = (
    "A port that no Service declares was called: declare it in a Service to see and rule its traffic."
)
_BLACKHOLE = (
    "Refused: outboundTrafficPolicy is REGISTRY_ONLY and nothing declares what was called. Declare it by a "
    "ServiceEntry; `argosy logs POD -c istio-proxy` names the hosts."
)
_NO_ENDPOINT = (
    "Requests for this service reached no pod: none is ready, none has the labels of the subset, or the caller's proxy "
    "answered by itself (a limit, a fault). `argosy proxy-config endpoints` and `argosy tap` tell more."
)
_NO_POD = (
    "It answers, and is no pod of the mesh: addresses that an Endpoints object names, or the control plane itself."
)
_EXTERNAL = "A host outside the mesh, declared by a ServiceEntry."
_BY_ADDRESS = (
    "Some of it called the pod's address: no route, policy or balancing of a service applied. Call the service's name."
)
_REFUSED = "{share} of the connections were refused or reached nobody."


class GraphType(StrEnum):
    """What a node is. The names are Kiali's."""

    APP = "app"
    """All versions of an app."""
    VERSIONED_APP = "versionedApp"
    """One version of an app, within the app's box."""
    WORKLOAD = "workload"
    """A workload, whatever its labels."""
    SERVICE = "service"
    """A service: what is called, and what callers are by their canonical name."""


@dataclass(frozen=True, slots=True)
class GraphOptions:
    """What to show: only these namespaces (empty: all), which kind of nodes, with or without one for each called
    service on the way (of a graph of services it is the node itself)."""

    namespaces: frozenset[str] = frozenset()
    service_nodes: bool = False
    type: GraphType = GraphType.VERSIONED_APP


@dataclass(slots=True)
class _Sides:
    """What either side reported of the traffic on one way through the graph, and how it was secured."""

    source: FlowCounters | None = None
    destination: FlowCounters | None = None
    secured: dict[tuple[str, str], float] = field(default_factory=dict)
    services: set[str] = field(default_factory=set)
    by_address: bool = False

    def add(self, key: FlowKey, counters: FlowCounters) -> None:
        if key.reporter == SOURCE:
            self.source = self.source or FlowCounters()
            self.source.merge(counters)
        else:
            self.destination = self.destination or FlowCounters()
            self.destination.merge(counters)
        weight = counters.opened + counters.closed if key.protocol == "tcp" else counters.request_count
        slot = (key.reporter, key.security)
        self.secured[slot] = self.secured.get(slot, 0.0) + weight
        if key.service.host and key.service.name != "unknown":
            self.services.add(key.service.host)
        self.by_address |= key.service.name == PASSTHROUGH_CLUSTER

    @property
    def counters(self) -> FlowCounters:
        """The report that counts: the caller's, else the receiver's."""
        found = self.source or self.destination
        assert found is not None, "made when the first report is added"
        return found

    def security(self) -> tuple[float, float]:
        """(under mutual TLS, known at all): as the receiver saw it, else as the caller did where it reached someone."""
        for reporter in (DESTINATION, SOURCE):
            secure = self.secured.get((reporter, MUTUAL_TLS), 0.0)
            known = secure + self.secured.get((reporter, PLAINTEXT), 0.0)
            if known:
                return secure, known
        return 0.0, 0.0


def build_graph(window: FlowWindow, options: GraphOptions = GraphOptions()) -> Graph:
    """Build the graph of one window.

    Shape: nodes sorted by id, edges by (source, target, protocol); an edge without traffic in the window is left out.
    """
    ways: dict[tuple[tuple[Node, ...], str], _Sides] = {}
    namespaces: set[str] = set()
    bare, reached, answering = _bare(window, options), _reached(window, options), _answering(window)
    for key, counters in window.flows:
        path = tuple(
            replace(node, why=_NO_POD) if node.why == _NO_ENDPOINT and key.service.host in answering else node
            for node in _path(key, options, bare, reached)
        )
        namespaces.update(node.namespace for node in path if node.namespace)
        if not options.namespaces or any(node.namespace in options.namespaces for node in path):
            ways.setdefault((path, key.protocol), _Sides()).add(key, counters)
    parts: dict[tuple[Node, Node, str], list[_Sides]] = {}
    for (path, protocol), sides in ways.items():
        if _moved(sides.counters):
            for source, target in pairwise(path):
                parts.setdefault((source, target, protocol), []).append(sides)
    on_the_way = options.service_nodes and options.type is not GraphType.SERVICE
    return Graph(
        nodes=tuple(sorted({node for source, target, _ in parts for node in (source, target)})),
        edges=tuple(_edge(*ends, parts[ends], window.seconds, on_the_way=on_the_way) for ends in sorted(parts)),
        seconds=window.seconds,
        until=window.until,
        namespaces=tuple(sorted(namespaces)),
    )


def _moved(counters: FlowCounters) -> bool:
    moved = counters.opened or counters.closed or counters.sent_bytes or counters.received_bytes
    return bool(moved or counters.request_count)


def _bare(window: FlowWindow, options: GraphOptions) -> frozenset[str]:
    """The nodes of which no workload has a sidecar."""
    sidecars: dict[str, bool] = {}
    for key, _ in window.flows:
        for workload in (key.source, key.destination):
            if workload.known:
                name = workload_node(workload, options.type).id
                sidecars[name] = sidecars.get(name, False) or workload.sidecar
    return frozenset(name for name, found in sidecars.items() if not found)


def _reached(window: FlowWindow, options: GraphOptions) -> frozenset[str]:
    """Hosts of the services that have a node anyhow: some of their requests reached a workload."""
    if not options.service_nodes and options.type is not GraphType.SERVICE:
        return frozenset()
    return frozenset(key.service.host for key, _ in window.flows if key.destination.known)


def _answering(window: FlowWindow) -> frozenset[str]:
    """Hosts of services of which something answered that is no workload: no flag says that a proxy did instead."""
    return frozenset(
        key.service.host
        for key, counters in window.flows
        if not key.destination.known
        and any(
            count and one.flags in ("", "-") and one.code not in ("", "0") for one, count in counters.requests.items()
        )
    )


def _path(key: FlowKey, options: GraphOptions, bare: frozenset[str], reached: frozenset[str]) -> tuple[Node, ...]:
    """The nodes that a flow passes: source, maybe the service, destination."""

    def node(workload: WorkloadRef) -> Node:
        made = workload_node(workload, options.type)
        return replace(made, sidecar=False, why=_NO_SIDECAR) if made.id in bare else made

    source = node(key.source) if key.source.known else _unknown_node(key.source_address)
    if not key.destination.known:
        return source, _service_node(key, reached=key.service.host in reached)
    if options.type is GraphType.SERVICE and key.service.namespace:
        return source, _service_node(key, reached=True)
    target = node(key.destination)
    if options.service_nodes and key.service.host and options.type is not GraphType.SERVICE:
        return source, _service_node(key, reached=True), target
    return source, target


def workload_node(workload: WorkloadRef, type_: GraphType) -> Node:
    """The node that stands for a workload."""
    place, app = workload.namespace, workload.app or workload.name
    if type_ is GraphType.SERVICE and not workload.gateway:
        name = workload.canonical_service or app
        host = service_host(name, place)
        return Node(f"service/{host}", NodeKind.SERVICE, name, place)
    if type_ is GraphType.APP and not workload.gateway:
        return Node(f"{place}/{app}", NodeKind.APP, app, place, workload=workload.name if not workload.app else app)
    if type_ is GraphType.WORKLOAD and not workload.gateway:
        return Node(f"{place}/{workload.name}", NodeKind.APP, workload.name, place, workload=workload.name)
    return _versioned_node(workload)


def _versioned_node(workload: WorkloadRef) -> Node:
    name = workload.app or workload.name
    version = workload.version if workload.app else ""
    return Node(
        id=f"{workload.namespace}/{name}/{version or workload.name}",
        kind=NodeKind.GATEWAY if workload.gateway else NodeKind.APP,
        name=workload.name if workload.gateway else name,
        namespace=workload.namespace,
        version="" if workload.gateway else version,
        workload=workload.name,
        box="" if workload.gateway else f"{workload.namespace}/{name}",
    )


def _unknown_node(address: str) -> Node:
    if not address:
        return Node("unknown", NodeKind.UNKNOWN, "unknown", why=_UNKNOWN)
    return Node(
        f"unknown/{address}", NodeKind.UNKNOWN, "unknown", sidecar=False, address=address, why=_UNKNOWN_PLAINTEXT
    )


def _service_node(key: FlowKey, *, reached: bool = False) -> Node:
    name = key.service.name
    if name in (PASSTHROUGH_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER):
        why = _PASSTHROUGH if name == PASSTHROUGH_CLUSTER else _INBOUND_PASSTHROUGH
        return Node(f"passthrough/{name}", NodeKind.PASSTHROUGH, name, why=why)
    if name == BLACKHOLE_CLUSTER:
        return Node(f"blackhole/{name}", NodeKind.BLACKHOLE, name, why=_BLACKHOLE)
    if not key.service.host:
        return Node("unknown-destination", NodeKind.UNKNOWN, "unknown", why=_OWN_ANSWER)
    if service_of_host(key.service.host) is None:
        return Node(
            f"external/{key.service.host}", NodeKind.EXTERNAL, key.service.host, key.service.namespace, why=_EXTERNAL
        )
    why = "" if reached else _NO_ENDPOINT
    return Node(f"service/{key.service.host}", NodeKind.SERVICE, name, key.service.namespace, why=why)


def _edge(source: Node, target: Node, protocol: str, parts: list[_Sides], seconds: float, *, on_the_way: bool) -> Edge:
    """One edge. `on_the_way`: a service that is called is a node between caller and workload."""
    counters = FlowCounters()
    for sides in parts:
        counters.merge(sides.counters)
    rates = ((outcome, count / seconds) for outcome, count in counters.requests.items() if count)
    outcomes = tuple(sorted(rates, key=lambda item: (-item[1], item[0])))
    # Latency belongs to the whole way, shown on its second half.
    latency = None if on_the_way and target.kind is NodeKind.SERVICE and not target.why else counters.latency
    http = protocol != "tcp"
    secure, known = (sum(column) for column in zip(*(sides.security() for sides in parts), strict=True))
    return Edge(
        source=source.id,
        target=target.id,
        protocol=protocol,
        rps=counters.request_count / seconds,
        outcomes=outcomes,
        p50_ms=latency.quantile(0.50) if latency else None,
        p95_ms=latency.quantile(0.95) if latency else None,
        p99_ms=latency.quantile(0.99) if latency else None,
        mtls=secure / known if known else None,
        sent_bps=(counters.response_bytes if http else counters.sent_bytes) / seconds,
        received_bps=(counters.request_bytes if http else counters.received_bytes) / seconds,
        connections_ps=(counters.opened or counters.closed) / seconds,
        rps_source=_rate([sides.source for sides in parts], seconds),
        rps_destination=_rate([sides.destination for sides in parts], seconds),
        services=tuple(sorted({host for sides in parts for host in sides.services})),
        notes=_notes(source, target, parts),
        failed=_failed(parts),
        health=health_of(outcomes, tcp_active=not http, tcp_failed=_failed(parts)),
    )


def _failed(parts: list[_Sides]) -> float:
    """The share of TCP connections that were refused or reached nobody, by the side that knows of more of them."""
    failed = sum(max(one.failed for one in (sides.source, sides.destination) if one is not None) for sides in parts)
    opened = sum(sides.counters.opened for sides in parts)
    return min(failed / opened, 1.0) if opened else 0.0


def _rate(reports: list[FlowCounters | None], seconds: float) -> float | None:
    """Requests a second that one side counted; None if that side says nothing."""
    found = [report.request_count for report in reports if report is not None]
    return sum(found) / seconds if found else None


def _notes(source: Node, target: Node, parts: list[_Sides]) -> tuple[str, ...]:
    notes = []
    if target.kind in (NodeKind.APP, NodeKind.GATEWAY) and any(sides.by_address for sides in parts):
        notes.append(_BY_ADDRESS)
    if share := _failed(parts):
        notes.append(_REFUSED.format(share="All" if share == 1 else f"{share:.0%}"))
    workloads = (NodeKind.APP, NodeKind.GATEWAY)
    if target.kind in workloads and all(sides.destination is None for sides in parts):
        if target.sidecar:
            notes.append("Only the calling side reports: these requests did not reach the destination's proxy.")
        else:
            notes.append("The destination has no sidecar: only the calling side reports.")
    if source.kind in workloads and all(sides.source is None for sides in parts):
        if source.sidecar:
            notes.append(
                "Only the receiving side reports: the caller's proxy called for itself (a limit), or was gone around."
            )
        else:
            notes.append("The caller has no sidecar: only the receiving side reports.")
    return tuple(notes)
