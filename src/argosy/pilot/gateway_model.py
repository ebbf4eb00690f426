"""What one class of gateways serves: the servers that select it, the VirtualServices bound to them, its secrets.

Each listener, route configuration, virtual host and secret is a key of its own, so that a change of one VirtualService
sends its own virtual hosts only. Tracked reads of what rarely changes (which hosts a VirtualService is about) are kept
apart from what often does (its rules).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from argosy.api.gateway import Gateway
from argosy.api.meta import Object
from argosy.api.routing import TCPRoute, TLSRoute
from argosy.core.frozen import EMPTY
from argosy.core.hosts import host_matches, most_specific, resolve_host
from argosy.core.labels import selects
from argosy.core.names import ObjectKey, gateway_name
from argosy.incr import Derived, Reader
from argosy.pilot import policy, registry
from argosy.pilot.aspects import Aspect
from argosy.pilot.build import check, gateways, routes, secrets
from argosy.pilot.build.authz import Authorization, authorization, route_settings
from argosy.pilot.build.gateways import ServerRef, SniTarget
from argosy.pilot.build.listeners import TcpTarget
from argosy.pilot.build.route_rules import OwnedRule, in_order, owned_rules
from argosy.pilot.build.tls import CA_SUFFIX
from argosy.pilot.classes import ProxyClass
from argosy.pilot.listener_model import tcp_target
from argosy.pilot.scopes import EVERYBODY, ClientScope, exported
from argosy.xds.messages import Resource

if TYPE_CHECKING:
    from argosy.pilot.model import Model

Resources = tuple[Resource, ...]
Member = tuple[str, Any]
# Route configurations of a class: (class, route name).
RouteKey = tuple[ProxyClass, str]


@dataclass(frozen=True, slots=True)
class Bound:
    """What a VirtualService is about, apart from its rules."""

    hosts: tuple[str, ...]
    http: bool
    tcp: tuple[TCPRoute, ...]
    tls: tuple[TLSRoute, ...]
    exports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """One VirtualService behind a virtual host, and the Gateways by which it is bound; `port` is that of the first of
    their servers, `tls` whether it ends TLS."""

    service: ObjectKey
    gateways: tuple[str, ...]
    port: int
    tls: bool = False


@dataclass(frozen=True, slots=True)
class HostSources:
    """Everything that a virtual host is made of. `elsewhere`: the host belongs to another server's certificate."""

    sources: tuple[Source, ...] = ()
    require_tls: bool = False
    elsewhere: bool = False


# Virtual hosts of a class: (class, route name, host, what it is made of), so that of a thousand only one is looked at.
HostKey = tuple[ProxyClass, str, str, HostSources]


class GatewayModel:
    """The derived functions of gateways, over the collections of a `Model`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.mesh = model.mesh
        derive = model.mesh.engine.derived
        self.servers: Derived[ProxyClass, tuple[ServerRef, ...]] = derive("gateway_servers", self._servers)
        self.bound: Derived[ObjectKey, Bound] = derive("gateway_bound", self._bound)
        self.table: Derived[RouteKey, dict[str, HostSources]] = derive("gateway_hosts", self._table)

    # -- what there is ------------------------------------------------------------------------------------------

    def _servers(self, read: Reader, key: ProxyClass) -> tuple[ServerRef, ...]:
        ports = registry.settings(read, self.mesh).gateway_ports
        found = []
        for name in read.all_keys(self.mesh.gateways):
            gateway: Object[Gateway] | None = read.get(self.mesh.gateways, name)
            if gateway is not None and selects(gateway.spec.selector, key.labels):
                for server in gateway.spec.servers:
                    found.append(ServerRef(gateway, server, ports.get(server.port.number, server.port.number)))
        return tuple(found)

    def _bound(self, read: Reader, key: ObjectKey) -> Bound | None:
        found = read.get(self.mesh.virtual_services, key)
        if found is None:
            return None
        hosts = tuple(resolve_host(host, key.namespace) for host in found.spec.hosts)
        return Bound(hosts, bool(found.spec.http), found.spec.tcp, found.spec.tls, found.spec.export_to)

    def _bound_to(self, read: Reader, proxies: ProxyClass, ref: ServerRef) -> Iterator[tuple[ObjectKey, Bound]]:
        """The VirtualServices that are bound to a server, as far as the proxies' namespace may see them."""
        default = registry.settings(read, self.mesh, Aspect.EXPORTS).config.default_virtual_service_export_to
        for key in read.keys(self.mesh.virtual_services_by_gateway, ref.key):
            bound = read.get(self.bound, key)
            if bound is not None and exported(bound.exports or default, key.namespace, proxies.namespace):
                yield key, bound

    def members(self, read: Reader, key: ProxyClass) -> list[Member]:
        """The collections that a class of gateways is made of."""
        servers = read.get(self.servers, key) or ()
        made: list[Member] = [("gateway_listener", (key, *bind)) for bind in sorted({ref.bind for ref in servers})]
        for name in sorted({ref.route_name for ref in servers if ref.routes_http}):
            made.append(("gateway_route", (key, name)))
            table = read.get(self.table, (key, name)) or {}
            made += [("gateway_host", (key, name, host, sources)) for host, sources in table.items()]
        made += [("gateway_secret", (key, name)) for name in sorted(_secret_names(servers))]
        if any(ref.auto_passthrough for ref in servers):
            scope = self._scope(read, key)
            made += [("sni_clusters", (scope, host)) for host in read.get(self.model.hosts, "all") or ()]
        return made

    def _scope(self, read: Reader, key: ProxyClass) -> ClientScope:
        return read.get(self.model.client_scope, key) or EVERYBODY

    # -- listeners ----------------------------------------------------------------------------------------------

    def listener(self, read: Reader, key: tuple[ProxyClass, str, int]) -> Resources:
        """The listener of one address and port."""
        proxies, address, port = key
        observation = self.model.telemetry.observation(read, proxies, "CLIENT")
        settings = self.model.telemetry.settings(read, observation).of_gateway(proxies.trusted_proxies)
        refs = [ref for ref in read.get(self.servers, proxies) or () if ref.bind == (address, port)]
        if not refs:
            return ()
        made = gateways.build_gateway_listener(
            servers=refs,
            tcp_targets={ref: found for ref in refs if (found := self._tcp(read, proxies, ref)) is not None},
            sni_targets=[one for ref in refs for one in self._sni(read, proxies, ref)],
            context=gateways.GatewayContext(
                settings=settings,
                authorization=self._authorization(read, proxies),
                audited=self.model.authn.facts(read, proxies).audited,
                checking=self.model.checks.of(read, proxies),
            ),
        )
        return () if made is None else (made,)

    def _authorization(self, read: Reader, key: ProxyClass) -> Authorization:
        policies = policy.authorization_policies(read, self.mesh, key.namespace, key.labels)
        return authorization(policies, registry.settings(read, self.mesh))

    def _tcp(self, read: Reader, key: ProxyClass, ref: ServerRef) -> TcpTarget | None:
        if ref.routes_http:
            return None
        port = ref.server.port.number
        for name, bound in self._bound_to(read, key, ref):
            if not any(ref.admits(name.namespace, host) for host in bound.hosts):
                continue
            for rule in bound.tcp:
                if not rule.match or any(_at_gateway(match, ref, name.namespace, port) for match in rule.match):
                    resolve = self.model.outbound.resolver(read, self._scope(read, key), port)
                    return tcp_target(rule, name.namespace, resolve)
        return None

    def _sni(self, read: Reader, key: ProxyClass, ref: ServerRef) -> list[SniTarget]:
        if not ref.passes_tls:
            return []
        port = ref.server.port.number
        found = []
        for name, bound in self._bound_to(read, key, ref):
            for rule in bound.tls:
                resolve = self.model.outbound.resolver(read, self._scope(read, key), port)
                for match in rule.match:
                    # Whose names a server takes, and from which namespaces, holds for connections as for requests.
                    names = tuple(one for one in match.sni_hosts if ref.admits(name.namespace, one))
                    if names and _at_gateway(match, ref, name.namespace, port):
                        target = tcp_target(rule, name.namespace, resolve)
                        found.append(SniTarget(ref, names, match.destination_subnets, target))
        return found

    # -- routes -------------------------------------------------------------------------------------------------

    def _table(self, read: Reader, key: RouteKey) -> dict[str, HostSources]:
        """The hosts of one route configuration, and what each is made of."""
        proxies, name = key
        servers = read.get(self.servers, proxies) or ()
        own = [ref for ref in servers if ref.routes_http and ref.route_name == name]
        found: dict[str, dict[ObjectKey, list[ServerRef]]] = {}
        redirected: set[str] = set()
        for ref in own:
            for service, bound in self._bound_to(read, proxies, ref):
                for host in bound.hosts if bound.http else ():
                    for admitted in ref.admits(service.namespace, host):
                        # Bound by several servers, a VirtualService is there once all the same.
                        found.setdefault(admitted, {}).setdefault(service, []).append(ref)
                        if ref.redirects:
                            redirected.add(admitted)
        table = {
            host: HostSources(
                tuple(_source(service, refs) for service, refs in by_service.items()), require_tls=host in redirected
            )
            for host, by_service in found.items()
        }
        table.update((host, HostSources(elsewhere=True)) for host in _elsewhere(own, servers, table))
        for ref in own:
            # A server that only redirects needs no VirtualService for it; one that ends TLS must know its own hosts
            # from those that belong to another connection.
            for host in ref.host_names() if ref.redirects or ref.names_hosts else ():
                table.setdefault(host, HostSources(require_tls=ref.redirects))
        return dict(sorted(table.items()))

    def route(self, read: Reader, key: RouteKey) -> Resources:
        """One route configuration, and its catch-all: so it always has a virtual host to begin with."""
        proxies, name = key
        tokens = self.model.authn.facts(read, proxies)
        checked = check.route_settings(self.model.checks.of(read, proxies))
        allowed = route_settings(self._authorization(read, proxies), tokens.headers)
        head = routes.build_open_route_configuration(name, {**allowed, **checked})
        if "*" in (read.get(self.table, (proxies, name)) or {}):
            return (head,)
        own = [ref for ref in read.get(self.servers, proxies) or () if ref.routes_http and ref.route_name == name]
        misdirected = any(ref.names_hosts for ref in own)
        return head, routes.virtual_host_resource(routes.catch_all_virtual_host(name, misdirected=misdirected))

    def host(self, read: Reader, key: HostKey) -> Resources:
        """One virtual host."""
        proxies, name, host, found = key
        title = routes.virtual_host_name(name, host)
        if found.elsewhere:
            return (routes.virtual_host_resource(routes.misdirected_virtual_host(title, host)),)
        settings = registry.settings(read, self.mesh, Aspect.ROUTES)
        services = [(one, read.get(self.mesh.virtual_services, one.service)) for one in found.sources]
        by_key = {service.key: (one, service) for one, service in services if service is not None}
        parts = []
        for service in in_order(service for _one, service in by_key.values()):
            source = by_key[service.key][0]
            client = routes.RouteClient(
                frozenset(source.gateways), proxies.namespace, EMPTY, source.port, tls=source.tls
            )
            parts.append((client, owned_rules([service], self.model.outbound.delegates(read))))
        part = routes.build_virtual_host(
            name=title,
            domains=[host],
            rules=_for_clients(parts),
            resolve=self.model.outbound.resolver(read, self._scope(read, proxies), _port_of(found)),
            fallback=None,
            default_retries=settings.config.default_http_retry_policy,
            require_tls=found.require_tls,
            checking=self.model.checks.of(read, proxies),
        )
        return (routes.virtual_host_resource(part),)

    # -- secrets ------------------------------------------------------------------------------------------------

    def secret(self, read: Reader, key: tuple[ProxyClass, str]) -> Resources:
        """One secret, if it is there. Only Secrets beside the gateway itself: a Gateway object elsewhere cannot reach
        other namespaces' keys."""
        return self.secret_of(read, key[0].namespace, key[1])

    def secret_of(self, read: Reader, namespace: str, name: str) -> Resources:
        """The SDS secret `name` from the Secrets of a namespace."""
        base = name.removesuffix(CA_SUFFIX)
        found = self.mesh.kinds["Secret"]
        for candidate in dict.fromkeys((name, base)):
            secret = read.get(found, ObjectKey(namespace, candidate))
            built = secrets.build_secret(name, secret) if secret is not None else None
            if built is not None:
                return (built,)
        return ()


def _source(service: ObjectKey, refs: Sequence[ServerRef]) -> Source:
    first = refs[0]
    names = tuple(dict.fromkeys(str(ref.key) for ref in refs))
    return Source(service, names, first.server.port.number, tls=first.terminates)


def _for_clients(parts: list[tuple[routes.RouteClient, tuple[OwnedRule, ...]]]) -> list[routes.ClientRule]:
    return [routes.ClientRule(rule, client) for client, rules in parts for rule in rules]


def _port_of(found: HostSources) -> int:
    return found.sources[0].port if found.sources else 0


def _elsewhere(own: list[ServerRef], servers: tuple[ServerRef, ...], bound: Iterable[str]) -> set[str]:
    """Hosts that own wildcards cover, but whose connections are those of another TLS server of the same port: a request
    for them came on the wrong connection, where that server's certificate, and what it asks of clients, do not hold.

    `bound`: hosts of VirtualServices at the own server.
    """
    if not own or own[0].plain_http:
        return set()
    names = {host for ref in own for host in ref.host_names()}
    others = {host for ref in servers if ref.terminates and ref.bind == own[0].bind for host in ref.host_names()}
    near = {host for host in others - names if any(host_matches(name, host) for name in names)}
    return near | {host for host in bound if most_specific(names | near, host) in near}


def _secret_names(servers: tuple[ServerRef, ...]) -> set[str]:
    return {name for ref in servers if ref.terminates and ref.server.tls for name in secrets.names_of(ref.server.tls)}


def _at_gateway(match: Any, ref: ServerRef, namespace: str, port: int) -> bool:
    names = {gateway_name(name, namespace) for name in match.gateways}
    return (match.port is None or match.port == port) and (not names or str(ref.key) in names)
