"""What Envoy reports, as plain data: the contract between the metrics service (edge) and the aggregator.

Names and tags are those that Argosy's own access-log configuration makes; nothing here knows protobuf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from argosy.core.names import service_of_cluster

REQUESTS = "istio_requests_total"
DURATION = "istio_request_duration_milliseconds"
REQUEST_BYTES = "istio_request_bytes"
RESPONSE_BYTES = "istio_response_bytes"
REQUEST_MESSAGES = "istio_request_messages_total"
RESPONSE_MESSAGES = "istio_response_messages_total"
TCP_SENT = "istio_tcp_sent_bytes_total"
TCP_RECEIVED = "istio_tcp_received_bytes_total"
TCP_OPENED = "istio_tcp_connections_opened_total"
TCP_CLOSED = "istio_tcp_connections_closed_total"
OPEN_BYTES = {"istio_tcp_open_sent_bytes": TCP_SENT, "istio_tcp_open_received_bytes": TCP_RECEIVED}
"""Gauges of what connections that are open have carried so far, and the counters of ended ones."""
NOTES = "istio_authorization_notes_total"
"""As proxies report it; see `mixer.notes`."""
DRY_RUN = "istio_authorization_dry_run_total"
AUDIT = "istio_authorization_audit_total"

COUNTERS: dict[str, str] = {
    REQUESTS: "Requests that a proxy handled.",
    REQUEST_MESSAGES: "Messages that gRPC clients sent.",
    RESPONSE_MESSAGES: "Messages that gRPC servers sent.",
    TCP_SENT: "Bytes sent to the client on TCP connections.",
    TCP_RECEIVED: "Bytes received from the client on TCP connections.",
    TCP_OPENED: "TCP connections opened.",
    TCP_CLOSED: "TCP connections closed.",
    DRY_RUN: "What AuthorizationPolicies that are only tried would have done, with requests and connections.",
    AUDIT: "Requests and connections that AUDIT policies matched.",
}
HISTOGRAMS: dict[str, str] = {
    DURATION: "Duration of requests in milliseconds.",
    REQUEST_BYTES: "Size of request bodies in bytes.",
    RESPONSE_BYTES: "Size of response bodies in bytes.",
}

Tags = tuple[tuple[str, str], ...]
CALL = "call"
"""The tag that holds most others, as `name=value|...`: a tag of its own for each would cost the proxy more."""
_CLUSTER = "|cluster="
"""The last thing in `call`, where a proxy says which cluster it called: that has the same mark in its name."""
CONNECTION = "conn"
MESSAGES = "messages"
"""`<of the client>,<of the server>@<minute>`: a counter with it counts calls that had so many messages."""
REST = "rest"
"""A series with it counts everything, also what series with more tags (those that it names) count."""
LEFT = "left"
"""A series with it is Mixer's own: what had no room in series with the tags that it names."""
OVERFLOW = "overflow"
"""The value of labels that are not told apart any more."""
_SIDES = (REQUEST_MESSAGES, RESPONSE_MESSAGES)


class CounterSample(NamedTuple):
    """One series' absolute value."""

    name: str
    tags: Tags
    value: float


class HistogramSample(NamedTuple):
    """All that one series has observed since its process began; `counts` are those of each bucket alone."""

    name: str
    tags: Tags
    observed: float
    total: float
    counts: Sequence[float]


@dataclass(slots=True)
class Flush:
    """One flush of one proxy: all its series. `uptime_s` is the process's age where the proxy reports it."""

    counters: list[CounterSample] = field(default_factory=list)
    histograms: list[HistogramSample] = field(default_factory=list)
    uptime_s: float | None = None
    open_bytes: list[CounterSample] = field(default_factory=list)
    """For each connection that is open and has reported: the counter's name, its tags, what it has carried."""
    taken_at: float = 0.0
    """When the proxy took its snapshot, by its own clock: a later one has all that an earlier one has."""


class Node(NamedTuple):
    """The verified sender: its xDS node id and what the id says about the pod."""

    id: str
    namespace: str
    pod: str


def parse_node_id(node_id: str) -> Node | None:
    """The parts of `sidecar~<ip>~<pod>.<ns>~<ns>.svc.cluster.local` (or `router~...`), or None for any other text."""
    parts = node_id.split("~")
    if len(parts) != 4 or parts[0] not in ("sidecar", "router"):
        return None
    # Pod names may hold dots, namespaces may not.
    pod, dot, namespace = parts[2].rpartition(".")
    if not dot or not pod or not namespace:
        return None
    return Node(node_id, namespace, pod)


def take_apart(tags: Tags) -> Tags:
    """The tags with `call` replaced by what it holds, and `left` by what it stands for."""
    found: list[tuple[str, str]] = []
    for name, value in tags:
        if name == CALL:
            said, marked, cluster = value.rpartition(_CLUSTER)
            parts = (part.partition("=") for part in (said if marked else value).split("|"))
            found += [(key, text) for key, equals, text in parts if equals]
            if marked:
                found.append(("service", service_of_cluster(cluster)))
        elif name == LEFT:
            found += [(key, OVERFLOW) for key in value.split(",")]
        else:
            found.append((name, value))
    return tuple(found)


def in_messages(sample: CounterSample) -> CounterSample:
    """A count of gRPC calls that had so many messages as a count of messages; other samples as they are."""
    if sample.name not in _SIDES:
        return sample
    numbers = dict(sample.tags).get(MESSAGES)
    if numbers is None:
        return sample
    found = numbers.partition("@")[0].split(",")
    each = found[_SIDES.index(sample.name)] if len(found) == len(_SIDES) else ""
    tags = tuple(tag for tag in sample.tags if tag[0] != MESSAGES)
    return CounterSample(sample.name, tags, sample.value * int(each) if each.isdecimal() else 0.0)


def istio_name(name: str) -> str:
    """`name` without a prefix that Envoy or a scope put before it; empty if it is not one of Istio's."""
    at = name.find("istio_")
    return name[at:] if at >= 0 else ""
