"""What a pod on this machine is to run: plain, frozen, complete. No object of the configuration is needed any more.

Made by `local.desired`, kept in the pod's state file so that a restarted agent finds it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

from argosy.core.names import ObjectKey

PROXY_CONTAINER = "istio-proxy"


class Role(StrEnum):
    """What the pod's Envoy is: none, a sidecar beside an application, or a gateway."""

    NONE = "none"
    SIDECAR = "sidecar"
    ROUTER = "router"


class Port(msgspec.Struct, frozen=True):
    """A declared container port."""

    port: int
    name: str = ""
    protocol: str = "TCP"


class Probe(msgspec.Struct, frozen=True):
    """How to see that a container can serve, by the first of these that is given.

    `command` ends with 0; the `grpc` service ("": the server) says SERVING; `path` is answered, over TLS if `tls`;
    `port` takes a TCP connection.
    """

    port: int = 0
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    tls: bool = False
    grpc: str | None = None
    command: tuple[str, ...] = ()
    period_s: float = 1.0
    timeout_s: float = 1.0
    initial_delay_s: float = 0.0
    failures_max: int = 3
    successes_min: int = 1


class Container(msgspec.Struct, frozen=True):
    """One application process of a pod: `argv` is already found by the image's name."""

    name: str
    image: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    ports: tuple[Port, ...] = ()
    probe: Probe | None = None


class Volume(msgspec.Struct, frozen=True):
    """A ConfigMap that the pod sees as files below `path`: all of its keys, or `items` (key, file)."""

    path: str
    config_map: str
    items: tuple[tuple[str, str], ...] = ()
    optional: bool = False


class Exclusions(msgspec.Struct, frozen=True):
    """What the capture leaves alone; Istio's `traffic.sidecar.istio.io/*` annotations. `include_ranges` ("*",): all."""

    include_inbound: tuple[str, ...] = ("*",)
    exclude_inbound: tuple[int, ...] = ()
    exclude_outbound: tuple[int, ...] = ()
    include_outbound: tuple[int, ...] = ()
    include_ranges: tuple[str, ...] = ("*",)
    exclude_ranges: tuple[str, ...] = ()


class Metrics(msgspec.Struct, frozen=True):
    """How what a pod counts is told to those who scrape it; in the words of Istio's annotations and proxy metadata.

    `offered`: `prometheus.io/scrape` is not false; `port` (0: none), `path`, `scheme`: what the application tells, if
    it says so; `merged`: the proxy tells it beside its own. `secure_port`, `secure_merged_port`: under mutual TLS
    (0: nowhere); `local_only`: without TLS to this pod alone. `certificates`: folders of the application's view where
    it finds the pod's certificate; `targets`: it is told which pods there are.
    """

    offered: bool = True
    port: int = 0
    path: str = "/metrics"
    scheme: str = "http"
    merged: bool = True
    secure_port: int = 0
    secure_merged_port: int = 0
    local_only: bool = False
    certificates: tuple[str, ...] = ()
    targets: bool = False

    @property
    def merges(self) -> bool:
        """Whether the proxy asks the application."""
        return self.merged and bool(self.port) and self.scheme == "http"

    @property
    def secure_ports(self) -> tuple[int, ...]:
        """The ports under mutual TLS."""
        return tuple(port for port in (self.secure_port, self.secure_merged_port) if port)


class PodPlan(msgspec.Struct, frozen=True):
    """One pod. `owner` is its Deployment's name ("" for a bare pod), `template_hash` tells its version."""

    namespace: str
    name: str
    ip: str
    role: Role
    service_account: str = "default"
    owner: str = ""
    template_hash: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    containers: tuple[Container, ...] = ()
    exclusions: Exclusions = Exclusions()
    grace_s: float = 30.0
    restart: str = "Always"
    """Kubernetes' restartPolicy: `Never` and `OnFailure` are for pods that end."""
    owner_kind: str = "Deployment"
    concurrency: int = 1
    """Envoy's worker threads; 0: one for each core."""
    proxy_environment: tuple[tuple[str, str], ...] = ()
    proxy_stats: tuple[tuple[str, str], ...] = ()
    """Statistics that the Envoy keeps besides its usual ones: (`prefix`, `suffix` or `regex`, text)."""
    volumes: tuple[Volume, ...] = ()
    metrics: Metrics = Metrics()

    @property
    def key(self) -> ObjectKey:
        """(namespace, name)."""
        return ObjectKey(self.namespace, self.name)

    @property
    def ends(self) -> bool:
        """True if the pod has work that it finishes."""
        return self.restart != "Always"

    def runs_again(self, code: int) -> bool:
        """Whether an application that ended with `code` is started again."""
        return self.restart == "Always" or (self.restart == "OnFailure" and code != 0)

    @property
    def workload(self) -> str:
        """The name that telemetry and certificates give to the set of pods this one belongs to."""
        return self.owner or self.name

    @property
    def has_envoy(self) -> bool:
        """True for pods with a sidecar and for gateways."""
        return self.role is not Role.NONE

    @property
    def node_id(self) -> str:
        """The xDS node id: `sidecar~<ip>~<pod>.<namespace>~<namespace>.svc.cluster.local`."""
        return f"{self.role.value}~{self.ip}~{self.name}.{self.namespace}~{self.namespace}.svc.cluster.local"


def pod_document(
    plan: PodPlan,
    *,
    node: str,
    phase: str,
    ready: bool,
    terminating: bool = False,
    restarts: int = 0,
    reason: str = "",
    exit_codes: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The Kubernetes-shaped Pod document that the agent reports. A terminating pod is never ready.

    `exit_codes`: of the containers that have ended for good.
    """
    containers = [
        {"name": c.name, "image": c.image, "ports": [_port_document(port) for port in c.ports]} for c in plan.containers
    ]
    metadata: dict[str, Any] = {
        "name": plan.name,
        "namespace": plan.namespace,
        "labels": dict(plan.labels),
        "annotations": {**dict(plan.annotations), "argosy.io/sidecar": "true" if plan.has_envoy else "false"},
    }
    if plan.owner:
        version = "batch/v1" if plan.owner_kind == "Job" else "apps/v1"
        metadata["ownerReferences"] = [{"apiVersion": version, "kind": plan.owner_kind, "name": plan.owner}]
    condition = {"type": "Ready", "status": "True" if ready and not terminating else "False", "reason": reason}
    status: dict[str, Any] = {
        "podIP": plan.ip,
        "phase": phase,
        "conditions": [condition],
        "restartCount": restarts,
    }
    if exit_codes:
        status["containerStatuses"] = [
            {"name": name, "state": {"terminated": {"exitCode": code}}} for name, code in sorted(exit_codes.items())
        ]
    if terminating:
        status["reason"] = "Terminating"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"serviceAccountName": plan.service_account, "nodeName": node, "containers": containers},
        "status": status,
    }


def _port_document(port: Port) -> dict[str, Any]:
    return {"name": port.name, "containerPort": port.port, "protocol": port.protocol}
