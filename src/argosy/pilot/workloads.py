"""Workloads that are no pods: WorkloadEntries, with what their WorkloadGroup gives them, as endpoints.

Pure lookups with tracked reads. Source: istio.io WorkloadEntry, WorkloadGroup.
"""

from __future__ import annotations

from collections.abc import Iterator

from argosy.api.meta import Object
from argosy.api.service_entry import WorkloadEndpoint
from argosy.api.workload import GROUP_ANNOTATION, HEALTH, WorkloadEntry, WorkloadGroup, health_of
from argosy.core.frozen import FrozenMap
from argosy.core.labels import selects
from argosy.core.locality import locality_of_labels
from argosy.core.names import ObjectKey
from argosy.incr import Reader
from argosy.pilot.endpoint import TLS_MODE_LABEL, Endpoint
from argosy.pilot.mesh import Mesh

_EMPTY = WorkloadEndpoint()


def selected_workloads(read: Reader, mesh: Mesh, namespace: str, selector: FrozenMap[str, str]) -> Iterator[Endpoint]:
    """The endpoints of a namespace's WorkloadEntries that carry the labels, as far as they are healthy."""
    label, value = next(iter(selector.items()))
    found = dict(read.select(mesh.workloads_by_label, (namespace, label, value)))
    for group_key in read.keys(mesh.groups_by_label, (namespace, label, value)):
        found.update(read.select(mesh.workloads_by_group, group_key))
    for key, entry in sorted(found.items()):
        group = _group_of(read, mesh, entry)
        one = endpoint_of_workload(key, entry, group)
        if selects(selector, one.labels) and _is_healthy(read, mesh, entry, group):
            yield one


def _group_of(read: Reader, mesh: Mesh, entry: Object[WorkloadEntry]) -> Object[WorkloadGroup] | None:
    name = entry.annotations.get(GROUP_ANNOTATION)
    return read.get(mesh.kinds["WorkloadGroup"], ObjectKey(entry.namespace, name)) if name else None


def _is_healthy(read: Reader, mesh: Mesh, entry: Object[WorkloadEntry], group: Object[WorkloadGroup] | None) -> bool:
    """Whether a workload may be called: one that is checked only after a success, one that nobody checks always."""
    if group is None or group.spec.probe is None:
        return True
    healthy, _why = health_of(read.get(mesh.kinds[HEALTH], entry.key), entry.spec.address)
    return healthy is True


def endpoint_of_workload(key: ObjectKey, entry: Object[WorkloadEntry], group: Object[WorkloadGroup] | None) -> Endpoint:
    """A WorkloadEntry as an endpoint; what it does not say itself its group's template says."""
    spec = entry.spec
    template = group.spec.template if group is not None else _EMPTY
    shared = group.spec.metadata.labels if group is not None else {}
    labels = FrozenMap({**shared, **template.labels, **entry.labels, **spec.labels})
    weight = spec.weight if spec.weight is not None else template.weight
    return Endpoint(
        address=spec.address,
        labels=labels,
        ports=spec.ports or template.ports,
        namespace=key.namespace,
        service_account=spec.service_account or template.service_account or "default",
        workload=group.name if group is not None else key.name,
        sidecar=labels.get(TLS_MODE_LABEL) == "istio",
        weight=weight or 1,
        locality=spec.locality or template.locality or locality_of_labels(labels),
    )
