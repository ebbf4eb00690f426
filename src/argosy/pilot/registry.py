"""The service registry: which hosts there are, where their endpoints are, who serves them.

Given tracked reads of Services, ServiceEntries and Pods, gives `HostRecord`s and `Endpoint`s; a Kubernetes Service wins
over a ServiceEntry of the same host. Of several ServiceEntries one that all may see counts, then the first by namespace
and name; a namespace that a private one is for goes by the nearest (`find_owner`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from argosy.api.endpoints import declared_endpoints
from argosy.api.kubernetes import ServicePort
from argosy.api.mesh_config import with_default_exports
from argosy.api.meta import Object
from argosy.api.service_entry import allocated_addresses, is_private, precedence, says_the_same, shown_to
from argosy.core.errors import Origin
from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.hosts import (
    called_service,
    host_matches,
    is_wildcard,
    may_be_routed_only,
    service_host,
    service_of_host,
)
from argosy.core.labels import selects
from argosy.core.locality import locality_of_labels
from argosy.core.names import ObjectKey
from argosy.core.protocols import Protocol, Reason, choose_protocol, parse_protocol
from argosy.core.spiffe import SpiffeID, SpiffeIDError, workload_id
from argosy.incr import Reader
from argosy.pilot.aspects import Aspect
from argosy.pilot.classes import ROUTER, role_of_pod
from argosy.pilot.endpoint import TLS_MODE_LABEL, Endpoint, HostPort
from argosy.pilot.mesh import Mesh, MeshSettings, prefers_near, service_exports
from argosy.pilot.scopes import OwnHost
from argosy.pilot.tenancy import governs
from argosy.pilot.workloads import selected_workloads

ALIASES_MAX = 8
"""How many names may lead to a host one after the other."""
_NO_ORIGIN = Origin()
_HTTP_PORT = 80


@dataclass(frozen=True, slots=True)
class HostRecord:
    """One host that clients can call.

    `resolution`: EDS (pods), STATIC, DNS, DNS_ROUND_ROBIN, DYNAMIC_DNS, or NONE (original destination).
    """

    host: str
    key: ObjectKey
    kind: str
    ports: tuple[HostPort, ...]
    resolution: str
    addresses: tuple[str, ...] = ()
    selector: FrozenMap[str, str] = EMPTY
    endpoints: tuple[Endpoint, ...] = ()
    external: bool = False
    origin: Origin = _NO_ORIGIN
    subject_alt_names: tuple[str, ...] = ()
    """Names that a server may prove instead of the identities of its pods."""
    export_to: tuple[str, ...] = ()
    routed_only: bool = False
    """Nobody declares it: VirtualServices say what becomes of its requests, on the port of HTTP."""
    alias: str = ""
    """The host of the mesh that this one is only another name of."""
    with_unready: bool = False
    """Pods count before they are ready: members of a group that must meet first."""
    near: bool = False
    """The nearest endpoints come first, whoever calls."""
    owner: str = ""
    """The namespace that declares it apart from what counts for all others."""

    @property
    def is_headless(self) -> bool:
        """True for a Service without an address: clients call its pods by theirs."""
        return self.kind == "Service" and self.resolution == "NONE" and bool(self.selector)

    @property
    def may_speak_mtls(self) -> bool:
        """True if some endpoint may have a proxy of this mesh."""
        return not self.external and (bool(self.selector) or any(one.sidecar for one in self.endpoints))

    def port(self, number: int) -> HostPort | None:
        """The port of that number, if there is one."""
        return next((port for port in self.ports if port.number == number), None)


def settings(read: Reader, mesh: Mesh, aspect: Aspect = Aspect.LISTENERS) -> MeshSettings:
    """The mesh's settings, with what the ConfigMap says about one aspect; its other fields have their defaults."""
    return read.get(mesh.aspects, aspect) or MeshSettings()


def build_host(read: Reader, mesh: Mesh, host: str) -> HostRecord | None:
    """The record of `host`, or None if nobody declares it."""
    for key, service in read.select(mesh.services_by_host, host):
        external = service.spec.type == "ExternalName"
        return _from_external_name(read, mesh, key, service) if external else _from_service(key, service)
    if _is_called_so(read, mesh, host):
        return None
    entries = _entries_of(read, mesh, host)
    return _from_entries(entries, host) if entries else _from_routes(read, mesh, host)


def _is_called_so(read: Reader, mesh: Mesh, host: str) -> bool:
    """Whether clients call a Service so: a name can mean one host only."""
    called = called_service(host)
    return called is not None and bool(read.keys(mesh.services_by_host, called))


def _entries_of(read: Reader, mesh: Mesh, host: str) -> list[Object[Any]]:
    config = settings(read, mesh, Aspect.EXPORTS).config
    return [
        with_default_exports(entry, config)
        for key, entry in read.select(mesh.entries_by_host, host)
        # A name of another namespace's Services is not given away.
        if service_of_host(host) is None or governs(read, mesh, key.namespace, host)
    ]


def may_have_owner(read: Reader, mesh: Mesh, namespace: str, host: str) -> bool:
    """Whether `find_owner` need be asked: few namespaces keep hosts to themselves."""
    if read.keys(mesh.private_entries, (namespace, host)):
        return True
    if not read.keys(mesh.entries_shown_by_default, host):
        return False
    exports = settings(read, mesh, Aspect.EXPORTS).config.default_service_export_to
    return bool(exports) and "*" not in exports


def find_owner(read: Reader, mesh: Mesh, namespace: str, host: str) -> str | None:
    """The namespace whose private entries say for clients of `namespace` what a host is: their own, or one that shows
    them its own. None where they go by what counts for all. Source: Istio takes the nearest declaration, too."""
    if read.keys(mesh.services_by_host, host) or _is_called_so(read, mesh, host):
        return None
    entries = _entries_of(read, mesh, host)
    seen = [one for one in entries if namespace in shown_to(one)]
    if not seen:
        return None
    first = min(entries, key=precedence)
    nearest = min(seen, key=lambda one: (one.namespace != namespace, one.key))
    alone = all(one.key == nearest.key for one in entries if one.namespace == nearest.namespace)
    if nearest.namespace == first.namespace or (alone and says_the_same(first, nearest) and _is_alone(first, entries)):
        return None
    return nearest.namespace


def _is_alone(first: Object[Any], entries: Iterable[Object[Any]]) -> bool:
    """Whether others that say the same have what the first entry of a host declares."""
    return not is_private(first) or all(one.key == first.key for one in entries if one.namespace == first.namespace)


def build_own_host(read: Reader, mesh: Mesh, key: OwnHost) -> HostRecord | None:
    """The record of a host as one namespace's entries declare it."""
    entries = [one for one in _entries_of(read, mesh, key.host) if one.namespace == key.owner]
    if not entries:
        return None
    shown = {name for entry in entries for name in shown_to(entry)}
    return replace(_from_entries(entries, key.host), export_to=tuple(sorted(shown)), owner=key.owner)


def _from_routes(read: Reader, mesh: Mesh, host: str) -> HostRecord | None:
    """A host that only VirtualServices name; they may be the way to servers of other names. Names of Services are not
    made up so. Source: Istio serves such hosts on port 80."""
    found = [one for _key, one in read.select(mesh.virtual_services_by_host, host) if one.spec.http]
    called = service_of_host(called_service(host) or host)
    taken = {called[0]} if called is not None and read.keys(mesh.services_by_namespace, called[0]) else set()
    if not found or not may_be_routed_only(host, taken):
        return None
    config = settings(read, mesh, Aspect.EXPORTS).config
    exports = [(one, with_default_exports(one, config).spec.export_to or ("*",)) for one in found]
    shown = {owner.namespace if name == "." else name for owner, names in exports for name in names}
    return HostRecord(
        host=host,
        key=found[0].key,
        kind="VirtualService",
        ports=(HostPort(_HTTP_PORT, "http", Protocol.HTTP, reason=str(Reason.DECLARED)),),
        resolution="NONE",
        external=True,
        export_to=("*",) if "*" in shown else tuple(sorted(shown)),
        routed_only=True,
    )


def routed_hosts(read: Reader, names: Iterable[str], declared: Sequence[str]) -> set[str]:
    """Of the hosts that VirtualServices name, those that nobody declares; a wildcard counts if it covers nobody."""
    known = set(declared)
    namespaces = {service[0] for host in declared if (service := service_of_host(host)) is not None}
    return {
        name
        for name in names
        if name not in known
        and may_be_routed_only(name, namespaces)
        and not (is_wildcard(name) and any(host_matches(name, one) for one in declared))
    }


def _from_entries(entries: list[Object[Any]], host: str) -> HostRecord:
    entries = sorted(entries, key=precedence)
    made = _merged([_from_entry(entry.key, entry, host) for entry in entries])
    first = entries[0]
    beside = [one for one in entries if one.namespace == first.namespace]
    alike = [one for one in entries if one.namespace != first.namespace and says_the_same(first, one)]
    if not alike or len(beside) > 1 or not is_private(first):
        return made
    # Namespaces that keep the same declaration to themselves each have what they declare.
    shown = {one.namespace if name == "." else name for one in (first, *alike) for name in one.spec.export_to}
    addresses = dict.fromkeys([*made.addresses, *(own for one in alike for own in _allocated(one, host))])
    return replace(made, export_to=tuple(sorted(shown)), addresses=tuple(addresses))


def _merged(entries: list[HostRecord]) -> HostRecord:
    """The first entry of a host, with the ports and endpoints that others of its namespace add in the same way."""
    first = entries[0]
    alike = [first, *(one for one in entries[1:] if _adds_to(first, one))]
    if len(alike) == 1:
        return first
    ports = {port.number: port for one in reversed(alike) for port in one.ports}
    return replace(
        first,
        ports=tuple(ports[number] for number in sorted(ports)),
        addresses=tuple(dict.fromkeys(address for one in alike for address in one.addresses)),
        endpoints=tuple(dict.fromkeys(endpoint for one in alike for endpoint in _of_entry(one, ports))),
    )


def _adds_to(first: HostRecord, other: HostRecord) -> bool:
    """Whether an entry adds to the first one of its host. Selected workloads would serve the other's ports, too."""
    here = (first.key.namespace, first.resolution) == (other.key.namespace, other.resolution)
    return here and not first.selector and not other.selector


def _of_entry(one: HostRecord, ports: Mapping[int, HostPort]) -> Iterator[Endpoint]:
    """The endpoints of one entry among several: they serve its ports only, where it says that they do."""
    numbers = tuple(port.number for port in one.ports)
    for endpoint in one.endpoints:
        served = {
            ports[port.number].name: number
            for port in one.ports
            if (number := endpoint.port_for(port)) is not None and number != ports[port.number].target_number
        }
        yield replace(endpoint, ports=FrozenMap(served), only=numbers)


def all_hosts(read: Reader, mesh: Mesh) -> tuple[str, ...]:
    """Every host of the mesh, sorted."""
    hosts = {service_host(key.name, key.namespace) for key in read.all_keys(mesh.services)}
    for key in read.all_keys(mesh.service_entries):
        entry = read.get(mesh.service_entries, key)
        if entry is not None:
            hosts.update(entry.spec.names)
    return tuple(sorted(hosts))


def build_endpoints(read: Reader, mesh: Mesh, record: HostRecord) -> tuple[Endpoint, ...]:
    """The usable endpoints of a host, sorted by address: pods that are ready, or what is listed for it."""
    if not record.selector:
        return tuple(sorted([*record.endpoints, *_declared(read, mesh, record)]))
    namespace = record.key.namespace
    pods = _selected_pods(read, mesh, namespace, record.selector)
    found = [endpoint_of_pod(pod) for pod in pods if is_usable(pod) or (record.with_unready and bool(pod.spec.pod_ip))]
    return tuple(sorted([*found, *selected_workloads(read, mesh, namespace, record.selector)]))


def _declared(read: Reader, mesh: Mesh, record: HostRecord) -> list[Endpoint]:
    """What Endpoints and EndpointSlices say of a Service that selects no pods."""
    if record.kind != "Service" or record.external:
        return []
    indexes = (mesh.endpoints_by_service, mesh.slices_by_service)
    objects = [one for index in indexes for _key, one in read.select(index, record.key)]
    name, namespace = record.key.name, record.key.namespace
    return [
        Endpoint(one.address, ports=one.ports, namespace=namespace, workload=name)
        for one in declared_endpoints(objects)
    ]


def _selected_pods(read: Reader, mesh: Mesh, namespace: str, selector: FrozenMap[str, str]) -> list[Object[Any]]:
    # One bucket is enough to find the candidates; a change of any pod outside of it does not concern this host.
    label, value = next(iter(selector.items()))
    candidates = read.select(mesh.pods_by_label, (namespace, label, value))
    return [pod for _key, pod in candidates if selects(selector, pod.labels)]


def is_usable(pod: Object[Any]) -> bool:
    """True if clients may be sent to that pod now."""
    return bool(pod.spec.pod_ip) and pod.spec.ready


def endpoint_of_pod(pod: Object[Any]) -> Endpoint:
    """The endpoint that a pod is. Named container ports are kept so that named target ports resolve."""
    ports = {
        port.name: port.container_port
        for container in pod.spec.spec.containers
        for port in container.ports
        if port.name
    }
    return Endpoint(
        address=pod.spec.pod_ip,
        labels=pod.labels,
        ports=FrozenMap(ports),
        namespace=pod.namespace,
        service_account=pod.spec.spec.service_account_name,
        workload=pod.spec.workload or pod.name,
        sidecar=has_sidecar(pod),
        locality=locality_of_labels(pod.labels),
        gateway=role_of_pod(pod) == ROUTER,
    )


def has_sidecar(pod: Object[Any]) -> bool:
    """True if an Envoy of this mesh captures the pod's traffic."""
    return bool(pod.annotations.get("argosy.io/sidecar") == "true")


def build_identities(read: Reader, mesh: Mesh, record: HostRecord, endpoints: tuple[Endpoint, ...]) -> tuple[str, ...]:
    """The SPIFFE ids that may answer for a host, sorted: those of its pods' service accounts."""
    trust_domain = settings(read, mesh).trust_domain
    accounts = {(e.namespace, e.service_account) for e in endpoints if e.sidecar and e.service_account}
    found: set[SpiffeID] = set()
    for namespace, account in accounts:
        try:
            found.add(workload_id(trust_domain, namespace, account))
        except SpiffeIDError:  # galley refuses such names; a pod that has one simply has no identity
            continue
    return tuple(str(identity) for identity in sorted(found))


def _from_service(key: ObjectKey, service: Object[Any]) -> HostRecord:
    spec = service.spec
    ports = tuple(_port_of_service(port) for port in spec.ports)
    if not spec.selector:
        # Whoever lists addresses lists their ports, by the names of the Service's.
        ports = tuple(replace(port, target=port.name) for port in ports)
    return HostRecord(
        host=service_host(key.name, key.namespace),
        key=key,
        kind="Service",
        ports=tuple(port for port in ports if port.protocol is not Protocol.UDP),
        resolution="NONE" if spec.headless else "EDS",
        addresses=(spec.cluster_ip,) if spec.cluster_ip and not spec.headless else (),
        selector=spec.selector,
        origin=service.origin,
        export_to=service_exports(service),
        with_unready=spec.publish_not_ready_addresses,
        near=prefers_near(service),
    )


def _from_external_name(read: Reader, mesh: Mesh, key: ObjectKey, service: Object[Any]) -> HostRecord:
    """A Service that is another name: of a host of the mesh (whose routes it then has), or of one that DNS knows."""
    outside, alias = _meant(read, mesh, service)
    ports = tuple(replace(_port_of_service(port), target=0) for port in service.spec.ports)
    target = build_host(read, mesh, alias) if alias else None
    alias, known = (alias, target.ports) if target is not None else ("", ())
    return HostRecord(
        host=service_host(key.name, key.namespace),
        key=key,
        kind="Service",
        ports=ports or known,
        resolution="DNS",
        endpoints=() if alias else (Endpoint(outside, namespace=key.namespace, workload=key.name),),
        external=True,
        origin=service.origin,
        export_to=service_exports(service),
        alias=alias,
    )


def _meant(read: Reader, mesh: Mesh, service: Object[Any]) -> tuple[str, str]:
    """The name at the end of a chain of names, and that name again if it is a host of the mesh."""
    name = service.spec.external_name
    for _step in range(ALIASES_MAX):
        name = name.lower().removesuffix(".")
        found = next((one for _key, one in read.select(mesh.services_by_host, name)), None)
        if found is None:
            return name, name if read.keys(mesh.entries_by_host, name) else ""
        if found.spec.type != "ExternalName":
            return name, name
        name = found.spec.external_name
    return name, ""


def _port_of_service(port: ServicePort) -> HostPort:
    protocol, reason = choose_protocol(port.name, port.app_protocol, port.protocol, port.port)
    return HostPort(port.port, port.name, protocol, port.target_port or 0, str(reason))


def _from_entry(key: ObjectKey, entry: Object[Any], host: str) -> HostRecord:
    spec = entry.spec
    ports = tuple(
        HostPort(
            port.number,
            port.name,
            parse_protocol(port.protocol) or Protocol.TCP,
            port.target_port or 0,
            str(Reason.DECLARED),
        )
        for port in spec.ports
    )
    endpoints = tuple(
        Endpoint(
            address=one.address,
            labels=one.labels,
            ports=one.ports,
            namespace=key.namespace,
            service_account=one.service_account,
            workload=key.name,
            weight=one.weight or 1,
            sidecar=one.labels.get(TLS_MODE_LABEL) == "istio",
            locality=one.locality or locality_of_labels(one.labels),
        )
        for one in spec.endpoints
    )
    resolution = spec.resolution
    if resolution in ("DNS", "DNS_ROUND_ROBIN") and not endpoints and not is_wildcard(host):
        endpoints = (Endpoint(address=host, namespace=key.namespace, workload=key.name),)
    return HostRecord(
        host=host,
        key=key,
        kind="ServiceEntry",
        ports=ports,
        resolution=resolution,
        addresses=spec.called_addresses or _allocated(entry, host),
        selector=spec.workload_selector.labels if spec.workload_selector else EMPTY,
        endpoints=endpoints,
        subject_alt_names=spec.subject_alt_names,
        export_to=spec.export_to,
        external=spec.location == "MESH_EXTERNAL",
        origin=entry.origin,
        near=prefers_near(entry),
    )


def _allocated(entry: Object[Any], host: str) -> tuple[str, ...]:
    address = allocated_addresses(entry).get(host)
    return (address,) if address else ()
