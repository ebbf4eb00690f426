"""`networking.istio.io` WorkloadEntry and WorkloadGroup: workloads that are no pods.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, networking v1.
"""

from __future__ import annotations

from argosy.api.meta import Strict
from argosy.api.service_entry import WorkloadEndpoint
from argosy.core.frozen import EMPTY, FrozenMap


class WorkloadEntry(WorkloadEndpoint, frozen=True, kw_only=True):
    """One workload at an address, selected by its labels as a pod is."""


class HTTPHeader(Strict, frozen=True, kw_only=True):
    """A header that a probe sends."""

    name: str = ""
    value: str = ""


class HTTPGet(Strict, frozen=True, kw_only=True):
    """A probe by an HTTP request."""

    path: str = ""
    port: int
    host: str = ""
    scheme: str = ""
    http_headers: tuple[HTTPHeader, ...] = ()


class TCPSocket(Strict, frozen=True, kw_only=True):
    """A probe by a connection."""

    port: int
    host: str = ""


class GRPC(Strict, frozen=True, kw_only=True):
    """A probe by gRPC's health service."""

    port: int = 0
    service: str = ""


class Probe(Strict, frozen=True, kw_only=True):
    """How a group's workloads are checked. Times in seconds."""

    # Nothing of Argosy runs beside a workload that is no pod, so no command can be started there.
    not_yet = frozenset({"exec"})
    initial_delay_seconds: int = 0
    timeout_seconds: int = 0
    period_seconds: int = 0
    success_threshold: int = 0
    failure_threshold: int = 0
    http_get: HTTPGet | None = None
    tcp_socket: TCPSocket | None = None
    grpc: GRPC | None = None


class GroupMetadata(Strict, frozen=True, kw_only=True):
    """Labels and annotations of every workload of a group."""

    # A WorkloadEntry has its own; nothing reads those of a group.
    not_yet = frozenset({"annotations"})
    labels: FrozenMap[str, str] = EMPTY


class WorkloadGroup(Strict, frozen=True, kw_only=True):
    """What workloads that name the group have in common, and how they are checked."""

    metadata: GroupMetadata = GroupMetadata()
    template: WorkloadEndpoint
    probe: Probe | None = None
