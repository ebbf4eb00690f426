"""The mesh and the changes that `kinds.py` makes in it: objects only, the same on every call.

HTTP services with a VirtualService each, every tenth with a DestinationRule, all behind one ingress gateway by a
VirtualService of their own; one client in each of ten namespaces, and one server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.api import Document, Object, decode_object
from argosy.core.names import ObjectKey
from argosy.testing import meshes
from argosy.testing.meshes import Size

CLIENTS = 10
TARGET = 3
"""The service that changes are about."""
_SECURITY = "security.istio.io/v1"
_RETRIES, _REFUSED = "defaultHttpRetryPolicy: {attempts: 5}", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"


@dataclass(frozen=True, slots=True)
class Change:
    """One change: its kind, what is done, and the objects that are set in one step (or a key that is deleted)."""

    kind: str
    what: str
    objects: tuple[Object[Any], ...] = ()
    deleted: ObjectKey | None = None

    @property
    def title(self) -> str:
        """Kind and deed."""
        return f"{self.kind}: {self.what}"


def kinds_size(services: int) -> Size:
    """The size of such a mesh."""
    return Size(services, endpoints=2, namespaces=10, classes=CLIENTS, proxies=CLIENTS)


def kinds_objects(size: Size) -> Iterator[Object[Any]]:
    """All objects, but for the gateway's own pod."""
    yield from meshes.mesh_objects(size)
    yield _mesh("{}")
    yield _gateway("public", 80, "*")
    for number in range(size.services):
        yield _public(size, number, "5s")
    for number in range(0, size.services, 10):
        yield rule(size, number, "ROUND_ROBIN")


def changes(size: Size) -> Sequence[Change]:
    """A change of each kind, one after the other, about one service or one workload where the kind allows."""
    return [
        *_of_services(size),
        *_of_traffic(size),
        *_of_workloads(size),
        *_of_proxies(size),
        *_of_security(size),
        *_of_all(size),
    ]


def _of_services(size: Size) -> Iterator[Change]:
    added = meshes.service(size, size.services + TARGET)
    yield Change("endpoint", "a pod is not ready any more", (meshes.endpoint(size, TARGET, 0, ready=False),))
    yield Change("Service", "added", (added,))
    yield Change("Service", "a port more", (meshes.service(size, size.services + TARGET, more_ports=(9081,)),))
    yield Change("Service", "deleted", deleted=added.key)


def _of_traffic(size: Size) -> Iterator[Change]:
    yield Change("VirtualService", "rules changed", (meshes.virtual_service(size, TARGET, first=50),))
    yield Change("VirtualService", "rules at a gateway changed", (_public(size, TARGET, "6s"),))
    yield Change("VirtualService", "a host more at a gateway", (_public(size, TARGET, "6s", "other.example.com"),))
    yield Change("DestinationRule", "added", (rule(size, TARGET, "RANDOM"),))
    yield Change("DestinationRule", "changed", (rule(size, TARGET, "ROUND_ROBIN"),))
    yield Change("Gateway", "a port more", (_gateway("more", 9000, "more.example.com"),))


def _of_workloads(size: Size) -> Iterator[Change]:
    namespace = meshes.namespace_of(size, TARGET)
    entry = {
        "hosts": ["api.example.com"],
        "addresses": ["240.1.1.1"],
        "resolution": "STATIC",
        "location": "MESH_INTERNAL",
        "ports": [{"number": 9080, "name": "http", "protocol": "HTTP"}],
        "workloadSelector": {"labels": {"app": "api"}},
    }
    groups = [
        _object(
            "WorkloadGroup", namespace, "vms", {"metadata": {"labels": {"app": "api"}}, "template": {"weight": weight}}
        )
        for weight in (1, 2)
    ]
    workload = {"address": "10.9.9.9"}
    grouped = {"istio.io/autoRegistrationGroup": "vms"}
    yield Change("ServiceEntry", "added", (_object("ServiceEntry", namespace, "api", entry),))
    yield Change("WorkloadGroup", "added", (groups[0],))
    yield Change("WorkloadEntry", "added", (_object("WorkloadEntry", namespace, "vm", workload, annotations=grouped),))
    yield Change("WorkloadGroup", "changed", (groups[1],))


def _of_proxies(size: Size) -> Iterator[Change]:
    namespace = meshes.namespace_of(size, 1)
    client = {"workloadSelector": {"labels": {"app": "client-1"}}}
    hosts = [f"{meshes.namespace_of(size, number)}/{_host(size, number)}" for number in range(5)]
    patch = {
        "applyTo": "CLUSTER",
        "match": {"cluster": {"service": _host(size, 2)}},
        "patch": {"operation": "MERGE", "value": {"connect_timeout": "3s"}},
    }
    filters = {**client, "configPatches": [patch]}
    for what, seen in (("added: one workload sees five hosts", hosts), ("changed: it sees four", hosts[1:])):
        sidecar = _object("Sidecar", namespace, "own", {**client, "egress": [{"hosts": seen}]})
        yield Change("Sidecar", what, (sidecar,))
    yield Change("Service", "added, with the Sidecar there", (meshes.service(size, size.services + TARGET),))
    yield Change("Sidecar", "deleted", deleted=ObjectKey(namespace, "own"))
    alpha, beta = "networking.istio.io/v1alpha3", "networking.istio.io/v1beta1"
    yield Change(
        "EnvoyFilter", "added: one cluster of one workload", (_object("EnvoyFilter", namespace, "own", filters, alpha),)
    )
    yield Change("ProxyConfig", "added", (_object("ProxyConfig", namespace, "own", {"concurrency": 2}, beta),))


def _of_security(size: Size) -> Iterator[Change]:
    namespace = meshes.namespace_of(size, TARGET)
    server = {"selector": {"matchLabels": {"app": meshes.service_name(TARGET)}}}
    strict = {**server, "mtls": {"mode": "STRICT"}}
    reading = {**server, "rules": [{"to": [{"operation": {"methods": ["GET"]}}]}]}
    yield Change(
        "PeerAuthentication",
        "added: one workload",
        (_object("PeerAuthentication", namespace, "own", strict, _SECURITY),),
    )
    yield Change(
        "AuthorizationPolicy",
        "added: one workload",
        (_object("AuthorizationPolicy", namespace, "own", reading, _SECURITY),),
    )
    yield from _of_roles(size)


def _of_roles(size: Size) -> Iterator[Change]:
    namespace, other = meshes.namespace_of(size, TARGET), TARGET + 1
    api, subjects = "rbac.istio.io/v1alpha1", [{"user": "*"}]
    yield Change("AuthorizationPolicy", "deleted", deleted=ObjectKey(namespace, "own"))
    for what, mode in (("roles hold for one service", "ENFORCED"), ("they are only tried", "PERMISSIVE")):
        spec = {"mode": "ON_WITH_INCLUSION", "inclusion": {"services": [_host(size, TARGET)]}, "enforcement_mode": mode}
        meta = {"name": "default"}
        document = {"apiVersion": api, "kind": "ClusterRbacConfig", "metadata": meta, "spec": spec}
        yield Change("ClusterRbacConfig", what, (decode_object(Document(document)),))
    for name, number in (("own", TARGET), ("other", other)):
        role = {"rules": [{"services": [_host(size, number)], "methods": ["GET"]}]}
        binding = {"subjects": subjects, "roleRef": {"kind": "ServiceRole", "name": name}}
        space = meshes.namespace_of(size, number)
        made = (
            _object("ServiceRole", space, name, role, api),
            _object("ServiceRoleBinding", space, name, binding, api),
        )
        yield Change("ServiceRole", f"bound: of {'that' if name == 'own' else 'another'} service", made)
    yield Change("ClusterRbacConfig", "deleted", deleted=ObjectKey("", "default"))


def _of_all(_size: Size) -> Iterator[Change]:
    yield Change("mesh configuration", "unknown hosts are refused", (_mesh(_REFUSED),))
    yield Change("mesh configuration", "other retries for all routes", (_mesh(f"{_REFUSED}\n{_RETRIES}"),))


def _host(size: Size, number: int) -> str:
    return f"{meshes.service_name(number)}.{meshes.namespace_of(size, number)}.svc.cluster.local"


def _public(size: Size, number: int, timeout: str, *hosts: str) -> Object[Any]:
    """The VirtualService by which the gateway leads to a service."""
    name = meshes.service_name(number)
    spec = {
        "hosts": [f"{name}.example.com", *hosts],
        "gateways": ["istio-system/public"],
        "http": [{"timeout": timeout, "route": [{"destination": {"host": name}}]}],
    }
    return _object("VirtualService", meshes.namespace_of(size, number), f"public-{name}", spec)


def rule(size: Size, number: int, balancer: str) -> Object[Any]:
    """The DestinationRule of a service, with a subset."""
    name = meshes.service_name(number)
    subsets = [{"name": "v1", "labels": {"version": "v1"}}]
    spec = {"host": name, "trafficPolicy": {"loadBalancer": {"simple": balancer}}, "subsets": subsets}
    return _object("DestinationRule", meshes.namespace_of(size, number), name, spec)


def _gateway(name: str, port: int, host: str) -> Object[Any]:
    server = {"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": [host]}
    return _object("Gateway", "istio-system", name, {"selector": {"istio": "ingressgateway"}, "servers": [server]})


def _mesh(text: str) -> Object[Any]:
    meta = {"name": "istio", "namespace": "istio-system"}
    return decode_object(Document({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"mesh": text}}))


def _object(
    kind: str, namespace: str, name: str, spec: dict[str, Any], api: str = "networking.istio.io/v1", **metadata: Any
) -> Object[Any]:
    meta = {"name": name, "namespace": namespace, **metadata}
    return decode_object(Document({"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec}))
