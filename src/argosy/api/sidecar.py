"""`networking.istio.io` Sidecar: what the proxies of some workloads see, and how they take connections.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, networking v1.
"""

from __future__ import annotations

from typing import Literal

from argosy.api.destination_rule import ConnectionPool
from argosy.api.gateway import ServerTLS
from argosy.api.meta import Strict, without_final_dots
from argosy.api.routing import Destination
from argosy.api.service_entry import LabelSelector

CaptureMode = Literal["DEFAULT", "IPTABLES", "NONE"]


class SidecarPort(Strict, frozen=True, kw_only=True):
    """A port of a Sidecar's listener."""

    # Deprecated and unused in Istio: where traffic goes is `defaultEndpoint`'s to say.
    not_yet = frozenset({"targetPort"})
    number: int = 0
    protocol: str = ""
    name: str = ""


class EgressListener(Strict, frozen=True, kw_only=True):
    """Hosts (`namespace/dnsName`) that the workload may call; with a port, only on that port."""

    hosts: tuple[str, ...]
    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: CaptureMode = "DEFAULT"

    def __post_init__(self) -> None:
        without_final_dots(self, "hosts")


class IngressListener(Strict, frozen=True, kw_only=True):
    """One port on which the workload is called, and where the application listens."""

    port: SidecarPort
    bind: str = ""
    capture_mode: CaptureMode = "DEFAULT"
    default_endpoint: str = ""
    tls: ServerTLS | None = None
    connection_pool: ConnectionPool | None = None


class OutboundTraffic(Strict, frozen=True, kw_only=True):
    """What happens to traffic to hosts that the workload does not see; `egress_proxy` takes it in ALLOW_ANY."""

    mode: Literal["REGISTRY_ONLY", "ALLOW_ANY"] = "REGISTRY_ONLY"
    egress_proxy: Destination | None = None


class Sidecar(Strict, frozen=True, kw_only=True):
    """The scope of the workloads that `workload_selector` selects (none: all of the namespace)."""

    workload_selector: LabelSelector | None = None
    ingress: tuple[IngressListener, ...] = ()
    egress: tuple[EgressListener, ...] = ()
    inbound_connection_pool: ConnectionPool | None = None
    outbound_traffic_policy: OutboundTraffic | None = None
