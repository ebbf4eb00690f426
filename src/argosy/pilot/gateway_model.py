"""What one class of gateways serves: the servers that select it, the VirtualServices bound to them, its secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from argosy.api.meta import Object
from argosy.api.routing import VirtualService
from argosy.core.frozen import EMPTY
from argosy.core.hosts import resolve_host
from argosy.core.labels import selects
from argosy.core.names import ObjectKey
from argosy.incr import Reader
from argosy.pilot import registry
from argosy.pilot.build import gateways, routes, secrets
from argosy.pilot.build.gateways import ServerRef
from argosy.pilot.classes import ProxyClass
from argosy.pilot.scopes import EVERYBODY
from argosy.xds.messages import Resource

if TYPE_CHECKING:
    from argosy.pilot.model import Model


class GatewayModel:
    """The derived function `gateway`, over the collections of a `Model`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.mesh = model.mesh

    def gateway(self, read: Reader, key: ProxyClass) -> tuple[Resource, ...]:
        """All listeners, route configurations and secrets of one class of gateways."""
        settings = registry.settings(read, self.mesh)
        servers = self._servers(read, key)
        by_bind: dict[int, list[ServerRef]] = {}
        for ref in servers:
            by_bind.setdefault(ref.bind_port, []).append(ref)
        made: dict[tuple[str, str], Resource] = {}
        for bind_port, refs in sorted(by_bind.items()):
            listener = gateways.build_gateway_listener(
                bind_port=bind_port,
                servers=refs,
                tcp_targets={ref: found for ref in refs if (found := self._tcp(read, key, ref))},
                sni_targets=[one for ref in refs for one in self._sni(read, key, ref)],
                trust_domain=settings.trust_domain,
                log=settings.access_log,
            )
            if listener is not None:
                made[listener.type_url, listener.name] = listener
        for one in [*self._routes(read, key, servers), *self._secrets(read, key, servers)]:
            made[one.type_url, one.name] = one
        return tuple(made.values())

    def _servers(self, read: Reader, key: ProxyClass) -> list[ServerRef]:
        ports = registry.settings(read, self.mesh).gateway_ports
        found = []
        for name in read.all_keys(self.mesh.gateways):
            gateway = read.get(self.mesh.gateways, name)
            if gateway is not None and selects(gateway.spec.selector, key.labels):
                for server in gateway.spec.servers:
                    found.append(ServerRef(gateway, server, ports.get(server.port.number, server.port.number)))
        return found

    def _bound(self, read: Reader, ref: ServerRef) -> list[Object[VirtualService]]:
        return [value for _key, value in read.select(self.mesh.virtual_services_by_gateway, ref.key)]

    def _routes(self, read: Reader, key: ProxyClass, servers: list[ServerRef]) -> list[Resource]:
        by_name: dict[str, list[ServerRef]] = {}
        for ref in servers:
            if ref.plain_http or (ref.terminates and ref.protocol.value in ("HTTPS", "HTTP", "HTTP2", "GRPC")):
                by_name.setdefault(ref.route_name, []).append(ref)
        made = []
        for name, refs in sorted(by_name.items()):
            found: dict[str, dict[ObjectKey, routes.VirtualHostPart]] = {}
            for ref in refs:
                for owner, part in self._virtual_hosts(read, key, ref):
                    # Bound by several servers, a VirtualService is there once all the same.
                    found.setdefault(part.name, {}).setdefault(owner, part)
            parts = [routes.join_virtual_hosts(list(by_owner.values())) for by_owner in found.values()]
            if not any(part.name.startswith("*:") for part in parts):
                parts.append(routes.blackhole_virtual_host())
            made.append(routes.build_route_configuration(name, parts))
        return made

    def _virtual_hosts(
        self, read: Reader, key: ProxyClass, ref: ServerRef
    ) -> list[tuple[ObjectKey, routes.VirtualHostPart]]:
        port = ref.server.port.number
        client = routes.RouteClient(str(ref.key), key.namespace, EMPTY, port)
        scope = read.get(self.model.client_scope, key) or EVERYBODY
        made = []
        for bound in self._bound(read, ref):
            if not bound.spec.http:
                continue
            for host in bound.spec.hosts:
                admitted = ref.admits(bound.namespace, resolve_host(host, bound.namespace))
                if admitted is not None:
                    part = routes.build_virtual_host(
                        name=f"{admitted}:{ref.bind_port}",
                        domains=[admitted],
                        virtual_service=bound,
                        client=client,
                        resolve=self.model.outbound.resolver(read, bound, scope, port),
                        fallback=None,
                        require_tls=bool(ref.server.tls and ref.server.tls.https_redirect),
                    )
                    made.append((bound.key, part))
        return made

    def _tcp(self, read: Reader, key: ProxyClass, ref: ServerRef) -> dict[str, int]:
        port = ref.server.port.number
        scope = read.get(self.model.client_scope, key) or EVERYBODY
        for bound in self._bound(read, ref):
            for rule in bound.spec.tcp:
                if not rule.match or any(_at_gateway(match, ref, bound, port) for match in rule.match):
                    return routes.weights(rule.route, self.model.outbound.resolver(read, bound, scope, port))
        return {}

    def _sni(
        self, read: Reader, key: ProxyClass, ref: ServerRef
    ) -> list[tuple[ServerRef, tuple[str, ...], dict[str, int]]]:
        if ref.terminates or ref.plain_http or ref.server.tls is None:
            return []
        port = ref.server.port.number
        scope = read.get(self.model.client_scope, key) or EVERYBODY
        found = []
        for bound in self._bound(read, ref):
            for rule in bound.spec.tls:
                resolve = self.model.outbound.resolver(read, bound, scope, port)
                for match in rule.match:
                    if _at_gateway(match, ref, bound, port):
                        found.append((ref, match.sni_hosts, routes.weights(rule.route, resolve)))
        return found

    def _secrets(self, read: Reader, key: ProxyClass, servers: list[ServerRef]) -> list[Resource]:
        names: set[str] = set()
        for ref in servers:
            tls = ref.server.tls
            if ref.terminates and tls is not None and tls.credential_name:
                names.add(tls.credential_name)
                if tls.mode in ("MUTUAL", "OPTIONAL_MUTUAL"):
                    names.add(tls.credential_name + secrets.CA_SUFFIX)
        made = []
        for name in sorted(names):
            base = name.removesuffix(secrets.CA_SUFFIX)
            # Only Secrets beside the gateway itself: a Gateway object elsewhere cannot reach other namespaces' keys.
            secret = read.get(self.mesh.kinds["Secret"], ObjectKey(key.namespace, name)) or read.get(
                self.mesh.kinds["Secret"], ObjectKey(key.namespace, base)
            )
            built = secrets.build_secret(name, secret) if secret is not None else None
            if built is not None:
                made.append(built)
        return made


def _at_gateway(match: Any, ref: ServerRef, bound: Object[VirtualService], port: int) -> bool:
    names = {f"{bound.namespace}/{name}" if "/" not in name else name for name in match.gateways}
    return (match.port is None or match.port == port) and (not names or str(ref.key) in names)
