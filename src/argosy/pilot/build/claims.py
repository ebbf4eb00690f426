"""Matching on the claims of a verified token, alike for policies and routes.

The JWT filter puts the claims of a token that it has verified into the request's metadata; nothing that a client sends
comes there. Source: envoy.type.matcher.v3.MetadataMatcher; istio.io AuthorizationPolicy `request.auth.*`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NAMESPACE = "envoy.filters.http.jwt_authn"
PAYLOAD = "payload"
"""Where in the filter's metadata the claims stand."""
FAILED = "failed"
"""Where an audited token's fault stands."""


def claim(path: Sequence[str], value: dict[str, Any], *, invert: bool = False) -> dict[str, Any]:
    """A matcher of the claim at `path`."""
    keys = [{"key": name} for name in (PAYLOAD, *path)]
    made: dict[str, Any] = {"filter": NAMESPACE, "path": keys, "value": value}
    return {**made, "invert": True} if invert else made


def present() -> dict[str, Any]:
    """A value that is there, whatever it is."""
    return {"present_match": True}


def text(match: dict[str, Any]) -> dict[str, Any]:
    """A claim that is such a text, or a list that holds one. A number or a truth value is compared as JSON has it."""
    one = {"string_match": match}
    values = [one, {"list_match": {"one_of": one}}]
    exact = match.get("exact")
    if exact in ("true", "false"):
        values.append({"bool_match": exact == "true"})
    elif exact is not None and _is_number(exact):
        values.append({"double_match": {"exact": float(exact)}})
    return {"or_match": {"value_matchers": values}}


def _is_number(value: str) -> bool:
    digits = value.removeprefix("-").replace(".", "", 1)
    return digits.isascii() and digits.isdecimal() and len(digits) <= 15
