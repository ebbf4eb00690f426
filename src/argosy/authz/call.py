"""One request or connection, as far as AuthorizationPolicies look at it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from argosy.core.frozen import FrozenMap

NOTHING: FrozenMap[str, Mapping[str, Any]] = FrozenMap()


@dataclass(frozen=True, slots=True)
class Call:
    """A request, or (`http` false) a connection of which nothing but addresses and names is known.

    `peer`: the URI in the client's certificate, empty for plaintext. `path`: as the proxy has normalised it. `headers`:
    every line, names in lower case. `claims`: of the verified token, None without one. `metadata`: what Envoy's
    filters found out, by filter.
    """

    http: bool = True
    peer: str = ""
    source_ip: str = "127.0.0.1"
    remote_ip: str = "127.0.0.1"
    destination_ip: str = "127.0.0.1"
    destination_port: int = 80
    sni: str = ""
    method: str = "GET"
    path: str = "/"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    claims: Mapping[str, Any] | None = None
    metadata: Mapping[str, Mapping[str, Any]] = NOTHING

    def lines(self, name: str) -> list[str]:
        """The lines of a header; of the pseudo-headers their value."""
        special = {":method": self.method, ":path": self.path, ":authority": self.host, "host": self.host}
        if name.lower() in special:
            return [special[name.lower()]]
        return [value for key, value in self.headers if key == name.lower()]


def identity(peer: str) -> tuple[str, str, str] | None:
    """(trust domain, namespace, service account) of a SPIFFE URI of a mesh; None for anything else."""
    parts = peer.removeprefix("spiffe://").split("/")
    if not peer.startswith("spiffe://") or len(parts) != 5 or (parts[1], parts[3]) != ("ns", "sa"):
        return None
    return parts[0], parts[2], parts[4]
