"""Names of things that several packages must agree on: object keys, Envoy cluster names, ports, fixed names.

Cluster names are Istio's (`outbound|9080|v1|reviews.default.svc.cluster.local`), since
dashboards, logs and people read them.
"""

from __future__ import annotations

from typing import NamedTuple

ROOT_NAMESPACE = "istio-system"
MESH_GATEWAY = "mesh"
_OLD_GATEWAY = ".svc.cluster.local"
OPEN_ANNOTATION = "argosy.io/hosts-open-to"
"""On a Namespace, Service or ServiceEntry: the namespaces whose objects decide about its hosts too, or `*`."""
TENANCY_ANNOTATION = "argosy.io/tenancy"
"""On the mesh configuration's ConfigMap: `open` lets objects decide about hosts of all namespaces."""
DEFAULT_TRUST_DOMAIN = "cluster.local"

PASSTHROUGH_CLUSTER = "PassthroughCluster"
DIRECT_CLUSTER = "DirectPodCluster"
"""Pods of the mesh that are called by their address: under mutual TLS."""
BLACKHOLE_CLUSTER = "BlackHoleCluster"
INBOUND_PASSTHROUGH_CLUSTER = "InboundPassthroughCluster"
XDS_CLUSTER = "argosy-pilot"
MIXER_CLUSTER = "argosy-mixer"
PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of pages of metrics."""
NODE_HEADER = "argosy-node"
"""Metadata of a gRPC call that says whose counts it brings."""
COUNTS_CLUSTER = "argosy-mixer-counts"
"""Mixer once more, for what proxies count: if it does not answer, that holds up nothing else."""
REPORT_RUNTIME = "argosy.report"
"""The runtime layer that says which sides of a proxy report to Mixer, and what its keys begin with."""

SERVICE_EXTENSION = "argosy.service"
"""Where Mixer reads which service was called: in a request's extensions, or in the metadata of a connection's call."""
OPEN_EXTENSION = "argosy.fail-open"
"""Tells Mixer that the request passes if nobody can decide it, so that the rest of what it does is still done."""
ANSWER_KEY = "argosy.answer"
"""Where Mixer's answer says what is done to headers of the application's answer: name, whether it goes, new values."""
CHECK_NOTE = "argosy.check"
"""Under which Mixer notes, in the metadata of its answer to a check, what came of it: reports read it."""
SILENT_NOTE = "undecided"
"""In that note: which handlers could not tell, and why."""
REFUSAL_ROUTE = "refusal "
"""What names of routes begin with that refuse for a rule of Mixer's; a number and the rule follow."""

PROXY_VERSION = "1.28.0"
"""The version of Istio's proxy that Argosy's stand in for, where a patch or an expression asks for one."""

CLUSTER_ID = "Kubernetes"
"""The one cluster's name, where Istio's telemetry and EnvoyFilters have one."""

PROXY_PORTS = frozenset({15000, 15001, 15006, 15020, 15021, 15053, 15090})
"""Ports that proxies listen on themselves: on every address nobody else can."""
OUTBOUND_PORT = 15001
INBOUND_PORT = 15006
HEALTH_PORT = 15021
ENVOY_METRICS_PORT = 15090
MERGED_METRICS_PORT = 15020
"""Where a pod's proxy tells its own metrics and the application's, as Istio's does."""
SCRAPE_TARGETS_PORT = 15004
"""Where a pod that asks for it is told which pods there are to scrape; on loopback."""
ENVOY_UID = 1337
INBOUND_SOURCE_ADDRESS = "127.0.0.6"

# The two names of the one header that says which host is asked, lower case.
HOST_HEADERS = frozenset({"host", ":authority"})


class ObjectKey(NamedTuple):
    """The key of an object within its kind. Cluster-scoped objects have an empty namespace."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def gateway_key(name: str, namespace: str) -> ObjectKey:
    """The Gateway that `name`, written in an object of `namespace`, means: `gw`, `ns/gw`, `./gw`, or in the form of old
    rules, which no other name has, `gw.ns.svc.cluster.local`."""
    owner, slash, own = name.partition("/")
    if slash:
        return ObjectKey(namespace if owner == "." else owner, own)
    parts = name.removesuffix(_OLD_GATEWAY).split(".") if name.endswith(_OLD_GATEWAY) else []
    return ObjectKey(parts[1], parts[0]) if len(parts) == 2 else ObjectKey(namespace, name)


def gateway_name(name: str, namespace: str) -> str:
    """The same in full, as text; `mesh` stays what it is."""
    return name if name == MESH_GATEWAY else str(gateway_key(name, namespace))


class ClusterName(NamedTuple):
    """The parts of an Envoy cluster's name."""

    direction: str
    port: int
    subset: str
    host: str

    def __str__(self) -> str:
        return f"{self.direction}|{self.port}|{self.subset}|{self.host}"


_SNI = "outbound_."


def outbound_cluster(host: str, port: int, subset: str = "") -> str:
    """Name of the cluster by which clients reach `host:port` (and one subset of it)."""
    return str(ClusterName("outbound", port, subset, host))


def sni_cluster(host: str, port: int, subset: str = "") -> str:
    """The server name in mesh TLS by which a gateway that passes it on finds the cluster; dots, as names have."""
    return f"{_SNI}{port}_.{subset}_.{host}"


def inbound_cluster(port: int) -> str:
    """Name of the cluster by which a sidecar reaches its own application on `port`."""
    return str(ClusterName("inbound", port, "", ""))


def parse_cluster_name(name: str) -> ClusterName | None:
    """The parts of a cluster name that Argosy built, or None for any other."""
    parts = name.split("|")
    if len(parts) != 4 or not (parts[1].isascii() and parts[1].isdigit()):
        return None
    return ClusterName(parts[0], int(parts[1]), parts[2], parts[3])


def service_of_cluster(cluster: str) -> str:
    """The host that a cluster leads to; for traffic that belongs to none, which kind it is of; else empty."""
    parsed = parse_cluster_name(cluster)
    if parsed is not None:
        return parsed.host
    if cluster.startswith(_SNI):
        return cluster.rpartition("_.")[2]
    # It is counted as what passes through: nobody declared what is called.
    kind = PASSTHROUGH_CLUSTER if cluster == DIRECT_CLUSTER else cluster
    return kind if kind in (PASSTHROUGH_CLUSTER, BLACKHOLE_CLUSTER, INBOUND_PASSTHROUGH_CLUSTER) else ""


DENIED_BY_HEADER = "x-argosy-denied-by"
"""Names the rule of Mixer's that refused a request."""
