"""Inbound: the one listener of a sidecar that takes what is captured on its way to the application.

Each declared port has its own chains for the kinds of connection that its mutual TLS mode accepts; what no chain
accepts is reset, which is what makes STRICT strict. Ports that nobody declares pass through under the same modes.
Who may send which request stands in the routes of a port, not in its chains: a change of routes holds from the next
request on, while the connections of a changed chain would go on under the old rules until they are drained.
Source: envoy.config.listener.v3.FilterChainMatch (it does not backtrack); Istio PeerAuthentication.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from argosy.api.meta import Object
from argosy.api.security import AuthorizationPolicy
from argosy.core.names import (
    BLACKHOLE_CLUSTER,
    INBOUND_PASSTHROUGH_CLUSTER,
    INBOUND_PORT,
    inbound_cluster,
)
from argosy.envoy import values as v
from argosy.envoy.api import message
from argosy.pilot.build import authz, check, filters, telemetry, tls
from argosy.pilot.build.listeners import tls_inspector
from argosy.pilot.build.resource import resource
from argosy.xds.messages import Resource

_LISTENER = "envoy.config.listener.v3.Listener"
_ORIGINAL_DST = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"
_MESH_ALPNS = ["istio-peer-exchange", "istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"]


@dataclass(frozen=True, slots=True, order=True)
class InboundPort:
    """One port that the application serves. `service`: the host that telemetry names; `mode`: mutual TLS."""

    number: int
    http: bool
    service: str
    mode: str


@dataclass(frozen=True, slots=True)
class InboundContext:
    """What all chains of one workload share."""

    trust_domain: str
    policies: tuple[Object[AuthorizationPolicy], ...]
    mode: str
    log: bool


def build_inbound_listener(ports: Sequence[InboundPort], context: InboundContext) -> Resource:
    """`virtualInbound`. `ports` are sorted and unique by number; `context.mode` holds for undeclared ports."""
    name = "virtualInbound"
    chains = [_blackhole(context)]
    for port in ports:
        chains += _chains(port, context)
    chains += _chains(InboundPort(0, False, "", context.mode), context)
    made = message(_LISTENER)(
        name=name,
        address=v.socket_address("0.0.0.0", INBOUND_PORT),
        traffic_direction="INBOUND",
        listener_filters=[v.extension("envoy.filters.listener.original_dst", _ORIGINAL_DST), tls_inspector()],
        listener_filters_timeout=v.duration(5),
        continue_on_listener_filters_timeout=True,
        filter_chains=chains,
    )
    clusters = [inbound_cluster(port.number) for port in ports]
    return resource(name, made, clusters=[*clusters, INBOUND_PASSTHROUGH_CLUSTER, BLACKHOLE_CLUSTER])


def _blackhole(context: InboundContext) -> dict[str, Any]:
    # A connection made straight to the capture port would loop.
    loggers = telemetry.access_loggers(telemetry.destination_tags("tcp", service="", mtls=False), log=context.log)
    proxy = filters.tcp_proxy(stat_prefix="blackhole", clusters={BLACKHOLE_CLUSTER: 1}, access_log=loggers)
    return {
        "name": "virtualInbound-blackhole",
        "filter_chain_match": {"destination_port": v.wrap(INBOUND_PORT)},
        "filters": [proxy],
    }


def _chains(port: InboundPort, context: InboundContext) -> list[dict[str, Any]]:
    """The chains of one port. PERMISSIVE: mesh TLS, plaintext, the application's own TLS. STRICT: mesh TLS only."""
    label = str(port.number) if port.number else "other"
    at = {"destination_port": v.wrap(port.number)} if port.number else {}
    mesh = {
        "name": f"{label}-mtls",
        "transport_socket": tls.mesh_server(trust_domain=context.trust_domain),
        "filters": _filters(port, context, mtls=True),
    }
    plain = {
        "name": f"{label}-plaintext",
        "filter_chain_match": {**at, "transport_protocol": "raw_buffer"},
        "filters": _filters(port, context, mtls=False),
    }
    own_tls = {
        "name": f"{label}-own-tls",
        "filter_chain_match": {**at, "transport_protocol": "tls"},
        "filters": _tcp_filters(port, context, mtls=False),
    }
    if port.mode == "STRICT":
        return [{**mesh, "filter_chain_match": {**at, "transport_protocol": "tls"}}, _refusal(label, at, port, context)]
    if port.mode == "DISABLE":
        return [plain, own_tls]
    match = {**at, "transport_protocol": "tls", "application_protocols": _MESH_ALPNS}
    return [{**mesh, "filter_chain_match": match}, plain, own_tls]


def _refusal(label: str, at: dict[str, Any], port: InboundPort, context: InboundContext) -> dict[str, Any]:
    """Plaintext under STRICT: refused without a byte to the application, and counted, so that somebody can see it."""
    tags = telemetry.destination_tags("tcp", service=port.service, mtls=False)
    proxy = filters.tcp_proxy(
        stat_prefix=f"strict_{label}",
        clusters={BLACKHOLE_CLUSTER: 1},
        access_log=telemetry.access_loggers({**tags, "flags": "PLAINTEXT_REFUSED"}, log=context.log),
    )
    return {
        "name": f"{label}-plaintext-refused",
        "filter_chain_match": {**at, "transport_protocol": "raw_buffer"},
        "filters": [proxy],
    }


def _filters(port: InboundPort, context: InboundContext, *, mtls: bool) -> list[Any]:
    if not port.http:
        return _tcp_filters(port, context, mtls=mtls)
    tags = telemetry.destination_tags("http", service=port.service, mtls=mtls)
    manager = filters.http_connection_manager(
        stat_prefix=f"inbound_{port.number}",
        access_log=telemetry.access_loggers(tags, log=context.log),
        route_name=inbound_cluster(port.number),
        http_filters=[*authz.http_filters(), check.check_filter()],
        mtls=mtls,
    )
    return [manager]


def _tcp_filters(port: InboundPort, context: InboundContext, *, mtls: bool) -> list[Any]:
    cluster = inbound_cluster(port.number) if port.number else INBOUND_PASSTHROUGH_CLUSTER
    tags = telemetry.destination_tags("tcp", service=port.service, mtls=mtls)
    proxy = filters.tcp_proxy(
        stat_prefix=cluster, clusters={cluster: 1}, access_log=telemetry.access_loggers(tags, log=context.log)
    )
    return [*authz.tcp_authorization(context.policies, context.trust_domain, "tcp."), proxy]


def build_inbound_route(
    port: InboundPort, policies: Sequence[Object[AuthorizationPolicy]], trust_domain: str, *, checked: bool
) -> Resource:
    """The routes of one HTTP port: all to the application, by leave of the policies and (if `checked`) of Mixer."""
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
        "routes": [{"match": {"prefix": "/"}, "route": action}],
        "typed_per_filter_config": {
            **authz.route_settings(policies, trust_domain),
            **(check.route_settings(port.service) if checked else {}),
        },
    }
    made = message("envoy.config.route.v3.RouteConfiguration")(
        name=name,
        virtual_hosts=[host],
        validate_clusters=v.wrap(False),
        ignore_path_parameters_in_path_matching=True,
    )
    return resource(name, made, clusters=[name])
