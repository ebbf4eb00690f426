"""Kubernetes' own objects, as far as a mesh on one machine needs them.

Unknown fields are tolerated (manifests carry many), known ones are typed. Kinds whose content is not in `spec`
(Pod, Secret, ConfigMap, ServiceAccount) are decoded from the whole document. Source: Kubernetes' API, core/v1, apps/v1.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any, Literal

import msgspec
from msgspec import field

from argosy.api.meta import Tolerant
from argosy.core.frozen import EMPTY, FrozenMap


class Namespace(Tolerant, frozen=True, kw_only=True):
    """A namespace; what matters are the labels of its object."""


class ServicePort(Tolerant, frozen=True, kw_only=True):
    """A port of a Service; `target_port` is a number or a container port's name, `port` itself when absent."""

    port: int
    name: str = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    app_protocol: str = ""
    target_port: int | str | None = None
    node_port: int | None = None


class Service(Tolerant, frozen=True, kw_only=True):
    """A Kubernetes Service."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    cluster_ip: str = field(default="", name="clusterIP")
    selector: FrozenMap[str, str] = EMPTY
    ports: tuple[ServicePort, ...] = ()
    external_name: str = ""
    session_affinity: str = ""
    publish_not_ready_addresses: bool = False
    traffic_distribution: Literal["", "PreferClose", "PreferSameZone", "PreferSameNode"] = ""

    @property
    def headless(self) -> bool:
        """True if it has no virtual address: names resolve to the pods."""
        return self.cluster_ip == "None"


class ServiceAccount(Tolerant, frozen=True, kw_only=True):
    """A service account; its name is all."""


class FieldRef(Tolerant, frozen=True, kw_only=True):
    """A field of the pod: `metadata.name`, `metadata.namespace`, `status.podIP`, `spec.serviceAccountName`..."""

    field_path: str


class EnvSource(Tolerant, frozen=True, kw_only=True):
    """Where an environment variable's value comes from."""

    field_ref: FieldRef | None = None
    config_map_key_ref: FrozenMap[str, Any] | None = None
    secret_key_ref: FrozenMap[str, Any] | None = None
    resource_field_ref: FrozenMap[str, Any] | None = None


class EnvVar(Tolerant, frozen=True, kw_only=True):
    """One environment variable."""

    name: str
    value: str | None = None
    value_from: EnvSource | None = None


class ContainerPort(Tolerant, frozen=True, kw_only=True):
    """A port that a container listens on."""

    container_port: int
    name: str = ""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


class HTTPHeader(Tolerant, frozen=True, kw_only=True):
    """A header of a probe."""

    name: str
    value: str


class HTTPGet(Tolerant, frozen=True, kw_only=True):
    """A probe by HTTP; `port` is a number or a container port's name."""

    port: int | str
    path: str = "/"
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    http_headers: tuple[HTTPHeader, ...] = ()


class TCPSocket(Tolerant, frozen=True, kw_only=True):
    """A probe by connecting."""

    port: int | str


class GRPCAction(Tolerant, frozen=True, kw_only=True):
    """A probe by gRPC's health protocol; `service` empty: the server as a whole."""

    port: int
    service: str = ""


class ExecAction(Tolerant, frozen=True, kw_only=True):
    """A probe by a command in the container: ready when it ends with 0."""

    command: tuple[str, ...] = ()


class Probe(Tolerant, frozen=True, kw_only=True):
    """A readiness probe."""

    http_get: HTTPGet | None = None
    tcp_socket: TCPSocket | None = None
    grpc: GRPCAction | None = None
    exec: ExecAction | None = None
    period_seconds: int = 10
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    failure_threshold: int = 3
    success_threshold: int = 1


class VolumeMount(Tolerant, frozen=True, kw_only=True):
    """Where a container sees one of the pod's volumes."""

    name: str
    mount_path: str
    sub_path: str = ""


class Container(Tolerant, frozen=True, kw_only=True):
    """One container: its image names the program, `command` and `args` override it."""

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[EnvVar, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    volume_mounts: tuple[VolumeMount, ...] = ()
    readiness_probe: Probe | None = None


class PodSpec(Tolerant, frozen=True, kw_only=True):
    """What runs in a pod, and as whom."""

    service_account_name: str = "default"
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    host_network: bool = False
    volumes: tuple[FrozenMap[str, Any], ...] = ()
    termination_grace_period_seconds: int = 30
    node_name: str = ""
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"

    def __post_init__(self) -> None:
        # Kubernetes reads an empty name as the default one; identities must never be built from an empty name.
        if not self.service_account_name:
            msgspec.structs.force_setattr(self, "service_account_name", "default")


class TemplateMeta(Tolerant, frozen=True, kw_only=True):
    """Metadata of the pods made from a template."""

    labels: FrozenMap[str, str] = EMPTY
    annotations: FrozenMap[str, str] = EMPTY


class PodTemplate(Tolerant, frozen=True, kw_only=True):
    """What the pods of a Deployment look like."""

    metadata: TemplateMeta = TemplateMeta()
    spec: PodSpec


class Selector(Tolerant, frozen=True, kw_only=True):
    """A Deployment's selector."""

    match_labels: FrozenMap[str, str] = EMPTY
    match_expressions: tuple[FrozenMap[str, Any], ...] = ()


class Deployment(Tolerant, frozen=True, kw_only=True):
    """A number of equal pods."""

    template: PodTemplate
    replicas: int = 1
    selector: Selector = Selector()


class Job(Tolerant, frozen=True, kw_only=True):
    """Pods that end: run until `completions` of them have succeeded, or more than `backoff_limit` have failed."""

    template: PodTemplate
    completions: int = 1
    parallelism: int = 1
    backoff_limit: int = 6


class OwnerReference(Tolerant, frozen=True, kw_only=True):
    """What made a pod."""

    kind: str
    name: str


class PodMeta(Tolerant, frozen=True, kw_only=True):
    """Identity of a pod, beyond what its `Object` tells."""

    name: str = ""
    namespace: str = ""
    owner_references: tuple[OwnerReference, ...] = ()


class PodCondition(Tolerant, frozen=True, kw_only=True):
    """One condition of a pod's status."""

    type: str
    status: Literal["True", "False", "Unknown"] = "Unknown"


class PodStatus(Tolerant, frozen=True, kw_only=True):
    """What the platform reports about a pod."""

    pod_ip: str = field(default="", name="podIP")
    phase: Literal["", "Pending", "Running", "Succeeded", "Failed", "Unknown"] = ""
    conditions: tuple[PodCondition, ...] = ()


class Pod(Tolerant, frozen=True, kw_only=True):
    """A pod: what it runs, where it is, and whether it is ready."""

    metadata: PodMeta = PodMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        """True if the condition `Ready` is `True`."""
        return any(c.type == "Ready" and c.status == "True" for c in self.status.conditions)

    @property
    def pod_ip(self) -> str:
        """The pod's address, empty while it has none."""
        return self.status.pod_ip

    @property
    def phase(self) -> str:
        """The pod's phase."""
        return self.status.phase

    @property
    def workload(self) -> str:
        """Name of what owns the pod: its Deployment (also behind a ReplicaSet), else the owner, else the pod."""
        for owner in self.metadata.owner_references:
            return owner.name.rpartition("-")[0] or owner.name if owner.kind == "ReplicaSet" else owner.name
        return self.metadata.name


class Secret(Tolerant, frozen=True, kw_only=True):
    """Key material; `data` is base64, `string_data` plain. Its values never appear in `repr`, findings or logs."""

    type: str = "Opaque"
    data: FrozenMap[str, str] = EMPTY
    string_data: FrozenMap[str, str] = EMPTY

    def entries(self) -> dict[str, bytes]:
        """What it holds; plain entries go before coded ones."""
        coded = {name: b64decode(value) for name, value in self.data.items()}
        return coded | {name: value.encode() for name, value in self.string_data.items()}

    def __repr__(self) -> str:
        return f"Secret(type={self.type!r}, keys={sorted({*self.data, *self.string_data})})"


class ConfigMap(Tolerant, frozen=True, kw_only=True):
    """Plain configuration data."""

    data: FrozenMap[str, str] = EMPTY
