"""Match blocks: the conditions of a VirtualService's HTTP rule as Envoy checks them for each request.

Source: istio.io HTTPMatchRequest; envoy.config.route.v3.RouteMatch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from argosy.api.meta import StringMatch
from argosy.api.routing import HTTPMatch
from argosy.core.claims import ROUTE_HEADER, route_claim
from argosy.envoy import values as v
from argosy.pilot.build import claims

# Repeating these is harmless by their definition (RFC 9110, safe methods).
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")
IDEMPOTENCY_KEY = "idempotency-key"


def build_match(match: HTTPMatch) -> dict[str, Any]:
    """A `RouteMatch` of one block."""
    match = match.narrowed
    made = _path_match(match.uri, ignore_case=match.ignore_uri_case)
    headers = [_header_match(name, one) for name, one in match.headers.items() if not is_claim(name)]
    headers += [_without(name, one) for name, one in match.without_headers.items() if not is_claim(name)]
    for pseudo, one in ((":method", match.method), (":authority", match.authority), (":scheme", match.scheme)):
        if one is not None:
            headers.append(_header_match(pseudo, one))
    if headers:
        made["headers"] = headers
    if claims_ := _claims(match):
        made["dynamic_metadata"] = claims_
    if match.query_params:
        made["query_parameters"] = [_present_or(name, one) for name, one in match.query_params.items()]
    return made


def is_claim(name: str) -> bool:
    """True for a header that stands for a claim of the request's token."""
    return name.startswith(ROUTE_HEADER)


def _claims(match: HTTPMatch) -> list[dict[str, Any]]:
    """Conditions on the claims of a verified token. Source: istio.io, routing based on JWT claims."""
    made = []
    for named, invert in ((match.headers, False), (match.without_headers, True)):
        for name, one in named.items():
            if is_claim(name):
                value = claims.present() if one.is_presence else claims.text(string_match(one))
                # Galley refuses names that cannot be read; one that came another way is no claim of any token.
                made.append(claims.claim(route_claim(name) or (name,), value, invert=invert))
    return made


def matches_all(match: dict[str, Any]) -> bool:
    """True for the match of every request."""
    any_path = match.get("prefix") == "/" or match.get("safe_regex") == v.regex(".*")
    return any_path and match.keys() <= {"prefix", "safe_regex", "case_sensitive"}


def repeatable(match: dict[str, Any]) -> list[dict[str, Any]]:
    """That match, twice: for requests that may be repeated because their method is safe, or because they say so."""
    safe = {"name": ":method", "string_match": {"safe_regex": v.regex("|".join(_SAFE_METHODS))}}
    keyed = {"name": IDEMPOTENCY_KEY, "present_match": True}
    return [_and(match, (safe,)), _and(match, (keyed,))]


def asks_for_safe_method(match: HTTPMatch) -> bool:
    """True if only requests of a safe method can match."""
    return match.method is not None and match.method.exact in _SAFE_METHODS


def _and(match: dict[str, Any], more: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {**match, "headers": [*match.get("headers", ()), *more]}


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
    return _present_or(name, one)


def _without(name: str, one: StringMatch) -> dict[str, Any]:
    """A header that must not match. One that is absent reads as an empty one if a value is meant: so `.*` matches it,
    and no request is without that; "absent" is `{}`. Source: Istio's routes."""
    made = {**_present_or(name, one), "invert_match": True}
    return made if "present_match" in made else {**made, "treat_missing_header_as_empty": True}


def _present_or(name: str, one: StringMatch) -> dict[str, Any]:
    if one.is_presence:
        return {"name": name, "present_match": True}
    return {"name": name, "string_match": string_match(one)}


def string_match(one: StringMatch) -> dict[str, Any]:
    """An `envoy.type.matcher.v3.StringMatcher`."""
    if one.exact is not None:
        return {"exact": one.exact}
    if one.prefix is not None:
        return {"prefix": one.prefix}
    return {"safe_regex": v.regex(one.regex or "")}
