"""`security.istio.io`: PeerAuthentication and AuthorizationPolicy.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, security v1.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import field

from argosy.api.meta import Strict, WorkloadSelector
from argosy.core.frozen import FrozenMap


class MutualTLS(Strict, frozen=True, kw_only=True):
    """Which connections are accepted; `UNSET` takes the next wider policy's word."""

    mode: Literal["UNSET", "DISABLE", "PERMISSIVE", "STRICT"] = "UNSET"


NO_PORT_MTLS: FrozenMap[int, MutualTLS] = FrozenMap()


class PeerAuthentication(Strict, frozen=True, kw_only=True):
    """Mutual TLS of the selected pods; without a selector, of a namespace (of the mesh, in the root namespace)."""

    selector: WorkloadSelector | None = None
    mtls: MutualTLS | None = None
    port_level_mtls: FrozenMap[int, MutualTLS] = NO_PORT_MTLS


class Source(Strict, frozen=True, kw_only=True):
    """Who calls; the fields are anded, the values of one field ored. `*` may lead or trail a value."""

    not_yet = frozenset(
        {
            "notRemoteIpBlocks",
            "notRequestPrincipals",
            "notServiceAccounts",
            "notTrustDomains",
            "remoteIpBlocks",
            "requestPrincipals",
            "serviceAccounts",
            "trustDomains",
        }
    )
    principals: tuple[str, ...] = ()
    not_principals: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    not_namespaces: tuple[str, ...] = ()
    ip_blocks: tuple[str, ...] = ()
    not_ip_blocks: tuple[str, ...] = ()


class Operation(Strict, frozen=True, kw_only=True):
    """What is called; the fields are anded, the values of one field ored."""

    hosts: tuple[str, ...] = ()
    not_hosts: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    not_ports: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    not_methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    not_paths: tuple[str, ...] = ()


class From(Strict, frozen=True, kw_only=True):
    """One alternative of `from`."""

    source: Source = Source()


class To(Strict, frozen=True, kw_only=True):
    """One alternative of `to`."""

    operation: Operation = Operation()


class Condition(Strict, frozen=True, kw_only=True):
    """One more condition on an attribute; `values` ored, `not_values` none of."""

    key: str
    values: tuple[str, ...] = ()
    not_values: tuple[str, ...] = ()


class Rule(Strict, frozen=True, kw_only=True):
    """Matches when some `from_` (if any), some `to` (if any) and every `when` match. `from` is a Python keyword."""

    from_: tuple[From, ...] = field(default=(), name="from")
    to: tuple[To, ...] = ()
    when: tuple[Condition, ...] = ()


class AuthorizationPolicy(Strict, frozen=True, kw_only=True):
    """Allow or deny requests to the selected pods. ALLOW without rules allows nothing."""

    not_yet = frozenset({"provider", "targetRef", "targetRefs"})
    not_yet_values: ClassVar[dict[str, frozenset[str]]] = {"action": frozenset({"AUDIT", "CUSTOM"})}
    selector: WorkloadSelector | None = None
    action: Literal["ALLOW", "DENY"] = "ALLOW"
    rules: tuple[Rule, ...] = ()
