"""Scopes: what resources depend on, cut as coarse as the configuration allows, so that many proxies share one answer.

Pure keys and the lookups that make them; nothing is built here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.names import ObjectKey
from argosy.pilot.observed import Observation


@dataclass(frozen=True, slots=True, order=True)
class RuleScope:
    """Whose DestinationRules a client obeys: blank where nothing of its own concerns it, so that clients share."""

    namespace: str = ""
    labels: FrozenMap[str, str] = EMPTY
    """The client's labels, where a rule's `workloadSelector` reads them."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a client is: its locality, and those of its labels by which some destination ranks endpoints."""

    locality: str = ""
    labels: FrozenMap[str, str] = EMPTY
    workload: str = ""
    """`namespace/workload` of the client, where some destination asks how its replicas are spread over zones."""


@dataclass(frozen=True, slots=True, order=True)
class ClientScope:
    """What the clusters that a proxy calls by depend on. Each part is blank where nothing in the mesh reads it."""

    rules: RuleScope = RuleScope()
    sees: str = ""
    """The client's namespace, where `exportTo` keeps some hosts from some namespaces."""
    sidecar: str = ""
    """`namespace/name` of the Sidecar that limits what the client sees."""
    place: Place = Place()
    """Where the client is, if some destination is balanced by locality."""

    @property
    def for_routes(self) -> ClientScope:
        """What of it routes and listeners depend on; where a client is matters for endpoints only."""
        return replace(self, place=Place())

    @property
    def is_shared(self) -> bool:
        """True for what every client sees alike."""
        return self == EVERYBODY


@dataclass(frozen=True, slots=True)
class RouteScope:
    """What outbound routes depend on: the client's namespace, its scope, and labels where a match reads them."""

    namespace: str
    client: ClientScope = ClientScope()
    labels: FrozenMap[str, str] = EMPTY
    observation: Observation | None = None
    """What the client logs and traces, which its listeners depend on; None where it is what everyone does."""

    @property
    def for_hosts(self) -> RouteScope:
        """What of it routes depend on."""
        return replace(self, observation=None) if self.observation is not None else self


@dataclass(frozen=True, slots=True, order=True)
class OwnHost:
    """A host as `owner` declares it for some namespaces, apart from what counts for all others."""

    host: str
    owner: str


HostKey = str | OwnHost
"""A host as all see it, or as those do whom somebody declares it apart."""


@dataclass(frozen=True, slots=True)
class RuledHost:
    """A host under one DestinationRule (or none): what clusters and endpoints depend on."""

    host: HostKey
    rule: ObjectKey | None = None
    place: Place = Place()
    """Where the client is, if the rule (or the mesh) balances this host by locality."""


@dataclass(frozen=True, slots=True)
class ScopedHost:
    """How clients of one scope call a host; without a scope, all clients that need nothing of their own."""

    host: str
    scope: RouteScope | None = None

    @property
    def client(self) -> RouteScope:
        """The scope to build for."""
        return self.scope or SHARED


EVERYBODY = ClientScope()
"""The scope of clients that see everything and prefer nothing."""
SHARED = RouteScope("")
"""The scope of no namespace in particular."""


@dataclass(frozen=True, slots=True, order=True)
class ServerKey:
    """What a server's mutual TLS depends on."""

    namespace: str
    labels: FrozenMap[str, str]
    port: int


@dataclass(frozen=True, slots=True)
class MovingMode:
    """What holds while a server's mutual TLS changes in a way that its clients must follow (`mtls_rollout`).

    server: the mode that its proxies run meanwhile. clients_tls: whether clients call it under mutual TLS.
    """

    server: str
    clients_tls: bool


def exported(export_to: tuple[str, ...], owner: str, client: str) -> bool:
    """Whether an object of namespace `owner` is visible to clients of `client` (Istio's `exportTo`; empty is all)."""
    return not export_to or any(one == "*" or one == client or (one == "." and owner == client) for one in export_to)
