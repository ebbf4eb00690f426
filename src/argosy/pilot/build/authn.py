"""Request authentication: the JWT filter of inbound chains and gateways, and what it is told.

The filter stands in every HTTP chain and takes its configuration from a resource of its own (extension configuration
discovery). So a new policy or a new key holds from the next request on, and touches no listener, whose change would
close connections. Keys are always inline: the control plane fetches them. An issuer whose keys were never loaded has
none, so that its tokens are refused.
Source: envoy.extensions.filters.http.jwt_authn.v3; envoy.config.core.v3.TypedExtensionConfig.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from argosy.api.jwks import KeySet
from argosy.api.meta import Object
from argosy.api.security import JWTRule, RequestAuthentication
from argosy.envoy import values as v
from argosy.envoy.api import message
from argosy.pilot.build.authn_requirements import (
    SANITIZER,
    Demand,
    Group,
    NamedRule,
    claim_headers,
    demand,
    groups,
    locations,
    named_rules,
    odd_bearers,
    reads_bearers,
    requirement,
    sanitized,
    spellings,
)
from argosy.pilot.build.claims import FAILED, PAYLOAD
from argosy.pilot.build.filters import discovered_filter
from argosy.pilot.build.resource import extension
from argosy.xds.messages import Resource

NAME = "envoy.filters.http.jwt_authn"
_TYPE = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_PREFLIGHT = [
    {"name": ":method", "string_match": {"exact": "OPTIONS"}},
    {"name": "origin", "present_match": True},
    {"name": "access-control-request-method", "present_match": True},
]
# An issuer that no token names, at a place where none stands.
_NO_ISSUER = "argosy:none"
_NO_PLACE = {"from_headers": [{"name": "x-argosy-no-token", "value_prefix": "none "}]}
_SPACED = ("scope", "permission")
"""Claims that are lists written with blanks, whatever a rule says."""

FindKeys = Callable[[JWTRule], KeySet]


def authn_filter() -> Any:
    """The filter of every HTTP chain that a policy may concern; until its configuration has come, no chain opens."""
    return discovered_filter(NAME, _TYPE)


def build_request_authentication(
    policies: Sequence[Object[RequestAuthentication]], keys: FindKeys, *, routes_by_claims: bool
) -> Resource:
    """What the filter of a workload is told; without policies it lets everything pass.

    `routes_by_claims`: the route is chosen anew once the claims are known, as gateways need it.
    """
    rules = named_rules(policies)
    found = groups(rules)
    fields: dict[str, Any] = {}
    if rules:
        wanted = demand(policies)
        headers = claim_headers(policies)
        made = _Providers(keys, headers, routes_by_claims=routes_by_claims, audit=wanted is Demand.AUDIT)
        asked = {"match": {"prefix": "/"}, "requires": requirement(found, wanted)}
        fields = {"providers": made.all(found), "rules": [*_preflights(wanted), *_odd(rules, wanted), asked]}
    return extension(NAME, message(_TYPE)(**fields))


def _odd(rules: Sequence[NamedRule], wanted: Demand) -> list[dict[str, Any]]:
    """Requests with a token that the filter would pass over, and the application might not: a provider without keys."""
    if wanted is Demand.AUDIT or not reads_bearers(rules):
        return []
    header = {"name": "authorization", "string_match": {"safe_regex": v.regex(odd_bearers())}}
    return [{"match": {"prefix": "/", "headers": [header]}, "requires": {"provider_name": SANITIZER}}]


def _preflights(wanted: Demand) -> list[dict[str, Any]]:
    """A browser asks beforehand without credentials: no token is looked at. Source: Fetch standard, CORS-preflight."""
    if wanted is Demand.AUDIT:
        return []
    return [{"match": {"prefix": "/", "headers": _PREFLIGHT}, "requires": sanitized()}]


class _Providers:
    """Makes the providers that requirements name."""

    def __init__(self, keys: FindKeys, headers: Sequence[str], *, routes_by_claims: bool, audit: bool) -> None:
        self._keys = keys
        self._headers = headers
        self._fixed: dict[str, Any] = {"payload_in_metadata": PAYLOAD}
        if routes_by_claims:
            self._fixed["clear_route_cache"] = True
        if audit:
            self._fixed["failed_status_in_metadata"] = FAILED

    def all(self, found: Sequence[Group]) -> dict[str, Any]:
        # Envoy removes the headers that a provider names before it looks for tokens.
        removed = [{"header_name": name, "claim_name": "none"} for one in self._headers for name in spellings(one)]
        made = {SANITIZER: {"issuer": _NO_ISSUER, **_NO_PLACE, **_no_keys(), "claim_to_headers": removed}}
        for group in found:
            made[group.guard] = {"issuer": _NO_ISSUER, **locations(group.places), **_no_keys()}
            for rule in group.rules:
                made[group.provider(rule)] = self._provider(rule.rule, group)
        return made

    def _provider(self, rule: JWTRule, group: Group) -> dict[str, Any]:
        spaced = list(dict.fromkeys((*_SPACED, *rule.space_delimited_claims)))
        return {
            "issuer": rule.issuer,
            "audiences": list(rule.audiences),
            "local_jwks": {"inline_string": self._keys(rule).text},
            "forward": rule.forward_original_token,
            "forward_payload_header": rule.output_payload_to_header,
            "claim_to_headers": [
                {"header_name": one.header, "claim_name": one.claim} for one in rule.output_claim_to_headers
            ],
            "normalize_payload_in_metadata": {"space_delimited_claims": spaced},
            **locations(group.places),
            **self._fixed,
        }


def _no_keys() -> dict[str, Any]:
    return {"local_jwks": {"inline_string": ""}}
