"""The derived collections: how builders hang together in the incremental engine.

Each method named `_x` is a derived function: it gets a reader and a key, reads other collections, and calls a pure
builder. What changes together is one key; what many share has a key without the client in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from argosy.api.destination_rule import DestinationRule
from argosy.api.meta import Object
from argosy.core.frozen import EMPTY
from argosy.core.hosts import service_host
from argosy.core.labels import selects
from argosy.core.names import ROOT_NAMESPACE, ObjectKey, outbound_cluster
from argosy.incr import Derived, Reader
from argosy.pilot import policy, registry
from argosy.pilot.build import clusters, endpoints, inbound
from argosy.pilot.classes import ROUTER, ProxyClass, class_of_pod
from argosy.pilot.gateway_model import GatewayModel
from argosy.pilot.mesh import SOURCE_LABELS, Mesh
from argosy.pilot.mesh import Destination as MixerDestination
from argosy.pilot.outbound_model import OutboundModel
from argosy.pilot.registry import Endpoint, HostPort, HostRecord
from argosy.pilot.scopes import ClientScope, RouteScope, RuledHost, RuleScope, ServerKey
from argosy.xds.messages import Resource

Resources = tuple[Resource, ...]
Member = tuple[str, Any]
"""A derived collection that gives resources, by name, and a key of it."""


class Model:
    """All derived collections over one `Mesh`. Members of groups give tuples of resources."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        derive = mesh.engine.derived
        self.host: Derived[str, HostRecord] = derive("host", lambda r, k: registry.build_host(r, mesh, k))
        self.hosts: Derived[str, tuple[str, ...]] = derive("hosts", lambda r, _k: registry.all_hosts(r, mesh))
        self.endpoints: Derived[str, tuple[Endpoint, ...]] = derive("endpoints", self._endpoints)
        self.identities: Derived[str, tuple[str, ...]] = derive("identities", self._identities)
        self.rule_scope: Derived[str, RuleScope] = derive("rule_scope", lambda r, k: policy.rule_scope(r, mesh, k))
        self.rule: Derived[tuple[RuleScope, str], ObjectKey] = derive("rule_of_host", self._rule)
        self.server_mode: Derived[ServerKey, str] = derive("server_mode", self._server_mode)
        self.ruled_clusters: Derived[RuledHost, Resources] = derive("ruled_clusters", self._ruled_clusters)
        self.ruled_endpoints: Derived[RuledHost, Resources] = derive("ruled_endpoints", self._ruled_endpoints)
        self.client_scope: Derived[ProxyClass, ClientScope] = derive("client_scope", self._client_scope)
        self.inbound_ports: Derived[ProxyClass, tuple[inbound.InboundPort, ...]] = derive(
            "inbound_ports", self._inbound_ports
        )
        self.pod_class: Derived[ObjectKey, ProxyClass] = derive("pod_class", self._pod_class)
        self.outbound = OutboundModel(self)
        self.gateway_model = GatewayModel(self)
        # Members of groups: what proxies hold.
        giving: dict[str, Callable[[Reader, Any], Resources]] = {
            "clusters": self._clusters,
            "assignments": self._assignments,
            "builtin": self._builtin,
            "capture": self.outbound.capture,
            "http_listener": self.outbound.http_listener,
            "tcp_listeners": self.outbound.tcp_listeners,
            "route": self.outbound.route,
            "virtual_hosts": self.outbound.virtual_hosts,
            "inbound": self._inbound,
            "inbound_routes": self._inbound_routes,
            "gateway": self.gateway_model.gateway,
        }
        self.members: dict[str, Derived[Any, Resources]] = {name: derive(name, fn) for name, fn in giving.items()}
        self.groups: Derived[ProxyClass, tuple[tuple[str, Any], ...]] = derive("groups", self._groups)
        self.group_members: Derived[tuple[str, Any], tuple[Member, ...]] = derive("group_members", self._group_members)

    # -- registry -----------------------------------------------------------------------------------------------

    def _endpoints(self, read: Reader, host: str) -> tuple[Endpoint, ...]:
        record = read.get(self.host, host)
        return registry.build_endpoints(read, self.mesh, record) if record is not None else ()

    def _identities(self, read: Reader, host: str) -> tuple[str, ...]:
        record = read.get(self.host, host)
        if record is None:
            return ()
        return registry.build_identities(read, self.mesh, record, read.get(self.endpoints, host) or ())

    def _pod_class(self, read: Reader, key: ObjectKey) -> ProxyClass | None:
        pod = read.get(self.mesh.pods, key)
        return class_of_pod(pod) if pod is not None else None

    def _server_mode(self, read: Reader, key: ServerKey) -> str:
        return policy.mtls_mode(read, self.mesh, key.namespace, key.labels, key.port)

    # -- clusters and endpoints ---------------------------------------------------------------------------------

    def _rule(self, read: Reader, key: tuple[RuleScope, str]) -> ObjectKey | None:
        scope, host = key
        rule = policy.destination_rule(read, self.mesh, scope, host)
        return rule.key if rule is not None else None

    def _client_scope(self, read: Reader, key: ProxyClass) -> ClientScope:
        return ClientScope(rules=read.get(self.rule_scope, key.namespace) or RuleScope())

    def rule_object(self, read: Reader, key: ObjectKey | None) -> Object[DestinationRule] | None:
        """The DestinationRule of that key."""
        return read.get(self.mesh.destination_rules, key) if key is not None else None

    def _ruled(self, read: Reader, key: tuple[ClientScope, str]) -> RuledHost:
        scope, host = key
        return RuledHost(host, read.get(self.rule, (scope.rules, host)))

    def _clusters(self, read: Reader, key: tuple[ClientScope, str]) -> Resources:
        return read.get(self.ruled_clusters, self._ruled(read, key)) or ()

    def _assignments(self, read: Reader, key: tuple[ClientScope, str]) -> Resources:
        return read.get(self.ruled_endpoints, self._ruled(read, key)) or ()

    def _ruled_clusters(self, read: Reader, key: RuledHost) -> Resources:
        record = read.get(self.host, key.host)
        if record is None:
            return ()
        rule = self.rule_object(read, key.rule)
        settings = registry.settings(read, self.mesh)
        identities = read.get(self.identities, key.host) or ()
        pods = read.get(self.endpoints, key.host) or () if record.resolution in ("DNS", "NONE") else ()
        made = []
        for port in record.ports:
            for subset in ("", *_subsets(rule)):
                made.append(
                    clusters.build_cluster(
                        record=record,
                        port=port,
                        subset=subset,
                        rule=rule,
                        policy=policy.traffic_policy(rule, subset, port.number),
                        assignment=_assignment_name(record, port, subset, rule),
                        identities=identities,
                        endpoints=pods,
                        connect_timeout_s=settings.connect_timeout_s,
                    )
                )
        return tuple(made)

    def _ruled_endpoints(self, read: Reader, key: RuledHost) -> Resources:
        record = read.get(self.host, key.host)
        if record is None or record.resolution not in ("EDS", "STATIC"):
            return ()
        rule = self.rule_object(read, key.rule)
        found = read.get(self.endpoints, key.host) or ()
        made = []
        for port in record.ports:
            judged = tuple((one, self._accepts_mtls(read, one, port)) for one in found)
            for subset in ("", *_subsets(rule)):
                if not clusters.is_eds(record, policy.traffic_policy(rule, subset, port.number)):
                    continue
                made.append(
                    endpoints.build_assignment(
                        name=_assignment_name(record, port, subset, rule),
                        port=port,
                        labels=policy.subset_labels(rule, subset) or EMPTY,
                        endpoints=judged,
                    )
                )
        return tuple(made)

    def _accepts_mtls(self, read: Reader, endpoint: Endpoint, port: HostPort) -> bool:
        number = endpoint.port_for(port)
        if not endpoint.sidecar or number is None:
            return False
        return read.get(self.server_mode, ServerKey(endpoint.namespace, endpoint.labels, number)) != policy.DISABLE

    def _builtin(self, read: Reader, _key: str) -> Resources:
        return clusters.build_builtin_clusters(registry.settings(read, self.mesh).socket_mark)

    # -- inbound ------------------------------------------------------------------------------------------------

    def _inbound(self, read: Reader, key: ProxyClass) -> Resources:
        settings = registry.settings(read, self.mesh)
        ports = read.get(self.inbound_ports, key) or ()
        context = inbound.InboundContext(
            trust_domain=settings.trust_domain,
            policies=policy.authorization_policies(read, self.mesh, key.namespace, key.labels),
            mode=read.get(self.server_mode, ServerKey(key.namespace, key.labels, 0)) or policy.PERMISSIVE,
            log=settings.access_log,
        )
        made = [clusters.build_inbound_cluster(port.number, settings.socket_mark) for port in ports]
        return (*made, inbound.build_inbound_listener(ports, context))

    def _inbound_routes(self, read: Reader, key: ProxyClass) -> Resources:
        policies = policy.authorization_policies(read, self.mesh, key.namespace, key.labels)
        trust_domain, checked = registry.settings(read, self.mesh).trust_domain, self._concerned(read, key)
        return tuple(
            inbound.build_inbound_route(port, policies, trust_domain, checked=checked)
            for port in read.get(self.inbound_ports, key) or ()
            if port.http
        )

    def _inbound_ports(self, read: Reader, key: ProxyClass) -> tuple[inbound.InboundPort, ...]:
        """Every port that a Service sends to these pods (its word wins), that a container declares, or whose mutual
        TLS a policy sets."""
        found: dict[int, tuple[bool, str]] = {}
        for service, _value in read.select(self.mesh.services_by_namespace, key.namespace):
            record = read.get(self.host, service_host(service.name, service.namespace))
            if record is None or not record.selector or not selects(record.selector, key.labels):
                continue
            for port in record.ports:
                number = key.port_number(port.target or port.number)
                if number is not None:
                    found.setdefault(number, (port.protocol.is_http, record.host))
        for number in (*(n for n, _name in key.ports), *policy.mtls_ports(read, self.mesh, key.namespace, key.labels)):
            found.setdefault(number, (False, ""))
        return tuple(
            inbound.InboundPort(number, http, service, self._mode(read, key, number))
            for number, (http, service) in sorted(found.items())
        )

    def _mode(self, read: Reader, key: ProxyClass, port: int) -> str:
        return read.get(self.server_mode, ServerKey(key.namespace, key.labels, port)) or policy.PERMISSIVE

    def _concerned(self, read: Reader, key: ProxyClass) -> bool:
        kinds = ("rule", "handler", "instance")
        rules, handlers, instances = (
            [o for k in read.all_keys(self.mesh.kinds[n]) if (o := read.get(self.mesh.kinds[n], k))] for n in kinds
        )
        destination = MixerDestination(key.namespace, key.labels, key.service_account, key.workload)
        return bool(rules) and self.mesh.concerns(rules, handlers, instances, destination)

    # -- groups -------------------------------------------------------------------------------------------------

    def _groups(self, read: Reader, key: ProxyClass) -> tuple[tuple[str, Any], ...]:
        """What a class is made of; where two groups give one name, the earlier one stands."""
        scope = read.get(self.client_scope, key) or ClientScope()
        if key.role == ROUTER:
            return (("outbound", scope), ("gateway", key))
        return (
            ("outbound", scope),
            ("own", RouteScope(key.namespace, scope, self._labels(read, key))),
            ("shared", ""),
            ("inbound", key),
        )

    def _labels(self, read: Reader, key: ProxyClass) -> Any:
        """The client's labels if any route of the mesh reads them, else none, so that all workloads share routes."""
        return key.labels if read.keys(self.mesh.virtual_services_by_trait, SOURCE_LABELS) else EMPTY

    def _group_members(self, read: Reader, key: tuple[str, Any]) -> tuple[Member, ...]:
        kind, scope = key
        if kind == "outbound":
            members: list[Member] = [("builtin", "")]
            for host in read.get(self.hosts, "all") or ():
                members += [("clusters", (scope, host)), ("assignments", (scope, host))]
            return tuple(members)
        if kind == "shared":
            return tuple(self.outbound.shared_members(read))
        if kind == "own":
            return tuple(self.outbound.own_members(read, scope))
        if kind == "inbound":
            return (("inbound", scope), ("inbound_routes", scope))
        return ((kind, scope),)


def _subsets(rule: Object[DestinationRule] | None) -> tuple[str, ...]:
    return tuple(subset.name for subset in rule.spec.subsets) if rule is not None else ()


def _assignment_name(record: HostRecord, port: HostPort, subset: str, rule: Object[DestinationRule] | None) -> str:
    name = outbound_cluster(record.host, port.number, subset)
    # A rule of a client's own namespace may cut the same subset by other labels: other endpoints, so another name.
    if not subset or rule is None or rule.namespace in (record.key.namespace, ROOT_NAMESPACE):
        return name
    return f"{name}@{rule.namespace}/{rule.name}"
