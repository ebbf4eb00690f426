"""`networking.istio.io`: how ports are named in its kinds.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, networking v1.
"""

from __future__ import annotations

from argosy.api.meta import Strict


class PortSelector(Strict, frozen=True, kw_only=True):
    """A port of a service, by number."""

    number: int


class Port(Strict, frozen=True, kw_only=True):
    """A port of a gateway's server or of a service entry."""

    number: int
    name: str
    protocol: str = ""
    target_port: int | None = None
