"""What the node is told at its start, and the command that makes it: namespaces that the kernel removes as a whole.

The supervisor writes one `NodeSpec` as a line of JSON to the node's standard input and keeps that pipe open: its end of
file means that the supervisor is gone. Pure: builds arguments, starts nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

NODE_ADDRESS = "10.88.0.1"
POD_CIDR = "10.88.0.0/16"
CAPTURED_CIDR = "10.88.128.0/17"
"""The half of it for pods all of whose ports are captured: their address alone says that they speak mutual TLS."""


class ChildSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A program of the node. `fds`: environment variable -> inherited descriptor number, for sockets made outside.

    Programs with a lower `stop_rank` are stopped, and gone, before those with a higher one get the signal.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    fds: dict[str, int] = {}
    stop_rank: int = 0
    stop_grace_s: float = 10.0


class NodeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole node. `keep`: directories below /tmp or /run that its programs need (both are private in a node)."""

    home: str
    envoy: str
    children: tuple[ChildSpec, ...]
    node_address: str = NODE_ADDRESS
    rootless: bool = False
    keep: tuple[str, ...] = ()


def node_argv(program: Sequence[str], *, rootless: bool) -> tuple[str, ...]:
    """The command that runs `program` as process 1 of a new node.

    The outer process dies with its parent, the inner one with the outer one, and everything else with process 1.
    Entering a user namespace clears the wish to die with the parent, hence it is stated again after that.
    """
    dies_with_parent = ("setpriv", "--pdeathsig", "KILL")
    user = ("unshare", "--user", "--map-root-user", *dies_with_parent) if rootless else ()
    isolate = ("unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "private")
    return (*dies_with_parent, *user, *isolate, *program)


def kept_paths(wanted: Sequence[str]) -> tuple[str, ...]:
    """Of `wanted`, those below /tmp or /run, outermost only, sorted."""
    below = sorted({path for path in wanted if path.startswith(("/tmp/", "/run/"))})
    return tuple(p for p in below if not any(p != other and p.startswith(other + "/") for other in below))
