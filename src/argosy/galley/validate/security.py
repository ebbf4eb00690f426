"""PeerAuthentication: is what it says possible?

Given the typed object, adds findings to a `Check`. Source: Istio's security rules.
"""

from __future__ import annotations

from argosy.api.meta import WorkloadSelector
from argosy.api.security import NO_PORT_MTLS, PeerAuthentication
from argosy.galley.validate.check import Check


def validate_peer_authentication(check: Check, policy: PeerAuthentication) -> None:
    """All rules about one PeerAuthentication."""
    validate_selector(check, policy.selector)
    for port in policy.port_level_mtls:
        check.port(f"spec.portLevelMtls.{port}", port)
    if policy.port_level_mtls == {} and policy.port_level_mtls is not NO_PORT_MTLS:
        check.error("ARG0110", "spec.portLevelMtls", "at least one port is needed", "name a port, or leave it out")
    if policy.port_level_mtls and not (policy.selector and policy.selector.match_labels):
        message = "portLevelMtls needs a selector: ports belong to certain workloads"
        check.error("ARG0121", "spec.portLevelMtls", message, "add spec.selector.matchLabels")


def validate_selector(check: Check, selector: WorkloadSelector | None) -> None:
    """The labels of a policy's selector."""
    if selector is None:
        return
    check.labels("spec.selector.matchLabels", selector.match_labels)
