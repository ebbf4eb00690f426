"""Name servers outside of the mesh, as the ConfigMap `kube-dns` in `kube-system` has them.

Its entries `upstreamNameservers` (a JSON list of addresses) and `stubDomains` (a JSON object: domain to such a list)
are Kubernetes' own. Given ConfigMaps, gives whom to ask for names that the mesh does not know. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

import msgspec

from argosy.api.meta import Object
from argosy.core.frozen import FrozenMap
from argosy.core.names import ObjectKey

NAMESPACE, NAME = "kube-system", "kube-dns"
"""Where the name servers stand."""
UPSTREAM, STUBS = "upstreamNameservers", "stubDomains"
DNS_PORT = 53
SERVERS_MAX = 3

Server = tuple[str, int]
"""Address and port."""
_NO_STUBS: FrozenMap[str, tuple[Server, ...]] = FrozenMap()


@dataclass(frozen=True, slots=True)
class NameServers:
    """Whom to ask: `stubs` for names below a domain, `upstream` for all others; each tried in order."""

    upstream: tuple[Server, ...] = ()
    stubs: FrozenMap[str, tuple[Server, ...]] = field(default=_NO_STUBS)

    def servers_for(self, name: str) -> tuple[Server, ...]:
        """The servers for `name` (lower case, no final dot): those of the longest stub domain, else the upstream."""
        labels = name.split(".")
        for at in range(len(labels)):
            found = self.stubs.get(".".join(labels[at:]))
            if found is not None:
                return found
        return self.upstream


def name_servers_of(config_maps: Mapping[ObjectKey, Object[Any]]) -> NameServers:
    """The name servers among ConfigMaps; none where nobody declares any, or what is declared cannot be read."""
    found = config_maps.get(ObjectKey(NAMESPACE, NAME))
    if found is None:
        return NameServers()
    try:
        return parse_name_servers(found.spec.data)
    except ValueError:  # galley refuses such a ConfigMap; one that came another way changes nothing
        return NameServers()


def parse_name_servers(data: Mapping[str, str]) -> NameServers:
    """The name servers in the ConfigMap's entries. Errors: `ValueError`, its first argument the entry's name."""
    upstream = _decoded(data, UPSTREAM, list[str], [])
    stubs = _decoded(data, STUBS, dict[str, list[str]], {})
    return NameServers(
        _servers(UPSTREAM, upstream),
        FrozenMap({domain.lower().strip("."): _servers(STUBS, servers) for domain, servers in stubs.items()}),
    )


def _decoded(data: Mapping[str, str], entry: str, shape: Any, default: Any) -> Any:
    if not data.get(entry, "").strip():
        return default
    try:
        return msgspec.json.decode(data[entry], type=shape)
    except msgspec.DecodeError as error:
        raise ValueError(entry, f"not the expected JSON: {error}") from error


def _servers(entry: str, texts: list[str]) -> tuple[Server, ...]:
    if len(texts) > SERVERS_MAX:
        raise ValueError(entry, f"at most {SERVERS_MAX} name servers are asked")
    return tuple(_server(entry, text) for text in texts)


def _server(entry: str, text: str) -> Server:
    address, colon, port = text.partition(":")
    try:
        ip_address(address)
    except ValueError as error:
        raise ValueError(entry, f"{text!r} is not an IPv4 address, with or without a port") from error
    if colon and not (port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(entry, f"{text!r} does not end in a port")
    return address, int(port) if colon else DNS_PORT
