"""Who talks: workloads, pods and services as telemetry names them.

Given: namespaces, names and labels. Gives: frozen references with app, version and Istio's canonical names resolved.
`UNKNOWN` stands for a peer that nobody vouches for. Source: Istio's canonical service label rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from argosy.core.frozen import EMPTY, FrozenMap

_CANONICAL_NAME = ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app")
_CANONICAL_REVISION = ("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version")
_GATEWAY_LABELS = ("ingressgateway", "egressgateway")


@dataclass(frozen=True, slots=True)
class WorkloadRef:
    """A workload: what a Deployment (or one like it) runs. Empty strings mean that it is not known."""

    namespace: str = ""
    name: str = ""
    app: str = ""
    version: str = ""
    canonical_service: str = ""
    canonical_revision: str = ""
    gateway: str = ""
    """`ingressgateway` or `egressgateway` for gateways, else empty."""
    sidecar: bool = True
    """False if it is known to run without a proxy."""

    @property
    def known(self) -> bool:
        """True if there is a name to show."""
        return bool(self.name)


UNKNOWN = WorkloadRef()


@dataclass(frozen=True, slots=True)
class ContainerRef:
    """A container of a pod, and the ports that it says it listens on."""

    name: str
    image: str = ""
    ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PodRef:
    """A pod of the registry. `principal` is its SPIFFE id as a URI, or empty when it has no identity."""

    namespace: str
    name: str
    address: str
    labels: FrozenMap[str, str] = EMPTY
    service_account: str = ""
    principal: str = ""
    owner: str = ""
    """The object that keeps the pod running, as `kubernetes://apis/apps/v1/namespaces/<ns>/deployments/<name>`."""
    workload: WorkloadRef = UNKNOWN
    containers: tuple[ContainerRef, ...] = ()
    router: bool = False
    """Its proxy is a gateway, whatever labels say."""

    def container(self, port: int) -> ContainerRef | None:
        """The container that listens on `port`; where none says so, the only one there is."""
        for container in self.containers:
            if port in container.ports:
                return container
        return self.containers[0] if len(self.containers) == 1 else None


@dataclass(frozen=True, slots=True)
class ServiceRef:
    """A called service: host, and how metrics write its name and namespace."""

    host: str = ""
    name: str = ""
    namespace: str = ""


NO_SERVICE = ServiceRef()


def workload_ref(namespace: str, name: str, labels: Mapping[str, str], *, sidecar: bool = True) -> WorkloadRef:
    """The reference of a workload whose pods carry `labels`."""
    gateway = labels.get("istio", "")
    return WorkloadRef(
        namespace=namespace,
        name=name,
        app=labels.get("app", ""),
        version=labels.get("version", ""),
        canonical_service=_first(labels, _CANONICAL_NAME) or name,
        canonical_revision=_first(labels, _CANONICAL_REVISION) or "latest",
        gateway=gateway if gateway in _GATEWAY_LABELS else "",
        sidecar=sidecar,
    )


def _first(labels: Mapping[str, str], keys: tuple[str, ...]) -> str:
    return next((labels[key] for key in keys if labels.get(key)), "")
