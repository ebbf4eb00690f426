"""Under what the indexes of `mesh.py` file workloads and addresses. Pure functions of one object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from argosy.api.meta import Object
from argosy.api.workload import GROUP_ANNOTATION
from argosy.core.names import ObjectKey


def labels_of_pod(key: ObjectKey, pod: Object[Any]) -> Iterable[tuple[str, str, str]]:
    """(namespace, label, value) for each of its labels."""
    return [(key.namespace, label, value) for label, value in pod.labels.items()]


def workload_of_pod(key: ObjectKey, pod: Object[Any]) -> Iterable[str]:
    """`namespace/name` of what it is a replica of."""
    return (f"{key.namespace}/{pod.spec.workload or pod.name}",)


def labels_of_workload(key: ObjectKey, entry: Object[Any]) -> Iterable[tuple[str, str, str]]:
    """(namespace, label, value) for each of its own labels; those of its group are filed with the group."""
    return [(key.namespace, label, value) for label, value in {**entry.labels, **entry.spec.labels}.items()]


def group_of_workload(key: ObjectKey, entry: Object[Any]) -> Iterable[ObjectKey]:
    """The WorkloadGroup that it is of, if any."""
    group = entry.annotations.get(GROUP_ANNOTATION)
    return (ObjectKey(key.namespace, group),) if group else ()


def labels_of_group(key: ObjectKey, group: Object[Any]) -> Iterable[tuple[str, str, str]]:
    """(namespace, label, value) for each label that its members have."""
    labels = {**group.spec.metadata.labels, **group.spec.template.labels}
    return [(key.namespace, label, value) for label, value in labels.items()]


def address_of_service(_key: ObjectKey, service: Object[Any]) -> Iterable[str]:
    """The cluster's address, if it has one."""
    return (service.spec.cluster_ip,) if service.spec.cluster_ip else ()


def address_of_pod(_key: ObjectKey, pod: Object[Any]) -> Iterable[str]:
    """Its address, once it has one."""
    return (pod.spec.pod_ip,) if pod.spec.pod_ip else ()


def address_of_workload(_key: ObjectKey, entry: Object[Any]) -> Iterable[str]:
    """Its address, if it says one."""
    return (entry.spec.address,) if entry.spec.address else ()
