"""The server's side of sidecars: which ports their applications serve, under which mutual TLS, for whom.

The derived functions over the collections of a `Model`; builders are in `build/inbound.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from argosy.api.sidecar import IngressListener, Sidecar
from argosy.authz.roles import Served
from argosy.core.frozen import FrozenMap
from argosy.core.hosts import service_host
from argosy.core.labels import selects
from argosy.core.protocols import Protocol, parse_protocol
from argosy.incr import Derived, Reader
from argosy.pilot import policy, registry
from argosy.pilot.build import builtin_clusters, inbound
from argosy.pilot.build.authz import Authorization, authorization
from argosy.pilot.build.inbound import InboundPort, Speaks
from argosy.pilot.checking import ASLEEP, CalledPort, Checking
from argosy.pilot.classes import ProxyClass
from argosy.pilot.roles_model import Policies
from argosy.pilot.scopes import ServerKey
from argosy.pilot.visibility import sidecar_for
from argosy.xds.messages import Resource

if TYPE_CHECKING:
    from argosy.pilot.model import Model

Resources = tuple[Resource, ...]
NO_ROLES: FrozenMap[int, Policies] = FrozenMap()


class InboundModel:
    """The derived functions of inbound listeners and routes."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.mesh = model.mesh
        derive = model.mesh.engine.derived
        self.ports: Derived[ProxyClass, tuple[InboundPort, ...]] = derive("inbound_ports", self._ports)
        self.hosts: Derived[ProxyClass, FrozenMap[int, tuple[str, ...]]] = derive("inbound_hosts", self._hosts)
        self.roles: Derived[ProxyClass, FrozenMap[int, Policies]] = derive("inbound_roles", self._roles)
        self.spare: Derived[ProxyClass, tuple[tuple[int, bool], ...]] = derive("inbound_spare", self._spare)

    def listeners(self, read: Reader, key: ProxyClass) -> Resources:
        """The inbound listener of a class, those of ports that its proxies bind, and the clusters behind them."""
        settings = self.model.telemetry.settings(read, self.model.telemetry.observation(read, key, "SERVER"))
        ports = read.get(self.ports, key) or ()
        allowed = self._authorizations(read, key, ports)
        tokens = self.model.authn.facts(read, key)
        context = inbound.InboundContext(
            authorization=allowed[0],
            authorizations=FrozenMap({number: one for number, one in allowed.items() if one != allowed[0]}),
            audited=tokens.audited,
            requests_only=tokens.requests_only,
            mode=self._mode(read, key, 0),
            settings=settings,
            checking=self._connections(read, key, ports),
        )
        made = [
            builtin_clusters.build_inbound_cluster(
                port.number, settings.socket_mark, pool=port.pool, endpoint=port.endpoint, http1=port.http1
            )
            for port in ports
        ]
        served = {port.number for port in ports}
        spare = [one for one in read.get(self.spare, key) or () if one[0] not in served]
        made += [builtin_clusters.build_inbound_cluster(n, settings.socket_mark, http1=http1) for n, http1 in spare]
        bound = [inbound.build_bound_listener(port, context) for port in ports if port.bind]
        return (*made, inbound.build_inbound_listener(ports, context), *bound)

    def routes(self, read: Reader, key: ProxyClass) -> Resources:
        """The route configurations of a class's HTTP ports."""
        ports = tuple(port for port in read.get(self.ports, key) or () if port.http)
        allowed, checks = self._authorizations(read, key, ports), self.model.checks
        tokens = self.model.authn.facts(read, key)
        return tuple(
            inbound.build_inbound_route(
                port,
                allowed[port.number],
                checking=checks.at(read, key, CalledPort(port.number, port.service)),
                claim_headers=tokens.headers,
            )
            for port in ports
        )

    def _connections(self, read: Reader, key: ProxyClass, ports: tuple[InboundPort, ...]) -> FrozenMap[int, Checking]:
        """How connections are asked about, by port; 0 stands for all ports that are not declared."""
        called = [CalledPort(0, "", tcp=True), *(CalledPort(port.number, port.service, tcp=True) for port in ports)]
        found = {port.number: self.model.checks.at(read, key, port) for port in called}
        return FrozenMap({number: one for number, one in found.items() if one != ASLEEP})

    def _authorizations(
        self, read: Reader, key: ProxyClass, ports: tuple[InboundPort, ...]
    ) -> dict[int, Authorization]:
        """Who may do what, by port; 0 stands for all ports that are not declared."""
        policies = policy.authorization_policies(read, self.mesh, key.namespace, key.labels)
        settings = registry.settings(read, self.mesh)
        granted = read.get(self.roles, key) or NO_ROLES
        numbers = (0, *(port.number for port in ports))
        return {number: authorization((*policies, *granted.get(number, ())), settings) for number in numbers}

    def _roles(self, read: Reader, key: ProxyClass) -> FrozenMap[int, Policies]:
        """What roles come to at each port where they hold."""
        if not self.model.roles.are_on(read):
            return NO_ROLES
        policies = policy.authorization_policies(read, self.mesh, key.namespace, key.labels)
        hosts = read.get(self.hosts, key) or FrozenMap()
        found = {}
        for number in (0, *(port.number for port in read.get(self.ports, key) or ())):
            served = Served(key.namespace, hosts.get(number, ()), key.labels, key.service_account)
            found[number] = self.model.roles.policies(read, served, policies)
        return FrozenMap({number: granted for number, granted in found.items() if granted})

    def _hosts(self, read: Reader, key: ProxyClass) -> FrozenMap[int, tuple[str, ...]]:
        """The hosts of all Services that lead to each port."""
        found: dict[int, list[str]] = {}
        for number, _protocol, host in self._leading(read, key):
            found.setdefault(number, []).append(host)
        return FrozenMap({number: tuple(dict.fromkeys(hosts)) for number, hosts in found.items()})

    def _ports(self, read: Reader, key: ProxyClass) -> tuple[InboundPort, ...]:
        """Every port that a Service sends to these pods (its word wins), that a container declares, or whose mutual
        TLS a policy sets; where a Sidecar lists its ingress, what that lists."""
        served = self._served(read, key)
        limits = sidecar_for(read, self.mesh, key.namespace, key.labels)
        if limits is not None and limits.spec.ingress:
            made = [self._of_ingress(read, key, one, limits.spec, served) for one in limits.spec.ingress]
            return tuple(sorted(made, key=lambda port: port.number))
        pool = limits.spec.inbound_connection_pool if limits is not None else None
        for number in (*(n for n, _name in key.ports), *policy.mtls_ports(read, self.mesh, key.namespace, key.labels)):
            served.setdefault(number, (Protocol.TCP, ""))
        return tuple(
            InboundPort(
                number, _speaks(protocol), service, self._mode(read, key, number), pool=pool, http1=protocol.is_http1
            )
            for number, (protocol, service) in sorted(served.items())
        )

    def _served(self, read: Reader, key: ProxyClass) -> dict[int, tuple[Protocol, str]]:
        """What Services send to these pods: port -> protocol, host."""
        found: dict[int, tuple[Protocol, str]] = {}
        for number, protocol, host in self._leading(read, key):
            found.setdefault(number, (protocol, host))
        return found

    def _leading(self, read: Reader, key: ProxyClass) -> Iterator[tuple[int, Protocol, str]]:
        """Each port of each Service that selects these pods, as the pods have it."""
        for service in read.keys(self.mesh.services_by_namespace, key.namespace):
            record = read.get(self.model.host, service_host(service.name, service.namespace))
            if record is None or not record.selector or not selects(record.selector, key.labels):
                continue
            for port in record.ports:
                number = key.port_number(port.target or port.number)
                if number is not None and port.protocol is not Protocol.UDP:
                    yield number, port.protocol, record.host

    def _spare(self, read: Reader, key: ProxyClass) -> tuple[tuple[int, bool], ...]:
        """Ports of Services that select other versions of these pods, and whether they speak HTTP/1. When a Service is
        turned from these pods to others, requests on connections from before still come here, so the clusters stay."""
        found: dict[int, bool] = {}
        for service in read.keys(self.mesh.services_by_namespace, key.namespace):
            record = read.get(self.model.host, service_host(service.name, service.namespace))
            if record is None or not any(key.labels.get(name) == value for name, value in record.selector.items()):
                continue
            for port in record.ports:
                number = key.port_number(port.target or port.number)
                if number is not None:
                    found.setdefault(number, port.protocol.is_http1)
        return tuple(sorted(found.items()))

    def _of_ingress(
        self,
        read: Reader,
        key: ProxyClass,
        one: IngressListener,
        limits: Sidecar,
        served: dict[int, tuple[Protocol, str]],
    ) -> InboundPort:
        number = one.port.number
        known = served.get(number, (Protocol.TCP, ""))
        declared = parse_protocol(one.port.protocol)
        # The proxy ends TLS, and HTTP comes out.
        if one.tls is not None and declared is Protocol.HTTPS:
            declared = Protocol.HTTP
        protocol = declared if declared is not None else known[0]
        return InboundPort(
            number,
            _speaks(protocol),
            known[1],
            self._mode(read, key, number),
            endpoint=one.default_endpoint,
            tls=one.tls,
            pool=one.connection_pool or limits.inbound_connection_pool,
            name=one.port.name,
            bind=(one.bind or "0.0.0.0") if one.capture_mode == "NONE" else "",
            http1=protocol.is_http1,
        )

    def _mode(self, read: Reader, key: ProxyClass, port: int) -> str:
        return read.get(self.model.server_mode, ServerKey(key.namespace, key.labels, port)) or policy.PERMISSIVE


def _speaks(protocol: Protocol) -> Speaks:
    if protocol.is_http:
        return Speaks.HTTP
    return Speaks.AUTO if protocol is Protocol.AUTO else Speaks.TCP
