"""HTTP routes: virtual hosts from VirtualServices, and the route configurations that they belong to.

For sidecars each virtual host is a resource of its own (VHDS), so a change of one VirtualService sends its own routes
only; a gateway's route configuration carries its virtual hosts.
Source: istio.io VirtualService.http; envoy.config.route.v3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple

from argosy.api.destination_rule import LoadBalancer, TCPPool, Tunnel
from argosy.api.meta import Object
from argosy.api.routing import Destination, HTTPMatch, HTTPRetry, VirtualService
from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.labels import selects
from argosy.core.names import BLACKHOLE_CLUSTER, DIRECT_CLUSTER, gateway_name
from argosy.envoy import values as v
from argosy.envoy.api import encode, message
from argosy.pilot.build import direct, filters
from argosy.pilot.build.check import ATTRIBUTES_HEADER, name_services
from argosy.pilot.build.resource import ROUTE, VIRTUAL_HOST, resource_of_bytes
from argosy.pilot.build.route_action import build_route, default_route
from argosy.pilot.build.route_match import asks_for_safe_method, build_match, matches_all, repeatable
from argosy.pilot.build.route_retries import Retries, build_retries
from argosy.pilot.build.route_rules import OwnedRule
from argosy.pilot.checking import ASLEEP, Checking
from argosy.xds.messages import Resource


class Target(NamedTuple):
    """What a destination means here: its cluster's name, and what of its policy routes and listeners need."""

    cluster: str
    balancer: LoadBalancer | None = None
    tunnel: Tunnel | None = None
    pool: TCPPool | None = None
    detected: bool = False
    """Its servers detect the protocol."""
    dynamic_port: int = 0
    """For hosts that are resolved when they are called: the port that connections to them go to."""
    operation: str = ""
    """What a call of it is, for those who trace it."""
    known: bool = True
    """Somebody declares the host; what is routed to any other is answered 503."""
    http1: bool = False
    """It is called by HTTP/1 in any case: no gRPC call succeeds there."""

    @property
    def by_source(self) -> bool:
        """True if the servers are chosen by the client's address."""
        hashing = self.balancer.consistent_hash if self.balancer is not None else None
        return hashing is not None and bool(hashing.use_source_ip)


# (a destination, the namespace of the object that names it) -> what it means
Resolve = Callable[[Destination, str], Target]


_MISDIRECTED = 421
_REFUSED_STATUS = 502
OTHERS = "others"
"""Name of the virtual host for hosts that nobody declared."""
REFUSED = "block_all"
"""Name of the route that refuses hosts which nobody declared."""


@dataclass(frozen=True, slots=True)
class VirtualHostPart:
    """An encoded `envoy.config.route.v3.VirtualHost` and the clusters that its routes name."""

    name: str
    body: bytes
    clusters: frozenset[str]
    routes: int = 0
    """How many routes of VirtualServices it has, or of the host's own."""


@dataclass(frozen=True, slots=True)
class RouteClient:
    """Who routes are built for: what the static conditions of a match are checked against. `gateways`: all through
    which requests come here; `tls`: they come by TLS that ends here."""

    gateways: frozenset[str]
    namespace: str
    labels: FrozenMap[str, str]
    port: int
    tls: bool = False


@dataclass(frozen=True, slots=True)
class ClientRule:
    """A rule, and for whom it is built."""

    rule: OwnedRule
    client: RouteClient


def build_virtual_host(
    *,
    name: str,
    domains: Iterable[str],
    rules: Sequence[ClientRule],
    resolve: Resolve,
    fallback: Destination | None,
    default_retries: HTTPRetry | None = None,
    require_tls: bool = False,
    checking: Checking = ASLEEP,
) -> VirtualHostPart:
    """One virtual host. Where no rule is about these clients and this port everything goes to `fallback` (a host in
    full), as if there were no rules.

    Rules of several VirtualServices stand in the order given; routes that match every request go last, so that no
    object hides another's routes. Source: istio.io, "Split large virtual services".
    """
    clusters: set[str] = set()
    only_http1 = True

    def resolve_noted(destination: Destination, namespace: str) -> Target:
        nonlocal only_http1
        target = resolve(destination, namespace)
        if target.known:
            clusters.add(target.cluster)
        only_http1 &= target.http1
        return target

    made_of: list[tuple[bool, dict[str, Any]]] = []
    for one in rules:
        made_of += _routes_of_rule(one.rule, one.client, resolve_noted, default_retries)
    if len({one.rule.owner.key for one in rules}) > 1:
        made_of.sort(key=itemgetter(0))
    routes = [route for _takes_all, route in made_of]
    if checking.concern.http:
        name_services(routes, checking)
    if not routes and fallback is not None:
        routes.append(default_route(fallback, resolve_noted, build_retries(None, default_retries).others))
    made = message("envoy.config.route.v3.VirtualHost")(
        name=name,
        domains=sorted(set(domains)),
        routes=routes,
        include_request_attempt_count=True,
        require_tls="ALL" if require_tls else "NONE",
        typed_per_filter_config={} if only_http1 else filters.counted_messages(),
    )
    return VirtualHostPart(name, encode(made), frozenset(clusters), len(routes))


def unknown_virtual_host(route: str, cluster: str, refused: bool, *, by_address: bool = False) -> VirtualHostPart:
    """What requests to hosts that nobody declares get: their original destination (or what `cluster` is), or 502.

    `by_address`: connections to addresses of the mesh's pods are told apart, and go there under mutual TLS.
    """
    if not refused:
        return _catch_all(virtual_host_name(route, OTHERS), cluster, by_address=by_address)
    answer = {
        "name": REFUSED,
        "match": {"prefix": "/"},
        "direct_response": {"status": _REFUSED_STATUS},
        "metadata": v.metadata(argosy={"service": BLACKHOLE_CLUSTER}),
    }
    # One name whatever it does: of two, the one that comes would meet the one that goes.
    name = virtual_host_name(route, OTHERS)
    made = message("envoy.config.route.v3.VirtualHost")(name=name, domains=["*"], routes=[answer])
    return VirtualHostPart(name, encode(made), frozenset())


def virtual_host_name(route: str, host: str) -> str:
    """Name of the virtual host of `host` in route configuration `route`; Envoy finds the latter by the prefix."""
    return f"{route}/{host}"


def catch_all_virtual_host(route: str, *, misdirected: bool) -> VirtualHostPart:
    """What a gateway answers for hosts that it does not serve: 404, or 421 where they are not the connection's."""
    # The name of a host `*` that is served: where one replaces the other, Envoy has no moment with two of them.
    name = virtual_host_name(route, "*")
    if misdirected:
        return misdirected_virtual_host(name, "*")
    made = message("envoy.config.route.v3.VirtualHost")(name=name, domains=["*"])
    return VirtualHostPart(name, encode(made), frozenset())


def misdirected_virtual_host(name: str, host: str) -> VirtualHostPart:
    """What a gateway answers on a connection for one certificate to a request for another's host: 421.

    A browser that shared the connection then opens one of its own. Source: RFC 9110, 15.5.20.
    """
    route = {"name": "misdirected", "match": {"prefix": "/"}, "direct_response": {"status": _MISDIRECTED}}
    made = message("envoy.config.route.v3.VirtualHost")(name=name, domains=[host], routes=[route])
    return VirtualHostPart(name, encode(made), frozenset())


def _catch_all(name: str, cluster: str, *, by_address: bool) -> VirtualHostPart:
    route = {
        "name": name,
        "match": {"prefix": "/"},
        "route": {"cluster": cluster, "timeout": v.duration(0)},
    }
    made = message("envoy.config.route.v3.VirtualHost")(
        name=name,
        domains=["*"],
        routes=[*([direct.route()] if by_address else []), route],
        include_request_attempt_count=True,
        typed_per_filter_config=filters.counted_messages(),
    )
    clusters = frozenset() if cluster == BLACKHOLE_CLUSTER else frozenset({cluster})
    return VirtualHostPart(name, encode(made), clusters | ({DIRECT_CLUSTER} if by_address else set()))


def virtual_host_resource(part: VirtualHostPart) -> Resource:
    """A virtual host as a resource of its own."""
    return resource_of_bytes(VIRTUAL_HOST, part.name, part.body, clusters=part.clusters)


def build_open_route_configuration(name: str, filter_settings: Mapping[str, Any] = EMPTY) -> Resource:
    """A route configuration whose virtual hosts come one by one, as resources `<name>/<host>`.

    `filter_settings`: what its filters do for all of them, by the filter's name.
    """
    made = _head(name, vhds={"config_source": filters.ADS}, typed_per_filter_config=dict(filter_settings))
    return resource_of_bytes(ROUTE, name, encode(made))


def _head(name: str, **fields: Any) -> Any:
    return message("envoy.config.route.v3.RouteConfiguration")(
        name=name,
        validate_clusters=v.wrap(False),
        ignore_port_in_host_matching=True,
        ignore_path_parameters_in_path_matching=True,
        max_direct_response_body_size_bytes=v.wrap(1 << 20),
        # A mark of Envoy's own for a client that it trusts; it says nothing to anybody else.
        request_headers_to_remove=["x-envoy-internal", ATTRIBUTES_HEADER],
        **fields,
    )


def weights(route: Any, namespace: str, resolve: Resolve) -> dict[str, int]:
    """Clusters by weight of an L4 route of an object in `namespace`; a single destination needs no weight."""
    targets: dict[str, int] = {}
    for one in route:
        cluster = resolve(one.destination, namespace).cluster
        targets[cluster] = targets.get(cluster, 0) + (one.weight or (1 if len(route) == 1 else 0))
    return targets


def _routes_of_rule(
    one: OwnedRule, client: RouteClient, resolve: Resolve, default_retries: HTTPRetry | None
) -> list[tuple[bool, dict[str, Any]]]:
    """The routes of a rule in order, and for each whether its block takes every request (alone, or with the others that
    were made of the block)."""
    matches = [match for match in one.rule.match if _concerns(match, one.owner, client)]
    if one.rule.match and not matches:
        return []
    retries = build_retries(one.rule.retries, default_retries, hashed=_is_hashed(one, resolve))
    made: list[tuple[bool, dict[str, Any]]] = []
    for match in matches or [HTTPMatch()]:
        takes_all = matches_all(build_match(match))
        made += [(takes_all, route) for route in _routes_of_match(one, match, retries, client, resolve)]
    return made


def _is_hashed(one: OwnedRule, resolve: Resolve) -> bool:
    """True for a single destination whose servers are chosen by what a request says."""
    if len(one.rule.route) != 1:
        return False
    balancer = resolve(one.rule.route[0].destination, one.owner.namespace).balancer
    return balancer is not None and balancer.consistent_hash is not None


def _routes_of_match(
    one: OwnedRule, match: HTTPMatch, retries: Retries, client: RouteClient, resolve: Resolve
) -> list[dict[str, Any]]:
    condition = build_match(match)
    if asks_for_safe_method(match) or not retries.differ or not one.rule.route:
        return [build_route(one, match, condition, retries.repeatable, client, resolve)]
    made = [build_route(one, match, safe, retries.repeatable, client, resolve) for safe in repeatable(condition)]
    return [*made, build_route(one, match, condition, retries.others, client, resolve)]


def _concerns(match: HTTPMatch, owner: Object[VirtualService], client: RouteClient) -> bool:
    """Whether a match block can hold for this client at all; what is known beforehand needs no check per request."""
    if match.gateways and client.gateways.isdisjoint(gateway_name(one, owner.namespace) for one in match.gateways):
        return False
    if match.port is not None and match.port != client.port:
        return False
    if match.source_namespace and match.source_namespace != client.namespace:
        return False
    return selects(match.source_labels, client.labels)
