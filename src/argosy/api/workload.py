"""`networking.istio.io` WorkloadEntry and WorkloadGroup: workloads that are no pods.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, networking v1.
"""

from __future__ import annotations

from typing import Literal

from argosy.api.meta import Object, Strict
from argosy.api.service_entry import WorkloadEndpoint
from argosy.core.frozen import EMPTY, FrozenMap

HEALTH = "WorkloadHealth"
"""The kind under which agents' reports of a WorkloadEntry's health are served: its address and `status.conditions`."""
HEALTHY = "Healthy"
"""Type of the condition that such a report has."""
GROUP_ANNOTATION = "istio.io/autoRegistrationGroup"
"""Annotation of a WorkloadEntry: the WorkloadGroup that it belongs to."""


class WorkloadEntry(WorkloadEndpoint, frozen=True, kw_only=True):
    """One workload at an address, selected by its labels as a pod is."""


class GroupMetadata(Strict, frozen=True, kw_only=True):
    """Labels and annotations of every workload of a group."""

    # A WorkloadEntry has its own; nothing reads those of a group.
    not_yet = frozenset({"annotations"})
    labels: FrozenMap[str, str] = EMPTY


class ProbeHeader(Strict, frozen=True, kw_only=True):
    """A header of a probe by HTTP."""

    name: str
    value: str = ""


class HTTPProbe(Strict, frozen=True, kw_only=True):
    """A probe by HTTP; `host` is where to connect, in place of the workload's address."""

    port: int
    path: str = ""
    host: str = ""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    http_headers: tuple[ProbeHeader, ...] = ()


class TCPProbe(Strict, frozen=True, kw_only=True):
    """A probe by connecting; `host` as of `HTTPProbe`."""

    port: int
    host: str = ""


class GRPCProbe(Strict, frozen=True, kw_only=True):
    """A probe by gRPC's own health protocol."""

    port: int
    service: str = ""


class WorkloadProbe(Strict, frozen=True, kw_only=True):
    """How the workloads of a group are checked; exactly one of the three ways. Zero of a number: its default."""

    # A command would have to run on the workload's machine, where nothing of Argosy's is.
    not_yet = frozenset({"exec"})
    http_get: HTTPProbe | None = None
    tcp_socket: TCPProbe | None = None
    grpc: GRPCProbe | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 0
    period_seconds: int = 0
    success_threshold: int = 0
    failure_threshold: int = 0


class WorkloadGroup(Strict, frozen=True, kw_only=True):
    """What workloads that name the group have in common."""

    metadata: GroupMetadata = GroupMetadata()
    template: WorkloadEndpoint
    probe: WorkloadProbe | None = None


def health_of(report: Object[WorkloadEntry] | None, address: str) -> tuple[bool | None, str]:
    """What a report says of the workload at `address`, and why; None if it says nothing of that address."""
    if report is None or report.spec.address != address:
        return None, ""
    found = [one for one in report.status.get("conditions", ()) if one.get("type") == HEALTHY]
    return (found[0].get("status") == "True", str(found[0].get("message", ""))) if found else (None, "")
