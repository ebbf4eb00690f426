"""Scopes: what resources depend on, cut as coarse as the configuration allows, so that many proxies share one answer.

Pure keys and the lookups that make them; nothing is built here.
"""

from __future__ import annotations

from dataclasses import dataclass

from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.names import ObjectKey


@dataclass(frozen=True, slots=True, order=True)
class RouteScope:
    """What outbound routes depend on: the client's namespace, its rule scope, and labels where a match reads them."""

    namespace: str
    rules: str = ""
    labels: FrozenMap[str, str] = EMPTY


@dataclass(frozen=True, slots=True, order=True)
class RuledHost:
    """A host under one DestinationRule (or none): what clusters and endpoints depend on."""

    host: str
    rule: ObjectKey | None = None


@dataclass(frozen=True, slots=True, order=True)
class ScopedHost:
    """How clients of one scope call a host; without a scope, all clients that need nothing of their own."""

    host: str
    scope: RouteScope | None = None

    @property
    def client(self) -> RouteScope:
        """The scope to build for."""
        return self.scope or SHARED


SHARED = RouteScope("")
"""The scope of no namespace in particular."""


@dataclass(frozen=True, slots=True, order=True)
class ServerKey:
    """What a server's mutual TLS depends on."""

    namespace: str
    labels: FrozenMap[str, str]
    port: int


def exported(export_to: tuple[str, ...], owner: str, client: str) -> bool:
    """Whether an object of namespace `owner` is visible to clients of `client` (Istio's `exportTo`; empty is all)."""
    return not export_to or any(one == "*" or one == client or (one == "." and owner == client) for one in export_to)
