"""One request or one moment of a connection, as the proxy that saw it reports it: the contract between the access log
service (edge) and whoever consumes records (rules that report, people who watch).

Plain data. Nothing here knows protobuf or judges: addresses, principals and headers are what the proxy said. The node
is the verified sender. Times are seconds since the epoch, durations seconds, sizes bytes; what is not known is an empty
text, `None` or -1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.names import CHECK_NOTE
from argosy.mixer.telemetry import Node

ASKING_FILTERS = ("envoy.filters.http.ext_authz", "envoy.filters.network.ext_authz")
"""Under whose names the proxy keeps what it was told with the answer to a check."""


class Direction(StrEnum):
    """Which side of the proxy it was: `inbound` is the server's, `outbound` the client's and every gateway's."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class ConnectionEvent(StrEnum):
    """What happened to a TCP connection, in the words of Mixer's `connection.event`."""

    OPEN = "open"
    CONTINUE = "continue"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address and port; of a pipe the path."""

    ip: str = ""
    port: int = 0

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}" if self.port else self.ip


NOWHERE = Address()


@dataclass(frozen=True, slots=True)
class ObjectOrigin:
    """The configuration object that made a part of the proxy: kind, `namespace/name`, and `file:line` if known."""

    kind: str = ""
    object: str = ""
    origin: str = ""

    def __bool__(self) -> bool:
        return bool(self.kind)


NO_OBJECT = ObjectOrigin()


@dataclass(frozen=True, slots=True)
class HTTPPart:
    """What is known of HTTP requests only. Headers are those that loggers are told to send, in lower case."""

    protocol: str = ""
    """`HTTP/1.0`, `HTTP/1.1`, `HTTP/2`, `HTTP/3`."""
    method: str = ""
    scheme: str = ""
    authority: str = ""
    path: str = ""
    """As it was sent on; `original_path` as it came, where that is another."""
    original_path: str = ""
    user_agent: str = ""
    referer: str = ""
    forwarded_for: str = ""
    request_id: str = ""
    code: int = 0
    """0 where there was no answer."""
    details: str = ""
    """Envoy's word on who answered and why: `via_upstream`, `route_not_found`, `rbac_access_denied_...`."""
    request_headers: FrozenMap[str, str] = EMPTY
    response_headers: FrozenMap[str, str] = EMPTY
    response_trailers: FrozenMap[str, str] = EMPTY
    request_header_bytes: int = 0
    request_body_bytes: int = 0
    response_header_bytes: int = 0
    response_body_bytes: int = 0
    grpc_status: int | None = None
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """One report."""

    node: Node
    direction: Direction
    start: float
    duration_s: float = 0.0
    http: HTTPPart | None = None
    """None: a TCP connection."""
    event: ConnectionEvent = ConnectionEvent.CLOSE
    """Of TCP connections: which moment this is."""
    connection_id: str = ""
    """Unique within one proxy's process."""
    stream_id: str = ""
    # -- who and where
    downstream_remote: Address = NOWHERE
    """The client, as far as the proxy believes what it is told of it."""
    downstream_direct: Address = NOWHERE
    """Who is connected."""
    downstream_local: Address = NOWHERE
    upstream_remote: Address = NOWHERE
    peer_principal: str = ""
    """URI of the certificate of who is connected; empty without mutual TLS."""
    peer_workload: str = ""
    """`<workload>.<namespace>.workload` of that certificate."""
    local_principal: str = ""
    upstream_principal: str = ""
    """URI of the certificate of who was called; empty without mutual TLS."""
    upstream_workload: str = ""
    sni: str = ""
    tls_version: str = ""
    # -- what the proxy made of it
    chain: str = ""
    route: str = ""
    route_object: ObjectOrigin = NO_OBJECT
    listener_object: ObjectOrigin = NO_OBJECT
    """The object of the chain, or of the listener where the chain has none."""
    service: str = ""
    """Host of the called service, where the proxy's configuration names it."""
    cluster: str = ""
    flags: tuple[str, ...] = ()
    """Response flags, Envoy's short ones: `UH`, `NR`."""
    attempts: int = 0
    """How often an upstream was asked; 0 or 1 without a retry."""
    upstream_failure: str = ""
    downstream_failure: str = ""
    termination: str = ""
    """Why the connection was ended, where something ended it."""
    metadata: FrozenMap[str, Any] = field(default_factory=FrozenMap)
    """Dynamic metadata by filter, as plain data: what authorization and token checks noted."""
    # -- sizes
    received_bytes: int = 0
    """From the client: of HTTP the body, of TCP all so far."""
    sent_bytes: int = 0

    @property
    def check_note(self) -> Mapping[str, Any]:
        """What Mixer noted when it was asked whether the request may pass; empty if it was not."""
        notes = (self.metadata.get(name) for name in ASKING_FILTERS)
        found = (one.get(CHECK_NOTE) for one in notes if isinstance(one, Mapping))
        return next((one for one in found if isinstance(one, Mapping) and one), EMPTY)

    @property
    def mtls(self) -> bool:
        """True if who is connected has proved who it is."""
        return bool(self.peer_principal)

    @property
    def is_open(self) -> bool:
        """True if the connection goes on."""
        return self.http is None and self.event is not ConnectionEvent.CLOSE
