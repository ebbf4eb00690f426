"""Outbound listeners of sidecars: the capturing one, one for each port, and one for each address and port.

HTTP services of one port share `0.0.0.0:<port>`, because their routes tell them apart by host; services that have no
address of their own are told apart there by TLS server name or address range. All else on such a port is unknown
traffic. Other services get a listener on their own address, which Envoy prefers: so no service ever steals another's
traffic.
Source: envoy.config.listener.v3.Listener (chains are chosen without backtracking); Istio's capture design.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from argosy.api.destination_rule import Tunnel
from argosy.core.names import BLACKHOLE_CLUSTER, DIRECT_CLUSTER, OUTBOUND_PORT, PASSTHROUGH_CLUSTER
from argosy.envoy import values as v
from argosy.envoy.api import message
from argosy.pilot.build import access_log, direct, dynamic_dns, filters, telemetry
from argosy.pilot.build.direct import Direct
from argosy.pilot.build.resource import resource
from argosy.pilot.build.routes import REFUSED
from argosy.pilot.mesh import MeshSettings
from argosy.xds.messages import Resource

_LISTENER = "envoy.config.listener.v3.Listener"
_HTTP_INSPECTOR = "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"
_TLS_INSPECTOR = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
# An application that says nothing for so long waits for the server to speak: its protocol is not HTTP.
_DETECTION_TIMEOUT_S = 0.3
HTTP_ALPNS = ("http/1.0", "http/1.1", "h2c")
_HTTP_MATCH: Mapping[str, Any] = {"transport_protocol": "raw_buffer", "application_protocols": list(HTTP_ALPNS)}
# An application may wait longer than that before its first request on a port of HTTP services; taken for another
# protocol it would go round their routes and mesh TLS.
_HTTP_DETECTION_TIMEOUT_S = 10.0
ANY_ADDRESS = "0.0.0.0"
# A pod that is going away says so to those who call it. What its application still calls is not theirs to know: no
# `connection: close`, no GOAWAY.
OUTBOUND: Mapping[str, str] = {"traffic_direction": "OUTBOUND", "drain_type": "MODIFY_ONLY"}


@dataclass(frozen=True, slots=True, order=True)
class UnknownTraffic:
    """Where connections go to which nobody declared a service: `cluster`; `refused` if that is nowhere."""

    cluster: str = PASSTHROUGH_CLUSTER
    refused: bool = False


ALLOW_ANY = UnknownTraffic()
REGISTRY_ONLY = UnknownTraffic(BLACKHOLE_CLUSTER, True)


@dataclass(frozen=True, slots=True)
class TcpTarget:
    """Where connections go: clusters by weight, for connections that meet all conditions that are given."""

    clusters: Mapping[str, int]
    origin: Mapping[str, str]
    server_names: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    idle_timeout_s: float | None = None
    max_duration_s: float = 0
    tunnel: Tunnel | None = None
    by_source: bool = False
    """A client's connections go to one of the servers."""
    detected: bool = False
    """The servers tell HTTP from other protocols themselves, and must be told that this is not HTTP."""
    dynamic_port: int = 0
    """The server name is resolved when it is asked for, and connected to on this port; 0: the cluster knows where."""

    @property
    def is_open(self) -> bool:
        """True if it takes every connection."""
        return not (self.server_names or self.destinations or self.sources)


@dataclass(slots=True)
class _Taken:
    """Conditions that chains of one listener have already: Envoy refuses a listener with two alike."""

    seen: set[tuple[Any, ...]] = field(default_factory=set)

    def free(self, target: TcpTarget) -> tuple[str, ...] | None:
        """The server names that are still free under the target's other conditions; None if nothing is."""
        where = (tuple(sorted(target.destinations)), tuple(sorted(target.sources)))
        asked = {"*"} if "*" in target.server_names else set(target.server_names) or {""}
        names = tuple(sorted(name for name in asked if (name, where) not in self.seen))
        self.seen.update((name, where) for name in names)
        return names or None


def tls_inspector() -> dict[str, Any]:
    """Reads server name and ALPN of a TLS greeting."""
    return v.extension("envoy.filters.listener.tls_inspector", _TLS_INSPECTOR)


def http_inspector() -> dict[str, Any]:
    """Tells plain HTTP from other protocols by the first bytes."""
    return v.extension("envoy.filters.listener.http_inspector", _HTTP_INSPECTOR)


def build_capture_listener(
    unknown: UnknownTraffic, settings: MeshSettings, by_address: Direct | None = None
) -> Resource:
    """`virtualOutbound`: takes all captured connections, hands them to the port's listener, passes on the rest.

    `by_address`: the pods of the mesh that are called under mutual TLS when they are called by their address.
    """
    name = "virtualOutbound"
    loop = TcpTarget({BLACKHOLE_CLUSTER: 1}, {})
    blackhole = {
        "filter_chain_match": {"destination_port": v.wrap(OUTBOUND_PORT)},
        "name": "virtualOutbound-blackhole",
        "filters": _tcp(BLACKHOLE_CLUSTER, loop, settings),
    }
    made = message(_LISTENER)(
        name=name,
        address=v.socket_address(ANY_ADDRESS, OUTBOUND_PORT),
        use_original_dst=v.wrap(True),
        **OUTBOUND,
        filter_chains=[blackhole, *_pods(by_address, unknown, settings)],
        default_filter_chain=_unknown("passthrough", unknown, settings),
    )
    return resource(
        name,
        made,
        clusters={BLACKHOLE_CLUSTER, unknown.cluster, *_direct_clusters(by_address), *settings.observation.clusters},
    )


def _direct_clusters(by_address: Direct | None) -> tuple[str, ...]:
    return (DIRECT_CLUSTER,) if by_address is not None else ()


def _pods(by_address: Direct | None, unknown: UnknownTraffic, settings: MeshSettings) -> list[dict[str, Any]]:
    """The chains for connections to pods of the mesh by their address, whatever they carry."""
    chains = []
    for title, match, mtls in by_address.matches if by_address is not None else ():
        target = TcpTarget({DIRECT_CLUSTER if mtls else unknown.cluster: 1}, {}, detected=mtls)
        chains.append({"name": title, "filter_chain_match": match, "filters": _tcp(DIRECT_CLUSTER, target, settings)})
    return chains


def _pods_http(by_address: Direct | None, manager: Any) -> list[dict[str, Any]]:
    """The chains for HTTP to pods of the mesh by their address: hosts count first, as everywhere."""
    return [
        {
            "name": f"http-{title}",
            "filter_chain_match": {**match, **_HTTP_MATCH},
            "filters": [direct.mark(), manager] if mtls else [manager],
        }
        for title, match, mtls in (by_address.matches if by_address is not None else ())
    ]


def build_port_listener(
    port: int,
    *,
    http: bool,
    targets: Sequence[TcpTarget],
    unknown: UnknownTraffic,
    settings: MeshSettings,
    dynamic: bool = False,
    by_address: Direct | None = None,
) -> Resource:
    """The listener that all services on `port` without an own address share; routes come as configuration `<port>`.

    `http`: some of them speak HTTP; `dynamic`: of these some are resolved by the request's host. `targets`: others,
    told apart by server name or address range; an open one takes what nothing else takes.
    """
    name = f"{ANY_ADDRESS}_{port}"
    chains, rest = _chains(targets, port, settings)
    chains += _pods(by_address, unknown, settings)
    if http:
        manager = _manager(name, str(port), settings, refused=unknown.refused, dynamic=dynamic)
        chains.append({"name": "http", "filter_chain_match": _HTTP_MATCH, "filters": [manager]})
        chains += _pods_http(by_address, manager)
    made = message(_LISTENER)(
        name=name,
        address=v.socket_address(ANY_ADDRESS, port),
        bind_to_port=v.wrap(False),
        **OUTBOUND,
        **_inspection(tls=True, http=http, settings=settings, timeout_s=_patience_s(targets, http)),
        filter_chains=chains,
        default_filter_chain=rest or _unknown("not-http", unknown, settings),
    )
    return resource(
        name,
        made,
        clusters={*_clusters(targets), unknown.cluster, *_direct_clusters(by_address), *settings.observation.clusters},
    )


def build_host_listener(
    *,
    address: str,
    port: int,
    host: str,
    route: str,
    targets: Sequence[TcpTarget],
    settings: MeshSettings,
    bind: bool = False,
    tls: bool = False,
) -> Resource:
    """The listener of one service on its own address; the last of `targets` is open.

    `route`: the route configuration for connections that show to be HTTP (empty: nobody looks). `bind`: the proxy
    listens there itself, for applications whose traffic is not captured. `tls`: clients begin with TLS, and the log has
    the server name that they ask for.
    """
    name = f"{address}_{port}"
    chains, rest = _chains(targets, port, settings)
    if route:
        chains.append({"name": "http", "filter_chain_match": _HTTP_MATCH, "filters": [_manager(name, route, settings)]})
    by_name = any(target.server_names for target in targets)
    fields: dict[str, Any] = {"filter_chains": chains, "default_filter_chain": rest}
    if not chains and rest is not None:
        fields = {"filter_chains": [{**rest, "name": host}]}
    made = message(_LISTENER)(
        name=name,
        address=v.socket_address(address, port),
        bind_to_port=v.wrap(bind),
        **OUTBOUND,
        metadata=v.metadata(argosy={"service": host, **targets[-1].origin}),
        **_inspection(tls=tls or by_name or bool(route), http=bool(route), settings=settings),
        **fields,
    )
    return resource(name, made, clusters={*_clusters(targets), *settings.observation.clusters})


def build_bound_http_listener(address: str, port: int, route: str, settings: MeshSettings, *, title: str) -> Resource:
    """The listener of a Sidecar's egress for HTTP that is sent to it: by an address, or without capture."""
    name = f"{address}_{port}"
    made = message(_LISTENER)(
        name=name,
        address=v.socket_address(address, port),
        **OUTBOUND,
        metadata=v.metadata(argosy={"port": title}),
        filter_chains=[{"name": "http", "filters": [_manager(name, route, settings)]}],
    )
    return resource(name, made, clusters=settings.observation.clusters)


def _patience_s(targets: Sequence[TcpTarget], http: bool) -> float:
    """How long a shared port waits for a silent client: briefly where the server may be the one to speak first."""
    return _HTTP_DETECTION_TIMEOUT_S if http and not targets else _DETECTION_TIMEOUT_S


def _inspection(
    *, tls: bool, http: bool, settings: MeshSettings, timeout_s: float = _DETECTION_TIMEOUT_S
) -> dict[str, Any]:
    """Listener filters, and how long they wait for the client to say something."""
    inspectors = [*([tls_inspector()] if tls else []), *([http_inspector()] if http else [])]
    if not inspectors:
        return {}
    chosen = settings.config.protocol_detection_timeout_s
    return {
        "listener_filters": inspectors,
        "listener_filters_timeout": v.duration(timeout_s if chosen is None else chosen),
        "continue_on_listener_filters_timeout": True,
    }


def _chains(
    targets: Sequence[TcpTarget], port: int, settings: MeshSettings
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Chains of the targets with conditions, in order; and the chain of the first open one."""
    taken, chains, rest = _Taken(), [], None
    for target in targets:
        if target.is_open:
            rest = rest or {"name": "default", "filters": _tcp(_stat_name(target, port), target, settings)}
            continue
        names = taken.free(target)
        if names is not None:
            chains.append(_conditional(target, names, port, settings))
    return chains, rest


def _conditional(target: TcpTarget, names: tuple[str, ...], port: int, settings: MeshSettings) -> dict[str, Any]:
    match: dict[str, Any] = {}
    if target.server_names:
        match["transport_protocol"] = "tls"
        if "*" not in names:
            match["server_names"] = list(names)
    if target.destinations:
        match["prefix_ranges"] = [v.cidr(one) for one in target.destinations]
    if target.sources:
        match["source_prefix_ranges"] = [v.cidr(one) for one in target.sources]
    title = "~".join(("tcp", *filter(None, names), *target.destinations, *target.sources))
    return {
        "name": title,
        "filter_chain_match": match,
        "metadata": v.metadata(argosy=target.origin),
        "filters": _tcp(_stat_name(target, port), target, settings),
    }


def _stat_name(target: TcpTarget, port: int) -> str:
    return next(iter(target.clusters), f"tcp_{port}")


def _clusters(targets: Iterable[TcpTarget]) -> set[str]:
    return {cluster for target in targets for cluster in target.clusters}


def _manager(name: str, route: str, settings: MeshSettings, *, refused: bool = False, dynamic: bool = False) -> Any:
    resolving = [dynamic_dns.request_filter(settings)] if dynamic else []
    refusals = [access_log.refusal_log(REFUSED)] if refused else []
    return filters.http_connection_manager(
        stat_prefix=f"outbound_{name}",
        access_log=[
            *refusals,
            *telemetry.stats_loggers(telemetry.source_tags("http", refused=refused), settings.observation.counting),
            *access_log.log_loggers(settings, http=True),
        ],
        settings=settings,
        route_name=route,
        http_filters=[*filters.route_filters(), *resolving],
        own=True,
    )


def _unknown(title: str, unknown: UnknownTraffic, settings: MeshSettings) -> dict[str, Any]:
    """The chain for connections that belong to no service."""
    target = TcpTarget({unknown.cluster: 1}, {})
    return {"name": title, "filters": _tcp(unknown.cluster, target, settings, refused=unknown.refused)}


def _tcp(stat_prefix: str, target: TcpTarget, settings: MeshSettings, *, refused: bool = False) -> list[Any]:
    loggers = [
        *telemetry.stats_loggers(telemetry.source_tags("tcp"), settings.observation.counting),
        *access_log.log_loggers(settings, http=False, refused=refused),
    ]
    proxy = filters.tcp_proxy(
        period_s=settings.observation.counting.period_s,
        stat_prefix=stat_prefix,
        clusters=target.clusters,
        access_log=loggers,
        idle_timeout_s=target.idle_timeout_s,
        max_duration_s=target.max_duration_s,
        tunnel=target.tunnel,
        by_source=target.by_source,
    )
    if target.dynamic_port:
        return [dynamic_dns.server_name_filter(target.dynamic_port, settings), proxy]
    return [filters.not_http(), proxy] if target.detected else [proxy]
