"""Where the keys of an issuer come from: a value, and how rules name it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.api.jwks import JWKSError, KeySet, parse_jwks
from argosy.api.security import JWTRule, RequestAuthentication

DEFAULT_TIMEOUT_S = 5.0
TIMEOUT_S_MAX = 60.0
WELL_KNOWN = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True, order=True)
class KeySource:
    """A set of keys that must be fetched: at `uri`, or (`discover`) where the OpenID document at `uri` says."""

    uri: str
    discover: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S


def source_of(rule: JWTRule) -> KeySource | None:
    """What must be fetched for a rule; None if its keys are inline, or nowhere: its issuer is no address.

    Source: OpenID Connect Discovery 1.0, section 4.
    """
    if rule.jwks:
        return None
    timeout_s = min(float(rule.timeout_s or DEFAULT_TIMEOUT_S), TIMEOUT_S_MAX)
    if rule.keys_uri:
        return KeySource(rule.keys_uri, timeout_s=timeout_s)
    if not rule.issuer.startswith(("http://", "https://")):
        return None
    return KeySource(rule.issuer.removesuffix("/") + WELL_KNOWN, discover=True, timeout_s=timeout_s)


def sources_of(policy: RequestAuthentication) -> frozenset[KeySource]:
    """Everything that must be fetched for a policy."""
    return frozenset(source for rule in policy.jwt_rules if (source := source_of(rule)) is not None)


def inline_keys(rule: JWTRule) -> KeySet | None:
    """The keys that stand in a rule itself; None if there are none, or (which galley refuses) they cannot be used."""
    try:
        return parse_jwks(rule.jwks)
    except JWKSError:
        return None
