"""Outbound listeners of sidecars: which there are for a scope, and where connections go that are not HTTP.

The derived functions over the collections of a `Model`; builders are in `build/listeners.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from argosy.api.meta import Object
from argosy.api.ports import PortSelector
from argosy.api.routing import Destination, L4Match, TCPRoute, TLSMatch, TLSRoute, VirtualService
from argosy.api.sidecar import EgressListener
from argosy.core.frozen import EMPTY
from argosy.core.hosts import is_wildcard
from argosy.core.labels import selects
from argosy.core.names import MESH_GATEWAY, PROXY_PORTS
from argosy.core.protocols import Protocol, parse_protocol
from argosy.incr import Derived, Reader
from argosy.pilot.build import dynamic_dns, listeners, routes
from argosy.pilot.build.direct import Direct
from argosy.pilot.build.listeners import TcpTarget, UnknownTraffic
from argosy.pilot.build.resource import origin_fields
from argosy.pilot.build.route_rules import receiving
from argosy.pilot.direct import build_direct
from argosy.pilot.endpoint import HostPort
from argosy.pilot.observed import Observation
from argosy.pilot.registry import HostRecord
from argosy.pilot.scopes import EVERYBODY, SHARED, ClientScope, RouteScope, ScopedHost
from argosy.pilot.visibility import admits, sidecar_key
from argosy.xds.messages import Resource

if TYPE_CHECKING:
    from argosy.pilot.model import Model
    from argosy.pilot.outbound_model import OutboundModel

Resources = tuple[Resource, ...]
_TLS_PORT, _HTTP_PORT = 443, 80


@dataclass(frozen=True, slots=True, order=True)
class PortUse:
    """What a port is used for. `routed`: requests are routed on it; `http`: by services without a listener of their
    own; `hosts`: those without an address, which share the port's listener."""

    number: int
    routed: bool = False
    http: bool = False
    hosts: tuple[str, ...] = ()
    dynamic: bool = False
    """Requests to some hosts are resolved when they come."""


@dataclass(frozen=True, slots=True)
class ScopedPort:
    """The listener that hosts share on a port, as clients of one scope (none: of no scope in particular) have it."""

    number: int
    unknown: UnknownTraffic
    scope: RouteScope | None = None


class ListenerModel:
    """The derived functions of outbound listeners."""

    def __init__(self, model: Model, outbound: OutboundModel) -> None:
        self.model = model
        self.mesh = model.mesh
        self.outbound = outbound
        self.uses: Derived[ClientScope, tuple[PortUse, ...]] = model.mesh.engine.derived("port_uses", self._uses)
        self.direct: Derived[str, Direct] = model.mesh.engine.derived("direct", lambda r, _k: build_direct(r, model))

    def members(self, read: Reader, scope: RouteScope | None) -> list[tuple[str, Any]]:
        """The listeners and route configurations that belong to no single host."""
        client = scope.client if scope is not None else EVERYBODY
        observation = scope.observation if scope is not None else None
        own_all = observation is not None or not client.is_shared
        unknown = self.outbound.unknown(read, client)
        made: list[tuple[str, Any]] = [("capture", (unknown, observation))]
        for use in read.get(self.uses, client) or ():
            if use.routed:
                made.append(("route", (use.number, unknown)))
            if use.number not in PROXY_PORTS and (use.http or use.hosts or unknown.refused):
                own = scope if use.hosts or own_all else None
                made.append(("port_listener", ScopedPort(use.number, unknown, own)))
        if unknown.refused:
            made += self._refusing(read, client, unknown, scope if own_all else None)
        if client.sidecar:
            bound = self._bound(read, client)
            made += [("bound_listener", (scope, index)) for index in bound]
            made += [("route", (number, unknown)) for number in self._bound_routes(read, client, bound)]
        return list(dict.fromkeys(made))

    def _refusing(
        self, read: Reader, client: ClientScope, unknown: UnknownTraffic, scope: RouteScope | None
    ) -> list[tuple[str, Any]]:
        """Ports on which unknown hosts are refused by name, though no service has them."""
        used = {use.number for use in read.get(self.uses, client) or ()}
        made: list[tuple[str, Any]] = []
        if _TLS_PORT not in used:
            made.append(("port_listener", ScopedPort(_TLS_PORT, unknown, scope)))
        if _HTTP_PORT not in used:
            made += [("port_listener", ScopedPort(_HTTP_PORT, unknown, scope)), ("route", (_HTTP_PORT, unknown))]
        return made

    def _uses(self, read: Reader, client: ClientScope) -> tuple[PortUse, ...]:
        view = self.outbound.view(read, client)
        routed: dict[int, bool] = {}
        http: set[int] = set()
        dynamic: set[int] = set()
        hosts: dict[int, list[str]] = {}
        for host in view.hosts:
            record = self.model.record(read, client, host)
            for port in record.ports if record is not None else ():
                number, protocol = port.number, port.protocol
                if record is None or not view.sees(host, number) or protocol is Protocol.UDP:
                    continue
                routed[number] = routed.get(number, False) or protocol.may_be_http
                shares = not protocol.is_http and self._shares(read, record)
                if protocol.is_http or (protocol is Protocol.AUTO and shares):
                    http.add(number)
                if record.resolution == dynamic_dns.RESOLUTION and protocol.is_http:
                    dynamic.add(number)
                if shares:
                    hosts.setdefault(number, []).append(host)
        return tuple(
            PortUse(number, routed[number], number in http, tuple(hosts.get(number, ())), number in dynamic)
            for number in sorted(routed)
        )

    # -- listeners ----------------------------------------------------------------------------------------------

    def capture(self, read: Reader, key: tuple[UnknownTraffic, Observation | None]) -> Resources:
        """The listener that takes all captured connections."""
        unknown, observation = key
        by_address = self.by_address(read, unknown)
        settings = self.model.telemetry.settings(read, observation)
        return (listeners.build_capture_listener(unknown, settings, by_address),)

    def by_address(self, read: Reader, unknown: UnknownTraffic) -> Direct | None:
        """The pods that are called under mutual TLS by their address; none where unknown traffic may not pass."""
        return read.get(self.direct, "") if unknown == listeners.ALLOW_ANY else None

    def port_listener(self, read: Reader, key: ScopedPort) -> Resources:
        """The listener that services on a port share."""
        scope = key.scope or SHARED
        uses = read.get(self.uses, scope.client) or ()
        use = next((one for one in uses if one.number == key.number), PortUse(key.number))
        targets: list[TcpTarget] = []
        rest: list[TcpTarget] = []
        for host in use.hosts:
            record = self.model.record(read, scope.client, host)
            port = record.port(key.number) if record is not None else None
            if record is not None and port is not None:
                for target in self._shared_targets(read, scope, record, port):
                    if target.is_open and record.kind == "Service":
                        # Only DNS knows its addresses: it cannot be told from whatever else is called on that port.
                        continue
                    (rest if target.is_open else targets).append(target)
        http = use.http or (key.number == _HTTP_PORT and key.unknown.refused)
        return (
            listeners.build_port_listener(
                key.number,
                http=http,
                dynamic=use.dynamic,
                targets=[*targets, *rest],
                unknown=key.unknown,
                by_address=self.by_address(read, key.unknown),
                settings=self.model.telemetry.settings(read, scope.observation),
            ),
        )

    def _shared_targets(
        self, read: Reader, scope: RouteScope, record: HostRecord, port: HostPort
    ) -> Iterable[TcpTarget]:
        """How a host without an address is told from others on its port: by its server name or address ranges."""
        own = self.targets(read, scope, record, port)
        blocks = tuple(address for address in record.addresses if "/" in address)
        for target in own:
            if port.protocol.is_tls and not target.server_names:
                names = (record.host, *(one.address for one in record.endpoints if record.kind == "Service"))
                yield replace(target, server_names=names, destinations=(*blocks, *target.destinations))
            elif blocks and not target.destinations:
                yield replace(target, destinations=blocks)
            else:
                yield target

    def host_listeners(self, read: Reader, key: ScopedHost) -> Resources:
        """The listeners of a host's ports that are not plain HTTP, on its own addresses."""
        scope = key.client
        record = self.model.record(read, scope.client, key.host)
        if record is None or is_wildcard(key.host):
            return ()
        seen = read.get(self.outbound.seen, (scope.client, key.host)) or ()
        settings = self.model.telemetry.settings(read, scope.observation)
        made = []
        for port in record.ports:
            if port.protocol.is_http or port.protocol is Protocol.UDP or port.number not in seen:
                continue
            targets = self.targets(read, scope, record, port)
            made += [
                listeners.build_host_listener(
                    address=address,
                    port=port.number,
                    host=key.host,
                    route=str(port.number) if port.protocol is Protocol.AUTO else "",
                    targets=targets,
                    settings=settings,
                    tls=port.protocol.is_tls,
                )
                for address in self._listening(read, record)
            ]
        return tuple(made)

    def _listening(self, read: Reader, record: HostRecord) -> tuple[str, ...]:
        """Where clients of a host connect to: its own addresses; those of its pods if it is headless."""
        if record.addresses or record.resolution != "NONE" or record.kind != "Service":
            return tuple(address for address in record.addresses if "/" not in address)
        return tuple(dict.fromkeys(one.address for one in read.get(self.model.endpoints, record.host) or ()))

    def _shares(self, read: Reader, record: HostRecord) -> bool:
        """True if a host has no listener of its own, or not for all of its addresses."""
        if record.kind == "Service":
            return record.external and not record.alias
        blocks = any("/" in address for address in record.addresses)
        return is_wildcard(record.host) or blocks or not self._listening(read, record)

    # -- Sidecar egress with an address of its own ----------------------------------------------------------------

    def _egress(self, read: Reader, client: ClientScope) -> Sequence[EgressListener]:
        found = read.get(self.mesh.kinds["Sidecar"], sidecar_key(client.sidecar))
        return found.spec.egress if found is not None else ()

    def _bound(self, read: Reader, client: ClientScope) -> list[int]:
        egress = self._egress(read, client)
        return [i for i, one in enumerate(egress) if one.bind or one.capture_mode == "NONE"]

    def _bound_routes(self, read: Reader, client: ClientScope, bound: Iterable[int]) -> Iterator[int]:
        """The ports of such entries for HTTP: their routes are there even where no host is called on that port."""
        egress = self._egress(read, client)
        for index in bound:
            port = egress[index].port
            if port is not None and _is_http(port.protocol):
                yield port.number

    def bound_listener(self, read: Reader, key: tuple[RouteScope, int]) -> Resources:
        """The listeners of one egress entry of a Sidecar that names an address, or whose clients are not captured: one,
        or without a port one for each port of its hosts that no other entry names."""
        scope, index = key
        egress = self._egress(read, scope.client)
        if index >= len(egress):
            return ()
        one = egress[index]
        if one.port is not None:
            return self._bound_at(read, scope, one, one.port.number, http=_is_http(one.port.protocol))
        named = {other.port.number for other in egress if other.port is not None}
        uses = [use for use in read.get(self.uses, scope.client) or () if use.number not in {*named, *PROXY_PORTS}]
        return tuple(made for use in uses for made in self._bound_at(read, scope, one, use.number, http=use.http))

    def _bound_at(self, read: Reader, scope: RouteScope, one: EgressListener, number: int, *, http: bool) -> Resources:
        address, settings = one.bind or "127.0.0.1", self.model.telemetry.settings(read, scope.observation)
        if http:
            title = one.port.name if one.port is not None else ""
            return (listeners.build_bound_http_listener(address, number, str(number), settings, title=title),)
        for host in self.outbound.view(read, scope.client).hosts:
            record = self.model.record(read, scope.client, host)
            port = record.port(number) if record is not None else None
            if record is None or port is None or port.protocol is Protocol.UDP:
                continue
            # Another entry may let through the same port of other hosts.
            if admits(one, scope.client.sees, record.key.namespace, host):
                targets = self.targets(read, scope, record, port)
                return (
                    listeners.build_host_listener(
                        address=address, port=number, host=host, route="", targets=targets, settings=settings, bind=True
                    ),
                )
        return ()

    # -- targets ------------------------------------------------------------------------------------------------

    def targets(self, read: Reader, scope: RouteScope, record: HostRecord, port: HostPort) -> list[TcpTarget]:
        """Where connections to a host's port go, in the order in which conditions are tried; the last takes all."""
        found: list[TcpTarget] = []
        for service in self.outbound.services_for(read, scope.namespace, record.host, scope.client.sidecar):
            found += self._targets_of(read, service, scope, record, port)
            if found and found[-1].is_open:
                return found
        origin = origin_fields(record.kind, record.key.namespace, record.key.name, record.origin)
        resolve = self.outbound.resolver(read, scope.client, port.number)
        own = resolve(Destination(host=record.host, port=PortSelector(number=port.number)), "")
        return [*found, _to({own.cluster: 1}, origin, [own])]

    def _targets_of(
        self, read: Reader, service: Object[VirtualService], scope: RouteScope, record: HostRecord, port: HostPort
    ) -> list[TcpTarget]:
        resolve = self.outbound.resolver(read, scope.client, port.number)
        origin = origin_fields("VirtualService", service.namespace, service.name, service.origin)
        made: list[TcpTarget] = []
        rules: list[TLSRoute | TCPRoute] = [*service.spec.tls, *service.spec.tcp]
        for rule in rules:
            if isinstance(rule, TLSRoute) and not (port.protocol.is_tls or port.protocol is Protocol.AUTO):
                continue
            matches: list[TLSMatch | L4Match] = [one for one in rule.match if _concerns(one, scope, port)]
            if rule.match and not matches:
                continue
            target = tcp_target(rule, service.namespace, resolve, origin)
            for match in matches or [L4Match()]:
                made.append(_under(target, match))
                if made[-1].is_open:
                    return made
        return made


def _is_http(protocol: str) -> bool:
    return (parse_protocol(protocol) or Protocol.HTTP).is_http


def tcp_target(
    rule: TLSRoute | TCPRoute, namespace: str, resolve: routes.Resolve, origin: Mapping[str, str] = EMPTY
) -> TcpTarget:
    """Where an L4 rule of an object in `namespace` sends connections."""
    route = receiving(rule.route)
    found = [resolve(one.destination, namespace) for one in route]
    return _to(routes.weights(route, namespace, resolve), origin, found)


def _to(clusters: dict[str, int], origin: Mapping[str, str], targets: Sequence[routes.Target]) -> TcpTarget:
    """A target under what the policies of its destinations say; of several the first one that says something counts."""
    pools = [one.pool for one in targets if one.pool is not None]
    return TcpTarget(
        clusters,
        origin,
        idle_timeout_s=next((pool.idle_timeout_s for pool in pools if pool.idle_timeout_s is not None), None),
        max_duration_s=next((one.max_connection_duration_s for one in pools if one.max_connection_duration_s), 0),
        tunnel=next((one.tunnel for one in targets if one.tunnel is not None), None),
        by_source=any(one.by_source for one in targets),
        detected=any(one.detected for one in targets),
        dynamic_port=next((one.dynamic_port for one in targets if one.dynamic_port), 0),
    )


def _under(target: TcpTarget, match: TLSMatch | L4Match) -> TcpTarget:
    names = match.sni_hosts if isinstance(match, TLSMatch) else ()
    source = match.source_subnet if isinstance(match, L4Match) else ""
    return replace(
        target,
        server_names=tuple(name.lower() for name in names),
        destinations=match.destination_subnets,
        sources=(source,) if source else (),
    )


def _concerns(match: TLSMatch | L4Match, scope: RouteScope, port: HostPort) -> bool:
    """Whether an L4 match can hold for these clients on this port at all."""
    if match.gateways and MESH_GATEWAY not in match.gateways:
        return False
    if match.port is not None and match.port != port.number:
        return False
    if match.source_namespace and match.source_namespace != scope.namespace:
        return False
    return selects(match.source_labels, scope.labels)
