"""What sidecars call by: routes, virtual hosts and listeners of all hosts, built once for all clients where possible.

Given tracked reads, gives tuples of resources. What every client sees alike is built without a client in the key;
`own_hosts` says for which hosts the clients of one scope need something of their own, which then stands before it.
Nothing is emptied or left out here: whether a proxy gets it is a matter of groups (`model.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from argosy.api.meta import Object
from argosy.api.routing import Destination, TCPRoute, TLSRoute, VirtualService
from argosy.core.hosts import host_matches, is_wildcard, resolve_host, service_host, service_of_host
from argosy.core.labels import selects
from argosy.core.names import ObjectKey, outbound_cluster
from argosy.core.protocols import Protocol
from argosy.incr import Derived, Reader
from argosy.pilot import policy, registry
from argosy.pilot.build import listeners, routes
from argosy.pilot.build.resource import origin_fields
from argosy.pilot.mesh import PER_CLIENT
from argosy.pilot.registry import HostPort, HostRecord
from argosy.pilot.scopes import ClientScope, RouteScope, ScopedHost, exported
from argosy.xds.messages import Resource

if TYPE_CHECKING:
    from argosy.pilot.model import Model

Resources = tuple[Resource, ...]


class OutboundModel:
    """The derived functions of the outbound side, over the collections of a `Model`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.mesh = model.mesh
        derive = model.mesh.engine.derived
        self.virtual_service: Derived[tuple[str, str], ObjectKey] = derive("virtual_service", self._virtual_service)
        self.http_ports: Derived[str, tuple[int, ...]] = derive("http_ports", self._http_ports)
        self.partial_hosts: Derived[str, tuple[str, ...]] = derive("partial_hosts", self._partial_hosts)
        self.own_hosts: Derived[RouteScope, tuple[str, ...]] = derive("own_hosts", self._own_hosts)

    # -- who needs what -----------------------------------------------------------------------------------------

    def _virtual_service(self, read: Reader, key: tuple[str, str]) -> ObjectKey | None:
        """The VirtualService that governs mesh traffic of namespace key[0] to host key[1]."""
        namespace, host = key
        for pattern in policy.host_patterns(host):
            for candidate, found in read.select(self.mesh.virtual_services_by_host, pattern):
                if exported(found.spec.export_to, candidate.namespace, namespace):
                    return candidate
        return None

    def _http_ports(self, read: Reader, _key: str) -> tuple[int, ...]:
        ports: set[int] = set()
        for host in read.get(self.model.hosts, "all") or ():
            record = read.get(self.model.host, host)
            ports.update(port.number for port in record.ports if port.protocol.is_http) if record else None
        return tuple(sorted(ports))

    def _partial_hosts(self, read: Reader, _key: str) -> tuple[str, ...]:
        """Hosts whose routes depend on who calls: some VirtualService is for some clients only."""
        patterns = {
            resolve_host(host, key.namespace)
            for key, found in read.select(self.mesh.virtual_services_by_trait, PER_CLIENT)
            for host in found.spec.hosts
        }
        if not patterns:
            return ()
        hosts = read.get(self.model.hosts, "all") or ()
        return tuple(host for host in hosts if any(host_matches(pattern, host) for pattern in patterns))

    def _own_hosts(self, read: Reader, scope: RouteScope) -> tuple[str, ...]:
        """Hosts for which clients of `scope` cannot use what is built for all: those of their own namespace (which
        they call by short names), partial ones, and all where DestinationRules of their own may differ."""
        if not scope.client.is_shared:
            return read.get(self.model.hosts, "all") or ()
        services = read.keys(self.mesh.services_by_namespace, scope.namespace)
        own = {service_host(key.name, key.namespace) for key in services}
        partial: tuple[str, ...] = read.get(self.partial_hosts, "all") or ()
        return tuple(sorted(own.union(partial)))

    def shared_members(self, read: Reader) -> list[tuple[str, Any]]:
        """What all sidecars have."""
        ports = read.get(self.http_ports, "all") or ()
        members: list[tuple[str, Any]] = [("capture", "")]
        for port in ports:
            members += [("http_listener", port), ("route", port)]
        for host in read.get(self.model.hosts, "all") or ():
            members += [("virtual_hosts", ScopedHost(host)), ("tcp_listeners", ScopedHost(host))]
        return members

    def own_members(self, read: Reader, scope: RouteScope) -> list[tuple[str, Any]]:
        """What sidecars of `scope` have in place of what all have."""
        own = read.get(self.own_hosts, scope) or ()
        by_client = own if not scope.client.is_shared else read.get(self.partial_hosts, "all") or ()
        members: list[tuple[str, Any]] = [("virtual_hosts", ScopedHost(host, scope)) for host in own]
        return members + [("tcp_listeners", ScopedHost(host, scope)) for host in by_client]

    # -- routes -------------------------------------------------------------------------------------------------

    def capture(self, read: Reader, _key: str) -> Resources:
        """The listener that takes all captured connections."""
        return (listeners.build_capture_listener(log=registry.settings(read, self.mesh).access_log),)

    def http_listener(self, read: Reader, port: int) -> Resources:
        """The listener of all HTTP services on a port."""
        return (listeners.build_http_listener(port, log=registry.settings(read, self.mesh).access_log),)

    def route(self, _read: Reader, port: int) -> Resources:
        """The route configuration of a port, and its catch-all: so it always has a virtual host to begin with."""
        name = str(port)
        catch_all = routes.virtual_host_resource(routes.passthrough_virtual_host(name))
        return (routes.build_open_route_configuration(name), catch_all)

    def virtual_hosts(self, read: Reader, key: ScopedHost) -> Resources:
        """The virtual hosts of a host, one for each of its HTTP ports."""
        record = read.get(self.model.host, key.host)
        ports = [port.number for port in record.ports if port.protocol.is_http] if record is not None else []
        if record is None or not ports:
            return ()
        scope = key.client
        virtual_service = self._governing(read, scope.namespace, key.host)
        made = []
        for port in ports:
            part = routes.build_virtual_host(
                name=routes.virtual_host_name(str(port), key.host),
                domains=_domains(record, scope.namespace),
                virtual_service=virtual_service,
                client=routes.RouteClient("mesh", scope.namespace, scope.labels, port),
                resolve=self.resolver(read, virtual_service, scope.client, port),
                fallback=Destination(host=key.host),
            )
            made.append(routes.virtual_host_resource(part))
        return tuple(made)

    def _governing(self, read: Reader, namespace: str, host: str) -> Object[VirtualService] | None:
        found = read.get(self.virtual_service, (namespace, host))
        return read.get(self.mesh.virtual_services, found) if found is not None else None

    def resolver(
        self, read: Reader, virtual_service: Object[VirtualService] | None, client: ClientScope, port: int
    ) -> routes.Resolve:
        """How destinations of a VirtualService become clusters, for clients of scope `client` calling `port`."""
        namespace = virtual_service.namespace if virtual_service is not None else ""

        def resolve(destination: Destination) -> routes.Target:
            host = policy.resolved(destination.host, namespace)
            number = destination.port.number if destination.port is not None else self._only_port(read, host, port)
            rule = self.model.rule_object(read, read.get(self.model.rule, (client.rules, host)))
            balancer = policy.traffic_policy(rule, destination.subset, number).load_balancer
            return outbound_cluster(host, number, destination.subset), balancer

        return resolve

    def _only_port(self, read: Reader, host: str, port: int) -> int:
        """The port of a destination that names none: the called one if the host has it, else the host's only one."""
        record = read.get(self.model.host, host)
        if record is None or record.port(port) is not None or len(record.ports) != 1:
            return port
        return record.ports[0].number

    # -- TCP ----------------------------------------------------------------------------------------------------

    def tcp_listeners(self, read: Reader, key: ScopedHost) -> Resources:
        """The listeners of a host's ports that are not HTTP, on its own addresses."""
        record = read.get(self.model.host, key.host)
        if record is None or is_wildcard(key.host):
            return ()
        scope = key.client
        made = []
        for port in record.ports:
            if port.protocol.is_http or port.protocol is Protocol.UDP:
                continue
            targets, origin = self._tcp_targets(read, scope, record, port)
            rule = self.model.rule_object(read, read.get(self.model.rule, (scope.client.rules, key.host)))
            pool = policy.traffic_policy(rule, "", port.number).connection_pool
            made += [
                listeners.build_tcp_listener(
                    address=address,
                    port=port.number,
                    host=key.host,
                    clusters=targets,
                    origin=origin,
                    idle_timeout_s=(pool.tcp.idle_timeout_s or 0) if pool is not None and pool.tcp is not None else 0,
                    log=registry.settings(read, self.mesh).access_log,
                )
                for address in self._listening(read, record)
                if "/" not in address
            ]
        return tuple(made)

    def _listening(self, read: Reader, record: HostRecord) -> tuple[str, ...]:
        """Where clients of a host connect to: its own addresses; those of its pods if it is headless."""
        if record.addresses or record.resolution != "NONE" or not record.selector:
            return record.addresses
        return tuple(dict.fromkeys(one.address for one in read.get(self.model.endpoints, record.host) or ()))

    def _tcp_targets(
        self, read: Reader, scope: RouteScope, record: HostRecord, port: HostPort
    ) -> tuple[Mapping[str, int], dict[str, str]]:
        virtual_service = self._governing(read, scope.namespace, record.host)
        if virtual_service is not None:
            resolve = self.resolver(read, virtual_service, scope.client, port.number)
            rules: list[TLSRoute | TCPRoute] = [*virtual_service.spec.tls, *virtual_service.spec.tcp]
            for rule in rules:
                if not rule.match or any(_l4_concerns(match, scope, record.host, port) for match in rule.match):
                    origin = origin_fields(
                        "VirtualService", virtual_service.namespace, virtual_service.name, virtual_service.origin
                    )
                    return routes.weights(rule.route, resolve), origin
        origin = origin_fields(record.kind, record.key.namespace, record.key.name, record.origin)
        return {outbound_cluster(record.host, port.number): 1}, origin


def _domains(record: HostRecord, namespace: str) -> list[str]:
    """The names by which clients of `namespace` call a host. Ports need not be listed: Envoy ignores them.

    A ServiceEntry's addresses are not among them: several hosts may share one, and a domain must be unique.
    """
    service = service_of_host(record.host)
    if service is None:
        return [record.host]
    own, name = service
    domains = [record.host, f"{name}.{own}", f"{name}.{own}.svc"]
    if record.kind == "Service":
        domains += record.addresses
    if own == namespace:
        domains.append(name)
    return domains


def _l4_concerns(match: Any, scope: RouteScope, host: str, port: HostPort) -> bool:
    """Whether an L4 match can hold at the listener of one host's port; its server name is the host's own."""
    names = getattr(match, "sni_hosts", ())
    if names and not (port.protocol.is_tls and any(host_matches(name, host) for name in names)):
        return False
    if match.gateways and "mesh" not in match.gateways:
        return False
    if match.port is not None and match.port != port.number:
        return False
    if match.source_namespace and match.source_namespace != scope.namespace:
        return False
    return selects(match.source_labels, scope.labels)
