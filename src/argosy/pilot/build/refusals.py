"""Mixer's refusals given by the proxy itself: conditions, and routes that answer.

Given refusals in their order, gives for HTTP the settings that wake two filters, and routes. The first filter notes
which refusal's condition holds, before routes are chosen anew by the second; a route of that refusal then answers with
Mixer's words, and asks nobody. All of it stands in route configurations: a change of rules holds from the next request
on, and no listener changes. For TCP it gives a filter that closes the connection.
Source: envoy.extensions.filters.{http,network}.rbac.v3, .http.set_filter_state.v3; RouteMatch.dynamic_metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from argosy.core.names import DENIED_BY_HEADER
from argosy.envoy import values as v
from argosy.envoy.api import decode, message, pack
from argosy.envoy.cel import encode_term
from argosy.envoy.refusal import Refusal
from argosy.pilot.build.filters import http_filter, network_filter

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


def route_settings(refusals: Sequence[Refusal]) -> dict[str, Any]:
    """What wakes the filters on a virtual host."""
    if not refusals:
        return {}
    noted = message(_RBAC)(shadow_rules=_rules(refusals), shadow_rules_stat_prefix=_PREFIX)
    return {CONDITIONS: pack(message(f"{_RBAC}PerRoute")(rbac=noted)), AGAIN: pack(_choose_again())}


def refusal_routes(refusals: Sequence[Refusal], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """One route for each refusal, to stand before all others. `settings`: of filters that must not run there."""
    return [_route(name, refusal, settings) for name, refusal in _named(refusals)]


def refusing_filter(refusals: Sequence[Refusal], prefix: str) -> Any:
    """A filter that closes refused connections before anybody reads from them."""
    made = message(_NETWORK)(stat_prefix=prefix, rules=_rules(refusals))
    return network_filter("envoy.filters.network.rbac", made)


def _choose_again() -> Any:
    """A filter that has the route chosen anew; what it notes is not used."""
    noted = {"object_key": "argosy.refusals", "factory_key": "envoy.string"}
    text = {"text_format_source": {"inline_string": "known"}}
    return message(_STATE)(on_request_headers=[{**noted, "format_string": text}], clear_route_cache=True)


def _named(refusals: Sequence[Refusal]) -> list[tuple[str, Refusal]]:
    """Refusals by names whose order is theirs: Envoy tries rules by their names, as text."""
    return [(f"{number:04d} {refusal.rule}", refusal) for number, refusal in enumerate(refusals)]


def _rules(refusals: Sequence[Refusal]) -> Any:
    policies = {name: _policy(refusal) for name, refusal in _named(refusals)}
    return message("envoy.config.rbac.v3.RBAC")(action="DENY", policies=policies)


def _policy(refusal: Refusal) -> dict[str, Any]:
    return {
        "permissions": [{"any": True}],
        "principals": _principals(refusal),
        "condition": decode("google.api.expr.v1alpha1.Expr", encode_term(refusal.condition)),
        "cel_config": {"enable_string_concat": True},
    }


def _principals(refusal: Refusal) -> list[dict[str, Any]]:
    if not refusal.networks:
        return [{"any": True}]
    inside = [{"direct_remote_ip": v.cidr(network)} for network in refusal.networks]
    return [{"not_id": {"or_ids": {"ids": inside}}}] if refusal.outside else inside


def _route(name: str, refusal: Refusal, settings: dict[str, Any]) -> dict[str, Any]:
    noted = {"filter": _NOTES, "path": [{"key": _NOTED}], "value": {"string_match": {"exact": name}}}
    answer: dict[str, Any] = {"status": refusal.status}
    if refusal.formatted:
        answer["body_format"] = {"text_format_source": {"inline_string": refusal.body}}
    else:
        answer["body"] = {"inline_string": refusal.body}
    return {
        "name": f"refusal {name}",
        "match": {"prefix": "/", "dynamic_metadata": [noted]},
        "direct_response": answer,
        "response_headers_to_add": [{"header": {"key": DENIED_BY_HEADER, "value": refusal.rule}}],
        "typed_per_filter_config": settings,
    }
