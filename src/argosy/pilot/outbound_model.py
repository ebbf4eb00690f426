"""What sidecars call by: routes, virtual hosts and listeners of all hosts, built once for all clients where possible.

Given tracked reads, gives tuples of resources. What every client sees alike is built without a client in the key;
`own_hosts` says for which hosts the clients of one scope need something of their own, which then stands before it.
Nothing is emptied or left out here: whether a proxy gets it is a matter of groups (`model.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from argosy.api.meta import Object
from argosy.api.routing import Destination, HTTPRoute, VirtualService
from argosy.api.sidecar import Sidecar
from argosy.core.frozen import FrozenMap
from argosy.core.hosts import host_matches, is_wildcard, resolve_host, service_host, service_of_host
from argosy.core.names import MESH_GATEWAY, ObjectKey, outbound_cluster
from argosy.core.protocols import Protocol
from argosy.incr import Derived, Reader
from argosy.pilot import policy, registry
from argosy.pilot.aspects import Aspect
from argosy.pilot.build import dynamic_dns, routes
from argosy.pilot.build.listeners import ALLOW_ANY, REGISTRY_ONLY, UnknownTraffic
from argosy.pilot.build.route_rules import FindDelegate, OwnedRule, in_order, owned_rules
from argosy.pilot.listener_model import ListenerModel
from argosy.pilot.mesh import FOREIGN, PER_CLIENT, VISIBLE_BY_DEFAULT
from argosy.pilot.registry import HostRecord
from argosy.pilot.scopes import EVERYBODY, ClientScope, RouteScope, ScopedHost, exported
from argosy.pilot.tenancy import governs
from argosy.pilot.visibility import View, allowed_ports, imports, is_exported, names_ports, sidecar_key
from argosy.xds.messages import Resource

if TYPE_CHECKING:
    from argosy.pilot.model import Model

Resources = tuple[Resource, ...]
_IN_MESH = frozenset({MESH_GATEWAY})


class Called(NamedTuple):
    """A host that clients of a namespace call; `sidecar`: the Sidecar (`namespace/name`) that limits them, if any.

    `number`: the port, if requests on it may have VirtualServices of their own.
    """

    namespace: str
    host: str
    sidecar: str = ""
    number: int = 0


class OutboundModel:
    """The derived functions of the outbound side, over the collections of a `Model`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.mesh = model.mesh
        derive = model.mesh.engine.derived
        self.governing: Derived[Called, tuple[ObjectKey, ...]] = derive("virtual_services", self._governing)
        self.views: Derived[ClientScope, View] = derive("view", self._view)
        self.by_port: Derived[str, bool] = derive("sidecar_names_ports", self._by_port)
        self.seen: Derived[tuple[ClientScope, str], tuple[int, ...]] = derive("seen_ports", self._seen)
        self.partial_hosts: Derived[str, tuple[str, ...]] = derive("partial_hosts", self._partial_hosts)
        self.own_hosts: Derived[RouteScope, tuple[str, ...]] = derive("own_hosts", self._own_hosts)
        self.headless: Derived[int, FrozenMap[str, str]] = derive("headless_pods", self._headless)
        self.listeners = ListenerModel(model, self)

    # -- who needs what -----------------------------------------------------------------------------------------

    def _governing(self, read: Reader, key: Called) -> tuple[ObjectKey, ...]:
        """The VirtualServices that govern calls within the mesh: of those that clients see, and their Sidecar names,
        those that name the host most exactly, in the order in which their rules are tried."""
        namespace, host = key.namespace, key.host
        limits = self._limits(read, key.sidecar)
        for pattern in policy.host_patterns(read, self.mesh, host):
            found = [
                one
                for _key, one in read.select(self.mesh.virtual_services_by_host, pattern)
                if self.is_visible(read, one, namespace)
                and self._may_govern(read, one, namespace, host)
                and (limits is None or imports(limits, namespace, one, key.number))
            ]
            if found:
                return tuple(one.key for one in in_order(found))
        return ()

    def _may_govern(self, read: Reader, service: Object[VirtualService], namespace: str, host: str) -> bool:
        """Whether a VirtualService decides about calls of `namespace` to `host`."""
        return service.namespace == namespace or governs(read, self.mesh, service.namespace, host)

    def is_visible(self, read: Reader, service: Object[VirtualService], namespace: str) -> bool:
        """Whether clients of `namespace` may see a VirtualService."""
        exports = service.spec.export_to or self._default_export(read)
        return exported(exports, service.namespace, namespace)

    def _default_export(self, read: Reader) -> tuple[str, ...]:
        return registry.settings(read, self.mesh, Aspect.EXPORTS).config.default_virtual_service_export_to

    def services_for(
        self, read: Reader, namespace: str, host: str, sidecar: str = "", number: int = 0
    ) -> list[Object[VirtualService]]:
        """The objects that `governing` names; of HTTP on port `number`, if it is given."""
        by_port = read.get(self.by_port, sidecar) if sidecar else False
        number = number if by_port else 0
        keys = read.get(self.governing, Called(namespace, host, sidecar, number)) or ()
        return [one for key in keys if (one := read.get(self.mesh.virtual_services, key)) is not None]

    def delegates(self, read: Reader) -> FindDelegate:
        """How rules find the VirtualServices that they delegate to."""

        def find(key: ObjectKey, namespace: str) -> Object[VirtualService] | None:
            found = read.get(self.mesh.virtual_services, key)
            usable = found is not None and not found.spec.hosts and self.is_visible(read, found, namespace)
            return found if usable else None

        return find

    def _partial_hosts(self, read: Reader, _key: str) -> tuple[str, ...]:
        """Hosts whose routes depend on who calls: some VirtualService is for some clients only, or is about a host of
        somebody else's."""
        hidden = self._default_export(read)
        trait = VISIBLE_BY_DEFAULT if hidden and "*" not in hidden else PER_CLIENT
        concerned = [*read.select(self.mesh.virtual_services_by_trait, PER_CLIENT)]
        if trait != PER_CLIENT:
            concerned += read.select(self.mesh.virtual_services_by_trait, trait)
        patterns = {resolve_host(host, key.namespace) for key, found in concerned for host in found.spec.hosts}
        foreign = {
            (resolve_host(host, key.namespace), key.namespace)
            for key, found in read.select(self.mesh.virtual_services_by_trait, FOREIGN)
            for host in found.spec.hosts
        }
        if not patterns and not foreign:
            return ()
        return tuple(
            host
            for host in read.get(self.model.hosts, "all") or ()
            if any(host_matches(pattern, host) for pattern in patterns)
            or any(
                host_matches(pattern, host) and not governs(read, self.mesh, namespace, host)
                for pattern, namespace in foreign
            )
        )

    def _own_hosts(self, read: Reader, scope: RouteScope) -> tuple[str, ...]:
        """Hosts for which clients of `scope` cannot use what is built for all: those of their own namespace (which
        they call by short names), partial ones, and all where DestinationRules of their own may differ."""
        if not scope.client.is_shared:
            return self.view(read, scope.client).hosts
        services = read.keys(self.mesh.services_by_namespace, scope.namespace)
        own = {service_host(key.name, key.namespace) for key in services}
        partial: tuple[str, ...] = read.get(self.partial_hosts, "all") or ()
        return tuple(sorted(own.union(partial)))

    def view(self, read: Reader, scope: ClientScope) -> View:
        """The hosts that clients of a scope see."""
        return read.get(self.views, scope) or View(())

    def _seen(self, read: Reader, key: tuple[ClientScope, str]) -> tuple[int, ...]:
        """The ports of a host that clients of a scope see."""
        scope, host = key
        record = self.model.record(read, scope, host)
        view = self.view(read, scope) if scope.sees else None
        ports = record.ports if record is not None else ()
        return tuple(one.number for one in ports if view is None or view.sees(host, one.number))

    def _view(self, read: Reader, scope: ClientScope) -> View:
        hosts: tuple[str, ...] = read.get(self.model.hosts, "all") or ()
        if not scope.sees:
            return View(hosts)
        limits = self._limits(read, scope.sidecar)
        if scope.sidecar and limits is None:
            # The Sidecar is gone: in this same commit the scope's clients get another scope.
            return View(())
        seen: list[str] = []
        ports: dict[str, tuple[int, ...]] = {}
        for host in hosts:
            record = self.model.record(read, scope, host)
            if record is None or not is_exported(read, self.mesh, record, scope.sees):
                continue
            allowed = allowed_ports(limits, scope.sees, record) if limits is not None else None
            if allowed is None:
                seen.append(host)
            elif allowed:
                seen.append(host)
                ports[host] = allowed
        return View(tuple(seen), FrozenMap(ports))

    def _by_port(self, read: Reader, sidecar: str) -> bool:
        """Whether VirtualServices may hold on single ports, for clients that a Sidecar limits."""
        limits = self._limits(read, sidecar)
        return limits is not None and names_ports(limits)

    def _limits(self, read: Reader, name: str) -> Sidecar | None:
        found = read.get(self.mesh.kinds["Sidecar"], sidecar_key(name)) if name else None
        return found.spec if found is not None else None

    def called_hosts(self, read: Reader, scope: ClientScope) -> tuple[str, ...]:
        """The hosts whose clusters clients of a scope need: those that they see, and those that routes lead to."""
        seen = self.view(read, scope).hosts
        if not scope.sidecar:
            return seen
        found = set(seen)
        for host in seen:
            for service in self._services_of_ports(read, scope, host):
                found.update(destination_hosts(service))
                for rule in owned_rules([service], self.delegates(read)):
                    found.update(resolve_host(host, rule.owner.namespace) for host in _named_by(rule.rule))
        limits = self._limits(read, scope.sidecar)
        traffic = limits.outbound_traffic_policy if limits is not None else None
        if traffic is not None and traffic.egress_proxy is not None:
            found.add(resolve_host(traffic.egress_proxy.host, scope.sees))
        return tuple(sorted(found))

    def _services_of_ports(self, read: Reader, scope: ClientScope, host: str) -> Iterable[Object[VirtualService]]:
        """What governs calls to a host on any of its ports."""
        numbers = (0, *(read.get(self.seen, (scope, host)) or ()))
        found = (self.services_for(read, scope.sees, host, scope.sidecar, number) for number in numbers)
        return {one.key: one for services in found for one in services}.values()

    def unknown(self, read: Reader, scope: ClientScope) -> UnknownTraffic:
        """What happens to clients' traffic to hosts that they do not see."""
        limits = self._limits(read, scope.sidecar)
        own = limits.outbound_traffic_policy if limits is not None else None
        config = registry.settings(read, self.mesh, Aspect.TRAFFIC).config
        mode = own.mode if own is not None else config.outbound_traffic_policy.mode
        if mode == "REGISTRY_ONLY":
            return REGISTRY_ONLY
        if own is not None and own.egress_proxy is not None:
            proxy = own.egress_proxy
            port = proxy.port.number if proxy.port is not None else 0
            return UnknownTraffic(outbound_cluster(resolve_host(proxy.host, scope.sees), port, proxy.subset))
        return ALLOW_ANY

    def shared_members(self, read: Reader) -> list[tuple[str, Any]]:
        """What all sidecars have that nothing limits."""
        members = self.listeners.members(read, None)
        for host in self.view(read, EVERYBODY).hosts:
            members += [("virtual_hosts", ScopedHost(host)), ("host_listeners", ScopedHost(host))]
        return members

    def own_members(self, read: Reader, scope: RouteScope) -> list[tuple[str, Any]]:
        """What sidecars of `scope` have in place of what all have."""
        plain = scope.for_hosts
        own = read.get(self.own_hosts, plain) or ()
        by_client = own if not scope.client.is_shared else read.get(self.partial_hosts, "all") or ()
        if scope.observation is not None:
            by_client = self.view(read, scope.client).hosts
        # A client that sees no host at all has nothing of what all have, and its traffic is captured all the same.
        own_listeners = bool(by_client) or scope.observation is not None or not scope.client.is_shared
        members = self.listeners.members(read, scope) if own_listeners else []
        members += [("virtual_hosts", ScopedHost(host, plain)) for host in own]
        return members + [("host_listeners", ScopedHost(host, scope)) for host in by_client]

    # -- routes -------------------------------------------------------------------------------------------------

    def route(self, read: Reader, key: tuple[int, UnknownTraffic]) -> Resources:
        """The route configuration of a port, and its catch-all: so it always has a virtual host to begin with."""
        port, unknown = key
        name = str(port)
        by_address = self.listeners.by_address(read, unknown) is not None
        others = routes.unknown_virtual_host(name, unknown.cluster, unknown.refused, by_address=by_address)
        return (routes.build_open_route_configuration(name), routes.virtual_host_resource(others))

    def virtual_hosts(self, read: Reader, key: ScopedHost) -> Resources:
        """The virtual hosts of a host, one for each of its HTTP ports."""
        scope = key.client
        record = self.model.record(read, scope.client, key.host)
        seen = read.get(self.seen, (scope.client, key.host)) or ()
        if record is None:
            return ()
        ports = [one.number for one in record.ports if one.protocol.may_be_http and one.number in seen]
        if not ports:
            return ()
        default_retries = registry.settings(read, self.mesh, Aspect.ROUTES).config.default_http_retry_policy
        made = []
        for port in ports:
            rules = self._rules(read, scope, record, port)
            part = routes.build_virtual_host(
                name=routes.virtual_host_name(str(port), key.host),
                domains=[
                    *_domains(record, scope.namespace),
                    *self._pod_domains(read, record, scope.namespace, port),
                    *self._address_domains(read, scope.client, record, port),
                ],
                rules=[routes.ClientRule(one, self._client(scope, port)) for one in rules],
                resolve=self.resolver(read, scope.client, port),
                fallback=Destination(host=key.host) if not record.routed_only else None,
                default_retries=default_retries,
            )
            if record.routed_only and not part.routes:
                continue
            made.append(routes.virtual_host_resource(part))
        return tuple(made)

    def _rules(self, read: Reader, scope: RouteScope, record: HostRecord, port: int) -> Sequence[OwnedRule]:
        """The rules for requests to a host on a port: its own, or those of the host that it is another name of."""
        services = self.services_for(read, scope.namespace, record.host, scope.client.sidecar, port)
        if not services and record.alias:
            services = self.services_for(read, scope.namespace, record.alias, scope.client.sidecar, port)
        return owned_rules(services, self.delegates(read))

    def _headless(self, read: Reader, port: int) -> FrozenMap[str, str]:
        """Which host the pods of headless Services are called as on an HTTP port, by their addresses. A pod of
        several counts for the first one: a domain stands in one virtual host only."""
        found: dict[str, str] = {}
        for host in read.get(self.model.hosts, "all") or ():
            record = read.get(self.model.host, host)
            called = record.port(port) if record is not None and record.is_headless else None
            if called is None or not called.protocol.may_be_http:
                continue
            for endpoint in read.get(self.model.endpoints, host) or ():
                found.setdefault(endpoint.address, host)
        return FrozenMap(found)

    def _pod_domains(self, read: Reader, record: HostRecord, namespace: str, port: int) -> list[str]:
        """How the pods of a headless Service are called one by one: by address, and by `<pod>.<service>`."""
        if not record.is_headless:
            return []
        owners = read.get(self.headless, port) or FrozenMap()
        names = [f"*.{name}" for name in _domains(record, namespace)]
        return [*names, *(address for address, owner in owners.items() if owner == record.host)]

    def _address_domains(self, read: Reader, client: ClientScope, record: HostRecord, port: int) -> list[str]:
        """The addresses of a ServiceEntry by which its host is called too. A domain stands in one virtual host only: of
        several hosts with one address the first counts, and none where it is somebody's own."""
        if record.kind != "ServiceEntry":
            return []
        addresses = [address for address in record.addresses if "/" not in address]
        return [
            f"[{address}]" if ":" in address else address
            for address in addresses
            if self._called_by_address(read, client, address, port) == record.host
        ]

    def _called_by_address(self, read: Reader, client: ClientScope, address: str, port: int) -> str | None:
        indexes = (*self.mesh.owners_by_address.values(), self.mesh.entries_by_host)
        if any(read.keys(index, address) for index in indexes):
            return None
        for _key, entry in read.select(self.mesh.entries_by_address, address):
            names: tuple[str, ...] = entry.spec.names
            for host in sorted(names):
                record = self.model.record(read, client, host)
                called = record.port(port) if record is not None and address in record.addresses else None
                if called is not None and called.protocol.may_be_http:
                    return host
        return None

    def _client(self, scope: RouteScope, port: int) -> routes.RouteClient:
        return routes.RouteClient(_IN_MESH, scope.namespace, scope.labels, port)

    def resolver(self, read: Reader, client: ClientScope, port: int) -> routes.Resolve:
        """How destinations of a VirtualService become clusters, for clients of scope `client` calling `port`."""

        def resolve(destination: Destination, namespace: str) -> routes.Target:
            host = self._meant(read, client, policy.resolved(destination.host, namespace))
            number = (
                destination.port.number if destination.port is not None else self._only_port(read, client, host, port)
            )
            rule = self.model.rule_object(read, self.model.rule_key(read, client, host))
            traffic = policy.traffic_policy(rule, destination.subset, number)
            record = self.model.record(read, client, host)
            called = record.port(number) if record is not None else None
            protocol = called.protocol if called is not None else Protocol.AUTO
            http = traffic.connection_pool.http if traffic.connection_pool is not None else None
            more_than_http1 = http is not None and (http.h2_upgrade_policy == "UPGRADE" or http.use_client_protocol)
            cluster = outbound_cluster(host, number, destination.subset)
            pool = traffic.connection_pool.tcp if traffic.connection_pool is not None else None
            dynamic = record is not None and called is not None and record.resolution == dynamic_dns.RESOLUTION
            return routes.Target(
                cluster,
                traffic.load_balancer,
                traffic.tunnel,
                pool,
                called is not None and protocol is Protocol.AUTO,
                dynamic_port=called.target_number if dynamic and called is not None else 0,
                operation=f"{host}:{number}/*",
                known=record is not None and not record.routed_only,
                http1=protocol.is_http1 and not more_than_http1,
            )

        return resolve

    def _meant(self, read: Reader, client: ClientScope, host: str) -> str:
        """The host of the mesh that a host is another name of; a wildcard that stands for it; or itself."""
        record = self.model.record(read, client, host)
        if record is not None and not record.routed_only:
            return record.alias or host
        for pattern in policy.host_patterns(read, self.mesh, host):
            found = self.model.record(read, client, pattern) if is_wildcard(pattern) and pattern != "*" else None
            if found is not None and not found.routed_only:
                return pattern
        return host

    def _only_port(self, read: Reader, client: ClientScope, host: str, port: int) -> int:
        """The port of a destination that names none: the called one if the host has it, else the host's only one."""
        record = self.model.record(read, client, host)
        if record is None or record.port(port) is not None or len(record.ports) != 1:
            return port
        return record.ports[0].number


def _domains(record: HostRecord, namespace: str) -> list[str]:
    """The names by which clients of `namespace` call a host. Ports need not be listed: Envoy ignores them."""
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


def destination_hosts(service: Object[VirtualService]) -> set[str]:
    """All hosts, in full, that a VirtualService sends traffic to by itself."""
    spec = service.spec
    named = [host for rule in spec.http for host in _named_by(rule)]
    named += [one.destination.host for rule in spec.tcp for one in rule.route]
    named += [one.destination.host for rule in spec.tls for one in rule.route]
    return {resolve_host(host, service.namespace) for host in named}


def _named_by(rule: HTTPRoute) -> Iterator[str]:
    """The hosts that a rule sends requests or copies of them to, as it names them."""
    yield from (one.destination.host for one in rule.route)
    yield from (one.destination.host for one in rule.mirrors)
    if rule.mirror is not None:
        yield rule.mirror.host
