"""Attributes of one request: what the proxy says about a call, joined with the registry, as a bag for expressions.

Given: the plain facts of an authorization check (`CheckFacts`) and the directory. Gives: attributes. The caller is
who its certificate says; an address only picks *which* pod of that identity it is, and a pod whose identity disagrees
with the certificate is not believed. Headers are lower-cased; headers that claim attributes are not read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from argosy.core.frozen import EMPTY
from argosy.core.hosts import service_of_host
from argosy.core.names import PROXY_VERSION
from argosy.core.spiffe import SpiffeID, SpiffeIDError, parse_spiffe_id
from argosy.flow.directory import Directory, service_ref
from argosy.flow.workload import PodRef, ServiceRef
from argosy.mixer.attributes import Attributes, Value, pod_uid
from argosy.mixer.http_forms import protocol_of, query_params
from argosy.mixer.pod_attributes import put, put_ip, put_pod, put_service, put_workload
from argosy.mixer.telemetry import Node
from argosy.mixer.token_attributes import put_claims


@dataclass(frozen=True, slots=True)
class CheckFacts:
    """What arrived, unjudged: from Envoy's authorization request."""

    node: Node
    """The asking proxy, verified: the destination, or a gateway that passes the request on."""
    source_principal: str = ""
    """URI of the caller's certificate, empty without mutual TLS."""
    source_address: str = ""
    destination_address: str = ""
    destination_port: int = 0
    service: str = ""
    """Host of the called service, where the proxy's configuration names it."""
    method: str = ""
    scheme: str = ""
    path: str = ""
    host: str = ""
    request_id: str = ""
    stream: str = ""
    """Tells a request from all others of its proxy; the same if the proxy asks again."""
    fail_open: bool = False
    """The proxy lets the request pass where nobody can tell."""
    wait_s: float = math.inf
    """How long the proxy goes on waiting for the decision; endless where it does not say."""
    protocol: str = "http"
    time: float = 0.0
    """When the request arrived, in seconds of the epoch."""
    size: int = -1
    requested_server_name: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    claims: Mapping[str, Any] = EMPTY
    """Of the token that the proxy has verified."""

    @property
    def at_gateway(self) -> bool:
        """True if a gateway asks: it is then the source of the request, and who receives it is not known yet."""
        return self.node.id.startswith("router~")


def request_attributes(facts: CheckFacts, directory: Directory) -> Attributes:
    """The bag of one request."""
    bag: dict[str, Value] = dict(_REPORTERS[facts.at_gateway])
    bag["context.reporter.uid"] = pod_uid(facts.node.namespace, facts.node.pod)
    bag["context.proxy_version"] = PROXY_VERSION
    bag["context.protocol"] = "tcp" if facts.protocol == "tcp" else protocol_of(facts.headers.get("content-type", ""))
    bag["request.time" if facts.protocol != "tcp" else "context.time"] = datetime.fromtimestamp(facts.time, UTC)
    bag["connection.mtls"] = bool(facts.source_principal)
    put(bag, "connection.requested_server_name", facts.requested_server_name)
    _request(bag, facts)
    _source(bag, facts, directory)
    _destination(bag, facts, directory)
    return bag


class _NobodysLabels(Mapping[str, str]):
    """The labels of a destination that a gateway does not know: each is empty.

    Istio's samples of 1.4 rely on it: `destination.labels["app"] == ""` is how rules say that this leaves the mesh.
    """

    def __getitem__(self, key: str) -> str:
        return ""

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


NOBODYS_LABELS = _NobodysLabels()
_REPORTERS: tuple[dict[str, Value], ...] = (
    {"context.reporter.kind": "inbound", "context.reporter.local": True},
    {"context.reporter.kind": "outbound", "context.reporter.local": False},
)


def gateway_attributes(pod: PodRef) -> Attributes:
    """What is constant about requests that a gateway asks about; see `is_constant`."""
    bag: dict[str, Value] = dict(_REPORTERS[True])
    put_workload(bag, "source", pod)
    bag["destination.labels"] = NOBODYS_LABELS
    return bag


def destination_attributes(pod: PodRef) -> Attributes:
    """What is constant about requests to a pod's workload; see `is_constant`."""
    bag: dict[str, Value] = dict(_REPORTERS[False])
    put_workload(bag, "destination", pod)
    return bag


@dataclass(frozen=True, slots=True)
class PortFacts:
    """What is the same for all requests that one port of a sidecar's workload takes, beside the workload's facts."""

    known: Attributes
    names: frozenset[str]

    def is_known(self, name: str) -> bool:
        """True for what is known of the port or the workload."""
        return name in self.names or is_constant(name, gateway=False)


def port_attributes(service: str, number: int) -> PortFacts:
    """The facts of a port that is called as the host `service`. A host that is no Service's is the registry's."""
    bag: dict[str, Value] = {}
    names: set[str] = set()
    named = service_of_host(service)
    if named is not None:
        put_service(bag, ServiceRef(host=service, name=named[1], namespace=named[0]))
    if named is not None or not service:
        names |= _OF_SERVICES
    if number:
        bag["destination.port"] = number
        names.add("destination.port")
    return PortFacts(bag, frozenset(names))


_OF_SERVICES = frozenset(f"destination.service.{name}" for name in ("host", "name", "namespace", "uid"))


def is_constant(name: str, *, gateway: bool) -> bool:
    """True for what `destination_attributes` (`gateway_attributes`) answer for: what is not there is never there.

    Which service, port or address was called is left open, and so is who calls a gateway.
    """
    if name.startswith("context.reporter."):
        return name != "context.reporter.uid"
    if gateway:
        return name in _OF_GATEWAYS or name.startswith(("source.workload.", "destination.workload."))
    return name.startswith("destination.") and not name.startswith(_VARYING)


_VARYING = (
    *("destination.service.", "destination.ip", "destination.port", "destination.name", "destination.uid"),
    # Who owns a pod, and with which identity it runs, is known of the pod only.
    *("destination.owner", "destination.principal", "destination.container."),
)
_OF_GATEWAYS = frozenset(
    {"source.labels", "source.namespace", "source.owner", "source.serviceAccount"}
    | {"destination.labels", "destination.namespace", "destination.owner", "destination.principal"}
)


def node_belongs(directory: Directory, identity: SpiffeID, node: Node) -> bool:
    """True if `identity` may speak for `node`: the pod's own identity, or its namespace while the pod is not known."""
    pod = directory.pod(node.namespace, node.pod)
    return identity.namespace == node.namespace if pod is None else pod.principal == str(identity)


def find_asker(directory: Directory, identity: SpiffeID, address: str) -> Node | None:
    """The pod at `address`, if it runs with `identity`: who asks about a request that was sent to `address`."""
    pod = directory.pod_at(address)
    if pod is None or pod.principal != str(identity):
        return None
    kind = "router" if pod.router or pod.workload.gateway else "sidecar"
    node_id = f"{kind}~{pod.address}~{pod.name}.{pod.namespace}~{pod.namespace}.svc.cluster.local"
    return Node(node_id, pod.namespace, pod.name)


def _request(bag: dict[str, Value], facts: CheckFacts) -> None:
    if facts.protocol == "tcp":
        return
    headers = {name.lower(): value for name, value in facts.headers.items() if not name.startswith(":")}
    bag["request.headers"] = headers
    path, _, query = facts.path.partition("?")
    parameters = query_params(query)
    if parameters is not None:
        bag["request.query_params"] = parameters
    for name, value in (
        ("request.method", facts.method),
        ("request.path", facts.path),
        ("request.url_path", path),
        ("request.host", facts.host),
        ("request.scheme", facts.scheme),
        ("request.id", facts.request_id),
        ("request.useragent", headers.get("user-agent", "")),
        ("request.referer", headers.get("referer", "")),
    ):
        put(bag, name, value)
    bag["api.protocol"] = bag["context.protocol"]
    if facts.size >= 0:
        bag["request.size"] = facts.size
    put_claims(bag, facts.claims)


def _source(bag: dict[str, Value], facts: CheckFacts, directory: Directory) -> None:
    put_ip(bag, "source.ip", facts.source_address)
    put_ip(bag, "origin.ip", facts.source_address)
    bag["source.labels"] = EMPTY
    if facts.source_principal:
        try:
            identity = parse_spiffe_id(facts.source_principal)
        except SpiffeIDError:
            return
        bag["source.principal"] = bag["source.user"] = identity.principal
        put(bag, "source.namespace", identity.namespace)
        put(bag, "source.serviceAccount", identity.service_account)
    if facts.at_gateway:
        _source_gateway(bag, facts, directory)
        return
    pod = directory.pod_at(facts.source_address)
    if pod is not None and (not facts.source_principal or pod.principal == facts.source_principal):
        put_workload(bag, "source", pod)
        bag["source.name"] = pod.name
        bag["source.uid"] = pod_uid(pod.namespace, pod.name)
        put(bag, "source.services", ",".join(directory.services_of(pod)))


def _source_gateway(bag: dict[str, Value], facts: CheckFacts, directory: Directory) -> None:
    """A gateway is what requests come from; the principal is that of who called it, as in Istio."""
    bag["source.uid"] = pod_uid(facts.node.namespace, facts.node.pod)
    bag["source.namespace"] = facts.node.namespace
    bag["source.name"] = facts.node.pod
    bag.pop("source.serviceAccount", None)
    pod = directory.pod(facts.node.namespace, facts.node.pod)
    if pod is not None:
        put_workload(bag, "source", pod)
        put(bag, "source.services", ",".join(directory.services_of(pod)))


def _destination(bag: dict[str, Value], facts: CheckFacts, directory: Directory) -> None:
    if facts.at_gateway:
        bag["destination.labels"] = NOBODYS_LABELS
        _service(bag, facts, directory)
        return
    put_ip(bag, "destination.ip", facts.destination_address)
    if facts.destination_port:
        bag["destination.port"] = facts.destination_port
    bag["destination.labels"] = EMPTY
    bag["destination.namespace"] = facts.node.namespace
    pod = directory.pod(facts.node.namespace, facts.node.pod)
    if pod is not None:
        put_pod(bag, "destination", pod, port=facts.destination_port)
    _service(bag, facts, directory)


def _service(bag: dict[str, Value], facts: CheckFacts, directory: Directory) -> None:
    put_service(bag, service_ref(directory, facts.service))
