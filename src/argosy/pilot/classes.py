"""Proxy classes: what a proxy may see and what it serves, apart from its own name and address.

Resources are built once for a class and shared by all its proxies, so a class holds nothing that differs between
replicas of one workload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from argosy.api.mesh_config import PROXY_ANNOTATION, DefaultConfig, parse_proxy_config
from argosy.api.meta import Object
from argosy.core.errors import ArgosyError
from argosy.core.frozen import FrozenMap
from argosy.core.locality import locality_of_labels
from argosy.pilot.checking import UNSAID_CHECKS, OwnChecks, own_checks

# Labels that only tell replicas or revisions of a workload apart; nothing selects on them.
_VOLATILE_LABELS = frozenset({"pod-template-hash", "controller-revision-hash", "statefulset.kubernetes.io/pod-name"})

SIDECAR = "sidecar"
ROUTER = "router"
UNSAID = -1
"""No number of a gateway's own: the mesh's holds."""


@dataclass(frozen=True, slots=True, order=True)
class ProxyClass:
    """Role (`sidecar`, `router`), namespace, labels, account, workload, and the container ports by number and name."""

    role: str
    namespace: str
    labels: FrozenMap[str, str]
    service_account: str
    workload: str = ""
    ports: tuple[tuple[int, str], ...] = ()
    locality: str = ""
    """`region/zone/subzone` of the pods, as far as known."""
    trusted_proxies: int = UNSAID
    """A gateway's own `gatewayTopology.numTrustedProxies`."""
    checks: OwnChecks = UNSAID_CHECKS
    """What the pods say about asking Mixer."""
    tracing: str = ""
    """What the pods' annotation says of tracing, if anything, as such an annotation of its own."""

    def serves(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """True for the sidecars of the workloads with just these labels."""
        return self.role == SIDECAR and (self.namespace, self.labels) == (namespace, labels)

    def port_number(self, target: int | str) -> int | None:
        """The number that `target` (a number or a container port's name) means in these pods."""
        if isinstance(target, int):
            return target
        return next((number for number, name in self.ports if name == target), None)


def stable_labels(labels: Mapping[str, str]) -> FrozenMap[str, str]:
    """The labels that all replicas of a workload share."""
    if not _VOLATILE_LABELS & labels.keys() and isinstance(labels, FrozenMap):
        return labels
    return FrozenMap({name: value for name, value in labels.items() if name not in _VOLATILE_LABELS})


def role_of_pod(pod: Object[Any]) -> str:
    """`router` for a pod that is a gateway, else `sidecar`."""
    return ROUTER if pod.annotations.get("inject.istio.io/templates") == "gateway" else SIDECAR


def class_of_pod(pod: Object[Any]) -> ProxyClass:
    """The class that a pod's proxy belongs to."""
    spec = pod.spec.spec
    return ProxyClass(
        role=role_of_pod(pod),
        namespace=pod.namespace,
        labels=stable_labels(pod.labels),
        service_account=spec.service_account_name,
        workload=pod.spec.workload or pod.name,
        ports=tuple(
            sorted(
                (port.container_port, port.name)
                for container in spec.containers
                for port in container.ports
                if port.protocol == "TCP"
            )
        ),
        locality=locality_of_labels(pod.labels),
        trusted_proxies=_trusted_proxies(pod),
        checks=own_checks(pod.annotations),
        tracing=_tracing(pod),
    )


def _own_config(pod: Object[Any]) -> DefaultConfig:
    try:
        return parse_proxy_config(pod.annotations.get(PROXY_ANNOTATION, ""))
    except ArgosyError:  # such a pod is not started; one that came another way has none
        return DefaultConfig()


def _trusted_proxies(pod: Object[Any]) -> int:
    if role_of_pod(pod) != ROUTER:
        return UNSAID
    said = _own_config(pod).gateway_topology.num_trusted_proxies
    return UNSAID if said is None else said


def _tracing(pod: Object[Any]) -> str:
    tracing = _own_config(pod).tracing
    return "" if tracing is None else msgspec.json.encode({"tracing": tracing}, enc_hook=dict, order="sorted").decode()
