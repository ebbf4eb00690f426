"""What the configuration says about the graph's nodes: which objects rule them, and what is wrong with those.

Given: the accepted objects, and findings. Gives: a `Configuration`, plain data that passes between programs, and views
with its badges and findings. An object is about hosts and the workloads behind them (VirtualServices,
DestinationRules, Services), or about workloads that it selects (Gateways, policies). Pure; decides nothing about
traffic. Source: Kiali's graph badges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from argosy.api.destination_rule import DestinationRule
from argosy.api.gateway import Gateway
from argosy.api.kubernetes import Deployment, Service
from argosy.api.meta import Object, WorkloadSelector
from argosy.api.routing import VirtualService
from argosy.api.security import AuthorizationPolicy, PeerAuthentication, RequestAuthentication
from argosy.api.service_entry import ServiceEntry
from argosy.core.errors import Finding, Level
from argosy.core.hosts import host_matches, is_wildcard, resolve_host, service_host
from argosy.core.labels import selects
from argosy.core.names import MESH_GATEWAY, ROOT_NAMESPACE, gateway_key
from argosy.flow.workload import WorkloadRef, workload_ref
from argosy.graph.build import GraphType, workload_node
from argosy.graph.model import NodeKind
from argosy.graph.ruling import says_destination_rule, says_virtual_service

# Kind -> what stands on the node's card. Of other kinds the panel tells.
BADGES = {"VirtualService": "VS", "DestinationRule": "DR"}
# Without them there is nothing to see: that they are there goes without saying.
_PLAIN = ("Service", "Deployment")
_LEVELS = (Level.ERROR.value, Level.WARNING.value, Level.INFO.value)


@dataclass(frozen=True, slots=True)
class Setting:
    """One object: what it is about, and in a few words what it says. `hosts` may have wildcards."""

    kind: str
    namespace: str
    name: str
    says: tuple[str, ...] = ()
    origin: str = ""
    hosts: tuple[str, ...] = ()
    workloads: tuple[WorkloadRef, ...] = ()

    @property
    def id(self) -> tuple[str, str, str]:
        """What findings name it by."""
        return self.kind, self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is in force, as far as it concerns the graph."""

    revision: int = 0
    settings: tuple[Setting, ...] = ()


@dataclass(frozen=True, slots=True)
class _Behind:
    """The workloads, and which of them are behind a host."""

    workloads: tuple[tuple[WorkloadRef, Mapping[str, str]], ...]
    services: Mapping[str, tuple[WorkloadRef, ...]]

    def hosts(self, hosts: Iterable[str]) -> tuple[WorkloadRef, ...]:
        """The workloads behind hosts, wildcards among them."""
        found: dict[WorkloadRef, None] = {}
        for host in hosts:
            if host in self.services:
                found.update(dict.fromkeys(self.services[host]))
            elif is_wildcard(host) and host != "*":
                for one, workloads in self.services.items():
                    if host_matches(host, one):
                        found.update(dict.fromkeys(workloads))
        return tuple(found)

    def selected(self, selector: Mapping[str, str], namespace: str = "") -> tuple[WorkloadRef, ...]:
        """The workloads (of a namespace) with these labels."""
        return tuple(
            one for one, labels in self.workloads if namespace in ("", one.namespace) and selects(selector, labels)
        )


def describe_configuration(objects: Iterable[Object[Any]], revision: int) -> Configuration:
    """What the graph has to know of the objects in force; in the order of kinds and keys."""
    everything = sorted(objects, key=lambda one: (one.kind, one.key))
    behind = _behind(everything)
    gateways = {one.key: one.spec.selector for one in everything if isinstance(one.spec, Gateway)}
    settings = []
    for one in everything:
        spec = one.spec
        if isinstance(spec, VirtualService):
            hosts = _routed(spec, one.namespace)
            keys = [gateway_key(name, one.namespace) for name in spec.gateways if name != MESH_GATEWAY]
            bound = [w for key in keys if key in gateways for w in behind.selected(gateways[key])]
            settings.append(_setting(one, says_virtual_service(spec), hosts, (*behind.hosts(hosts), *bound)))
        elif isinstance(spec, DestinationRule):
            host = resolve_host(spec.host, one.namespace)
            settings.append(_setting(one, says_destination_rule(spec), (host,), behind.hosts((host,))))
        elif isinstance(spec, Service):
            host = service_host(one.name, one.namespace)
            settings.append(_setting(one, (), (host,), behind.hosts((host,))))
        elif isinstance(spec, ServiceEntry):
            settings.append(_setting(one, (), tuple(spec.names), ()))
        elif isinstance(spec, Gateway):
            settings.append(_setting(one, (), (), behind.selected(spec.selector)))
        elif isinstance(spec, (AuthorizationPolicy, PeerAuthentication, RequestAuthentication)):
            settings.append(_setting(one, _says_policy(spec), (), _ruled(one, spec.selector, behind)))
        elif isinstance(spec, Deployment):
            own = workload_ref(one.namespace, one.name, spec.template.metadata.labels)
            settings.append(_setting(one, (), (), (own,)))
    return Configuration(revision, tuple(settings))


def decorate(
    view: Mapping[str, Any], configuration: Configuration, findings: Iterable[Finding], type_: GraphType
) -> dict[str, Any]:
    """The view with what the configuration says of its nodes.

    Each node gets `settings` (objects about it), `badges` for its card, and `findings` (what is wrong with those
    objects); the view gets `findings`, all of them, the worst first, each with the nodes that it concerns.
    """
    told = sorted(dict.fromkeys(findings), key=lambda f: (_LEVELS.index(f.level.value), f.code, f.object, f.field))
    wrong: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in told:
        wrong.setdefault((finding.kind, finding.namespace, finding.name), []).append(finding)
    ruling = _Ruling(configuration.settings, type_)
    places: dict[Finding, list[str]] = {}
    nodes = []
    for node in view["nodes"]:
        about = ruling.about(node)
        of_node = [finding for one in about for finding in wrong.get(one.id, ())]
        for finding in of_node:
            places.setdefault(finding, []).append(node["id"])
        nodes.append(
            {
                **node,
                "settings": [_dump_setting(one) for one in about if one.kind not in _PLAIN],
                "badges": _badges(about),
                "findings": [_dump_finding(finding) for finding in sorted(of_node, key=told.index)],
            }
        )
    listed = [{**_dump_finding(finding), "nodes": places.get(finding, [])} for finding in told]
    return {**view, "nodes": nodes, "findings": listed, "revision": configuration.revision}


class _Ruling:
    """Which objects are about a node, indexed once for a view."""

    def __init__(self, settings: Iterable[Setting], type_: GraphType) -> None:
        self._of_node: dict[str, list[Setting]] = {}
        self._of_host: dict[str, list[Setting]] = {}
        self._wildcards: list[tuple[str, Setting]] = []
        for one in settings:
            for node in dict.fromkeys(workload_node(workload, type_).id for workload in one.workloads):
                self._of_node.setdefault(node, []).append(one)
            for host in one.hosts:
                if is_wildcard(host):
                    self._wildcards.append((host, one))
                else:
                    self._of_host.setdefault(host, []).append(one)

    def about(self, node: Mapping[str, Any]) -> list[Setting]:
        """The objects about a node, by kind and name."""
        found = dict.fromkeys(self._of_node.get(node["id"], ()))
        if node["kind"] in (NodeKind.SERVICE, NodeKind.EXTERNAL):
            host = node["id"].partition("/")[2]
            found |= dict.fromkeys(self._of_host.get(host, ()))
            found |= dict.fromkeys(one for pattern, one in self._wildcards if host_matches(pattern, host))
        return sorted(found, key=lambda one: one.id)


def _behind(objects: Iterable[Object[Any]]) -> _Behind:
    workloads: list[tuple[WorkloadRef, Mapping[str, str]]] = []
    services: dict[str, tuple[str, Mapping[str, str]]] = {}
    for one in objects:
        if isinstance(one.spec, Deployment):
            labels = one.spec.template.metadata.labels
            workloads.append((workload_ref(one.namespace, one.name, labels), labels))
        elif isinstance(one.spec, Service) and one.spec.selector:
            services[service_host(one.name, one.namespace)] = (one.namespace, one.spec.selector)
    known = _Behind(tuple(workloads), {})
    found = {host: known.selected(selector, namespace) for host, (namespace, selector) in services.items()}
    return _Behind(known.workloads, found)


def _routed(spec: VirtualService, namespace: str) -> tuple[str, ...]:
    """The hosts that a VirtualService is about: those that are called, and those that it leads to."""
    named = [
        *spec.hosts,
        *(target.destination.host for http in spec.http for target in http.route),
        *(target.destination.host for tcp in spec.tcp for target in tcp.route),
        *(target.destination.host for tls in spec.tls for target in tls.route),
    ]
    return tuple(dict.fromkeys(resolve_host(host, namespace) for host in named if host != "*"))


def _ruled(one: Object[Any], selector: WorkloadSelector | None, behind: _Behind) -> tuple[WorkloadRef, ...]:
    """The workloads that a policy holds for, others of its kind left aside."""
    labels = selector.match_labels if selector is not None else {}
    everywhere = one.namespace == ROOT_NAMESPACE and not (labels and one.kind == "PeerAuthentication")
    return behind.selected(labels, "" if everywhere else one.namespace)


def _says_policy(spec: AuthorizationPolicy | PeerAuthentication | RequestAuthentication) -> tuple[str, ...]:
    if isinstance(spec, AuthorizationPolicy):
        return (spec.action,)
    if isinstance(spec, PeerAuthentication):
        return (spec.mtls.mode,) if spec.mtls is not None else ()
    return tuple(dict.fromkeys(rule.issuer for rule in spec.jwt_rules))


def _setting(
    one: Object[Any], says: tuple[str, ...], hosts: tuple[str, ...], workloads: Iterable[WorkloadRef]
) -> Setting:
    return Setting(one.kind, one.namespace, one.name, says, str(one.origin), hosts, tuple(dict.fromkeys(workloads)))


def _badges(about: Iterable[Setting]) -> list[dict[str, str]]:
    """One badge for each kind, with all that its objects say as its title."""
    by_kind: dict[str, list[Setting]] = {}
    for one in about:
        if one.kind in BADGES:
            by_kind.setdefault(one.kind, []).append(one)
    return [
        {"text": text, "title": "\n".join(_title(one) for one in by_kind[kind])}
        for kind, text in BADGES.items()
        if kind in by_kind
    ]


def _title(setting: Setting) -> str:
    what = f"{setting.kind} {setting.namespace}/{setting.name}"
    return f"{what}: {', '.join(setting.says)}" if setting.says else what


def _dump_setting(setting: Setting) -> dict[str, Any]:
    return {
        "object": f"{setting.kind} {setting.namespace}/{setting.name}",
        "says": ", ".join(setting.says),
        "origin": setting.origin,
    }


def _dump_finding(finding: Finding) -> dict[str, Any]:
    """What the page shows of a finding."""
    return {
        "level": finding.level.value,
        "code": finding.code,
        "object": finding.object,
        "field": finding.field,
        "message": finding.message,
        "hint": finding.hint,
        "origin": str(finding.origin),
    }
