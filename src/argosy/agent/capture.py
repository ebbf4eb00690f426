"""The capture rules of one pod, as a text for `iptables-restore`.

Given what to leave alone and how Envoy's own packets are told; gives the whole `nat` table of the pod's network
namespace. The whole table is replaced, in one transaction, because the namespace is the pod's own: applying twice gives
the same as once, and half a rule set never exists. The host's tables are never touched by this text.

The order of the outbound rules is Istio's (`tools/istio-iptables`): every rule answers one way of looping.
DNS is not captured: resolv.conf names the node, which answers for the mesh.
"""

from __future__ import annotations

from collections.abc import Iterable

from argosy.agent.pod import Exclusions
from argosy.agent.privileges import Privileges
from argosy.core.names import (
    ENVOY_METRICS_PORT,
    HEALTH_PORT,
    INBOUND_PORT,
    INBOUND_SOURCE_ADDRESS,
    MERGED_METRICS_PORT,
    OUTBOUND_PORT,
)

# Ports that the sidecar itself serves; whoever calls them means Envoy, not the application.
_SIDECAR_PORTS = (MERGED_METRICS_PORT, HEALTH_PORT, ENVOY_METRICS_PORT)
_HEAD = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
"""
_CHAINS = """:ARGOSY_INBOUND - [0:0]
:ARGOSY_OUTPUT - [0:0]
:ARGOSY_TO_INBOUND - [0:0]
:ARGOSY_TO_OUTBOUND - [0:0]
"""


def capture_rules(
    exclusions: Exclusions, privileges: Privileges, *, node_address: str, own_ports: Iterable[int] = ()
) -> str:
    """The `nat` table that sends the pod's TCP through its Envoy.

    Shape:  text for `iptables-restore` (without --noflush); own chains are named `ARGOSY_*`.
    Note:   packets to `node_address` (DNS over TCP, control plane) go straight, and so do those to `own_ports`, which
            this pod's proxy serves besides its usual ones.
    """
    rules = [
        "-A PREROUTING -p tcp -j ARGOSY_INBOUND",
        "-A OUTPUT -p tcp -j ARGOSY_OUTPUT",
        f"-A ARGOSY_TO_INBOUND -p tcp -j REDIRECT --to-ports {INBOUND_PORT}",
        f"-A ARGOSY_TO_OUTBOUND -p tcp -j REDIRECT --to-ports {OUTBOUND_PORT}",
        *_inbound(exclusions, own_ports),
        *_outbound(exclusions, privileges, node_address),
    ]
    return _HEAD + _CHAINS + "\n".join(rules) + "\nCOMMIT\n"


def no_capture_rules() -> str:
    """The empty `nat` table: takes the capture away again."""
    return _HEAD + "COMMIT\n"


def _inbound(exclusions: Exclusions, own_ports: Iterable[int]) -> Iterable[str]:
    for port in (*_SIDECAR_PORTS, *own_ports, *exclusions.exclude_inbound):
        yield f"-A ARGOSY_INBOUND -p tcp --dport {port} -j RETURN"
    if "*" in exclusions.include_inbound:
        yield "-A ARGOSY_INBOUND -p tcp -j ARGOSY_TO_INBOUND"
        return
    for included in exclusions.include_inbound:
        yield f"-A ARGOSY_INBOUND -p tcp --dport {included} -j ARGOSY_TO_INBOUND"


def _outbound(exclusions: Exclusions, privileges: Privileges, node_address: str) -> Iterable[str]:
    # Envoy's inbound side to the application: it binds to this source address.
    yield f"-A ARGOSY_OUTPUT -s {INBOUND_SOURCE_ADDRESS}/32 -o lo -j RETURN"
    # The application called its own service, Envoy chose this very pod: through the inbound side, for mTLS and policy.
    yield f"-A ARGOSY_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp {privileges.is_envoy} -j ARGOSY_TO_INBOUND"
    # The application calls its own address (also a readiness probe): straight.
    yield f"-A ARGOSY_OUTPUT -o lo {privileges.is_not_envoy} -j RETURN"
    # Envoy's own traffic is never captured again.
    yield f"-A ARGOSY_OUTPUT {privileges.is_envoy} -j RETURN"
    yield "-A ARGOSY_OUTPUT -d 127.0.0.1/32 -j RETURN"
    yield f"-A ARGOSY_OUTPUT -d {node_address}/32 -j RETURN"
    for port in exclusions.exclude_outbound:
        yield f"-A ARGOSY_OUTPUT -p tcp --dport {port} -j RETURN"
    for cidr in exclusions.exclude_ranges:
        yield f"-A ARGOSY_OUTPUT -d {cidr} -j RETURN"
    for port in exclusions.include_outbound:
        yield f"-A ARGOSY_OUTPUT -p tcp --dport {port} -j ARGOSY_TO_OUTBOUND"
    if "*" in exclusions.include_ranges:
        yield "-A ARGOSY_OUTPUT -j ARGOSY_TO_OUTBOUND"
        return
    for cidr in exclusions.include_ranges:
        yield f"-A ARGOSY_OUTPUT -d {cidr} -j ARGOSY_TO_OUTBOUND"
