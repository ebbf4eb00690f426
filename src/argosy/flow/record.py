"""The flow record: one kind of traffic between two workloads as one side saw it, with mergeable counters.

Keys are small and finite (workloads, service, protocol, security), counters add up over time and over proxies; codes
and response flags are inside the counters so that a key stays one line of the graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from argosy.flow.histogram import Histogram
from argosy.flow.workload import NO_SERVICE, UNKNOWN, ServiceRef, WorkloadRef

SOURCE = "source"
DESTINATION = "destination"
MUTUAL_TLS = "mutual_tls"
PLAINTEXT = "none"
UNKNOWN_SECURITY = "unknown"


_NOT_CONNECTED = frozenset({"UF", "UH", "URX", "UO", "NR", "NC", "PLAINTEXT_REFUSED", "UAEX", "RBAC"})


def is_failed_connection(flags: str) -> bool:
    """Whether Envoy's response flags of a TCP connection say that it was refused or reached nobody."""
    return not _NOT_CONNECTED.isdisjoint(flags.split(","))


class Outcome(NamedTuple):
    """How requests ended: HTTP code, Envoy's response flags (`-`: none), gRPC status number (empty: not gRPC)."""

    code: str
    flags: str
    grpc: str


@dataclass(frozen=True, slots=True)
class FlowKey:
    """Who, to whom, for which service, how, and who says so."""

    reporter: str
    """`source` or `destination`."""
    source: WorkloadRef = UNKNOWN
    destination: WorkloadRef = UNKNOWN
    service: ServiceRef = NO_SERVICE
    protocol: str = "http"
    """`http`, `grpc` or `tcp`."""
    security: str = UNKNOWN_SECURITY
    """`mutual_tls` or `none`; `unknown` where the reporter cannot know it."""
    source_address: str = ""
    """IP address of a plaintext caller that the registry does not know."""


@dataclass(slots=True)
class FlowCounters:
    """What was counted for a key in some span of time. Latency in milliseconds."""

    requests: dict[Outcome, float] = field(default_factory=dict)
    latency: Histogram | None = None
    request_bytes: float = 0.0
    response_bytes: float = 0.0
    sent_bytes: float = 0.0
    received_bytes: float = 0.0
    opened: float = 0.0
    closed: float = 0.0
    failed: float = 0.0
    """Of the TCP connections, those that were refused or reached nobody."""

    def add_requests(self, outcome: Outcome, count: float) -> None:
        """Count requests with one outcome."""
        self.requests[outcome] = self.requests.get(outcome, 0.0) + count

    def add_latency(self, interval: Histogram) -> None:
        """Add an interval's durations."""
        if self.latency is None:
            self.latency = Histogram()
        self.latency.merge(interval)

    def merge(self, other: FlowCounters) -> None:
        """Add all that `other` counted."""
        for outcome, count in other.requests.items():
            self.add_requests(outcome, count)
        if other.latency is not None:
            self.add_latency(other.latency)
        self.request_bytes += other.request_bytes
        self.response_bytes += other.response_bytes
        self.sent_bytes += other.sent_bytes
        self.received_bytes += other.received_bytes
        self.opened += other.opened
        self.closed += other.closed
        self.failed += other.failed

    @property
    def request_count(self) -> float:
        """Requests of all outcomes."""
        return sum(self.requests.values())


@dataclass(frozen=True, slots=True)
class FlowWindow:
    """The flows of one span of time, ready to be turned into rates: `seconds` is the span that the counters cover."""

    seconds: float
    until: float
    flows: tuple[tuple[FlowKey, FlowCounters], ...]
