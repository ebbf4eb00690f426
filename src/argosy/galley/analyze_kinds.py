"""Rules of a kind that no port takes: HTTP rules for TCP, TCP rules for HTTP, TLS rules where a gateway ends TLS.

Given VirtualServices, what ports hosts have and which Gateways there are, gives warnings. What is not known is taken to
fit: that it is missing is told elsewhere. Pure. Source: istio.io VirtualService (`http`, `tls`, `tcp`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from argosy.api.gateway import Gateway, Server
from argosy.api.meta import Object
from argosy.api.routing import VirtualService
from argosy.core.errors import Finding, Level
from argosy.core.hosts import resolve_host
from argosy.core.names import MESH_GATEWAY, ObjectKey, gateway_key
from argosy.core.protocols import Protocol, parse_protocol

ALL = frozenset({"http", "tcp", "tls"})
_HINTS = {
    "http": "HTTP rules need a port whose name or appProtocol says http, or a gateway's server of HTTP or HTTPS",
    "tcp": "TCP rules need a port that is not HTTP, or a gateway's server of TCP",
    "tls": "TLS rules need a port of TLS, at gateways with mode PASSTHROUGH; where TLS ends the rules are http or tcp",
}
# A host -> what its ports speak; None if nobody declares it.
ProtocolsOf = Callable[[str], Iterable[Protocol] | None]


def analyze_kinds(
    services: Iterable[Object[VirtualService]], protocols: ProtocolsOf, gateways: Mapping[ObjectKey, Gateway]
) -> Iterator[Finding]:
    """The lists of rules that concern nobody."""
    for one in services:
        if not one.spec.hosts:
            continue
        taken = _taken(one, protocols, gateways)
        for kind, rules in (("http", one.spec.http), ("tcp", one.spec.tcp), ("tls", one.spec.tls)):
            if rules and kind not in taken:
                message = f"no port that these rules are for takes {kind} rules: they do nothing"
                place = (one.kind, one.namespace, one.name, f"spec.{kind}", one.origin, _HINTS[kind])
                yield Finding("ARG0215", Level.WARNING, message, *place)


def _taken(one: Object[VirtualService], protocols: ProtocolsOf, gateways: Mapping[ObjectKey, Gateway]) -> set[str]:
    taken: set[str] = set()
    for name in one.spec.gateways or (MESH_GATEWAY,):
        if name == MESH_GATEWAY:
            for host in one.spec.hosts:
                known = protocols(resolve_host(host, one.namespace))
                taken.update(ALL if known is None else (kind for port in known for kind in kinds_of_port(port)))
        else:
            gateway = gateways.get(gateway_key(name, one.namespace))
            servers = gateway.servers if gateway is not None else ()
            taken.update(ALL if gateway is None else (kind for server in servers for kind in kinds_of_server(server)))
    return taken


def kinds_of_port(protocol: Protocol) -> set[str]:
    """The kinds of rules for clients within the mesh that call a port of that protocol."""
    found = {"http"} if protocol.may_be_http else set()
    if not protocol.is_http:
        found.add("tcp")
    if protocol.is_tls or protocol is Protocol.AUTO:
        found.add("tls")
    return found


def kinds_of_server(server: Server) -> set[str]:
    """The kinds of rules for a server of a gateway."""
    protocol = parse_protocol(server.port.protocol) or Protocol.TCP
    mode = server.tls.mode if server.tls is not None and not server.tls.https_redirect else ""
    if mode == "PASSTHROUGH":
        return {"tls"}
    if mode == "AUTO_PASSTHROUGH":
        return set()
    return {"http"} if protocol.is_http or protocol is Protocol.HTTPS else {"tcp"}
