"""Service addresses for whoever has no sidecar: rules of the node's network, as text for `iptables-restore`.

Given Service ports and their endpoints; gives the node's whole `nat` and `filter` tables. They are replaced in one
transaction each; connections that exist keep their endpoint. A service without an endpoint refuses at once instead of
letting callers wait. The idea is kube-proxy's; the network is the node's own, never the host's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from argosy.local.service_endpoints import Backend

SERVICE_CIDR = "10.96.0.0/16"
ENTRY_CIDR = "240.240.0.0/16"
_NAT_HEAD = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:ARGOSY_SERVICES - [0:0]
"""
_NAT_JUMPS = """-A PREROUTING -j ARGOSY_SERVICES
-A OUTPUT -j ARGOSY_SERVICES
"""
_FILTER_HEAD = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
"""


def service_rules(backends: Iterable[Backend]) -> str:
    """Both tables. Deterministic: equal backends give equal text."""
    present = [backend for backend in backends if backend.endpoints]
    chains = "".join(f":{_chain(backend)} - [0:0]\n" for backend in present)
    rules = "".join(f"{rule}\n" for backend in present for rule in _nat_rules(backend))
    hairpins = "".join(f"{rule}\n" for rule in _hairpins(present))
    return f"{_NAT_HEAD}{chains}{_NAT_JUMPS}{rules}{hairpins}COMMIT\n{_filter()}"


def _chain(backend: Backend) -> str:
    text = f"{backend.address}:{backend.port}/{backend.protocol}"
    # iptables allows 28 characters in a chain's name.
    return f"ARGOSY_SVC_{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _nat_rules(backend: Backend) -> Iterable[str]:
    chain, protocol = _chain(backend), backend.protocol.lower()
    yield f"-A ARGOSY_SERVICES -d {backend.address}/32 -p {protocol} --dport {backend.port} -j {chain}"
    left = len(backend.endpoints)
    for ip, port in backend.endpoints:
        chance = f"-m statistic --mode random --probability {1 / left:.6f} " if left > 1 else ""
        yield f"-A {chain} -p {protocol} {chance}-j DNAT --to-destination {ip}:{port}"
        left -= 1


def _hairpins(backends: Iterable[Backend]) -> Iterable[str]:
    """A pod that calls its own service and gets itself: without another source it would answer itself directly."""
    for ip in sorted({ip for backend in backends for ip, _ in backend.endpoints}):
        yield f"-A POSTROUTING -s {ip}/32 -d {ip}/32 -j MASQUERADE"


def _filter() -> str:
    """What still has a service address here was led nowhere: refuse it."""
    lines = []
    for chain in ("FORWARD", "OUTPUT"):
        for cidr in (SERVICE_CIDR, ENTRY_CIDR):
            lines.append(f"-A {chain} -d {cidr} -p tcp -j REJECT --reject-with tcp-reset")
            lines.append(f"-A {chain} -d {cidr} -j REJECT --reject-with icmp-port-unreachable")
    return _FILTER_HEAD + "\n".join(lines) + "\nCOMMIT\n"
