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
from argosy.core.names import ObjectKey
from argosy.core.protocols import Protocol, parse_protocol
from argosy.envoy import values as v
from argosy.envoy.api import message
from argosy.pilot.build import filters, telemetry, tls
from argosy.pilot.build.listeners import tls_inspector
from argosy.pilot.build.resource import origin_fields, resource
from argosy.xds.messages import Resource

_LISTENER = "envoy.config.listener.v3.Listener"


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
    def terminates(self) -> bool:
        """True if the gateway itself ends TLS here."""
        own = self.server.tls
        return own is not None and own.mode != "PASSTHROUGH" and not self.plain_http

    @property
    def plain_http(self) -> bool:
        """True for HTTP without TLS (also where it only redirects to HTTPS)."""
        return self.protocol.is_http and (self.server.tls is None or self.server.tls.https_redirect)

    @property
    def route_name(self) -> str:
        """Name of the route configuration that this server's requests use."""
        if self.plain_http:
            return f"http.{self.bind_port}"
        return f"https.{self.server.port.number}.{self.server.port.name}.{self.key.name}.{self.key.namespace}"

    def hosts(self) -> list[tuple[str, str]]:
        """The server's hosts as (namespace of the VirtualServices that may bind, host); namespace `*` is any."""
        found = []
        for host in self.server.hosts:
            namespace, slash, name = host.partition("/")
            found.append((namespace, name) if slash else ("*", namespace))
        return [(self.key.namespace if namespace == "." else namespace, host) for namespace, host in found]

    def admits(self, namespace: str, host: str) -> str | None:
        """The host that a VirtualService of `namespace` gets at this server for its `host`: the narrower of the two."""
        for allowed, own in self.hosts():
            if allowed not in ("*", namespace):
                continue
            if host_matches(own, host):
                return host
            if host_matches(host, own):
                return own
        return None


def build_gateway_listener(
    *,
    bind_port: int,
    servers: Sequence[ServerRef],
    tcp_targets: Mapping[ServerRef, Mapping[str, int]],
    sni_targets: Sequence[tuple[ServerRef, tuple[str, ...], Mapping[str, int]]],
    trust_domain: str,
    log: bool,
) -> Resource | None:
    """One listener of a gateway, or None if no server of the port leads anywhere yet.

    `tcp_targets`: for TCP servers, clusters by weight; `sni_targets`: for PASSTHROUGH servers, by server names.
    """
    name = f"0.0.0.0_{bind_port}"
    chains: list[dict[str, Any]] = []
    taken = _Taken()
    # In the order of the Gateways: what Envoy could not tell from an earlier server is left out, because it would
    # refuse the whole listener, and with it everybody else's servers.
    for ref in servers:
        if ref.plain_http:
            if taken.plain():
                chains.append({"name": ref.route_name, "filters": [_manager(ref, log=log)]})
        elif ref.terminates and ref.server.tls is not None:
            inner = _terminated(ref, tcp_targets.get(ref, {}), log=log)
            names = taken.names([host for _namespace, host in ref.hosts()]) if inner is not None else ()
            if names:
                chains.append(
                    {
                        "name": ref.route_name,
                        "filter_chain_match": {**_server_names(names), "transport_protocol": "tls"},
                        "transport_socket": tls.terminate(ref.server.tls, trust_domain=trust_domain),
                        "filters": [inner],
                    }
                )
        elif tcp_targets.get(ref) and taken.plain():
            chains.append({"name": f"tcp.{bind_port}", "filters": [_tcp(ref, tcp_targets[ref], log=log)]})
    for ref, wanted, clusters in sni_targets:
        if names := taken.names(wanted):
            match = {**_server_names(names), "transport_protocol": "tls"}
            chain = {"name": f"{ref.route_name}.{names[0]}", "filter_chain_match": match}
            chains.append({**chain, "filters": [_tcp(ref, clusters, log=log)]})
    if not chains:
        return None
    used = [cluster for targets in tcp_targets.values() for cluster in targets]
    used += [cluster for _ref, _names, targets in sni_targets for cluster in targets]
    first = servers[0]
    origin = origin_fields("Gateway", first.key.namespace, first.key.name, first.gateway.origin)
    made = message(_LISTENER)(
        name=name,
        address=v.socket_address("0.0.0.0", bind_port),
        traffic_direction="OUTBOUND",
        metadata=v.metadata(argosy=origin),
        listener_filters=[tls_inspector()] if any("filter_chain_match" in chain for chain in chains) else [],
        filter_chains=chains,
    )
    return resource(name, made, clusters=used)


class _Taken:
    """What the chains of one listener match already."""

    def __init__(self) -> None:
        self._plain = False
        self._names: set[str] = set()

    def plain(self) -> bool:
        """Take everything that is not TLS, once."""
        free, self._plain = not self._plain, True
        return free

    def names(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """Take those of the TLS server names that are free; `*` is every name that nobody else has."""
        # `*` stands for a chain without names, so beside it no other name is needed.
        asked = {"*"} if "*" in wanted else {name.lower() for name in wanted}
        free = tuple(sorted(asked - self._names))
        self._names.update(free)
        return free


def _manager(ref: ServerRef, *, log: bool) -> Any:
    return filters.http_connection_manager(
        stat_prefix=f"gateway_{ref.route_name}",
        access_log=telemetry.access_loggers(telemetry.source_tags("http"), log=log),
        route_name=ref.route_name,
        http_filters=[filters.fault_filter()],
        edge=True,
    )


def _terminated(ref: ServerRef, clusters: Mapping[str, int], *, log: bool) -> Any | None:
    if ref.protocol in (Protocol.HTTPS, Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC):
        return _manager(ref, log=log)
    return _tcp(ref, clusters, log=log) if clusters else None


def _tcp(ref: ServerRef, clusters: Mapping[str, int], *, log: bool) -> Any:
    loggers = telemetry.access_loggers(telemetry.source_tags("tcp"), log=log)
    return filters.tcp_proxy(stat_prefix=f"gateway_{ref.route_name}", clusters=clusters, access_log=loggers)


def _server_names(hosts: Sequence[str]) -> dict[str, Any]:
    # `*` means any name: no condition at all.
    return {} if "*" in hosts else {"server_names": sorted(set(hosts))}
