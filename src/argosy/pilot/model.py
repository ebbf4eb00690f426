"""The derived collections: how builders hang together in the incremental engine.

Each method named `_x` is a derived function: it gets a reader and a key, reads other collections, and calls a pure
builder. What changes together is one key; what many share has a key without the client in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from argosy.api.destination_rule import DestinationRule, TrafficPolicy
from argosy.api.meta import Object
from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.labels import selects
from argosy.core.locality import locality_of_labels, split_locality
from argosy.core.names import ROOT_NAMESPACE, ObjectKey, outbound_cluster
from argosy.core.protocols import Protocol
from argosy.incr import Derived, Reader
from argosy.pilot import policy, registry
from argosy.pilot.aspects import Aspect
from argosy.pilot.authn_model import AuthnModel
from argosy.pilot.build import builtin_clusters, clusters, endpoints, ext_authz, secrets
from argosy.pilot.build.authz import authorizers
from argosy.pilot.build.localities import Balance
from argosy.pilot.check_model import CheckModel
from argosy.pilot.classes import ROUTER, ProxyClass, class_of_pod, stable_labels
from argosy.pilot.endpoint import Endpoint, HostPort
from argosy.pilot.extension_model import ExtensionModel
from argosy.pilot.gateway_model import GatewayModel
from argosy.pilot.inbound_model import InboundModel
from argosy.pilot.mesh import (
    CREDENTIAL,
    FOREIGN,
    LOCALITY,
    NEAR,
    RANKING,
    SOURCE_LABELS,
    ZONES,
    Mesh,
    mesh_hosts,
    policies_of,
    prefers_near,
    ranking_labels,
)
from argosy.pilot.observing import asked_hosts
from argosy.pilot.outbound_model import OutboundModel
from argosy.pilot.patch_model import PatchModel
from argosy.pilot.registry import HostRecord
from argosy.pilot.report_model import ReportModel
from argosy.pilot.roles_model import RolesModel
from argosy.pilot.scopes import ClientScope, HostKey, OwnHost, Place, RouteScope, RuledHost, RuleScope, ServerKey
from argosy.pilot.telemetry_model import TelemetryModel
from argosy.pilot.visibility import hides_hosts, sidecar_for
from argosy.xds.messages import Resource

Resources = tuple[Resource, ...]
Member = tuple[str, Any]
"""A derived collection that gives resources, by name, and a key of it."""


class Model:
    """All derived collections over one `Mesh`. Members of groups give tuples of resources."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        derive = mesh.engine.derived
        self.host: Derived[HostKey, HostRecord] = derive("host", self._host)
        self.owner: Derived[tuple[str, str], str] = derive("owner", lambda r, k: registry.find_owner(r, mesh, *k))
        self.hosts: Derived[str, tuple[str, ...]] = derive("hosts", self._all_hosts)
        self.routed: Derived[ObjectKey, tuple[str, ...]] = derive("routed_hosts", self._routed)
        self.endpoints: Derived[HostKey, tuple[Endpoint, ...]] = derive("endpoints", self._endpoints)
        self.identities: Derived[HostKey, tuple[str, ...]] = derive("identities", self._identities)
        self.rule_scope: Derived[tuple[str, Any], RuleScope] = derive(
            "rule_scope", lambda r, k: policy.rule_scope(r, mesh, *k)
        )
        self.rule: Derived[tuple[RuleScope, HostKey], ObjectKey] = derive("rule_of_host", self._rule)
        self.wanted_mode: Derived[ServerKey, str] = derive("wanted_mode", self._wanted_mode)
        self.server_mode: Derived[ServerKey, str] = derive("server_mode", self._server_mode)
        self.called_by_tls: Derived[ServerKey, bool] = derive("called_by_tls", self._called_by_tls)
        self.ruled_clusters: Derived[RuledHost, Resources] = derive("ruled_clusters", self._ruled_clusters)
        self.ruled_endpoints: Derived[RuledHost, Resources] = derive("ruled_endpoints", self._ruled_endpoints)
        self.clients: Derived[str, FrozenMap[str, int]] = derive("clients_by_zone", self._clients)
        self.client_scope: Derived[ProxyClass, ClientScope] = derive("client_scope", self._client_scope)
        self.pod_class: Derived[ObjectKey, ProxyClass] = derive("pod_class", self._pod_class)
        self.outbound = OutboundModel(self)
        self.gateway_model = GatewayModel(self)
        self.inbound = InboundModel(self)
        self.authn = AuthnModel(mesh)
        self.roles = RolesModel(mesh)
        self.telemetry = TelemetryModel(self)
        self.reports = ReportModel(mesh)
        self.checks = CheckModel(mesh)
        self.extensions = ExtensionModel(mesh)
        self.patches = PatchModel(self)
        # Members of groups: what proxies hold.
        giving: dict[str, Callable[[Reader, Any], Resources]] = {
            "clusters": self._clusters,
            "edge_clusters": self._edge_clusters,
            "assignments": self._assignments,
            "builtin": self._builtin,
            "capture": self.outbound.listeners.capture,
            "port_listener": self.outbound.listeners.port_listener,
            "host_listeners": self.outbound.listeners.host_listeners,
            "bound_listener": self.outbound.listeners.bound_listener,
            "route": self.outbound.route,
            "virtual_hosts": self.outbound.virtual_hosts,
            "inbound": self.inbound.listeners,
            "inbound_routes": self.inbound.routes,
            "request_authn": self.authn.filter_config,
            "client_secret": self._client_secret,
            "runtime": self.reports.runtime,
            "extension": self.extensions.resources,
            "patched": self.patches.patched,
            "patch_added": self.patches.added,
            "gateway_listener": self.gateway_model.listener,
            "gateway_route": self.gateway_model.route,
            "gateway_host": self.gateway_model.host,
            "gateway_secret": self.gateway_model.secret,
            "sni_clusters": self._sni_clusters,
        }
        self.members: dict[str, Derived[Any, Resources]] = {name: derive(name, fn) for name, fn in giving.items()}
        self.groups: Derived[ProxyClass, tuple[tuple[str, Any], ...]] = derive("groups", self._groups)
        self.group_members: Derived[tuple[str, Any], tuple[Member, ...]] = derive("group_members", self._group_members)

    # -- registry -----------------------------------------------------------------------------------------------

    def _host(self, read: Reader, key: HostKey) -> HostRecord | None:
        if isinstance(key, OwnHost):
            return registry.build_own_host(read, self.mesh, key)
        return registry.build_host(read, self.mesh, key)

    def key_of(self, read: Reader, client: ClientScope, host: str) -> HostKey:
        """Which declaration of a host clients go by."""
        if not client.sees or not registry.may_have_owner(read, self.mesh, client.sees, host):
            return host
        owner = read.get(self.owner, (client.sees, host))
        return OwnHost(host, owner) if owner is not None else host

    def record(self, read: Reader, client: ClientScope, host: str) -> HostRecord | None:
        """The record of a host as clients see it."""
        return read.get(self.host, self.key_of(read, client, host))

    def rule_key(self, read: Reader, client: ClientScope, host: str) -> ObjectKey | None:
        """The DestinationRule by which clients call a host."""
        return read.get(self.rule, (client.rules, self.key_of(read, client, host)))

    def _endpoints(self, read: Reader, host: HostKey) -> tuple[Endpoint, ...]:
        record = read.get(self.host, host)
        return registry.build_endpoints(read, self.mesh, record) if record is not None else ()

    def _identities(self, read: Reader, host: HostKey) -> tuple[str, ...]:
        record = read.get(self.host, host)
        if record is None:
            return ()
        return registry.build_identities(read, self.mesh, record, read.get(self.endpoints, host) or ())

    def _pod_class(self, read: Reader, key: ObjectKey) -> ProxyClass | None:
        pod = read.get(self.mesh.pods, key)
        return class_of_pod(pod) if pod is not None else None

    def _wanted_mode(self, read: Reader, key: ServerKey) -> str:
        return policy.mtls_mode(read, self.mesh, key.namespace, key.labels, key.port)

    def _server_mode(self, read: Reader, key: ServerKey) -> str:
        """What the server's proxies run: what is wanted, but for the time that clients need to follow."""
        # Read in any case, so that it is known what is wanted while something else holds.
        wanted = read.get(self.wanted_mode, key) or policy.PERMISSIVE
        moving = read.get(self.mesh.moving_modes, key)
        return moving.server if moving is not None else wanted

    def _called_by_tls(self, read: Reader, key: ServerKey) -> bool:
        moving = read.get(self.mesh.moving_modes, key)
        return moving.clients_tls if moving is not None else read.get(self.wanted_mode, key) != policy.DISABLE

    # -- clusters and endpoints ---------------------------------------------------------------------------------

    def _all_hosts(self, read: Reader, _key: str) -> tuple[str, ...]:
        """Every host of the mesh, sorted: those that are declared, and those that VirtualServices lead elsewhere."""
        declared = registry.all_hosts(read, self.mesh)
        keys = read.keys(self.mesh.virtual_services_by_trait, FOREIGN)
        named = {host for key in keys for host in read.get(self.routed, key) or ()}
        routed = registry.routed_hosts(read, named, declared)
        return tuple(sorted({*declared, *routed})) if routed else declared

    def _routed(self, read: Reader, key: ObjectKey) -> tuple[str, ...]:
        """The hosts that a VirtualService of the mesh has HTTP rules for."""
        found = read.get(self.mesh.virtual_services, key)
        return mesh_hosts(found) if found is not None and found.spec.http else ()

    def _rule(self, read: Reader, key: tuple[RuleScope, HostKey]) -> ObjectKey | None:
        scope, declared = key
        host, owner = (declared.host, declared.owner) if isinstance(declared, OwnHost) else (declared, "")
        rule = policy.destination_rule(read, self.mesh, scope, host, owner)
        return rule.key if rule is not None else None

    def _client_scope(self, read: Reader, key: ProxyClass) -> ClientScope:
        rules = read.get(self.rule_scope, (key.namespace, self._rule_labels(read, key))) or RuleScope()
        limits = sidecar_for(read, self.mesh, key.namespace, key.labels) if key.role != ROUTER else None
        hidden = limits is not None or hides_hosts(read, self.mesh)
        return ClientScope(
            rules=rules,
            sees=key.namespace if hidden else "",
            sidecar=str(limits.key) if limits is not None else "",
            place=self._place(read, key),
        )

    def _rule_labels(self, read: Reader, key: ProxyClass) -> Any:
        """The client's labels, if rules of its own namespace are for some workloads only."""
        return key.labels if read.keys(self.mesh.selective_rules, key.namespace) else EMPTY

    def _place(self, read: Reader, key: ProxyClass) -> Place:
        """Where a client is, if anything in the mesh asks for it."""
        mesh_wide = registry.settings(read, self.mesh, Aspect.CLUSTERS).config.locality_lb_setting
        used = read.keys(self.mesh.rules_by_trait, LOCALITY) or (mesh_wide is not None and mesh_wide.distribute)
        if not used and not any(read.keys(index, NEAR) for index in self.mesh.near_indexes):
            return Place()
        ranking = set(mesh_wide.failover_priority) if mesh_wide is not None else set()
        for name in read.keys(self.mesh.rules_by_trait, RANKING):
            rule = self.rule_object(read, name)
            ranking.update(ranking_labels(rule) if rule is not None else ())
        wanted = {label.partition("=")[0] for label in ranking if "=" not in label}
        labels = FrozenMap({name: value for name, value in key.labels.items() if name in wanted})
        zones = read.keys(self.mesh.rules_by_trait, ZONES)
        return Place(key.locality, labels, f"{key.namespace}/{key.workload}" if zones else "")

    def _clients(self, read: Reader, workload: str) -> FrozenMap[str, int]:
        """How many usable replicas a workload (`namespace/name`) has in each zone."""
        found: dict[str, int] = {}
        for key in read.keys(self.mesh.pods_by_workload, workload):
            pod = read.get(self.mesh.pods, key)
            if pod is not None and registry.is_usable(pod):
                zone = "/".join(split_locality(locality_of_labels(pod.labels))[:2])
                found[zone] = found.get(zone, 0) + 1
        return FrozenMap(found)

    def _is_near(self, read: Reader, record: HostRecord | None) -> bool:
        """Whether a host, or its namespace, wants the nearest endpoints called first."""
        if record is None or record.near:
            return record is not None
        space = read.get(self.mesh.kinds["Namespace"], ObjectKey("", record.key.namespace))
        return space is not None and prefers_near(space)

    def _balance(self, read: Reader, traffic: TrafficPolicy, place: Place, record: HostRecord) -> Balance | None:
        if place == Place():
            return None
        balancer = traffic.load_balancer
        zones = balancer is not None and balancer.zone_aware_lb_setting is not None and place.workload
        clients = read.get(self.clients, place.workload) if zones else None
        config = registry.settings(read, self.mesh, Aspect.CLUSTERS).config
        near = self._is_near(read, record)
        return policy.balance(traffic, config, place, clients or FrozenMap(), near=near)

    def rule_object(self, read: Reader, key: ObjectKey | None) -> Object[DestinationRule] | None:
        """The DestinationRule of that key, with what others for the same host add to it."""
        return policy.whole_rule(read, self.mesh, key) if key is not None else None

    def _credentials(self, read: Reader, key: ProxyClass) -> tuple[str, ...]:
        """The Secrets of a proxy's own namespace that its TLS needs: of sidecars, those that a rule for them or their
        Sidecar names; of gateways, those that any rule names."""
        limits = sidecar_for(read, self.mesh, key.namespace, key.labels) if key.role != ROUTER else None
        own = [one.tls for one in limits.spec.ingress if one.tls is not None] if limits is not None else []
        names: set[str] = {name for tls in own for name in secrets.names_of(tls)}
        for found in read.keys(self.mesh.rules_by_trait, CREDENTIAL):
            rule = self.rule_object(read, found)
            if rule is None or not _may_use_secret(rule, key):
                continue
            for one in policies_of(rule):
                if one.tls is not None and one.tls.credential_name:
                    names.update(secrets.client_names(one.tls))
        return tuple(sorted(names))

    def _client_secret(self, read: Reader, key: tuple[str, str]) -> Resources:
        return self.gateway_model.secret_of(read, *key)

    def _ruled(self, read: Reader, key: tuple[ClientScope, str]) -> RuledHost:
        scope = key[0]
        host = self.key_of(read, *key)
        rule = read.get(self.rule, (scope.rules, host))
        by_place = scope.place != Place() and (
            self._uses_place(read, rule) or self._is_near(read, read.get(self.host, host))
        )
        return RuledHost(host, rule, scope.place if by_place else Place())

    def _uses_place(self, read: Reader, key: ObjectKey | None) -> bool:
        """Whether some part of a rule (or the mesh, for all hosts) balances by locality."""
        mesh_wide = registry.settings(read, self.mesh, Aspect.CLUSTERS).config.locality_lb_setting
        if mesh_wide is not None and mesh_wide.distribute and mesh_wide.enabled is not False:
            return True
        rule = read.get(self.mesh.destination_rules, key) if key is not None else None
        if rule is None:
            return False
        balanced = read.keys(self.mesh.rules_by_trait, LOCALITY)
        return any(one.key in balanced for one in policy.rules_beside(read, self.mesh, rule))

    def _clusters(self, read: Reader, key: tuple[ClientScope, str]) -> Resources:
        return read.get(self.ruled_clusters, self._ruled(read, key)) or ()

    def _assignments(self, read: Reader, key: tuple[ClientScope, str]) -> Resources:
        return read.get(self.ruled_endpoints, self._ruled(read, key)) or ()

    def _ruled_clusters(self, read: Reader, key: RuledHost) -> Resources:
        record = read.get(self.host, key.host)
        if record is None or record.alias or record.routed_only:
            return ()
        return tuple(
            clusters.build_cluster(self._cluster_context(read, key, record, port, subset))
            for port in record.ports
            for subset in ("", *_subsets(self.rule_object(read, key.rule)))
        )

    def _edge_clusters(self, read: Reader, key: tuple[ClientScope, str]) -> Resources:
        """A host's clusters as gateways have them where they are others than those of sidecars: what a client outside
        speaks says nothing of what a server speaks whose protocol nobody declares."""
        record = self.record(read, *key)
        ports = [] if record is None or record.alias else [one for one in record.ports if one.protocol is Protocol.AUTO]
        if record is None or not ports:
            return ()
        ruled = self._ruled(read, key)
        return tuple(
            clusters.build_cluster(replace(self._cluster_context(read, ruled, record, port, subset), edge=True))
            for port in ports
            for subset in ("", *_subsets(self.rule_object(read, ruled.rule)))
        )

    def _sni_clusters(self, read: Reader, key: tuple[ClientScope, str]) -> Resources:
        """A host's clusters as gateways need them that pass mesh TLS on."""
        ruled = self._ruled(read, key)
        record = self.record(read, *key)
        if record is None or record.external:
            return ()
        return tuple(
            clusters.build_sni_cluster(self._cluster_context(read, ruled, record, port, subset))
            for port in record.ports
            for subset in ("", *_subsets(self.rule_object(read, ruled.rule)))
        )

    def _cluster_context(
        self, read: Reader, key: RuledHost, record: HostRecord, port: HostPort, subset: str
    ) -> clusters.ClusterContext:
        rule = self.rule_object(read, key.rule)
        settings = registry.settings(read, self.mesh, Aspect.CLUSTERS)
        traffic = policy.traffic_policy(rule, subset, port.number)
        balance = self._balance(read, traffic, key.place, record)
        listed = record.resolution not in ("EDS", "STATIC")
        return clusters.ClusterContext(
            record=record,
            port=port,
            subset=subset,
            rule=rule,
            policy=traffic,
            assignment=_assignment_name(record, port, subset, rule, balance),
            identities=read.get(self.identities, key.host) or (),
            endpoints=(read.get(self.endpoints, key.host) or ()) if listed else (),
            config=settings.config,
            connect_timeout_s=settings.connect_timeout_s,
            balance=balance,
            labels=policy.subset_labels(rule, subset),
        )

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
                traffic = policy.traffic_policy(rule, subset, port.number)
                if not clusters.is_eds(record, traffic):
                    continue
                balance = self._balance(read, traffic, key.place, record)
                made.append(
                    endpoints.build_assignment(
                        name=_assignment_name(record, port, subset, rule, balance),
                        port=port,
                        labels=policy.subset_labels(rule, subset) or EMPTY,
                        endpoints=judged,
                        balance=balance,
                    )
                )
        return tuple(made)

    def _accepts_mtls(self, read: Reader, endpoint: Endpoint, port: HostPort) -> bool:
        number = endpoint.port_for(port)
        if not endpoint.sidecar or endpoint.gateway or number is None:
            return False
        key = ServerKey(endpoint.namespace, stable_labels(endpoint.labels), number)
        return read.get(self.called_by_tls, key) is not False

    def _builtin(self, read: Reader, _key: str) -> Resources:
        settings = registry.settings(read, self.mesh)
        domains = settings.own_domains if read.get(self.outbound.listeners.direct, "") is not None else ()
        return builtin_clusters.build_builtin_clusters(settings.socket_mark, direct_domains=domains)

    # -- groups -------------------------------------------------------------------------------------------------

    def _groups(self, read: Reader, key: ProxyClass) -> tuple[tuple[str, Any], ...]:
        """What a class is made of; where two groups give one name, the earlier one stands."""
        made = self._own_groups(read, key)
        if read.get(self.patches.scopes, key) is None:
            return made
        # Each group's patched resources stand just before it, so that what it hides of later groups stays hidden.
        layered = [one for group in made for one in (("patches", (key, group)), group)]
        return (("patches", (key, None)), *layered)

    def _own_groups(self, read: Reader, key: ProxyClass) -> tuple[tuple[str, Any], ...]:
        scope = read.get(self.client_scope, key) or ClientScope()
        asked = scope.sidecar or read.keys(self.mesh.rules_by_trait, CREDENTIAL)
        credentials = (("credentials", key),) if asked else ()
        if key.role == ROUTER:
            return (("edge", scope), ("outbound", scope), ("gateway", key), *credentials)
        return (
            ("outbound", scope),
            ("own", self._route_scope(read, key, scope)),
            *(() if scope.sees else (("shared", ""),)),
            ("inbound", key),
            *credentials,
        )

    def _route_scope(self, read: Reader, key: ProxyClass, scope: ClientScope) -> RouteScope:
        return RouteScope(key.namespace, scope.for_routes, self._labels(read, key), self.telemetry.own(read, key))

    def _asked_hosts(self, read: Reader) -> tuple[str, ...]:
        """The hosts of the mesh's providers (authorizers, takers of logs and spans): whatever a client may call, its
        proxy must reach these."""
        config = registry.settings(read, self.mesh).config
        providers = authorizers(config.extension_providers)
        hosts = [ext_authz.host_of(one.ext_authz) for one in providers if one.ext_authz is not None]
        hosts += [self.telemetry.host_of(read, host) for host in asked_hosts(config)]
        return tuple(host for host in dict.fromkeys(hosts) if host and read.get(self.host, host) is not None)

    def _labels(self, read: Reader, key: ProxyClass) -> Any:
        """The client's labels if any route of the mesh reads them, else none, so that all workloads share routes."""
        return key.labels if read.keys(self.mesh.virtual_services_by_trait, SOURCE_LABELS) else EMPTY

    def _group_members(self, read: Reader, key: tuple[str, Any]) -> tuple[Member, ...]:
        kind, scope = key
        if kind == "outbound":
            members: list[Member] = [("builtin", "")]
            asked = self._asked_hosts(read)
            for host in dict.fromkeys((*self.outbound.called_hosts(read, scope), *asked)):
                members += [("clusters", (scope, host)), ("assignments", (scope, host))]
            return tuple(members)
        if kind == "edge":
            return tuple(("edge_clusters", (scope, host)) for host in self.outbound.called_hosts(read, scope))
        if kind == "shared":
            return tuple(self.outbound.shared_members(read))
        if kind == "own":
            return tuple(self.outbound.own_members(read, scope))
        if kind == "patches":
            return tuple(self.patches.members(read, *scope))
        if kind == "credentials":
            return tuple(("client_secret", (scope.namespace, name)) for name in self._credentials(read, scope))
        if kind == "gateway":
            return (*self.gateway_model.members(read, scope), *self._settings_of(read, scope))
        if kind == "inbound":
            return (("inbound", scope), ("inbound_routes", scope), *self._settings_of(read, scope))
        return ((kind, scope),)

    def _settings_of(self, read: Reader, key: ProxyClass) -> tuple[Member, ...]:
        """What takes effect in a class of proxies without a new listener."""
        return (("request_authn", self.authn.key(read, key)), ("runtime", self.reports.switches(read, key)))


def _may_use_secret(rule: Object[DestinationRule], key: ProxyClass) -> bool:
    if key.role == ROUTER:
        return True
    selector = rule.spec.workload_selector
    return selector is not None and rule.namespace == key.namespace and selects(selector.match_labels, key.labels)


def _subsets(rule: Object[DestinationRule] | None) -> tuple[str, ...]:
    return tuple(subset.name for subset in rule.spec.subsets) if rule is not None else ()


def _assignment_name(
    record: HostRecord,
    port: HostPort,
    subset: str,
    rule: Object[DestinationRule] | None,
    balance: Balance | None,
) -> str:
    name = outbound_cluster(record.host, port.number, subset)
    if record.owner:
        name += f"@{record.owner}"
    if balance is not None:
        # Who is near depends on the client.
        labels = ",".join(f"{key}={value}" for key, value in sorted(balance.place.labels.items()))
        parts = (balance.place.locality, labels, balance.place.workload if balance.zones is not None else "")
        name += "~" + "~".join(part for part in parts if part)
    # A rule of a client's own may cut the same subset by other labels, or rank otherwise: so another name.
    own = rule is not None and (
        rule.namespace not in (record.key.namespace, ROOT_NAMESPACE) or rule.spec.workload_selector is not None
    )
    return f"{name}@{rule.namespace}/{rule.name}" if rule is not None and own and (subset or balance) else name
