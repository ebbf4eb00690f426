"""Nodes and edges of the traffic graph, as values.

Rates are per second over the window; shares are 0..1; latency in milliseconds. What is not known is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from argosy.flow.record import Outcome


class NodeKind(StrEnum):
    """What a node stands for."""

    APP = "app"
    GATEWAY = "gateway"
    SERVICE = "service"
    EXTERNAL = "external"
    PASSTHROUGH = "passthrough"
    BLACKHOLE = "blackhole"
    UNKNOWN = "unknown"


class Health(StrEnum):
    """How traffic fares; ordered by `SEVERITY`."""

    IDLE = "idle"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    FAILURE = "failure"


SEVERITY = {Health.IDLE: 0, Health.HEALTHY: 1, Health.DEGRADED: 2, Health.FAILURE: 3}


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A node; `id` is stable over time. `box` is the id of the app box that it belongs to, or empty."""

    id: str
    kind: NodeKind
    name: str
    namespace: str = ""
    version: str = ""
    workload: str = ""
    box: str = ""
    sidecar: bool = True
    address: str = ""
    """IP address, for peers that have no other name."""
    why: str = ""
    """For nodes that are not workloads of the mesh: what it is and what to do about it."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Traffic from one node to another in one protocol."""

    source: str
    target: str
    protocol: str
    rps: float = 0.0
    outcomes: tuple[tuple[Outcome, float], ...] = ()
    """Requests a second by outcome, the most frequent first."""
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    mtls: float | None = None
    """Share of requests (TCP: connections) under mutual TLS; None if neither side could tell."""
    sent_bps: float = 0.0
    received_bps: float = 0.0
    connections_ps: float = 0.0
    failed: float = 0.0
    """Share of TCP connections that were refused or reached nobody."""
    rps_source: float | None = None
    rps_destination: float | None = None
    services: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    health: Health = Health.IDLE

    @property
    def plaintext(self) -> bool:
        """True if some of it is known to be unencrypted."""
        return self.mtls is not None and self.mtls < 1.0


@dataclass(frozen=True, slots=True)
class Graph:
    """All of a window. Nodes by id, edges by (source, target, protocol)."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    seconds: float = 0.0
    until: float = 0.0
    namespaces: tuple[str, ...] = field(default=())
    """All namespaces seen, also those that a filter left out."""
