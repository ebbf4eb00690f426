"""RequestAuthentication: can its keys be had, and can its tokens be found?

Given typed objects, adds findings to a `Check`. Source: Istio's RequestAuthentication; RFC 7517; RFC 6265 for cookies.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from argosy.api.jwks import JWKSError, parse_jwks
from argosy.api.security import JWTRule, RequestAuthentication
from argosy.galley.validate.check import Check, is_dns_name, is_ip, member
from argosy.galley.validate.security import validate_selector

REQUIRE_ANNOTATION = "argosy.io/require-token"
_REQUIRE = ("true", "false", "audit")
_RULES_MAX = 4096
_URI_CHARS_MAX = 2048
_SPACED_MAX = 64
# What routing, framing and the mesh itself rely on is not overwritten by what a token says.
_RESERVED = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"})
_RESERVED_PREFIXES = ("x-argosy-", "x-envoy-", "x-istio-")
# What proxies say of the client; others of that name (`x-forwarded-user`) are for applications.
_FORWARDED = frozenset(f"x-forwarded-{one}" for one in ("for", "proto", "host", "port", "prefix", "client-cert"))


def validate_request_authentication(check: Check, policy: RequestAuthentication) -> None:
    """All rules about one RequestAuthentication."""
    validate_selector(check, policy.selector)
    mode = check.obj.annotations.get(REQUIRE_ANNOTATION)
    if mode is not None and mode not in _REQUIRE:
        hint = f"use one of {', '.join(_REQUIRE)}"
        check.error("ARG0183", member("metadata.annotations", REQUIRE_ANNOTATION), f"{mode!r} is not a mode", hint)
    if not policy.jwt_rules:
        check.warn("ARG0151", "spec", "without jwtRules it does nothing")
    if len(policy.jwt_rules) > _RULES_MAX:
        check.error("ARG0122", "spec.jwtRules", f"more than {_RULES_MAX} rules")
    for index, rule in enumerate(policy.jwt_rules):
        _validate_rule(check, f"spec.jwtRules[{index}]", rule)


def _validate_rule(check: Check, at: str, rule: JWTRule) -> None:
    check.not_empty(f"{at}.issuer", rule.issuer, "an issuer")
    check.printable(f"{at}.issuer", rule.issuer)
    _validate_keys(check, at, rule)
    for index, audience in enumerate(rule.audiences):
        check.not_empty(f"{at}.audiences[{index}]", audience, "an audience")
    _validate_places(check, at, rule)
    _validate_outputs(check, at, rule)
    for index, claim in enumerate(rule.space_delimited_claims):
        check.not_empty(f"{at}.spaceDelimitedClaims[{index}]", claim, "a claim")
    if len(rule.space_delimited_claims) > _SPACED_MAX:
        check.error("ARG0122", f"{at}.spaceDelimitedClaims", f"more than {_SPACED_MAX} claims")
    check.duration(f"{at}.timeout", rule.timeout_s)


def _validate_keys(check: Check, at: str, rule: JWTRule) -> None:
    given = {"jwks": rule.jwks, "jwksUri": rule.jwks_uri, "jwks_uri": rule.jwks_uri_snake}
    check.one_of(at, {name: bool(value) for name, value in given.items()}, required=False)
    if rule.jwks:
        try:
            parse_jwks(rule.jwks)
        except JWKSError as error:
            check.error("ARG0180", f"{at}.jwks", f"not a set of keys: {error}", 'write {"keys": [{"kty": "RSA", ...}]}')
    elif rule.keys_uri:
        name = "jwksUri" if rule.jwks_uri else "jwks_uri"
        _validate_uri(check, f"{at}.{name}", rule.keys_uri)
    elif rule.issuer and not rule.issuer.startswith(("http://", "https://")):
        message = f"the keys of {rule.issuer!r} cannot be found, so its tokens are refused: it is no address"
        check.warn("ARG0184", f"{at}.issuer", message, "add jwksUri or jwks")
    elif rule.issuer:
        _validate_uri(check, f"{at}.issuer", rule.issuer)


def _validate_uri(check: Check, at: str, uri: str) -> None:
    problem = _uri_problem(uri)
    if problem:
        check.error("ARG0181", at, f"keys cannot be fetched from {uri[:80]!r}: {problem}")


def _uri_problem(uri: str) -> str:
    if len(uri) > _URI_CHARS_MAX:
        return f"it is longer than {_URI_CHARS_MAX} characters"
    if any(char <= " " or ord(char) == 127 for char in uri):
        return "it has blanks or control characters"
    try:
        parts = urlsplit(uri)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "it is not an address"
    if parts.scheme not in ("http", "https"):
        return "the scheme is not http or https"
    if parts.username is not None or parts.password is not None:
        return "it names a user, and would show a password to everyone who reads the configuration"
    # Names of machines may have an underscore, which no Service has.
    if not host or not (is_ip(host) or is_dns_name(host.replace("_", "-"))):
        return "it has no host"
    return "that address is never asked for keys" if is_ip(host) and _is_local(host) else ""


def _is_local(host: str) -> bool:
    address = ipaddress.ip_address(host)
    return address.is_link_local or address.is_loopback or address.is_unspecified or address.is_multicast


def _validate_places(check: Check, at: str, rule: JWTRule) -> None:
    for index, header in enumerate(rule.from_headers):
        check.header_name(f"{at}.fromHeaders[{index}].name", header.name)
        check.printable(f"{at}.fromHeaders[{index}].prefix", header.prefix)
    places = [(f"[{n}]", (one.name.lower(), one.prefix)) for n, one in enumerate(rule.from_headers)]
    check.unique(f"{at}.fromHeaders", places, "header")
    for index, param in enumerate(rule.from_params):
        check.not_empty(f"{at}.fromParams[{index}]", param, "a parameter's name")
        check.printable(f"{at}.fromParams[{index}]", param)
    for index, cookie in enumerate(rule.from_cookies):
        check.header_name(f"{at}.fromCookies[{index}]", cookie)


def _validate_outputs(check: Check, at: str, rule: JWTRule) -> None:
    outputs = [(f"outputClaimToHeaders[{n}].header", one.header) for n, one in enumerate(rule.output_claim_to_headers)]
    if rule.output_payload_to_header:
        outputs.append(("outputPayloadToHeader", rule.output_payload_to_header))
    for where, name in outputs:
        check.header_name(f"{at}.{where}", name)
        if name.lower() in _RESERVED | _FORWARDED or name.lower().startswith(_RESERVED_PREFIXES):
            check.error("ARG0121", f"{at}.{where}", f"header {name!r} is not for applications", "choose another name")
    check.unique(at, [(f".{where}", name.lower()) for where, name in outputs], "header")
    for index, one in enumerate(rule.output_claim_to_headers):
        check.not_empty(f"{at}.outputClaimToHeaders[{index}].claim", one.claim, "a claim")
