"""Routes: what happens to a request that a rule matched. It goes to destinations, is redirected, or answered.

Source: istio.io HTTPRoute; envoy.config.route.v3.Route.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import re2

from argosy.api.destination_rule import LoadBalancer
from argosy.api.routing import (
    Destination,
    DirectResponse,
    Headers,
    HTTPMatch,
    HTTPRedirect,
    HTTPRoute,
    HTTPRouteDestination,
)
from argosy.envoy import values as v
from argosy.pilot.build.resource import origin_fields
from argosy.pilot.build.route_filters import filter_settings
from argosy.pilot.build.route_headers import header_operations, host_to_set
from argosy.pilot.build.route_rules import OwnedRule, receiving

if TYPE_CHECKING:
    from argosy.pilot.build.routes import Resolve, RouteClient, Target

_PREFIX_KEPT = "%PREFIX()%"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_REDIRECT_CODES = {302: "FOUND", 303: "SEE_OTHER", 307: "TEMPORARY_REDIRECT", 308: "PERMANENT_REDIRECT"}


def build_route(
    one: OwnedRule,
    match: HTTPMatch,
    condition: dict[str, Any],
    retry_policy: dict[str, Any] | None,
    client: RouteClient,
    resolve: Resolve,
) -> dict[str, Any]:
    """One `Route`: `condition` is its match (the block `match` or a part of it), `client` who asks, and where."""
    rule, owner = one.rule, one.owner
    origin = origin_fields("VirtualService", owner.namespace, owner.name, owner.origin)
    route: dict[str, Any] = {
        "name": ".".join(filter(None, (rule.name, match.name))) or "default",
        "match": condition,
        "metadata": v.metadata(argosy=origin),
    }
    if match.stat_prefix:
        route["stat_prefix"] = match.stat_prefix
    if rule.redirect is not None:
        route["redirect"] = _redirect(rule.redirect, client)
    elif rule.direct_response is not None:
        route["direct_response"] = _direct_response(rule.direct_response)
    else:
        first = resolve(receiving(rule.route)[0].destination, owner.namespace)
        route["route"] = _action(rule, match, retry_policy, lambda destination: resolve(destination, owner.namespace))
        route.update(_operation(first))
    route.update(header_operations(rule.headers, _headers_of_the_only(rule)))
    if settings := filter_settings(rule):
        route["typed_per_filter_config"] = settings
    return route


def default_route(destination: Destination, resolve: Resolve, retry_policy: dict[str, Any] | None) -> dict[str, Any]:
    """The route of a host that no VirtualService is about."""
    target = resolve(destination, "")
    hashing = _hash_policy(target.balancer)
    action = {**_action_defaults(retry_policy), "cluster": target.cluster, **hashing}
    return {"name": "default", "match": {"prefix": "/"}, "route": action, **_operation(target)}


def _operation(target: Target) -> dict[str, Any]:
    """What a call is, for those who trace it; a server outside of the mesh sees it: `x-envoy-decorator-operation`."""
    return {"decorator": {"operation": target.operation}} if target.operation else {}


def _action_defaults(retry_policy: dict[str, Any] | None) -> dict[str, Any]:
    made = {"timeout": v.duration(0), "cluster_not_found_response_code": "SERVICE_UNAVAILABLE"}
    return {**made, "retry_policy": retry_policy} if retry_policy is not None else made


def _action(
    rule: HTTPRoute, match: HTTPMatch, retry_policy: dict[str, Any] | None, resolve: Callable[[Destination], Target]
) -> dict[str, Any]:
    action = _action_defaults(retry_policy)
    targets = [(one, resolve(one.destination)) for one in receiving(rule.route)]
    if len(rule.route) > 1:
        action["weighted_clusters"] = {"clusters": [_weighted(one, target) for one, target in targets]}
    else:
        action["cluster"] = targets[0][1].cluster
    action.update(next((policy for _one, target in targets if (policy := _hash_policy(target.balancer))), {}))
    if rule.timeout_s is not None:
        action["timeout"] = v.duration(rule.timeout_s)
    action.update(_rewrite(rule, match))
    if mirrors := _mirrors(rule, resolve):
        action["request_mirror_policies"] = mirrors
    return action


def _rewrite(rule: HTTPRoute, match: HTTPMatch) -> dict[str, Any]:
    made: dict[str, Any] = {}
    rewrite, host = rule.rewrite, host_to_set(rule.headers) or host_to_set(_headers_of_the_only(rule))
    if rewrite is not None:
        host = rewrite.authority or host
        if rewrite.uri_regex_rewrite is not None:
            regex = rewrite.uri_regex_rewrite
            made["regex_rewrite"] = {"pattern": v.regex(regex.match), "substitution": regex.rewrite}
        elif rewrite.uri:
            made.update(_prefix_rewrite(rewrite.uri, match))
    if host:
        made["host_rewrite_literal"] = host
    return made


def _prefix_rewrite(uri: str, match: HTTPMatch) -> dict[str, Any]:
    prefix = match.uri.prefix if match.uri is not None else None
    if uri != "/" or not prefix or prefix.endswith("/"):
        return {"prefix_rewrite": uri}
    # `/old` -> `/` would make `//rest` of `/old/rest`.
    case = "(?i)" if match.ignore_uri_case else ""
    return {
        "regex_rewrite": {"pattern": v.regex(f"^{case}{re2.escape(prefix)}(/?)(.*)"), "substitution": r"/\2"},
    }


def _mirrors(rule: HTTPRoute, resolve: Callable[[Destination], Target]) -> list[dict[str, Any]]:
    wanted = [(one.destination, 100.0 if one.percentage is None else one.percentage) for one in rule.mirrors]
    if rule.mirror is not None:
        wanted.append((rule.mirror, rule.mirror_share_percent))
    return [
        {"cluster": resolve(destination).cluster, "runtime_fraction": {"default_value": v.percent(share)}}
        for destination, share in wanted
        if share
    ]


def _headers_of_the_only(rule: HTTPRoute) -> Headers | None:
    """What a destination that has no other beside it changes: it says so after the rule, so that its word counts."""
    return rule.route[0].headers if len(rule.route) == 1 else None


def _weighted(one: HTTPRouteDestination, target: Target) -> dict[str, Any]:
    made: dict[str, Any] = {"name": target.cluster, "weight": v.wrap(one.weight)}
    if one.headers is not None:
        made.update(header_operations(one.headers))
        if host := host_to_set(one.headers):
            made["host_rewrite_literal"] = host
    return made


def _redirect(redirect: HTTPRedirect, client: RouteClient) -> dict[str, Any]:
    made: dict[str, Any] = {"response_code": _REDIRECT_CODES.get(redirect.redirect_code, "MOVED_PERMANENTLY")}
    if redirect.prefix_rewrite is not None:
        made["prefix_rewrite"] = redirect.prefix_rewrite
    elif redirect.uri.startswith(_PREFIX_KEPT):
        made["prefix_rewrite"] = redirect.uri.removeprefix(_PREFIX_KEPT)
    elif redirect.uri:
        made["path_redirect"] = redirect.uri
    if redirect.authority:
        made["host_redirect"] = redirect.authority
    if redirect.scheme:
        made["scheme_redirect"] = redirect.scheme
    # Routes are built for one port each, so the port that is asked on is known here.
    port = redirect.port or (client.port if redirect.derive_port == "FROM_REQUEST_PORT" else 0)
    if port and port != _DEFAULT_PORTS[redirect.scheme or ("https" if client.tls else "http")]:
        made["port_redirect"] = port
    return made


def _direct_response(response: DirectResponse) -> dict[str, Any]:
    made: dict[str, Any] = {"status": response.status}
    body = response.body
    if body is not None and body.bytes is not None:
        made["body"] = {"inline_bytes": b64decode(body.bytes)}
    elif body is not None:
        made["body"] = {"inline_string": body.string or ""}
    return made


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
        if hashing.http_cookie.attributes:
            cookie["attributes"] = [{"name": one.name, "value": one.value} for one in hashing.http_cookie.attributes]
        policy = {"cookie": cookie}
    elif hashing.http_query_parameter_name:
        policy = {"query_parameter": {"name": hashing.http_query_parameter_name}}
    elif hashing.use_source_ip:
        policy = {"connection_properties": {"source_ip": True}}
    else:
        return {}
    return {"hash_policy": [policy]}
