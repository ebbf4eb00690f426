"""Gateways: listeners, and which VirtualServices they serve.

All servers of all Gateways that select one class of routers are merged by port; HTTP servers of a port share one
route configuration, TLS servers get a filter chain each, told apart by server name.
Source: istio.io Gateway, VirtualService.gateways; envoy.config.listener.v3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.api.gateway import Gateway, Server
from argosy.api.meta import Object
from argosy.core.hosts import host_matches
from argosy.core.names import BLACKHOLE_CLUSTER, ObjectKey
from argosy.core.protocols import Protocol, parse_protocol
from argosy.envoy import values as v
from argosy.envoy.api import message
from argosy.pilot.build import access_log, authn, authz, check, filters, telemetry, tls
from argosy.pilot.build.authz import Authorization
from argosy.pilot.build.authz_notes import note_loggers
from argosy.pilot.build.listeners import TcpTarget, tls_inspector
from argosy.pilot.build.resource import origin_fields, resource
from argosy.pilot.build.tls import MESH_ALPNS
from argosy.pilot.checking import ASLEEP, Checking
from argosy.pilot.mesh import MeshSettings
from argosy.xds.messages import Resource

_LISTENER = "envoy.config.listener.v3.Listener"
_BUFFER_BYTES = 32 * 1024
_HANDSHAKE_S = 15
"""How long a client may take for its TLS handshake."""
NOBODY_REFUSED = Authorization()


@dataclass(frozen=True, slots=True)
class ServerRef:
    """One server of one Gateway, and the port that the proxy binds for it: several public ports may have one."""

    gateway: Object[Gateway]
    server: Server
    bind_port: int

    @property
    def key(self) -> ObjectKey:
        """The Gateway's key."""
        return self.gateway.key

    @property
    def protocol(self) -> Protocol:
        """What the port speaks; galley has refused unknown ones."""
        return parse_protocol(self.server.port.protocol) or Protocol.TCP

    @property
    def bind(self) -> tuple[str, int]:
        """Address and port that the proxy listens on."""
        return (self.server.bind or "0.0.0.0", self.bind_port)

    @property
    def terminates(self) -> bool:
        """True if the gateway itself ends TLS here."""
        own = self.server.tls
        return own is not None and own.mode not in ("PASSTHROUGH", "AUTO_PASSTHROUGH") and not self.plain_http

    @property
    def passes_tls(self) -> bool:
        """True if TLS goes on to where a VirtualService sends its server name."""
        own = self.server.tls
        return own is not None and own.mode == "PASSTHROUGH" and not self.plain_http

    @property
    def auto_passthrough(self) -> bool:
        """True if mesh TLS goes on to the service that its server name is."""
        own = self.server.tls
        return own is not None and own.mode == "AUTO_PASSTHROUGH"

    @property
    def plain_http(self) -> bool:
        """True for HTTP without TLS (also where it only redirects to HTTPS)."""
        return self.protocol.is_http and (self.server.tls is None or self.server.tls.https_redirect)

    @property
    def redirects(self) -> bool:
        """True if all that this server answers is a redirect to HTTPS."""
        return self.plain_http and self.server.tls is not None and self.server.tls.https_redirect

    @property
    def names_hosts(self) -> bool:
        """True if this server's certificate is for some hosts only, so that requests for others are misdirected."""
        return self.terminates and "*" not in self.host_names()

    @property
    def routes_http(self) -> bool:
        """True if requests are routed here."""
        http = self.protocol.is_http or self.protocol is Protocol.HTTPS
        return self.plain_http or (self.terminates and http)

    @property
    def route_name(self) -> str:
        """Name of the route configuration that this server's requests use."""
        place = self.bind_port if not self.server.bind else f"{self.bind_port}.{self.server.bind}"
        if self.plain_http:
            return f"http.{place}"
        return f"https.{self.server.port.number}.{self.server.port.name}.{self.key.name}.{self.key.namespace}"

    def host_names(self) -> list[str]:
        """The server's hosts, whoever may bind to them."""
        return [host for _namespace, host in self.hosts()]

    def hosts(self) -> list[tuple[str, str]]:
        """The server's hosts as (namespace of the VirtualServices that may bind, host); namespace `*` is any."""
        found = []
        for host in self.server.hosts:
            namespace, slash, name = host.partition("/")
            found.append((namespace, name) if slash else ("*", namespace))
        return [(self.key.namespace if namespace == "." else namespace, host) for namespace, host in found]

    def admits(self, namespace: str, host: str) -> tuple[str, ...]:
        """The hosts that a VirtualService of `namespace` gets at this server for its `host`: of each of the server's
        own hosts that has some in common with it, the narrower of the two."""
        found = []
        for allowed, own in self.hosts():
            if allowed in ("*", namespace):
                found += [host] if host_matches(own, host) else [own] if host_matches(host, own) else []
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class SniTarget:
    """Where a PASSTHROUGH server sends connections for some server names (to some addresses)."""

    ref: ServerRef
    names: tuple[str, ...]
    subnets: tuple[str, ...]
    target: TcpTarget


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """What all chains of one gateway share: who may, who asks Mixer about what, what is noted."""

    settings: MeshSettings
    authorization: Authorization = NOBODY_REFUSED
    audited: bool = False
    checking: Checking = ASLEEP


def build_gateway_listener(
    *,
    servers: Sequence[ServerRef],
    tcp_targets: Mapping[ServerRef, TcpTarget],
    sni_targets: Sequence[SniTarget],
    context: GatewayContext,
) -> Resource | None:
    """The listener of one address and port, or None if no server of it leads anywhere yet.

    `tcp_targets`: for TCP servers; `sni_targets`: for PASSTHROUGH servers, by server names.
    """
    address, port = servers[0].bind
    chains: list[dict[str, Any]] = []
    taken = _Taken()
    # In the order of the Gateways: what Envoy could not tell from an earlier server is left out, because it would
    # refuse the whole listener, and with it everybody else's servers.
    for ref in servers:
        chain = _chain(ref, tcp_targets.get(ref), taken, context)
        if chain is not None:
            chains.append({**chain, "metadata": _whose(ref), "filters": _limited(ref, chain["filters"])})
    for target in sni_targets:
        if names := taken.names(target.names, target.subnets):
            match = {**_server_names(names), **_subnets(target.subnets), "transport_protocol": "tls"}
            name = "~".join((f"{target.ref.route_name}.{names[0]}", *target.subnets))
            filters_ = _limited(target.ref, _tcp(target.ref, target.target, context))
            chains.append({"name": name, "filter_chain_match": match, "filters": filters_})
    if not chains:
        return None
    used = [cluster for target in tcp_targets.values() for cluster in target.clusters]
    used += [cluster for one in sni_targets for cluster in one.target.clusters]
    first = servers[0]
    origin = origin_fields("Gateway", first.key.namespace, first.key.name, first.gateway.origin)
    name = f"{address}_{port}"
    made = message(_LISTENER)(
        name=name,
        address=v.socket_address(address, port),
        traffic_direction="OUTBOUND",
        metadata=v.metadata(argosy=origin),
        listener_filters=[tls_inspector()] if any("filter_chain_match" in chain for chain in chains) else [],
        filter_chains=chains,
        per_connection_buffer_limit_bytes=v.wrap(_BUFFER_BYTES),
        max_connections_to_accept_per_socket_event=v.wrap(1),
    )
    return resource(name, made, clusters={*used, *context.settings.observation.clusters})


def _limited(ref: ServerRef, inner: list[Any]) -> list[Any]:
    return [filters.connection_limit(f"gateway_{ref.route_name}"), *inner]


def _chain(
    ref: ServerRef,
    target: TcpTarget | None,
    taken: _Taken,
    context: GatewayContext,
) -> dict[str, Any] | None:
    """The chain of one server, or None where it has none of its own (TLS passed on by a VirtualService's names)."""
    if ref.plain_http:
        return {"name": ref.route_name, "filters": [_manager(ref, context)]} if taken.plain() else None
    if ref.terminates and ref.server.tls is not None:
        inner = [_manager(ref, context)] if ref.routes_http else []
        if target is not None and not ref.routes_http:
            inner = _tcp(ref, target, context, mtls=ref.server.tls.mode in ("MUTUAL", "ISTIO_MUTUAL"))
        names = taken.names(ref.host_names()) if inner else ()
        if not names:
            return None
        return {
            "name": ref.route_name,
            "filter_chain_match": {**_server_names(names), "transport_protocol": "tls"},
            "transport_socket": tls.terminate(ref.server.tls, trust_domains=context.settings.accepted_domains),
            "transport_socket_connect_timeout": v.duration(_HANDSHAKE_S),
            "filters": inner,
        }
    if ref.auto_passthrough:
        names = taken.names(ref.host_names())
        if not names:
            return None
        match = {**_server_names(names), "transport_protocol": "tls", "application_protocols": list(MESH_ALPNS)}
        return {"name": ref.route_name, "filter_chain_match": match, "filters": _by_sni(ref, context)}
    if target is not None and not ref.passes_tls and taken.plain():
        return {"name": f"tcp.{ref.bind[1]}", "filters": _tcp(ref, target, context)}
    return None


def _whose(ref: ServerRef) -> Any:
    """Whose chain it is, for people who look at what a proxy holds."""
    origin = origin_fields("Gateway", ref.key.namespace, ref.key.name, ref.gateway.origin)
    return v.metadata(argosy={**origin, **({"server": ref.server.name} if ref.server.name else {})})


class _Taken:
    """What the chains of one listener match already."""

    def __init__(self) -> None:
        self._plain = False
        self._names: set[tuple[str, tuple[str, ...]]] = set()

    def plain(self) -> bool:
        """Take everything that is not TLS, once."""
        free, self._plain = not self._plain, True
        return free

    def names(self, wanted: Sequence[str], subnets: Sequence[str] = ()) -> tuple[str, ...]:
        """Take those of the TLS server names (to some addresses) that are free; `*` is every name that nobody has."""
        # `*` stands for a chain without names, so beside it no other name is needed.
        asked = {"*"} if "*" in wanted else {name.lower() for name in wanted}
        where = tuple(sorted(subnets))
        free = tuple(sorted(name for name in asked if (name, where) not in self._names))
        self._names.update((name, where) for name in free)
        return free


def _manager(ref: ServerRef, context: GatewayContext) -> Any:
    settings, audited = context.settings, context.audited
    loggers = [
        *telemetry.stats_loggers(telemetry.source_tags("http"), settings.observation.counting),
        *access_log.log_loggers(settings, http=True),
        *note_loggers(http=True),
    ]
    authorizers = authz.http_filters(settings.config.extension_providers)
    return filters.http_connection_manager(
        stat_prefix=f"gateway_{ref.route_name}",
        access_log=[*loggers, access_log.audit_log()] if audited else loggers,
        route_name=ref.route_name,
        http_filters=[authn.authn_filter(), *authorizers, *check.check_filters(), *filters.route_filters()],
        settings=settings,
        edge=True,
    )


def _tcp(ref: ServerRef, target: TcpTarget, context: GatewayContext, *, mtls: bool = False) -> list[Any]:
    """What passes connections on, by leave of the policies and, where it is asked, of Mixer. `mtls`: nobody is called,
    and no report made, before it is known who comes."""
    settings, authorization = context.settings, context.authorization
    loggers = [
        *telemetry.stats_loggers(telemetry.source_tags("tcp"), settings.observation.counting),
        *access_log.log_loggers(settings, http=False),
    ]
    if authz.notes_of_tcp(authorization):
        loggers += note_loggers(http=False)
    proxy = filters.tcp_proxy(
        period_s=settings.observation.counting.period_s,
        stat_prefix=f"gateway_{ref.route_name}",
        clusters=target.clusters,
        access_log=loggers,
        idle_timeout_s=target.idle_timeout_s,
        max_duration_s=target.max_duration_s,
        tunnel=target.tunnel,
        by_source=target.by_source,
        mtls=mtls,
    )
    service = next((host for cluster in target.clusters if (host := check.service_of_cluster(cluster))), "")
    return [*authz.tcp_authorization(authorization, "tcp."), *check.tcp_filters(context.checking, service), proxy]


def _by_sni(ref: ServerRef, context: GatewayContext) -> list[Any]:
    """Mesh TLS passed on to the cluster that its server name is; whose server names are clusters' names."""
    made = message("envoy.extensions.filters.network.sni_cluster.v3.SniCluster")()
    return [
        filters.network_filter("envoy.filters.network.sni_cluster", made),
        *_tcp(ref, TcpTarget({BLACKHOLE_CLUSTER: 1}, {}), context),
    ]


def _server_names(hosts: Sequence[str]) -> dict[str, Any]:
    # `*` means any name: no condition at all.
    return {} if "*" in hosts else {"server_names": sorted(set(hosts))}


def _subnets(subnets: Sequence[str]) -> dict[str, Any]:
    return {"prefix_ranges": [v.cidr(one) for one in subnets]} if subnets else {}
