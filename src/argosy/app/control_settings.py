"""What a program of the control plane is told when it starts."""

from __future__ import annotations

import msgspec

from argosy.citadel.authority import LEAF_TTL_S
from argosy.core.names import DEFAULT_TRUST_DOMAIN

ALL = ("galley", "pilot", "citadel", "mixer")
HISTORY_DAYS = 7.0
HISTORY_MB = 256.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one program of the control plane is told, as JSON.

    name: `argosy` for all in one, else the component. Addresses are `host:port`; `listen` takes mutual TLS,
    `citadel_listen` TLS with tokens. `sources` are watched directories (Galley). `platform` `local`: Galley
    declares the gateways of one machine itself. `history_*`: how much Mixer keeps of past flows; 0: nothing.
    `console_hosts`: names that the console answers to for gateways, at `console_listen`; none: for nobody there.
    """

    name: str
    home: str
    listen: str
    citadel_listen: str
    galley: str
    citadel: str
    trust_domain: str = DEFAULT_TRUST_DOMAIN
    ca_dir: str = ""
    sources: tuple[str, ...] = ()
    socket_mark: int = 0
    certificate_ttl_s: float = LEAF_TTL_S
    access_log: bool = True
    platform: str = ""
    history_days: float = HISTORY_DAYS
    history_mb: float = HISTORY_MB
    console_hosts: tuple[str, ...] = ()
    console_listen: str = ""

    @property
    def components(self) -> tuple[str, ...]:
        """What runs in this process."""
        return ALL if self.name == "argosy" else (self.name,)
