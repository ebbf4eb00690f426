"""Ports of hosts, and the endpoints that serve them: the values that the registry is made of."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.protocols import Protocol

TLS_MODE_LABEL = "security.istio.io/tlsMode"
"""Label of an endpoint that speaks mesh TLS though it is no pod."""
_NO_PORTS: FrozenMap[str, int] = FrozenMap()


@dataclass(frozen=True, slots=True, order=True)
class HostPort:
    """One port of a host. `target` is a number, or the name of a container port, or 0 for "the same number"."""

    number: int
    name: str
    protocol: Protocol
    target: int | str = 0
    reason: str = ""
    """Why it is taken to speak its protocol."""

    @property
    def target_number(self) -> int:
        """The port of its servers where that is a number for all of them."""
        return self.target if isinstance(self.target, int) and self.target else self.number


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One address that serves a host. `ports` maps a port's name to a number that differs from the host's."""

    address: str
    labels: FrozenMap[str, str] = EMPTY
    ports: FrozenMap[str, int] = _NO_PORTS
    namespace: str = ""
    service_account: str = ""
    workload: str = ""
    sidecar: bool = False
    weight: int = 1
    locality: str = ""
    gateway: bool = False
    """It is a proxy that serves what Gateways say: mesh TLS only where one of them ends it."""
    only: tuple[int, ...] = ()
    """The ports of the host that it serves; none named: all of them."""

    def port_for(self, port: HostPort) -> int | None:
        """Where this endpoint serves `port`; None where a named target port does not exist here."""
        if self.only and port.number not in self.only:
            return None
        if isinstance(port.target, str):
            return self.ports.get(port.target)
        return self.ports.get(port.name) or port.target or port.number
