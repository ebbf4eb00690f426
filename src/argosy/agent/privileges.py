"""How Envoy's traffic is told from the application's, and with which rights each of them runs.

Two modes. `uid` (the platform is root, or maps several uids): Envoy runs as uid 1337 and the rules match the owner.
`mark` (a user namespace with one uid): everything has the same uid, so Envoy marks its sockets and the rules match the
mark; the application has lost CAP_NET_ADMIN and cannot set it. Pure; gives arguments for setpriv(1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from argosy.core.names import ENVOY_UID

ENVOY_MARK = 1337
_SOL_SOCKET = 1
_SO_MARK = 36
_DROP = ("--inh-caps", "-all", "--no-new-privs")


@dataclass(frozen=True, slots=True)
class Privileges:
    """`rootless`: only one uid is mapped, so that ownership cannot tell Envoy from the application."""

    rootless: bool

    @property
    def envoy_uid(self) -> int:
        """The uid that owns Envoy's private files, as seen inside the node."""
        return 0 if self.rootless else ENVOY_UID

    @property
    def is_envoy(self) -> str:
        """The iptables match for packets that Envoy sent."""
        return f"-m mark --mark {ENVOY_MARK}" if self.rootless else f"-m owner --uid-owner {ENVOY_UID}"

    @property
    def is_not_envoy(self) -> str:
        """The iptables match for packets that somebody else sent."""
        return f"-m mark ! --mark {ENVOY_MARK}" if self.rootless else f"-m owner ! --uid-owner {ENVOY_UID}"

    def envoy_prefix(self) -> tuple[str, ...]:
        """`setpriv` and its arguments for Envoy: its own uid, or the one capability that marking a socket takes."""
        if self.rootless:
            return ("setpriv", "--bounding-set", "-all,+net_admin", *_DROP)
        ids = ("--reuid", str(ENVOY_UID), "--regid", str(ENVOY_UID), "--clear-groups")
        return ("setpriv", *ids, "--bounding-set", "-all", *_DROP)

    def app_prefix(self) -> tuple[str, ...]:
        """`setpriv` and its arguments for an application: no capability, and no way to get one."""
        return ("setpriv", "--bounding-set", "-all", *_DROP)

    def bind_config(self) -> Mapping[str, Any]:
        """Envoy's `upstream_bind_config` that marks its connections; empty where the uid tells.

        A cluster's own `upstream_bind_config` replaces this one: it must then repeat `socket_options`.
        """
        if not self.rootless:
            return {}
        option = {"level": _SOL_SOCKET, "name": _SO_MARK, "int_value": ENVOY_MARK, "state": "STATE_PREBIND"}
        return {"socket_options": [option]}
