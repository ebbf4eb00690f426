"""What Mixer's rules have the proxy itself do: conditions, routes that answer, routes that change headers.

Given refusals in their order and variants of headers, gives for HTTP the settings that wake two filters, and routes.
The first filter notes whose condition holds, before the second has the route chosen anew; the route of a refusal then
answers with Mixer's words, and asks nobody. All of it stands in route configurations: a change of rules holds from the
next request on, and no listener changes. For TCP it gives a filter that closes the connection.
Source: envoy.extensions.filters.{http,network}.rbac.v3, .http.set_filter_state.v3; RouteMatch.dynamic_metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from argosy.core.names import DENIED_BY_HEADER, REFUSAL_ROUTE
from argosy.envoy import values as v
from argosy.envoy.api import decode, message, pack
from argosy.envoy.cel import TRUE, Term, encode_term
from argosy.envoy.refusal import HeaderChange, HeaderVariant, Refusal
from argosy.pilot.build.filters import http_filter, network_filter
from argosy.pilot.checking import Checking

CONDITIONS, AGAIN = "envoy.filters.http.rbac.mixer", "argosy.refusals.again"
_RBAC = "envoy.extensions.filters.http.rbac.v3.RBAC"
_NETWORK = "envoy.extensions.filters.network.rbac.v3.RBAC"
_STATE = "envoy.extensions.filters.http.set_filter_state.v3.Config"
_NOTES = "envoy.filters.http.rbac"
_PREFIX = "mixer_"
_NOTED = f"{_PREFIX}shadow_effective_policy_id"


def refusal_filters() -> list[Any]:
    """The filters of every HTTP chain, asleep."""
    return [
        http_filter(CONDITIONS, message(_RBAC)(), disabled=True),
        http_filter(AGAIN, _choose_again(), disabled=True),
    ]


def route_settings(checking: Checking) -> dict[str, Any]:
    """What wakes the filters on a virtual host."""
    rules = _rules(checking)
    if not rules.policies:
        return {}
    noted = message(_RBAC)(shadow_rules=rules, shadow_rules_stat_prefix=_PREFIX)
    return {CONDITIONS: pack(message(f"{_RBAC}PerRoute")(rbac=noted)), AGAIN: pack(_choose_again())}


def refusal_routes(checking: Checking, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """One route for each refusal, to stand before all others. `settings`: of filters that must not run there."""
    return [_refusal_route(name, refusal, settings) for name, refusal in _named(checking.refusals)]


def application_routes(checking: Checking, action: dict[str, Any]) -> list[dict[str, Any]]:
    """The routes to the application: as it is called, and before that those on which Mixer's rules change headers."""
    always = [one for one in checking.variants if one.condition == TRUE]
    # As logs name it.
    named = {"name": "default", "route": action}
    plain: dict[str, Any] = {"match": {"prefix": "/"}, **named}
    made = [
        {"match": {"prefix": "/", "dynamic_metadata": [_noted(name)]}, **named, **_header_changes(variant)}
        for name, variant in _named_variants(checking)
    ]
    return [*made, {**plain, **_header_changes(always[0])} if always else plain]


def refusing_filter(checking: Checking, prefix: str) -> Any:
    """A filter that closes refused connections before anybody reads from them."""
    made = message(_NETWORK)(stat_prefix=prefix, rules=_rules(checking))
    return network_filter("envoy.filters.network.rbac", made)


def _choose_again() -> Any:
    """A filter that has the route chosen anew; what it notes is not used."""
    noted = {"object_key": "argosy.refusals", "factory_key": "envoy.string"}
    text = {"text_format_source": {"inline_string": "known"}}
    return message(_STATE)(on_request_headers=[{**noted, "format_string": text}], clear_route_cache=True)


def _named(refusals: Sequence[Refusal]) -> list[tuple[str, Refusal]]:
    """Refusals by names whose order is theirs: Envoy tries rules by their names, as text."""
    return [(f"{number:04d} {refusal.rule}", refusal) for number, refusal in enumerate(refusals)]


def _named_variants(checking: Checking) -> list[tuple[str, HeaderVariant]]:
    """Variants of headers by names that come after those of refusals."""
    conditional = [one for one in checking.variants if one.condition != TRUE]
    return [(f"{len(checking.refusals) + number:04d} headers", one) for number, one in enumerate(conditional)]


def _rules(checking: Checking) -> Any:
    policies = {name: _policy(refusal.condition, _principals(refusal)) for name, refusal in _named(checking.refusals)}
    for name, variant in _named_variants(checking):
        policies[name] = _policy(variant.condition, [{"any": True}])
    return message("envoy.config.rbac.v3.RBAC")(action="DENY", policies=policies)


def _policy(condition: Term, principals: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "permissions": [{"any": True}],
        "principals": principals,
        "condition": decode("google.api.expr.v1alpha1.Expr", encode_term(condition)),
        "cel_config": {"enable_string_concat": True},
    }


def _principals(refusal: Refusal) -> list[dict[str, Any]]:
    if not refusal.networks:
        return [{"any": True}]
    inside = [{"direct_remote_ip": v.cidr(network)} for network in refusal.networks]
    return [{"not_id": {"or_ids": {"ids": inside}}}] if refusal.outside else inside


def _noted(name: str) -> dict[str, Any]:
    """Matches requests about which `name` was noted."""
    return {"filter": _NOTES, "path": [{"key": _NOTED}], "value": {"string_match": {"exact": name}}}


def _header_changes(variant: HeaderVariant) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for side, changes in (("request", variant.request), ("response", variant.response)):
        made[f"{side}_headers_to_remove"] = [change.name for change in changes if change.value is None]
        made[f"{side}_headers_to_add"] = [_option(change) for change in changes if change.value is not None]
    return made


def _option(change: HeaderChange) -> dict[str, Any]:
    action = "APPEND_IF_EXISTS_OR_ADD" if change.append else "OVERWRITE_IF_EXISTS_OR_ADD"
    value = (change.value or "").replace("%", "%%")
    return {"header": {"key": change.name, "value": value}, "append_action": action, "keep_empty_value": True}


def _refusal_route(name: str, refusal: Refusal, settings: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"status": refusal.status}
    if refusal.formatted:
        answer["body_format"] = {"text_format_source": {"inline_string": refusal.body}}
    else:
        answer["body"] = {"inline_string": refusal.body}
    return {
        "name": f"{REFUSAL_ROUTE}{name}",
        "match": {"prefix": "/", "dynamic_metadata": [_noted(name)]},
        "direct_response": answer,
        "response_headers_to_add": [{"header": {"key": DENIED_BY_HEADER, "value": refusal.rule}}],
        "typed_per_filter_config": settings,
    }
