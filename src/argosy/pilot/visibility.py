"""What a client sees: which Sidecar is about it, which hosts that lets it call, and who may see a host at all.

Pure lookups with tracked reads; a client that nothing limits has the blank scope, so that all such clients share.
Source: istio.io Sidecar, exportTo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from argosy.api.meta import Object
from argosy.api.routing import VirtualService
from argosy.api.sidecar import EgressListener, Sidecar
from argosy.core.hosts import host_matches, hosts_overlap, resolve_host
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.incr import Reader
from argosy.pilot import registry
from argosy.pilot.aspects import Aspect
from argosy.pilot.mesh import HIDDEN, Mesh
from argosy.pilot.scopes import exported
from argosy.pilot.selecting import about_all, selecting, selector_of

SELF, ANY, NOBODY = ".", "*", "~"


@dataclass(frozen=True, slots=True)
class View:
    """The hosts that a scope sees; `ports`: for hosts that are seen on some ports only."""

    hosts: tuple[str, ...]
    ports: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def sees(self, host: str, port: int) -> bool:
        """Whether one port of a host that is seen is."""
        return host not in self.ports or port in self.ports[host]


def sidecar_for(read: Reader, mesh: Mesh, namespace: str, labels: Mapping[str, str]) -> Object[Sidecar] | None:
    """The Sidecar that is about a workload: one that selects it, its namespace's, the root namespace's."""
    own: list[Object[Sidecar]] = selecting(read, mesh.sidecars, namespace, labels)
    # What is said about some workloads stands before what is said about all.
    own.sort(key=lambda one: not selector_of(one))
    if own or namespace == ROOT_NAMESPACE:
        return own[0] if own else None
    return next(iter(about_all(read, mesh.sidecars, ROOT_NAMESPACE)), None)


def hides_hosts(read: Reader, mesh: Mesh) -> bool:
    """Whether some host of the mesh is kept from some namespaces."""
    default = registry.settings(read, mesh, Aspect.EXPORTS).config.default_service_export_to
    hidden = read.keys(mesh.services_by_trait, HIDDEN) or read.keys(mesh.entries_by_trait, HIDDEN)
    return bool(hidden) or (bool(default) and ANY not in default)


def is_exported(read: Reader, mesh: Mesh, record: registry.HostRecord, namespace: str) -> bool:
    """Whether clients of `namespace` may see a host."""
    exports = record.export_to or registry.settings(read, mesh, Aspect.EXPORTS).config.default_service_export_to
    return exported(exports, record.key.namespace, namespace)


def admits(listener: EgressListener, own: str, owner: str, host: str) -> bool:
    """Whether an egress listener of a Sidecar for workloads of namespace `own` lets through a host of `owner`."""
    return any(host_matches(pattern, host) for pattern in _patterns(listener, own, owner))


def names_ports(sidecar: Sidecar) -> bool:
    """Whether entries of a Sidecar are about single ports, which then may have VirtualServices of their own."""
    return any(_number(one) for one in sidecar.egress)


def imports(sidecar: Sidecar, own: str, service: Object[VirtualService], number: int = 0) -> bool:
    """Whether VirtualServices like this one hold for workloads of namespace `own`: an entry names its namespace and
    some host of it, wherever that host is declared. `number`: of a port with HTTP, for which the entries that name it
    speak, or else those without a port; 0: of no port in particular, for which all do.

    Source: istio.io Sidecar, IstioEgressListener.hosts.
    """
    hosts = [resolve_host(host, service.namespace) for host in service.spec.hosts]
    named = [one for one in sidecar.egress if _number(one) == number]
    speaking = sidecar.egress if not number else named or [one for one in sidecar.egress if not _number(one)]
    return not sidecar.egress or any(
        hosts_overlap(pattern, host)
        for one in speaking
        for pattern in _patterns(one, own, service.namespace)
        for host in hosts
    )


def _patterns(listener: EgressListener, own: str, owner: str) -> Iterator[str]:
    """The hosts of `owner` that an egress listener names."""
    for entry in listener.hosts:
        namespace, _slash, pattern = entry.partition("/")
        wanted = own if namespace == SELF else namespace
        if wanted != NOBODY and wanted in (ANY, owner):
            yield pattern


def allowed_ports(sidecar: Sidecar, namespace: str, record: registry.HostRecord) -> tuple[int, ...] | None:
    """The ports on which a Sidecar lets workloads of `namespace` call a host; None: all of them; empty: none.

    Where an entry names a port, it alone says which hosts HTTP on that port leads to. Other ports are told apart by
    address, so an entry without a port adds to them.
    """
    if not sidecar.egress:
        return None
    claimed = {number for one in sidecar.egress if (number := _number(one))}
    letting = [one for one in sidecar.egress if admits(one, namespace, record.key.namespace, record.host)]
    named = {number for one in letting if (number := _number(one))}
    is_open = any(not _number(one) for one in letting)
    ports = tuple(
        sorted(
            port.number
            for port in record.ports
            if port.number in named or (is_open and not (port.protocol.is_http and port.number in claimed))
        )
    )
    return None if is_open and len(ports) == len(record.ports) else ports


def _number(listener: EgressListener) -> int:
    return listener.port.number if listener.port is not None else 0


def sidecar_key(name: str) -> ObjectKey:
    """The key of the Sidecar that a scope names as `namespace/name`."""
    namespace, _slash, own = name.partition("/")
    return ObjectKey(namespace, own)
