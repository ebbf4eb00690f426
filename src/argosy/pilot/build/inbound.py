"""Inbound: the one listener of a sidecar that takes what is captured on its way to the application.

Each declared port has its own chains for the kinds of connection that its mutual TLS mode accepts; what no chain
accepts is reset, which is what makes STRICT strict. Ports that nobody declares pass through under the same modes.
Who may send which request stands in the routes of a port, not in its chains: a change of routes holds from the next
request on, while the connections of a changed chain would go on under the old rules until they are drained.
Source: envoy.config.listener.v3.FilterChainMatch (it does not backtrack); Istio PeerAuthentication.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from argosy.api.destination_rule import ConnectionPool
from argosy.api.gateway import ServerTLS
from argosy.authz.own_rules import NOT_HTTP
from argosy.core.frozen import FrozenMap
from argosy.core.names import (
    BLACKHOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    INBOUND_PORT,
    inbound_cluster,
)
from argosy.envoy import values as v
from argosy.envoy.api import message
from argosy.pilot.build import access_log, authn, authz, check, filters, refusals, telemetry, tls
from argosy.pilot.build.authz import Authorization
from argosy.pilot.build.authz_notes import note_loggers
from argosy.pilot.build.listeners import HTTP_ALPNS, http_inspector, tls_inspector
from argosy.pilot.build.resource import resource
from argosy.pilot.checking import ASLEEP, Checking
from argosy.pilot.mesh import MeshSettings
from argosy.xds.messages import Resource

NOBODY_ASKS: FrozenMap[int, Checking] = FrozenMap()
ALL_ALIKE: FrozenMap[int, Authorization] = FrozenMap()
_LISTENER = "envoy.config.listener.v3.Listener"
_DETECTION_TIMEOUT_S = 1.0
_ORIGINAL_DST = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"


class Speaks(StrEnum):
    """What an application's port is taken to speak."""

    HTTP = "http"
    TCP = "tcp"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class InboundPort:
    """One port that the application serves. `service`: the host that telemetry names; `mode`: mutual TLS."""

    number: int
    speaks: Speaks
    service: str
    mode: str
    endpoint: str = ""
    """Where the application listens instead: `127.0.0.1:8080`, `:8080` or `0.0.0.0:8080` (the pod's address), `unix://path`."""
    tls: ServerTLS | None = None
    """TLS of its own that the proxy ends, where mesh TLS is off."""
    pool: ConnectionPool | None = None
    name: str = ""
    bind: str = ""
    """Where the proxy itself listens, for connections that are not captured."""
    http1: bool = False
    """Declared to speak HTTP/1: that is how it is called, whatever its clients speak."""

    @property
    def http(self) -> bool:
        """True if requests may be routed here."""
        return self.speaks is not Speaks.TCP


@dataclass(frozen=True, slots=True)
class InboundContext:
    """What all chains of one workload share."""

    authorization: Authorization
    mode: str
    settings: MeshSettings
    authorizations: Mapping[int, Authorization] = ALL_ALIKE
    """Who may do what at ports of which something else holds than of the others."""
    checking: Mapping[int, Checking] = NOBODY_ASKS
    """How connections are asked about, by port."""
    audited: bool = False
    """Requests that a stricter RequestAuthentication would refuse are logged."""
    requests_only: bool = False
    """Tokens are required, or claims told in headers: what is not HTTP would go past that, where HTTP is detected."""

    def authorization_at(self, number: int) -> Authorization:
        """Who may do what at a port."""
        return self.authorizations.get(number, self.authorization)


def build_inbound_listener(ports: Sequence[InboundPort], context: InboundContext) -> Resource:
    """`virtualInbound`. `ports` are sorted and unique by number; `context.mode` holds for undeclared ports."""
    name = "virtualInbound"
    chains = [_blackhole(context)]
    captured = [port for port in ports if not port.bind]
    for port in captured:
        chains += [{**chain, **_named(port)} for chain in _chains(port, context)]
    chains += _chains(InboundPort(0, Speaks.TCP, "", context.mode), context)
    made = message(_LISTENER)(
        name=name,
        address=v.socket_address("0.0.0.0", INBOUND_PORT),
        traffic_direction="INBOUND",
        listener_filters=[
            v.extension("envoy.filters.listener.original_dst", _ORIGINAL_DST),
            _greeting_inspector(captured),
            *_detectors(captured),
        ],
        listener_filters_timeout=v.duration(_timeout_s(context.settings)),
        continue_on_listener_filters_timeout=True,
        filter_chains=chains,
    )
    clusters = [inbound_cluster(port.number) for port in captured]
    return resource(
        name,
        made,
        clusters=[*clusters, INBOUND_PASSTHROUGH_CLUSTER, BLACKHOLE_CLUSTER, *context.settings.observation.clusters],
    )


def _named(port: InboundPort) -> dict[str, Any]:
    """The name that a Sidecar gives a port and the service that is called there, for people who look at what a proxy
    holds, and for what it reports."""
    fields = {"port": port.name, "service": port.service}
    told = {name: text for name, text in fields.items() if text}
    return {"metadata": v.metadata(argosy=told)} if told else {}


def build_bound_listener(port: InboundPort, context: InboundContext) -> Resource:
    """The listener of a port that the proxy binds itself."""
    name = f"inbound_{port.bind}_{port.number}"
    inspectors = [tls_inspector(), *([http_inspector()] if port.speaks is Speaks.AUTO else [])]
    made = message(_LISTENER)(
        name=name,
        address=v.socket_address(port.bind, port.number),
        traffic_direction="INBOUND",
        listener_filters=inspectors,
        listener_filters_timeout=v.duration(_timeout_s(context.settings)),
        continue_on_listener_filters_timeout=True,
        filter_chains=_chains(port, context, captured=False),
    )
    return resource(name, made, clusters=[inbound_cluster(port.number), *context.settings.observation.clusters])


def _timeout_s(settings: MeshSettings) -> float:
    chosen = settings.config.protocol_detection_timeout_s
    # Longer than at the client's side: a greeting comes over the network, and taken for plaintext it would be lost.
    return chosen if chosen is not None else _DETECTION_TIMEOUT_S


def _detectors(ports: Sequence[InboundPort]) -> list[dict[str, Any]]:
    """The HTTP inspector, for the ports that need it only: it would make silent clients of all others wait."""
    wanted = [port.number for port in ports if port.speaks is Speaks.AUTO]
    return [{**http_inspector(), "filter_disabled": {"not_match": _on_ports(wanted)}}] if wanted else []


def _greeting_inspector(ports: Sequence[InboundPort]) -> dict[str, Any]:
    """The TLS inspector, but not for ports where no greeting makes a difference: their servers may speak first."""
    blind = [port.number for port in ports if _takes_anything(port)]
    return {**tls_inspector(), **({"filter_disabled": _on_ports(blind)} if blind else {})}


def _takes_anything(port: InboundPort) -> bool:
    """True if all connections go to the application as they are."""
    return port.mode == "DISABLE" and port.speaks is Speaks.TCP and port.tls is None and not port.bind


def _on_ports(numbers: Sequence[int]) -> dict[str, Any]:
    rules = [{"destination_port_range": {"start": number, "end": number + 1}} for number in numbers]
    return rules[0] if len(rules) == 1 else {"or_match": {"rules": rules}}


def _blackhole(context: InboundContext) -> dict[str, Any]:
    # A connection made straight to the capture port would loop.
    tags = telemetry.destination_tags("tcp", service="", mtls=False)
    loggers = [
        *telemetry.stats_loggers(tags, context.settings.observation.counting),
        *access_log.log_loggers(context.settings, http=False),
    ]
    proxy = filters.tcp_proxy(
        period_s=context.settings.observation.counting.period_s,
        stat_prefix="blackhole",
        clusters={BLACKHOLE_CLUSTER: 1},
        access_log=loggers,
        inbound=True,
    )
    return {
        "name": "virtualInbound-blackhole",
        "filter_chain_match": {"destination_port": v.wrap(INBOUND_PORT)},
        "filters": [proxy],
    }


def _chains(port: InboundPort, context: InboundContext, *, captured: bool = True) -> list[dict[str, Any]]:
    """The chains of one port. PERMISSIVE: mesh TLS, plaintext, the application's own TLS. STRICT: mesh TLS only."""
    label = str(port.number) if port.number else "other"
    at = {"destination_port": v.wrap(port.number)} if port.number and captured else {}
    if port.tls is not None and port.mode == "DISABLE":
        return [_own_tls(label, at, port, context)]
    plain = _plain(label, at, port, context)
    own_tls = {
        "name": f"{label}-own-tls",
        "filter_chain_match": {**at, "transport_protocol": "tls"},
        "filters": _tcp_filters(port, context, mtls=False),
    }
    if port.mode == "STRICT":
        return [*_mesh(label, at, port, context, strict=True), _refusal(label, at, port, context)]
    if _takes_anything(port) and captured and port.number:
        return [{**plain[0], "filter_chain_match": at}]
    if port.mode == "DISABLE":
        return [*plain, own_tls]
    return [*_mesh(label, at, port, context, strict=False), *plain, own_tls]


def _mesh(
    label: str, at: dict[str, Any], port: InboundPort, context: InboundContext, *, strict: bool
) -> list[dict[str, Any]]:
    """Mesh TLS. Clients that know it say in their greeting whether HTTP follows."""
    socket = tls.mesh_server(
        trust_domains=context.settings.accepted_domains,
        versions=context.settings.config.mesh_mtls.min_protocol_version,
    )
    base = {**at, "transport_protocol": "tls"}
    http = {
        "name": f"{label}-mtls",
        "transport_socket": socket,
        "filters": _filters(port, context, mtls=True),
    }
    if port.speaks is not Speaks.AUTO:
        known = {} if strict else {"application_protocols": list(tls.MESH_ALPNS)}
        return [{**http, "filter_chain_match": {**base, **known}}]
    opaque = {
        "name": f"{label}-mtls-tcp",
        "transport_socket": socket,
        "filters": _tcp_filters(port, context, mtls=True),
    }
    others = {} if strict else {"application_protocols": list(tls.MESH_TCP_ALPNS)}
    return [
        {**http, "filter_chain_match": {**base, "application_protocols": list(tls.MESH_HTTP_ALPNS)}},
        {**opaque, "filter_chain_match": {**base, **others}},
    ]


def _plain(label: str, at: dict[str, Any], port: InboundPort, context: InboundContext) -> list[dict[str, Any]]:
    match = {**at, "transport_protocol": "raw_buffer"}
    made = {
        "name": f"{label}-plaintext",
        "filter_chain_match": match,
        "filters": _filters(port, context, mtls=False),
    }
    if port.speaks is not Speaks.AUTO:
        return [made]
    opaque = {
        "name": f"{label}-plaintext-tcp",
        "filter_chain_match": match,
        "filters": _tcp_filters(port, context, mtls=False),
    }
    return [{**made, "filter_chain_match": {**match, "application_protocols": list(HTTP_ALPNS)}}, opaque]


def _own_tls(label: str, at: dict[str, Any], port: InboundPort, context: InboundContext) -> dict[str, Any]:
    """TLS that the proxy ends for clients outside of the mesh, as a Sidecar's ingress says."""
    assert port.tls is not None
    alpn = ("h2", "http/1.1") if port.http else ()
    return {
        "name": f"{label}-tls",
        "filter_chain_match": {**at, "transport_protocol": "tls"},
        "transport_socket": tls.terminate(port.tls, trust_domains=context.settings.accepted_domains, alpn=alpn),
        "filters": _filters(port, context, mtls=False, server_name=True),
    }


def _refusal(label: str, at: dict[str, Any], port: InboundPort, context: InboundContext) -> dict[str, Any]:
    """Plaintext under STRICT: refused without a byte to the application, and counted, so that somebody can see it."""
    tags = telemetry.destination_tags("tcp", service=port.service, mtls=False)
    proxy = filters.tcp_proxy(
        period_s=context.settings.observation.counting.period_s,
        stat_prefix=f"strict_{label}",
        clusters={BLACKHOLE_CLUSTER: 1},
        inbound=True,
        access_log=[
            *telemetry.stats_loggers({**tags, "flags": "PLAINTEXT_REFUSED"}, context.settings.observation.counting),
            *access_log.log_loggers(context.settings, http=False),
        ],
    )
    return {
        "name": f"{label}-plaintext-refused",
        "filter_chain_match": {**at, "transport_protocol": "raw_buffer"},
        "filters": [proxy],
    }


def _filters(port: InboundPort, context: InboundContext, *, mtls: bool, server_name: bool = False) -> list[Any]:
    if not port.http:
        return _tcp_filters(port, context, mtls=mtls)
    tags = telemetry.destination_tags("http", service=port.service, mtls=mtls)
    manager = filters.http_connection_manager(
        stat_prefix=f"inbound_{port.number}",
        access_log=[
            *telemetry.stats_loggers(tags, context.settings.observation.counting, grpc=not port.http1),
            *access_log.log_loggers(context.settings, http=True),
            *note_loggers(http=True),
            *([access_log.audit_log()] if context.audited else []),
        ],
        settings=context.settings,
        route_name=inbound_cluster(port.number),
        http_filters=[
            authn.authn_filter(),
            *authz.http_filters(context.settings.config.extension_providers),
            *refusals.refusal_filters(),
            *check.check_filters(),
        ],
        mtls=mtls,
        named=server_name,
    )
    return [manager]


def _tcp_filters(port: InboundPort, context: InboundContext, *, mtls: bool) -> list[Any]:
    cluster = inbound_cluster(port.number) if port.number else INBOUND_PASSTHROUGH_CLUSTER
    tags = telemetry.destination_tags("tcp", service=port.service, mtls=mtls)
    pool = port.pool.tcp if port.pool is not None else None
    allowed = context.authorization_at(port.number)
    noted = note_loggers(http=False) if authz.notes_of_tcp(allowed) else ()
    proxy = filters.tcp_proxy(
        period_s=context.settings.observation.counting.period_s,
        stat_prefix=cluster,
        clusters={cluster: 1},
        inbound=True,
        access_log=[
            *telemetry.stats_loggers(tags, context.settings.observation.counting),
            *access_log.log_loggers(context.settings, http=False),
            *noted,
        ],
        # The client's side decides, whose object says how long; a limit here would end what that lets live.
        idle_timeout_s=(pool.idle_timeout_s if pool is not None else None) or 0,
        mtls=mtls,
    )
    checking = context.checking.get(port.number, ASLEEP)
    refusing = [refusals.refusing_filter(checking, "tcp.")] if checking.refusals else []
    if context.requests_only and port.speaks is Speaks.AUTO:
        refusing.insert(0, authz.refusing_filter(NOT_HTTP, "tcp."))
    asked = check.tcp_filters(checking, port.service)
    return [*authz.tcp_authorization(allowed, "tcp."), *refusing, *asked, proxy]


def build_inbound_route(
    port: InboundPort,
    authorization: Authorization,
    *,
    checking: Checking = ASLEEP,
    claim_headers: Sequence[str] = (),
) -> Resource:
    """The routes of one HTTP port: all to the application, by leave of the policies and, where it is asked, of Mixer.

    `claim_headers`: headers that the JWT filter sets.
    """
    name = inbound_cluster(port.number)
    action = {
        "cluster": name,
        "timeout": v.duration(0),
        # The application may close an idle connection just as a request is sent on it; such a request was not read.
        "retry_policy": {"retry_on": "reset-before-request", "num_retries": v.wrap(2)},
    }
    host = {
        "name": "inbound",
        "domains": ["*"],
        "routes": [
            *refusals.refusal_routes(checking, check.sleeping_settings(checking)),
            *refusals.application_routes(checking, action),
        ],
        "typed_per_filter_config": {
            **authz.route_settings(authorization, claim_headers),
            **refusals.route_settings(checking),
            **check.route_settings(checking, port.service),
            **({} if port.http1 else filters.counted_messages()),
        },
    }
    made = message("envoy.config.route.v3.RouteConfiguration")(
        name=name,
        virtual_hosts=[host],
        request_headers_to_remove=[check.ATTRIBUTES_HEADER],
        validate_clusters=v.wrap(False),
        ignore_path_parameters_in_path_matching=True,
    )
    return resource(name, made, clusters=[name])
