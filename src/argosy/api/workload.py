"""`networking.istio.io` WorkloadEntry and WorkloadGroup: workloads that are no pods.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, networking v1.
"""

from __future__ import annotations

from argosy.api.meta import Strict
from argosy.api.service_entry import WorkloadEndpoint
from argosy.core.frozen import EMPTY, FrozenMap


class WorkloadEntry(WorkloadEndpoint, frozen=True, kw_only=True):
    """One workload at an address, selected by its labels as a pod is."""


class GroupMetadata(Strict, frozen=True, kw_only=True):
    """Labels and annotations of every workload of a group."""

    # A WorkloadEntry has its own; nothing reads those of a group.
    not_yet = frozenset({"annotations"})
    labels: FrozenMap[str, str] = EMPTY


class WorkloadGroup(Strict, frozen=True, kw_only=True):
    """What workloads that name the group have in common."""

    # Nobody checks workloads that are no pods yet; `status.conditions` of a WorkloadEntry may say that one is ill.
    not_yet = frozenset({"probe"})
    metadata: GroupMetadata = GroupMetadata()
    template: WorkloadEndpoint
