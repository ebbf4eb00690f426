"""Attributes of a pod, its workload and a service, as checks and reports both have them.

Only what has a value is put: absence is what `|` falls back on. Source: Istio 1.4's attribute vocabulary.
"""

from __future__ import annotations

import contextlib
from ipaddress import ip_address

from argosy.flow.workload import PodRef, ServiceRef
from argosy.mixer.attributes import Value, pod_uid, service_uid, workload_uid


def put(bag: dict[str, Value], name: str, value: str) -> None:
    """An attribute, if it has a value."""
    if value:
        bag[name] = value


def put_ip(bag: dict[str, Value], name: str, text: str) -> None:
    """An address; what is none (a socket of this machine) is not put."""
    with contextlib.suppress(ValueError):
        bag[name] = ip_address(text)


def put_pod(bag: dict[str, Value], side: str, pod: PodRef, *, port: int = 0) -> None:
    """All of a pod as the `source` or `destination`; `port` is the one that was called."""
    put_workload(bag, side, pod)
    bag[f"{side}.name"] = pod.name
    bag[f"{side}.uid"] = pod_uid(pod.namespace, pod.name)
    if side != "destination":
        return
    container = pod.container(port)
    if container is not None:
        put(bag, "destination.container.name", container.name)
        put(bag, "destination.container.image", container.image)


def put_workload(bag: dict[str, Value], side: str, pod: PodRef) -> None:
    """What is the same for all pods of a workload."""
    workload = pod.workload
    bag[f"{side}.labels"] = pod.labels
    bag[f"{side}.namespace"] = pod.namespace
    put(bag, f"{side}.serviceAccount", pod.service_account)
    put(bag, f"{side}.owner", pod.owner)
    if side == "destination":
        put(bag, "destination.principal", pod.principal.removeprefix("spiffe://"))
    if workload.known:
        bag[f"{side}.workload.name"] = workload.name
        bag[f"{side}.workload.namespace"] = workload.namespace
        bag[f"{side}.workload.uid"] = workload_uid(workload.namespace, workload.name)


def put_service(bag: dict[str, Value], service: ServiceRef) -> None:
    """The called service."""
    put(bag, "destination.service.host", service.host)
    put(bag, "destination.service.name", service.name)
    put(bag, "destination.service.namespace", service.namespace)
    if service.name and service.namespace:
        bag["destination.service.uid"] = service_uid(service.namespace, service.name)
