"""Attributes of a verified token, as checks and reports both have them.

Given the claims that the proxy's filter noted after it had verified the token. Claims that are texts, or lists of
texts, are in the map; raw claims are all of them as JSON. Source: Istio 1.4's attribute vocabulary (`request.auth.*`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from argosy.mixer.attributes import Value
from argosy.mixer.pod_attributes import put

FILTER, PAYLOAD = "envoy.filters.http.jwt_authn", "payload"
"""Where the claims stand in a request's metadata."""


def claims_of(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """The claims of the token that was verified; empty without one."""
    noted = metadata.get(FILTER)
    claims = noted.get(PAYLOAD) if isinstance(noted, Mapping) else None
    return claims if isinstance(claims, Mapping) else {}


def put_claims(bag: dict[str, Value], claims: Mapping[str, Any]) -> None:
    """The attributes of a token with these claims; none without claims."""
    if not claims:
        return
    bag["request.auth.claims"] = {name: text for name, value in claims.items() if (text := _text(value))}
    bag["request.auth.raw_claims"] = msgspec.json.encode(_plain(claims)).decode()
    issuer, subject = claims.get("iss"), claims.get("sub")
    if issuer and subject:
        bag["request.auth.principal"] = f"{issuer}/{subject}"
    put(bag, "request.auth.audiences", _text(claims.get("aud")))
    put(bag, "request.auth.presenter", _text(claims.get("azp")))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else ""


def _plain(value: Any) -> Any:
    """As the token had it: the proxy's notes know all numbers as fractions, and keep no order."""
    if isinstance(value, Mapping):
        return {name: _plain(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
