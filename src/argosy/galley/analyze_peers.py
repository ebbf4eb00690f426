"""PeerAuthentications in their surroundings: of two for the same the oldest counts, and ports are the pods' own.

Given one object and what is around it, gives findings, warnings all of them. Pure. Source: Istio's PeerAuthentication.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from argosy.api.meta import Object
from argosy.api.security import PeerAuthentication
from argosy.core.errors import Finding, Level
from argosy.core.labels import selects
from argosy.core.names import ROOT_NAMESPACE
from argosy.galley.analyze_authorization import Surroundings, served_ports


def analyze_peer_authentication(policy: Object[PeerAuthentication], around: Surroundings) -> Iterator[Finding]:
    """All findings about one PeerAuthentication."""
    selector = _selector(policy)
    for other in sorted(around.peers, key=lambda one: (one.created, one.key)):
        if other.key == policy.key:
            break
        if other.namespace == policy.namespace and _meet(_selector(other), selector, policy.namespace, around):
            message = f"{other.key} is older and about the same pods: this one has no effect on them"
            yield _warning(policy, "ARG0251", "spec.selector", message, "put what both say into one object")
            break
    served: dict[int, set[int]] = {}
    for labels in around.workloads.get(policy.namespace, ()):
        if selector and selects(selector, dict(labels)):
            for port, target in served_ports(dict(labels), policy.namespace, around):
                served.setdefault(port, set()).add(target)
    known = {target for targets in served.values() for target in targets}
    for port in policy.spec.port_level_mtls:
        if port in served and port not in known:
            targets = ", ".join(str(one) for one in sorted(served[port]))
            message = f"no pod serves port {port}, the Service's: its pods serve {targets}"
            yield _warning(
                policy, "ARG0234", f"spec.portLevelMtls.{port}", message, f"write {targets}: policies name pods' ports"
            )


def _selector(policy: Object[PeerAuthentication]) -> Mapping[str, str]:
    return policy.spec.selector.match_labels if policy.spec.selector is not None else {}


def _meet(one: Mapping[str, str], other: Mapping[str, str], namespace: str, around: Surroundings) -> bool:
    """Whether two policies of a namespace, of which one would be enough, are about the same pods."""
    if not one or not other:
        return not one and not other
    known = around.workloads.get(namespace, ())
    return one == other or any(selects(one, dict(labels)) and selects(other, dict(labels)) for labels in known)


def reach(policy: Object[PeerAuthentication]) -> str:
    """Why a selector selects nothing where it stands in the root namespace; empty elsewhere."""
    if policy.namespace != ROOT_NAMESPACE:
        return ""
    return "a PeerAuthentication with a selector is about pods of its own namespace: write one in theirs"


def _warning(obj: Object[PeerAuthentication], code: str, at: str, message: str, hint: str) -> Finding:
    return Finding(code, Level.WARNING, message, obj.kind, obj.namespace, obj.name, at, obj.origin, hint)
