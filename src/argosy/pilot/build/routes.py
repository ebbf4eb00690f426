"""HTTP routes: virtual hosts from VirtualServices, and the route configurations that they belong to.

For sidecars each virtual host is a resource of its own (VHDS), so a change of one VirtualService sends its own routes
only; a gateway's route configuration carries its virtual hosts.
Source: istio.io VirtualService.http; envoy.config.route.v3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.api.destination_rule import LoadBalancer
from argosy.api.meta import Object, StringMatch
from argosy.api.routing import Destination, Headers, HTTPMatch, HTTPRoute, HTTPRouteDestination, VirtualService
from argosy.core.frozen import FrozenMap
from argosy.core.labels import selects
from argosy.core.names import BLACKHOLE_CLUSTER, HOST_HEADERS, PASSTHROUGH_CLUSTER
from argosy.envoy import values as v
from argosy.envoy.api import decode, encode, message, pack
from argosy.pilot.build.filters import ADS
from argosy.pilot.build.resource import ROUTE, VIRTUAL_HOST, origin_fields, resource_of_bytes
from argosy.xds.messages import Resource

# By default only what cannot have been processed is repeated; a 503 of the application may have been.
_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,reset-before-request"
_FAULT_KEY = "envoy.filters.http.fault"
_FAULT = "envoy.extensions.filters.http.fault.v3.HTTPFault"

# What a destination means here: its cluster's name, and the load balancer of its policy (for hashing).
Target = tuple[str, LoadBalancer | None]
Resolve = Callable[[Destination], Target]


@dataclass(frozen=True, slots=True)
class VirtualHostPart:
    """An encoded `envoy.config.route.v3.VirtualHost` and the clusters that its routes name."""

    name: str
    body: bytes
    clusters: frozenset[str]


@dataclass(frozen=True, slots=True)
class RouteClient:
    """Who routes are built for: what the static conditions of a match are checked against."""

    gateway: str
    namespace: str
    labels: FrozenMap[str, str]
    port: int


def build_virtual_host(
    *,
    name: str,
    domains: Iterable[str],
    virtual_service: Object[VirtualService] | None,
    client: RouteClient,
    resolve: Resolve,
    fallback: Destination | None,
    require_tls: bool = False,
) -> VirtualHostPart:
    """One virtual host. Without a VirtualService (or HTTP rules in it) everything goes to `fallback`."""
    clusters: set[str] = set()

    def resolve_noted(destination: Destination) -> Target:
        target = resolve(destination)
        clusters.add(target[0])
        return target

    routes: list[Any] = []
    if virtual_service is not None and virtual_service.spec.http:
        for rule in virtual_service.spec.http:
            routes += _routes_of_rule(virtual_service, rule, client, resolve_noted)
    elif fallback is not None:
        routes.append(_default_route(fallback, resolve_noted))
    made = message("envoy.config.route.v3.VirtualHost")(
        name=name,
        domains=sorted(set(domains)),
        routes=routes,
        include_request_attempt_count=True,
        require_tls="ALL" if require_tls else "NONE",
    )
    return VirtualHostPart(name, encode(made), frozenset(clusters))


def join_virtual_hosts(parts: Sequence[VirtualHostPart]) -> VirtualHostPart:
    """One virtual host of several VirtualServices for one host of a gateway.

    Shape: the first part's, with the routes of all in order; those that match every request go last, so that no
    object hides another's routes. Source: istio.io, "Split large virtual services".
    """
    if len(parts) == 1:
        return parts[0]
    kind = "envoy.config.route.v3.VirtualHost"
    decoded = [decode(kind, part.body) for part in parts]
    routes = sorted((route for one in decoded for route in one.routes), key=_matches_all)
    made = decoded[0]
    del made.routes[:]
    made.routes.extend(routes)
    return VirtualHostPart(parts[0].name, encode(made), frozenset().union(*(part.clusters for part in parts)))


def _matches_all(route: Any) -> bool:
    match = route.match
    return bool(match.prefix == "/" and not match.headers and not match.query_parameters)


def passthrough_virtual_host(route: str) -> VirtualHostPart:
    """What requests to hosts that nobody declares get: their original destination."""
    return _catch_all(virtual_host_name(route, "allow_any"), PASSTHROUGH_CLUSTER)


def virtual_host_name(route: str, host: str) -> str:
    """Name of the virtual host of `host` in route configuration `route`; Envoy finds the latter by the prefix."""
    return f"{route}/{host}"


def blackhole_virtual_host() -> VirtualHostPart:
    """What a gateway answers for hosts that it does not serve: 404."""
    made = message("envoy.config.route.v3.VirtualHost")(name="blackhole", domains=["*"])
    return VirtualHostPart("blackhole", encode(made), frozenset())


def _catch_all(name: str, cluster: str) -> VirtualHostPart:
    route = {
        "name": name,
        "match": {"prefix": "/"},
        "route": {"cluster": cluster, "timeout": v.duration(0)},
    }
    made = message("envoy.config.route.v3.VirtualHost")(
        name=name, domains=["*"], routes=[route], include_request_attempt_count=True
    )
    return VirtualHostPart(name, encode(made), frozenset() if cluster == BLACKHOLE_CLUSTER else frozenset({cluster}))


def virtual_host_resource(part: VirtualHostPart) -> Resource:
    """A virtual host as a resource of its own."""
    return resource_of_bytes(VIRTUAL_HOST, part.name, part.body, clusters=part.clusters)


def build_open_route_configuration(name: str) -> Resource:
    """A route configuration whose virtual hosts come one by one, as resources `<name>/<host>`."""
    return resource_of_bytes(ROUTE, name, encode(_head(name, vhds={"config_source": ADS})))


def _head(name: str, **fields: Any) -> Any:
    return message("envoy.config.route.v3.RouteConfiguration")(
        name=name,
        validate_clusters=v.wrap(False),
        ignore_port_in_host_matching=True,
        ignore_path_parameters_in_path_matching=True,
        max_direct_response_body_size_bytes=v.wrap(1 << 20),
        **fields,
    )


def build_route_configuration(name: str, parts: Iterable[VirtualHostPart]) -> Resource:
    """Put virtual hosts together. Shape: sorted by name; domains are unique by construction."""
    ordered = sorted(parts, key=lambda part: part.name)
    body = encode(_head(name)) + b"".join(_VIRTUAL_HOSTS_TAG + _varint(len(part.body)) + part.body for part in ordered)
    clusters = set().union(*(part.clusters for part in ordered)) if ordered else set()
    return resource_of_bytes(ROUTE, name, body, clusters=clusters)


_VIRTUAL_HOSTS_TAG = b"\x12"  # RouteConfiguration.virtual_hosts = 2, length-delimited


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def weights(route: Any, resolve: Resolve) -> dict[str, int]:
    """Clusters by weight of an L4 route; a single destination needs no weight."""
    targets: dict[str, int] = {}
    for one in route:
        cluster, _balancer = resolve(one.destination)
        targets[cluster] = targets.get(cluster, 0) + (one.weight or (1 if len(route) == 1 else 0))
    return targets


def _default_route(destination: Destination, resolve: Resolve) -> dict[str, Any]:
    cluster, balancer = resolve(destination)
    action = {**_action_defaults(), "cluster": cluster, **_hash_policy(balancer)}
    return {"name": "default", "match": {"prefix": "/"}, "route": action}


def _action_defaults() -> dict[str, Any]:
    return {
        "timeout": v.duration(0),
        "retry_policy": _retry_policy(2, _RETRY_ON, None),
        "cluster_not_found_response_code": "SERVICE_UNAVAILABLE",
    }


def _routes_of_rule(
    virtual_service: Object[VirtualService], rule: HTTPRoute, client: RouteClient, resolve: Resolve
) -> list[Any]:
    matches = [match for match in rule.match if _concerns(match, virtual_service, client)]
    if rule.match and not matches:
        return []
    route = _route(virtual_service, rule, resolve)
    return [{**route, "match": _match(match)} for match in matches or (HTTPMatch(),)]


def _concerns(match: HTTPMatch, virtual_service: Object[VirtualService], client: RouteClient) -> bool:
    """Whether a match block can hold for this client at all; what is known beforehand needs no check per request."""
    if match.gateways and not any(
        gateway == client.gateway or f"{virtual_service.namespace}/{gateway}" == client.gateway
        for gateway in match.gateways
    ):
        return False
    if match.port is not None and match.port != client.port:
        return False
    if match.source_namespace and match.source_namespace != client.namespace:
        return False
    return selects(match.source_labels, client.labels)


def _route(virtual_service: Object[VirtualService], rule: HTTPRoute, resolve: Resolve) -> dict[str, Any]:
    origin = origin_fields("VirtualService", virtual_service.namespace, virtual_service.name, virtual_service.origin)
    route: dict[str, Any] = {"name": rule.name or "default", "metadata": v.metadata(argosy=origin)}
    if rule.redirect is not None:
        route["redirect"] = _redirect(rule)
    elif rule.direct_response is not None:
        body = rule.direct_response.body
        route["direct_response"] = {
            "status": rule.direct_response.status,
            **({"body": {"inline_string": body.string}} if body else {}),
        }
    else:
        route["route"] = _action(rule, resolve)
    if rule.headers is not None:
        route.update(_header_operations(rule.headers))
    if rule.fault is not None:
        route["typed_per_filter_config"] = {_FAULT_KEY: pack(_fault(rule))}
    return route


def _action(rule: HTTPRoute, resolve: Resolve) -> dict[str, Any]:
    action = _action_defaults()
    targets = [(one, resolve(one.destination)) for one in rule.route]
    if len(targets) == 1:
        action["cluster"] = targets[0][1][0]
        if targets[0][0].headers is not None:
            # A single destination's own headers need the weighted form, which is where Envoy has them.
            action["weighted_clusters"] = {"clusters": [_weighted(*targets[0], alone=True)]}
            del action["cluster"]
    else:
        action["weighted_clusters"] = {"clusters": [_weighted(one, target) for one, target in targets if one.weight]}
    action.update(next((policy for _one, (_c, lb) in targets if (policy := _hash_policy(lb))), {}))
    if rule.timeout_s is not None:
        action["timeout"] = v.duration(rule.timeout_s)
    if rule.retries is not None:
        retries = rule.retries
        if retries.attempts:
            action["retry_policy"] = _retry_policy(
                retries.attempts, retries.retry_on or _RETRY_ON, retries.per_try_timeout_s
            )
        else:
            del action["retry_policy"]
    host = _host_to_set(rule.headers)
    if rule.rewrite is not None:
        if rule.rewrite.uri:
            action["prefix_rewrite"] = rule.rewrite.uri
        host = rule.rewrite.authority or host
    if host:
        action["host_rewrite_literal"] = host
    if rule.mirror is not None:
        cluster, _balancer = resolve(rule.mirror)
        fraction = {"default_value": v.percent(rule.mirror_share_percent)}
        action["request_mirror_policies"] = [{"cluster": cluster, "runtime_fraction": fraction}]
    return action


def _weighted(one: HTTPRouteDestination, target: Target, *, alone: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = {"name": target[0], "weight": v.wrap(1 if alone else one.weight)}
    if one.headers is not None:
        made.update(_header_operations(one.headers))
        if host := _host_to_set(one.headers):
            made["host_rewrite_literal"] = host
    return made


def _host_to_set(headers: Headers | None) -> str:
    """The value that `headers` set the request's host to; Envoy takes that as a rewrite only, not as a header."""
    operations = headers.request if headers is not None else None
    items = operations.set.items() if operations is not None else ()
    return next((value for name, value in items if name.lower() in HOST_HEADERS), "")


def _retry_policy(attempts: int, retry_on: str, per_try_timeout_s: float | None) -> dict[str, Any]:
    conditions = [one.strip() for one in retry_on.split(",")]
    codes = [int(one) for one in conditions if one.isdigit()]
    names = [one for one in conditions if not one.isdigit()]
    if codes and "retriable-status-codes" not in names:
        names.append("retriable-status-codes")
    policy: dict[str, Any] = {
        "retry_on": ",".join(names),
        "num_retries": v.wrap(attempts),
        "retry_host_predicate": [
            v.extension(
                "envoy.retry_host_predicates.previous_hosts",
                "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        "host_selection_retry_max_attempts": 5,
    }
    if "retriable-status-codes" in names:
        policy["retriable_status_codes"] = codes or [503]
    if per_try_timeout_s is not None:
        policy["per_try_timeout"] = v.duration(per_try_timeout_s)
    return policy


def _redirect(rule: HTTPRoute) -> dict[str, Any]:
    redirect = rule.redirect
    assert redirect is not None
    codes = {301: "MOVED_PERMANENTLY", 302: "FOUND", 303: "SEE_OTHER", 307: "TEMPORARY_REDIRECT"}
    made: dict[str, Any] = {"response_code": codes.get(redirect.redirect_code, "PERMANENT_REDIRECT")}
    if redirect.uri:
        made["path_redirect"] = redirect.uri
    if redirect.authority:
        made["host_redirect"] = redirect.authority
    if redirect.scheme:
        made["scheme_redirect"] = redirect.scheme
    if redirect.port:
        made["port_redirect"] = redirect.port
    return made


def _fault(rule: HTTPRoute) -> Any:
    assert rule.fault is not None
    fields: dict[str, Any] = {}
    delay, abort = rule.fault.delay, rule.fault.abort
    if delay is not None and delay.fixed_delay_s is not None:
        fields["delay"] = {
            "fixed_delay": v.duration(delay.fixed_delay_s),
            "percentage": v.percent(delay.share_percent),
        }
    if abort is not None and abort.http_status is not None:
        fields["abort"] = {"http_status": abort.http_status, "percentage": v.percent(abort.share_percent)}
    return message(_FAULT)(**fields)


def _header_operations(headers: Headers) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for side, operations in (("request", headers.request), ("response", headers.response)):
        if operations is None:
            continue
        made[f"{side}_headers_to_add"] = [
            *_header_values(operations.set, "OVERWRITE_IF_EXISTS_OR_ADD"),
            *_header_values(operations.add, "APPEND_IF_EXISTS_OR_ADD"),
        ]
        made[f"{side}_headers_to_remove"] = list(operations.remove)
    return made


def _header_values(values: Mapping[str, str], action: str) -> list[dict[str, Any]]:
    """All but the host, which `_host_to_set` gives and Envoy refuses here."""
    return [
        {"header": {"key": key, "value": value}, "append_action": action}
        for key, value in values.items()
        if key.lower() not in HOST_HEADERS
    ]


def _hash_policy(balancer: LoadBalancer | None) -> dict[str, Any]:
    hashing = balancer.consistent_hash if balancer is not None else None
    if hashing is None:
        return {}
    if hashing.http_header_name:
        policy: dict[str, Any] = {"header": {"header_name": hashing.http_header_name}}
    elif hashing.http_cookie is not None:
        cookie: dict[str, Any] = {"name": hashing.http_cookie.name}
        if hashing.http_cookie.ttl_s is not None:
            cookie["ttl"] = v.duration(hashing.http_cookie.ttl_s)
        if hashing.http_cookie.path:
            cookie["path"] = hashing.http_cookie.path
        policy = {"cookie": cookie}
    elif hashing.http_query_parameter_name:
        policy = {"query_parameter": {"name": hashing.http_query_parameter_name}}
    else:
        policy = {"connection_properties": {"source_ip": True}}
    return {"hash_policy": [policy]}


def _match(match: HTTPMatch) -> dict[str, Any]:
    made = _path_match(match.uri, ignore_case=match.ignore_uri_case)
    headers = [_header_match(name, one) for name, one in match.headers.items()]
    headers += [_without(name, one) for name, one in match.without_headers.items()]
    for pseudo, one in ((":method", match.method), (":authority", match.authority), (":scheme", match.scheme)):
        if one is not None:
            headers.append(_header_match(pseudo, one))
    if headers:
        made["headers"] = headers
    if match.query_params:
        made["query_parameters"] = [_query_match(name, one) for name, one in match.query_params.items()]
    return made


def _path_match(uri: StringMatch | None, *, ignore_case: bool) -> dict[str, Any]:
    if uri is None or (uri.exact is None and uri.prefix is None and uri.regex is None):
        return {"prefix": "/"}
    case = {"case_sensitive": v.wrap(False)} if ignore_case else {}
    if uri.exact is not None:
        return {"path": uri.exact, **case}
    if uri.prefix is not None:
        return {"prefix": uri.prefix, **case}
    return {"safe_regex": v.regex(uri.regex or "")}


def _header_match(name: str, one: StringMatch) -> dict[str, Any]:
    if one.exact is None and one.prefix is None and one.regex is None:
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": _string_match(one)}


def _without(name: str, one: StringMatch) -> dict[str, Any]:
    """A header that must not match; one that is absent does not, which Envoy must be told if a value is meant."""
    made = {**_header_match(name, one), "invert_match": True}
    return made if "present_match" in made else {**made, "treat_missing_header_as_empty": True}


def _query_match(name: str, one: StringMatch) -> dict[str, Any]:
    if one.exact is None and one.prefix is None and one.regex is None:
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": _string_match(one)}


def _string_match(one: StringMatch) -> dict[str, Any]:
    if one.exact is not None:
        return {"exact": one.exact}
    if one.prefix is not None:
        return {"prefix": one.prefix}
    return {"safe_regex": v.regex(one.regex or "")}
