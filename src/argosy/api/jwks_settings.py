"""How the control plane fetches issuers' keys: settings of the mesh, as annotations of its ConfigMap.

Given annotations, gives settings, or says what is wrong with them. Pure. Istio has the like in environment variables of
its control plane (`PILOT_JWT_PUB_KEY_REFRESH_INTERVAL`, `BLOCKED_CIDRS_IN_JWKS_URIS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from argosy.api.scalars import DurationError, parse_duration_s

REFRESH = "argosy.io/jwks-refresh"
STALE = "argosy.io/jwks-stale"
BLOCKED = "argosy.io/jwks-blocked-cidrs"
NAMES = (REFRESH, STALE, BLOCKED)
PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
"""What `private` means among blocked networks. Source: RFC 1918, RFC 6598, RFC 4193."""

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class JWKSSettings:
    """Seconds. `stale_s`: how long keys are used that could not be fetched again; `blocked`: more networks that are
    never asked."""

    refresh_s: float = 1200.0
    stale_s: float = 86_400.0
    blocked: tuple[Network, ...] = ()


class JWKSSettingsError(ValueError):
    """An annotation cannot be read; `name` says which."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def parse_jwks_settings(annotations: Mapping[str, str]) -> JWKSSettings:
    """The settings among annotations, defaults for the rest; raises `JWKSSettingsError`."""
    default = JWKSSettings()
    return JWKSSettings(
        refresh_s=_duration(annotations, REFRESH, default.refresh_s),
        stale_s=_duration(annotations, STALE, default.stale_s),
        blocked=_networks(annotations.get(BLOCKED, "")),
    )


def _duration(annotations: Mapping[str, str], name: str, default: float) -> float:
    text = annotations.get(name)
    if text is None:
        return default
    try:
        seconds = parse_duration_s(text)
    except DurationError:
        raise JWKSSettingsError(name, f"{text!r} is not a duration") from None
    if seconds < 1:
        raise JWKSSettingsError(name, f"{text!r} is less than a second")
    return seconds


def _networks(text: str) -> tuple[Network, ...]:
    found: list[Network] = []
    for word in text.replace(",", " ").split():
        for one in PRIVATE if word == "private" else (word,):
            try:
                found.append(ip_network(one, strict=False))
            except ValueError:
                raise JWKSSettingsError(BLOCKED, f"{word!r} is neither a network nor `private`") from None
    return tuple(found)
