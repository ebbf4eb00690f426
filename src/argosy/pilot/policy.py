"""Which policy applies: the DestinationRule of a client for a host, mutual TLS of a server, authorization of a server.

Pure lookups with tracked reads; precedence is Istio's. Nothing is built here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from argosy.api.destination_rule import DestinationRule, TrafficPolicy, adds_to
from argosy.api.locality import LocalityLB
from argosy.api.mesh_config import MeshConfig, with_default_exports
from argosy.api.meta import Object
from argosy.api.security import AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from argosy.api.service_entry import precedence
from argosy.core.frozen import FrozenMap
from argosy.core.hosts import host_matches, resolve_host, service_of_host, specificity
from argosy.core.labels import selects
from argosy.core.names import ROOT_NAMESPACE, ObjectKey
from argosy.incr import Index, Reader
from argosy.pilot import registry
from argosy.pilot.aspects import Aspect
from argosy.pilot.build.localities import Balance
from argosy.pilot.mesh import SETTINGS_KEY, VISIBLE_BY_DEFAULT, Mesh
from argosy.pilot.scopes import Place, RuleScope, exported
from argosy.pilot.selecting import Place as Where
from argosy.pilot.selecting import about_all, selecting, selector_of

PERMISSIVE = "PERMISSIVE"
STRICT = "STRICT"
DISABLE = "DISABLE"


def rule_scope(read: Reader, mesh: Mesh, namespace: str, labels: FrozenMap[str, str]) -> RuleScope:
    """Whose own DestinationRules a client of `namespace` prefers; the blank scope if it prefers none.

    `labels` are the client's, or none where no rule of its namespace asks for them.

    A rule about a Service beside it is obeyed by everyone, so only rules about others' hosts count. Clients without
    such rules share one scope, so that their clusters are built once for all of them; as soon as some rule is exported
    to some namespaces only, every namespace has a scope.
    """
    own = read.keys(mesh.rules_for_others, namespace) or read.keys(mesh.rules_by_trait, "exportTo")
    if labels or (read.keys(mesh.rules_by_trait, VISIBLE_BY_DEFAULT) and _rules_are_hidden(read, mesh)):
        return RuleScope(namespace, labels)
    return RuleScope(namespace) if own else RuleScope()


def _rules_are_hidden(read: Reader, mesh: Mesh) -> bool:
    exports = registry.settings(read, mesh, Aspect.EXPORTS).config.default_destination_rule_export_to
    return bool(exports) and "*" not in exports


def destination_rule(
    read: Reader, mesh: Mesh, scope: RuleScope, host: str, owner: str = ""
) -> Object[DestinationRule] | None:
    """The rule that governs calls to `host`: the client's own namespace, then the host's, then the root's. `owner`: the
    host's namespace, if it is not the one that counts for all.

    Within a namespace the most specific host wins, then the first by name. What the root namespace says for all is no
    word of its own clients (which its gateways are): for them, too, the host's namespace goes before it.
    """
    owner = owner or _namespace_of_host(read, mesh, host)
    default = registry.settings(read, mesh, Aspect.EXPORTS).config.default_destination_rule_export_to
    for namespace, own_only in _order(scope.namespace, owner):
        # Candidates are the suffixes of the host itself, so a rule for another host is never read.
        for pattern in host_patterns(read, mesh, host):
            found = read.select(mesh.rules_by_host, (namespace, pattern))
            # What is said about some workloads stands before what is said about all.
            for key, rule in sorted(found, key=lambda one: one[1].spec.workload_selector is None):
                exports = rule.spec.export_to or default
                if own_only and not _is_for_own(rule, exports):
                    continue
                if exported(exports, key.namespace, scope.namespace) and _obeys(rule, scope):
                    return rule
    return None


def _order(client: str, owner: str) -> Iterable[tuple[str, bool]]:
    """The namespaces whose rules are looked at, and whether only what they say for their own clients counts."""
    order = [(client, client == ROOT_NAMESPACE), (owner, False), (ROOT_NAMESPACE, False)]
    return dict.fromkeys(one for one in order if one[0])


def _is_for_own(rule: Object[DestinationRule], exports: tuple[str, ...]) -> bool:
    """True for a rule that nobody but clients of its own namespace may obey."""
    return rule.spec.workload_selector is not None or (bool(exports) and {*exports} <= {".", rule.namespace})


def whole_rule(read: Reader, mesh: Mesh, key: ObjectKey) -> Object[DestinationRule] | None:
    """A rule with what the others of its namespace for the same host and clients add: subsets that it does not have,
    and a traffic policy if it has none. Of two that say the same the first by name counts, and what is said about some
    workloads before what is said about all.

    Source: istio.io, "Split large virtual services and destination rules into multiple resources".
    """
    rule = read.get(mesh.destination_rules, key)
    others = [one for one in rules_beside(read, mesh, rule) if one.key != key] if rule is not None else []
    if rule is None or not others:
        return rule
    subsets = {one.name: one for one in rule.spec.subsets}
    policy = rule.spec.traffic_policy
    for other in others:
        policy = policy if policy is not None else other.spec.traffic_policy
        for one in other.spec.subsets:
            subsets.setdefault(one.name, one)
    spec = msgspec.structs.replace(rule.spec, subsets=tuple(subsets.values()), traffic_policy=policy)
    return replace(rule, spec=spec)


def rules_beside(read: Reader, mesh: Mesh, rule: Object[DestinationRule]) -> list[Object[DestinationRule]]:
    """The rules that make one rule together, that one among them: those that all of its clients may see."""
    default = registry.settings(read, mesh, Aspect.EXPORTS).config.default_destination_rule_export_to
    found = read.select(mesh.rules_by_host, (rule.namespace, resolve_host(rule.spec.host, rule.namespace)))
    beside = (one for _key, one in found if one.key == rule.key or adds_to(rule, one, default))
    return sorted(beside, key=lambda one: (one.spec.workload_selector is None, one.name))


def _obeys(rule: Object[DestinationRule], scope: RuleScope) -> bool:
    """Whether a rule's selector takes the client; it looks at clients of the rule's own namespace only."""
    selector = rule.spec.workload_selector
    if selector is None:
        return True
    return rule.namespace == scope.namespace and selects(selector.match_labels, scope.labels)


def host_patterns(read: Reader, mesh: Mesh, host: str) -> list[str]:
    """The hosts of rules and VirtualServices that may cover `host`, the most specific first."""
    parts = host.split(".")
    wild = [f"*.{'.'.join(parts[count:])}" for count in range(1, len(parts))]
    split = [one for one in read.get(mesh.split_wildcards, SETTINGS_KEY) or () if host_matches(one, host)]
    return sorted({host, *wild, *split, "*"}, key=specificity)


def _namespace_of_host(read: Reader, mesh: Mesh, host: str) -> str:
    service = service_of_host(host)
    if service is not None:
        return service[0]
    config = registry.settings(read, mesh, Aspect.EXPORTS).config
    found = [with_default_exports(entry, config) for _key, entry in read.select(mesh.entries_by_host, host)]
    return min(found, key=precedence).namespace if found else ""


def traffic_policy(rule: Object[DestinationRule] | None, subset: str, port: int) -> TrafficPolicy:
    """The policy of one subset and port: the port's own settings replace the level they stand in; subset over rule."""
    if rule is None:
        return TrafficPolicy()
    levels = [rule.spec.traffic_policy]
    levels += [one.traffic_policy for one in rule.spec.subsets if one.name == subset]
    merged: dict[str, Any] = {}
    for level in levels:
        if level is None:
            continue
        _overlay(merged, level)
        for own in level.port_level_settings:
            if own.port.number == port:
                merged.clear()
                _overlay(merged, own)
                break
    return TrafficPolicy(**merged)


def _overlay(merged: dict[str, Any], level: Any) -> None:
    for name in _PARTS:
        value = getattr(level, name, None)
        if value is not None:
            merged[name] = value


_NOBODY: Mapping[str, int] = FrozenMap()
_PARTS = (
    "load_balancer",
    "connection_pool",
    "outlier_detection",
    "tls",
    "tunnel",
    "proxy_protocol",
    "retry_budget",
)


def balance(
    policy: TrafficPolicy,
    config: MeshConfig,
    place: Place,
    clients: Mapping[str, int] = _NOBODY,
    *,
    near: bool = False,
) -> Balance | None:
    """How a client at `place` uses localities under a policy; None where it takes all endpoints alike.

    A host that wants its nearest endpoints called first (`near`) has that without ejection, unless the policy itself
    speaks of localities.
    """
    if place == Place():
        return None
    balancer = policy.load_balancer
    own = balancer.locality_lb_setting if balancer is not None else None
    near = near and own is None
    setting = own if own is not None else LocalityLB() if near else config.locality_lb_setting or LocalityLB()
    failover = near or policy.outlier_detection is not None
    zones = balancer.zone_aware_lb_setting if balancer is not None else None
    if zones is not None and zones.enabled is not False:
        return Balance(place, LocalityLB(), failover, zones, clients)
    if setting.enabled is False or not (failover or setting.distribute):
        return None
    return Balance(place, setting, failover)


def subset_labels(rule: Object[DestinationRule] | None, subset: str) -> Mapping[str, str] | None:
    """Labels of a subset ({} for the whole host), or None if there is no such subset."""
    if not subset:
        return {}
    if rule is None:
        return None
    return next((one.labels for one in rule.spec.subsets if one.name == subset), None)


def mtls_mode(read: Reader, mesh: Mesh, namespace: str, labels: Mapping[str, str], port: int) -> str:
    """What a workload accepts on `port`: the workload's policy (port level first), the namespace's, the mesh's."""
    policies = _oldest_first(selecting(read, mesh.peer_authentications, namespace, labels))
    own = next((one for one in policies if selector_of(one)), None)
    if own is not None:
        by_port = own.spec.port_level_mtls.get(port)
        if by_port is not None and by_port.mode != "UNSET":
            return str(by_port.mode)
    candidates = [own, next((one for one in policies if not selector_of(one)), None)]
    if namespace != ROOT_NAMESPACE:
        candidates += _oldest_first(about_all(read, mesh.peer_authentications, ROOT_NAMESPACE))[:1]
    for policy in candidates:
        if policy is not None and policy.spec.mtls is not None and policy.spec.mtls.mode != "UNSET":
            return str(policy.spec.mtls.mode)
    return PERMISSIVE


def mtls_ports(read: Reader, mesh: Mesh, namespace: str, labels: Mapping[str, str]) -> tuple[int, ...]:
    """The ports for which the workload's PeerAuthentication has a mode of its own."""
    policies = _oldest_first(selecting(read, mesh.peer_authentications, namespace, labels))
    own = next((one for one in policies if selector_of(one)), None)
    return tuple(own.spec.port_level_mtls) if own is not None else ()


def _oldest_first(policies: Iterable[Object[PeerAuthentication]]) -> list[Object[PeerAuthentication]]:
    """Of several policies of one scope the oldest counts, so that nobody's later one changes what holds."""
    return sorted(policies, key=lambda one: (one.created, one.key))


def authorization_policies(
    read: Reader, mesh: Mesh, namespace: str, labels: Mapping[str, str]
) -> tuple[Object[AuthorizationPolicy], ...]:
    """The policies that concern a workload: those of the root namespace and of its own that select it; sorted."""
    return tuple(_selecting(read, mesh.authorization_policies, namespace, labels))


def request_authentications(
    read: Reader, mesh: Mesh, namespace: str, labels: Mapping[str, str]
) -> tuple[Object[RequestAuthentication], ...]:
    """The RequestAuthentications that concern a workload, chosen as authorization policies are; sorted."""
    return tuple(_selecting(read, mesh.request_authentications, namespace, labels))


def _selecting(
    read: Reader, index: Index[Where, ObjectKey, Object[Any]], namespace: str, labels: Mapping[str, str]
) -> Iterator[Object[Any]]:
    for scope in dict.fromkeys((ROOT_NAMESPACE, namespace)):
        yield from selecting(read, index, scope, labels)


def resolved(host: str, namespace: str) -> str:
    """`host` as written in an object of `namespace`, in full."""
    return resolve_host(host, namespace)


__all__ = [
    "DISABLE",
    "PERMISSIVE",
    "STRICT",
    "authorization_policies",
    "destination_rule",
    "host_patterns",
    "mtls_mode",
    "mtls_ports",
    "request_authentications",
    "resolved",
    "rule_scope",
    "rules_beside",
    "subset_labels",
    "traffic_policy",
    "whole_rule",
]
