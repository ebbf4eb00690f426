"""Few tags to Istio's full labels: joins a proxy's series with what the registry knows.

Given: the reporting pod, the tags of the telemetry contract (peer, peer_id, peer_ip, service, code, flags, grpc,
security, protocol; and what Telemetry objects make of tags: `drop`, `peer.<tag>`, tags of any other name) and a
`Directory`. Gives: the label set that Istio documents, and the flow key of the graph.
Who the peer is comes from its certificate or from Pilot's own endpoint metadata; a plaintext caller is looked up by
its address, and its security stays `none`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import NamedTuple

from argosy.core.names import BLACKHOLE_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER, PASSTHROUGH_CLUSTER
from argosy.core.tag_value import COUNTED_TAGS
from argosy.flow.directory import Directory, service_ref
from argosy.flow.record import DESTINATION, MUTUAL_TLS, PLAINTEXT, SOURCE, UNKNOWN_SECURITY, FlowKey, Outcome
from argosy.flow.workload import UNKNOWN, PodRef, ServiceRef, WorkloadRef
from argosy.mixer.telemetry import Node, Tags

CLUSTER_ID = "Kubernetes"
NOBODY = "unknown"
_PSEUDO_SERVICES = (PASSTHROUGH_CLUSTER, BLACKHOLE_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER)

Labels = tuple[tuple[str, str], ...]
END_LABELS = (
    "workload",
    "workload_namespace",
    "principal",
    "app",
    "version",
    "canonical_service",
    "canonical_revision",
    "cluster",
)
"""What is said of each end of the traffic, after `source_` and `destination_`."""
STANDARD_LABELS = frozenset(
    {
        "reporter",
        *(f"{side}_{name}" for side in ("source", "destination") for name in END_LABELS),
        "destination_service",
        "destination_service_name",
        "destination_service_namespace",
        "request_protocol",
        "response_code",
        "grpc_response_status",
        "response_flags",
        "connection_security_policy",
    }
)
_CONTRACT = COUNTED_TAGS | {"drop"}
_OF_PEER = "peer."
_ESCAPED = "tag."


class Joined(NamedTuple):
    """A series resolved: its labels in output order, its flow, and how its requests ended.

    `counts`: the counter that a histogram's number of values is added to; empty: none. `bodies`: `all` where requests
    are counted of which only those with a body are in the histogram of request sizes, `some` in that one. `took_ms`:
    how long each of a histogram's values took, where they are not in that of durations; else None.
    """

    labels: Labels
    flow: FlowKey
    outcome: Outcome
    counts: str = ""
    bodies: str = ""
    took_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _End:
    """One end of the traffic."""

    workload: WorkloadRef
    principal: str
    address: str = ""


def join(directory: Directory, node: Node, tags: Tags) -> Joined:
    """Resolve one series of the proxy at `node`. Never fails: what is not known is `unknown`."""
    tag = dict(tags)
    reporter = SOURCE if tag.get("reporter") == SOURCE else DESTINATION
    pod = directory.pod(node.namespace, node.pod)
    own = _own_end(pod, node, tag.get("peer_id", ""))
    peer = _peer_end(directory, tag)
    source, destination = (own, peer) if reporter == SOURCE else (peer, own)
    outcome = Outcome(tag.get("code", ""), tag.get("flags") or "-", tag.get("grpc", ""))
    protocol = tag.get("protocol") or "http"
    service = _service(directory, tag.get("service", ""))
    flow = FlowKey(
        reporter=reporter,
        source=source.workload,
        destination=destination.workload,
        service=service,
        protocol=protocol,
        security=_seen_security(reporter, tag, outcome),
        source_address=source.address,
    )
    labels = (
        ("reporter", reporter),
        *_end_labels("source", source),
        *_end_labels("destination", destination),
        *_service_labels(service),
        ("request_protocol", protocol),
        *_outcome_labels(protocol, outcome),
        ("connection_security_policy", flow.security if reporter == DESTINATION else NOBODY),
    )
    if not tag.keys() <= COUNTED_TAGS:
        labels = _customized(labels, tag, _pod_of(directory, peer))
    took = tag.get("ms", "")
    took_ms = int(took) if took.isdecimal() else None
    return Joined(labels, flow, outcome, tag.get("counts", ""), tag.get("bodies", ""), took_ms)


def _customized(labels: Labels, tag: dict[str, str], peer: PodRef | None) -> Labels:
    """What Telemetry objects have made of the labels: some left out, some with another value, some more."""
    made = dict(labels)
    for name in tag.get("drop", "").split(","):
        made.pop(name, None)
    for name, value in tag.items():
        if name.startswith(_OF_PEER):
            made[name.removeprefix(_OF_PEER)] = _of_peer(value, peer)
        elif name not in _CONTRACT:
            made[name.removeprefix(_ESCAPED)] = value or NOBODY
    return tuple(made.items())


def _of_peer(asked: str, peer: PodRef | None) -> str:
    """One attribute of the other end: `labels:app:<default>`, `namespace::<default>`, ..."""
    kind, _, rest = asked.partition(":")
    name, _, default = rest.partition(":")
    default = default or NOBODY
    if peer is None:
        return default
    if kind == "labels":
        return peer.labels.get(name, "") or default
    known = {
        "name": peer.name,
        "namespace": peer.namespace,
        "owner": peer.owner,
        "workload_name": peer.workload.name,
        "cluster_id": CLUSTER_ID,
        "app": peer.workload.app,
        "version": peer.workload.version,
        "canonical_name": peer.workload.canonical_service,
        "canonical_revision": peer.workload.canonical_revision,
    }
    return known.get(kind, "") or default


def _pod_of(directory: Directory, end: _End) -> PodRef | None:
    pods = directory.pods_of(end.workload.namespace, end.workload.name) if end.workload.known else ()
    return pods[0] if pods else None


def join_note(directory: Directory, node: Node, tags: Tags) -> Labels:
    """The labels of a note about authorization: what was said, and by whose proxy."""
    pod = directory.pod(node.namespace, node.pod)
    workload = pod.workload if pod is not None else WorkloadRef(namespace=node.namespace)
    return (
        *tags,
        ("destination_workload", workload.name or NOBODY),
        ("destination_workload_namespace", workload.namespace or NOBODY),
    )


def unknowns(joined: Joined) -> int:
    """How many labels say that nothing is known."""
    return sum(value == NOBODY for _, value in joined.labels)


def _own_end(pod: PodRef | None, node: Node, peer_id: str) -> _End:
    # Our own principal was used only if the peer showed one: there is no one-sided TLS between proxies.
    if pod is None:
        return _End(WorkloadRef(namespace=node.namespace), "")
    return _End(pod.workload, pod.principal if peer_id else "")


def _peer_end(directory: Directory, tag: dict[str, str]) -> _End:
    peer, principal = tag.get("peer", ""), tag.get("peer_id", "")
    if name := _peer_workload(peer):
        workload, namespace = name
        return _End(directory.workload(namespace, workload) or WorkloadRef(namespace, workload), principal)
    if peer and tag.get("reporter") == SOURCE and (only := directory.only_workload_of(tag.get("service", ""))):
        # Its application ends TLS itself, with a certificate of its own.
        return _End(only, principal)
    address = _address(tag.get("peer_ip", "") or peer)
    pod = directory.pod_at(address) if address else None
    if pod is not None:
        return _End(pod.workload, principal)
    return _End(UNKNOWN, principal, address)


def _address(text: str) -> str:
    """The IP address in `text`, maybe with a port behind it; empty if it is a name that is nobody's here."""
    for one in (text, text.rpartition(":")[0]):
        try:
            return str(ipaddress.ip_address(one))
        except ValueError:
            continue
    return ""


def _peer_workload(peer: str) -> tuple[str, str] | None:
    """(workload, namespace) of `<workload>.<namespace>.workload`. A certificate may list several names: the first."""
    first = peer.split(",", 1)[0]
    if not first.endswith(".workload"):
        return None
    workload, dot, namespace = first[: -len(".workload")].rpartition(".")
    return (workload, namespace) if dot and workload and namespace else None


def _service(directory: Directory, host: str) -> ServiceRef:
    if host in _PSEUDO_SERVICES:
        # As in Istio: the cluster that took the traffic stands as the name; the host is not a service.
        return ServiceRef(host="", name=host, namespace="")
    return service_ref(directory, host)


def _seen_security(reporter: str, tag: dict[str, str], outcome: Outcome) -> str:
    if tag.get("peer_id"):
        return MUTUAL_TLS
    if reporter == DESTINATION:
        security = tag.get("security") or PLAINTEXT
        # It ended before the client showed its certificate.
        return UNKNOWN_SECURITY if security == MUTUAL_TLS else security
    # A call that never reached a peer says nothing about how it would have been secured.
    reached = _peer_workload(tag.get("peer", "")) is not None and outcome.flags == "-"
    return PLAINTEXT if reached else UNKNOWN_SECURITY


def _end_labels(side: str, end: _End) -> Labels:
    workload = end.workload
    values = (
        workload.name,
        workload.namespace,
        end.principal,
        workload.app,
        workload.version,
        workload.canonical_service,
        workload.canonical_revision or ("latest" if workload.known else ""),
        CLUSTER_ID if workload.known else "",
    )
    return tuple((f"{side}_{name}", value or NOBODY) for name, value in zip(END_LABELS, values, strict=True))


def _service_labels(service: ServiceRef) -> Labels:
    return (
        ("destination_service", service.host or NOBODY),
        ("destination_service_name", service.name or NOBODY),
        ("destination_service_namespace", service.namespace or NOBODY),
    )


def _outcome_labels(protocol: str, outcome: Outcome) -> Labels:
    flags = ("response_flags", outcome.flags)
    if protocol == "tcp":
        return (flags,)
    code = ("response_code", outcome.code or "0")
    if protocol == "grpc":
        return (code, ("grpc_response_status", outcome.grpc), flags)
    return (code, flags)
