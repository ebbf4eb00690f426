"""What Pilot is given: one engine input for each kind of object, the indexes over them, and the mesh's settings.

Nothing here derives anything. Keys are `ObjectKey`s, values are `api.Object`s; settings are one input with one key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from argosy.api.endpoints import service_of
from argosy.api.jwks import KeySet
from argosy.api.mesh_config import (
    NAME,
    NAMESPACE,
    GatewayTopology,
    MeshConfig,
    OwnConfig,
    mesh_config_of,
    own_config_of,
)
from argosy.api.meta import Object
from argosy.api.mixer import MIXER_KINDS
from argosy.api.routing import VirtualService
from argosy.api.service_entry import shown_to
from argosy.api.workload import HEALTH
from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.hosts import resolve_host, service_host, service_of_host, splits_label
from argosy.core.names import (
    DEFAULT_TRUST_DOMAIN,
    MESH_GATEWAY,
    ROOT_NAMESPACE,
    TENANCY_ANNOTATION,
    ObjectKey,
    gateway_key,
)
from argosy.incr import Derived, Engine, Index, Input, Reader
from argosy.pilot.aspects import Aspect, narrowed
from argosy.pilot.checking import ConcernPort, Unconcerned
from argosy.pilot.filing import (
    address_of_pod,
    address_of_service,
    address_of_workload,
    group_of_workload,
    labels_of_group,
    labels_of_pod,
    labels_of_workload,
    workload_of_pod,
)
from argosy.pilot.key_sources import KeySource
from argosy.pilot.modules import Module, ModuleSource
from argosy.pilot.observed import Observation
from argosy.pilot.reporting import NO_MORE, Destination, ReportedHeaders, ReportPort, Switches, Unreported, Watched
from argosy.pilot.scopes import MovingMode, ServerKey
from argosy.pilot.selecting import Place, selected_by

KINDS = (
    "Namespace",
    "Service",
    "Endpoints",
    "EndpointSlice",
    "Pod",
    "ServiceEntry",
    "WorkloadEntry",
    "WorkloadGroup",
    HEALTH,
    "VirtualService",
    "DestinationRule",
    "Sidecar",
    "EnvoyFilter",
    "Gateway",
    "PeerAuthentication",
    "RequestAuthentication",
    "AuthorizationPolicy",
    "ClusterRbacConfig",
    "RbacConfig",
    "ServiceRole",
    "ServiceRoleBinding",
    "Telemetry",
    "WasmPlugin",
    "TrafficExtension",
    "Secret",
    "ConfigMap",
    *MIXER_KINDS,
)

SETTINGS_KEY = "mesh"
EXTENSION_KINDS = ("WasmPlugin", "TrafficExtension")
LOCALITY = "locality"
"""Trait of a DestinationRule that may balance by locality."""
ZONES = "zones"
"""Trait of a DestinationRule that balances by zones."""
RANKING = "ranking"
"""Trait of a DestinationRule that ranks endpoints by labels."""
CREDENTIAL = "credential"
"""Trait of a DestinationRule whose TLS takes certificates from a Secret."""
HIDDEN = "hidden"
"""Trait of a host's object that not every namespace may see."""
NEAR = "near"
"""Trait of a host's object, or a namespace, that wants its nearest endpoints called first."""
EXPORT_ANNOTATION = "networking.istio.io/exportTo"
DISTRIBUTION_ANNOTATION = "networking.istio.io/traffic-distribution"
_NEAREST_FIRST = frozenset({"preferclose", "prefersamezone", "prefersamenode"})
SOURCE_LABELS = "sourceLabels"
"""Trait of a VirtualService that reads its clients' labels."""
PER_CLIENT = "perClient"
"""Trait of a VirtualService that is not the same for all clients."""
FOREIGN = "foreign"
"""Trait of a VirtualService for the mesh whose hosts are not all Services of its own namespace."""
PATTERN = "*"
"""Where a ServiceRole is filed that names services by a pattern, or none."""
ROOT_ROLE, INLINE = "/", ""
"""Where a ServiceRoleBinding is filed whose role is the root namespace's, and one that has rules of its own."""
SPLITTING = "splitting"
"""Trait of an object with a host that is a wildcard within a label."""
VISIBLE_BY_DEFAULT = "visibleByDefault"
"""Trait of a VirtualService that leaves it to the mesh's settings who may see it."""


@dataclass(frozen=True, slots=True)
class MeshSettings:
    """What applies to the whole mesh. Durations in seconds."""

    trust_domain: str = DEFAULT_TRUST_DOMAIN
    access_log: bool = True
    socket_mark: int = 0
    """The mark that tells a proxy's own connections apart where users cannot (rootless pods); 0: by user."""
    connect_timeout_s: float = 10.0
    gateway_ports: FrozenMap[int, int] = field(default_factory=lambda: FrozenMap({80: 8080, 443: 8443}))
    """A gateway's public port -> the port that its proxy binds (no privilege needed)."""
    captured_network: str = ""
    """A range in which every address is that of a pod all of whose ports an Envoy of the mesh captures."""
    open_tenancy: bool = False
    """Nobody owns a host: an object decides about the hosts of other namespaces too, as in Istio."""
    federated: tuple[str, ...] = ()
    """Other trust domains that proxies have the roots of."""
    config: MeshConfig = field(default_factory=MeshConfig)
    """Istio's mesh configuration, as the ConfigMap says it."""
    own: OwnConfig = field(default_factory=OwnConfig)
    """What the same ConfigMap says beyond Istio's."""
    reported: ReportedHeaders = NO_MORE
    """Headers that Mixer's rules want to know."""

    observation: Observation = field(default_factory=Observation)
    """What the proxies that something is built for log and trace: those who build for some ask `TelemetryModel`."""

    @property
    def own_domains(self) -> tuple[str, ...]:
        """The trust domain, and the names that it had before and still answers to."""
        aliases = [one for one in self.config.trust_domain_aliases if one != self.trust_domain]
        return (self.trust_domain, *sorted(set(aliases)))

    @property
    def accepted_domains(self) -> tuple[str, ...]:
        """The trust domains whose workloads a server of the mesh accepts."""
        return (*self.own_domains, *sorted(set(self.federated) - set(self.own_domains)))

    def of_gateway(self, trusted_proxies: int) -> MeshSettings:
        """As a gateway has them that says itself how many proxies stand before it; negative: it says nothing."""
        if trusted_proxies < 0:
            return self
        defaults = self.config.default_config
        own = msgspec.structs.replace(defaults, gateway_topology=GatewayTopology(num_trusted_proxies=trusted_proxies))
        return replace(self, config=msgspec.structs.replace(self.config, default_config=own))


class Mesh:
    """Handles of all inputs and indexes of one engine."""

    def __init__(self, engine: Engine, concerns: ConcernPort, reporting: ReportPort | None = None) -> None:
        self.engine = engine
        self.concerns = concerns
        self.reporting = reporting or Unreported()
        self.settings: Input[str, MeshSettings] = engine.input("settings")
        self.effective: Derived[str, MeshSettings] = engine.derived("mesh_settings", self._effective)
        self.aspects: Derived[Aspect, MeshSettings] = engine.derived("settings_aspect", self._aspect)
        self.kinds: dict[str, Input[ObjectKey, Object[Any]]] = {kind: engine.input(kind) for kind in KINDS}
        self.moving_modes: Input[ServerKey, MovingMode] = engine.input("moving_modes")
        self.watchers: Input[Watched, Switches] = engine.input("watchers")
        """What somebody watches just now; see `taps`."""
        self.report_policy: Derived[str, Any] = engine.derived("report_policy", self._report_policy)
        self.reported: Derived[str, ReportedHeaders] = engine.derived("reported_headers", self._reported)
        self.left_out: Input[ObjectKey, Object[Any]] = engine.input("left_out")
        """EnvoyFilters as they were when a proxy refused what they make; see `quarantine`."""
        self.check_policy: Derived[str, Any] = engine.derived("check_policy", self._check_policy)
        self.services = self.kinds["Service"]
        self.pods = self.kinds["Pod"]
        self.service_entries = self.kinds["ServiceEntry"]
        self.virtual_services = self.kinds["VirtualService"]
        self.destination_rules = self.kinds["DestinationRule"]
        self.gateways = self.kinds["Gateway"]

        self.pods_by_label = self._index("pods_by_label", "Pod", labels_of_pod)
        self.workloads_by_label = self._index("workloads_by_label", "WorkloadEntry", labels_of_workload)
        self.workloads_by_group = self._index("workloads_by_group", "WorkloadEntry", group_of_workload)
        self.groups_by_label = self._index("groups_by_label", "WorkloadGroup", labels_of_group)
        self.pods_by_workload = self._index("pods_by_workload", "Pod", workload_of_pod)
        self.services_by_host = self._index("services_by_host", "Service", _host_of_service)
        self.endpoints_by_service = self._index("endpoints_by_service", "Endpoints", _service_of_endpoints)
        self.slices_by_service = self._index("slices_by_service", "EndpointSlice", _service_of_endpoints)
        self.services_by_namespace = self._index("services_by_namespace", "Service", _namespace_of)
        self.entries_by_host = self._index("entries_by_host", "ServiceEntry", _hosts_of_entry)
        self.private_entries = self._index("private_entries", "ServiceEntry", _seers_of_entry)
        self.entries_shown_by_default = self._index("entries_shown_by_default", "ServiceEntry", _hosts_by_default)
        self.entries_by_address = self._index("entries_by_address", "ServiceEntry", _addresses_of_entry)
        self.owners_by_address = {
            kind: self._index(f"{kind}_by_address", kind, address_of)
            for kind, address_of in (
                ("Service", address_of_service),
                ("Pod", address_of_pod),
                ("WorkloadEntry", address_of_workload),
            )
        }
        """Whose address it is, whatever a ServiceEntry says."""
        self._splitting = [self._index(f"{kind}_splitting", kind, _splitting) for kind in _HOSTS_OF]
        self.split_wildcards: Derived[str, tuple[str, ...]] = engine.derived("split_wildcards", self._split_wildcards)
        """All wildcards that begin within a label: of those, a host's labels do not tell which cover it."""
        self.rules_for_others = self._index("rules_for_others", "DestinationRule", _namespace_for_others)
        self.rules_by_host = self._index("rules_by_host", "DestinationRule", _host_of_rule)
        self.selective_rules = self._index("selective_rules", "DestinationRule", _namespace_if_selective)
        self.rules_by_trait = self._index("rules_by_trait", "DestinationRule", _traits_of_rule)
        self.virtual_services_by_host = self._index("vs_by_host", "VirtualService", _mesh_hosts_of_vs)
        self.virtual_services_by_gateway = self._index("vs_by_gateway", "VirtualService", _gateways_of_vs)
        self.virtual_services_by_trait = self._index("vs_by_trait", "VirtualService", _traits_of_vs)
        self.envoy_filters = self._selecting("envoy_filters", "EnvoyFilter")
        self.sidecars = self._selecting("sidecars", "Sidecar")
        self.services_by_trait = self._index("services_by_trait", "Service", _traits_of_service)
        self.entries_by_trait = self._index("entries_by_trait", "ServiceEntry", _traits_of_entry)
        self.namespaces_by_trait = self._index("namespaces_by_trait", "Namespace", _traits_of_namespace)
        self.near_indexes = (self.services_by_trait, self.entries_by_trait, self.namespaces_by_trait)
        self.key_sets: Input[KeySource, KeySet] = engine.input("key_sets")
        self.peer_authentications = self._selecting("peer_authentications", "PeerAuthentication")
        self.request_authentications = self._selecting("request_authentications", "RequestAuthentication")
        self.authorization_policies = self._selecting("authorization_policies", "AuthorizationPolicy")
        self.roles_by_service = self._index("roles_by_service", "ServiceRole", _services_of_role)
        self.bindings_by_role = self._index("bindings_by_role", "ServiceRoleBinding", _role_of_binding)
        self.modules: Input[ModuleSource, Module] = engine.input("modules")
        self.extensions = {kind: self._selecting(f"{kind}_by_labels", kind) for kind in EXTENSION_KINDS}
        self.telemetries = self._selecting("telemetries", "Telemetry")

    def _effective(self, read: Reader, key: str) -> MeshSettings:
        """The settings that the control plane was started with, and what the ConfigMap adds."""
        given = read.get(self.settings, key) or MeshSettings()
        key_of_map = ObjectKey(NAMESPACE, NAME)
        found = read.get(self.kinds["ConfigMap"], key_of_map)
        if found is None:
            return given
        maps = {key_of_map: found}
        open_tenancy = found.annotations.get(TENANCY_ANNOTATION) == "open"
        return replace(given, config=mesh_config_of(maps), own=own_config_of(maps), open_tenancy=open_tenancy)

    def _split_wildcards(self, read: Reader, _key: str) -> tuple[str, ...]:
        objects = [one for index in self._splitting for _key, one in read.select(index, SPLITTING)]
        return tuple(sorted({host for one in objects for host in _HOSTS_OF[one.kind](one) if splits_label(host)}))

    def _aspect(self, read: Reader, aspect: Aspect) -> MeshSettings:
        """The settings as far as one aspect of the mesh configuration goes."""
        found = read.get(self.effective, SETTINGS_KEY) or MeshSettings()
        # Loggers are a matter of listeners alone.
        reported = self._headers(read, found) if aspect is Aspect.LISTENERS else NO_MORE
        return replace(found, config=narrowed(found.config, aspect), reported=reported)

    def _headers(self, read: Reader, settings: MeshSettings) -> ReportedHeaders:
        """What rules read, and what the mesh configuration lists."""
        ruled = read.get(self.reported, SETTINGS_KEY) or NO_MORE
        listed = settings.own.reports
        return ReportedHeaders(
            tuple(sorted({*ruled.request, *map(str.lower, listed.request_headers)})),
            tuple(sorted({*ruled.response, *map(str.lower, listed.response_headers)})),
        )

    def _reported(self, read: Reader, _key: str) -> ReportedHeaders:
        return self.reporting.headers(read.get(self.report_policy, SETTINGS_KEY))

    def _check_policy(self, read: Reader, _key: str) -> Any:
        """Mixer's rules, of whatever kinds of objects they are made."""
        return self.concerns.policy(self._mixer_objects(read))

    def _report_policy(self, read: Reader, _key: str) -> Any:
        return self.reporting.policy(self._mixer_objects(read))

    def _mixer_objects(self, read: Reader) -> list[Object[Any]]:
        inputs = [self.kinds[kind] for kind in MIXER_KINDS]
        found = [read.get(one, key) for one in inputs for key in read.all_keys(one)]
        return [one for one in found if one is not None]

    def _selecting(self, name: str, kind: str) -> Index[Place, ObjectKey, Object[Any]]:
        """An index of objects that select workloads; read it with `selecting` or `about_all`."""
        return self._index(name, kind, selected_by)

    def _index(
        self, name: str, kind: str, keys: Callable[[ObjectKey, Object[Any]], Iterable[Any]]
    ) -> Index[Any, ObjectKey, Object[Any]]:
        return self.engine.index(name, self.kinds[kind], keys)


def _namespace_of(key: ObjectKey, _value: Object[Any]) -> Iterable[str]:
    return (key.namespace,)


def _service_of_endpoints(key: ObjectKey, declared: Object[Any]) -> Iterable[ObjectKey]:
    return (ObjectKey(key.namespace, service_of(declared)),)


def _services_of_role(key: ObjectKey, role: Object[Any]) -> Iterable[tuple[str, str]]:
    for rule in role.spec.rules:
        for service in rule.services or (PATTERN,):
            yield key.namespace, PATTERN if "*" in service else resolve_host(service, key.namespace)


def _role_of_binding(key: ObjectKey, binding: Object[Any]) -> Iterable[tuple[str, str]]:
    bound = binding.spec.bound
    return ((key.namespace, ROOT_ROLE if bound.startswith(ROOT_ROLE) else bound or INLINE),)


def _host_of_service(key: ObjectKey, _service: Object[Any]) -> Iterable[str]:
    return (service_host(key.name, key.namespace),)


def _hosts_of_entry(_key: ObjectKey, entry: Object[Any]) -> Iterable[str]:
    return sorted(set(entry.spec.names))


def _seers_of_entry(_key: ObjectKey, entry: Object[Any]) -> Iterable[tuple[str, str]]:
    """(namespace, host) for each namespace that a private entry shows its hosts to."""
    return [(namespace, host) for namespace in sorted(shown_to(entry)) for host in sorted(set(entry.spec.names))]


def _hosts_by_default(_key: ObjectKey, entry: Object[Any]) -> Iterable[str]:
    """The hosts of an entry that leaves it to the mesh who may see them."""
    return () if entry.spec.export_to else sorted(set(entry.spec.names))


def _addresses_of_entry(_key: ObjectKey, entry: Object[Any]) -> Iterable[str]:
    return sorted({address for address in entry.spec.called_addresses if "/" not in address})


def _host_of_rule(key: ObjectKey, rule: Object[Any]) -> Iterable[tuple[str, str]]:
    return ((key.namespace, resolve_host(rule.spec.host, key.namespace)),)


def _splitting(_key: ObjectKey, one: Object[Any]) -> Iterable[str]:
    return (SPLITTING,) if any(map(splits_label, _HOSTS_OF[one.kind](one))) else ()


def _namespace_for_others(key: ObjectKey, rule: Object[Any]) -> Iterable[str]:
    """The namespace, for a rule about a host that is not a Service beside it: only its own clients obey that one."""
    service = service_of_host(resolve_host(rule.spec.host, key.namespace))
    return () if service is not None and service[0] == key.namespace else (key.namespace,)


def _namespace_if_selective(key: ObjectKey, rule: Object[Any]) -> Iterable[str]:
    """The namespace, for a rule that only some of its workloads obey."""
    return (key.namespace,) if rule.spec.workload_selector is not None else ()


def _traits_of_rule(_key: ObjectKey, rule: Object[Any]) -> Iterable[str]:
    """What a rule depends on besides the host: see the names of the traits above."""
    policies = policies_of(rule)
    if rule.spec.export_to and "*" not in rule.spec.export_to:
        yield "exportTo"
    if not rule.spec.export_to:
        yield VISIBLE_BY_DEFAULT
    if any(one.outlier_detection is not None or _setting(one) is not None for one in policies):
        yield LOCALITY
    if any(one.load_balancer is not None and one.load_balancer.zone_aware_lb_setting for one in policies):
        yield LOCALITY
        yield ZONES
    if ranking_labels(rule):
        yield RANKING
    if any(one.tls is not None and one.tls.credential_name for one in policies):
        yield CREDENTIAL


def policies_of(rule: Object[Any]) -> list[Any]:
    """All traffic policies of a rule: of the host, of subsets, and of their ports."""
    whole = [rule.spec.traffic_policy, *(subset.traffic_policy for subset in rule.spec.subsets)]
    given = [one for one in whole if one is not None]
    return [*given, *(port for one in given for port in one.port_level_settings)]


def _setting(policy: Any) -> Any:
    return policy.load_balancer.locality_lb_setting if policy.load_balancer is not None else None


def ranking_labels(rule: Object[Any]) -> tuple[str, ...]:
    """The labels by which a rule ranks endpoints (`failoverPriority`)."""
    settings = [setting for one in policies_of(rule) if (setting := _setting(one)) is not None]
    balancers = [one.load_balancer for one in policies_of(rule) if one.load_balancer is not None]
    settings += [one.zone_aware_lb_setting for one in balancers if one.zone_aware_lb_setting is not None]
    return tuple(dict.fromkeys(label for one in settings for label in one.failover_priority))


def _mesh_hosts_of_vs(_key: ObjectKey, virtual_service: Object[Any]) -> Iterable[str]:
    return mesh_hosts(virtual_service)


def mesh_hosts(virtual_service: Object[VirtualService]) -> tuple[str, ...]:
    """The hosts, in full, that a VirtualService is about for clients within the mesh."""
    gateways = virtual_service.spec.gateways
    if gateways and MESH_GATEWAY not in gateways:
        return ()
    return tuple(sorted({resolve_host(host, virtual_service.namespace) for host in virtual_service.spec.hosts}))


def _gateways_of_vs(key: ObjectKey, virtual_service: Object[Any]) -> Iterable[ObjectKey]:
    return sorted({gateway_key(name, key.namespace) for name in virtual_service.spec.gateways if name != "mesh"})


def _traits_of_vs(key: ObjectKey, virtual_service: Object[Any]) -> Iterable[str]:
    """What a VirtualService's routes depend on besides the host: `SOURCE_LABELS`, `PER_CLIENT`, `FOREIGN`."""
    spec = virtual_service.spec
    matches = [match for rule in (*spec.http, *spec.tls, *spec.tcp) for match in rule.match]
    traits = [SOURCE_LABELS] if any(match.source_labels for match in matches) else []
    hidden = bool(spec.export_to) and "*" not in spec.export_to
    # What a delegate depends on is not known here.
    delegating = any(rule.delegate is not None for rule in spec.http)
    if traits or hidden or delegating or any(match.source_namespace for match in matches):
        traits.append(PER_CLIENT)
    if not spec.export_to:
        traits.append(VISIBLE_BY_DEFAULT)
    hosts = [service_of_host(host) for host in _mesh_hosts_of_vs(key, virtual_service)]
    if any(service is None or service[0] != key.namespace for service in hosts):
        traits.append(FOREIGN)
    return traits


def _traits_of_service(_key: ObjectKey, service: Object[Any]) -> Iterable[str]:
    exports = service_exports(service)
    if exports and "*" not in exports:
        yield HIDDEN
    if prefers_near(service):
        yield NEAR


def service_exports(service: Object[Any]) -> tuple[str, ...]:
    """What a Service's annotation says about who may see it."""
    text = service.annotations.get(EXPORT_ANNOTATION, "")
    return tuple(part for one in text.split(",") if (part := one.strip()))


def prefers_near(owner: Object[Any]) -> bool:
    """Whether a Service, ServiceEntry or namespace says that the nearest endpoints come first.

    A node is no place of its own here: what prefers its own node prefers its own zone.
    """
    said = owner.spec.traffic_distribution if owner.kind == "Service" else ""
    return (said or owner.annotations.get(DISTRIBUTION_ANNOTATION, "")).lower() in _NEAREST_FIRST


def _traits_of_entry(_key: ObjectKey, entry: Object[Any]) -> Iterable[str]:
    if entry.spec.export_to and "*" not in entry.spec.export_to:
        yield HIDDEN
    if prefers_near(entry):
        yield NEAR


def _traits_of_namespace(_key: ObjectKey, namespace: Object[Any]) -> Iterable[str]:
    return (NEAR,) if prefers_near(namespace) else ()


_HOSTS_OF: Mapping[str, Callable[[Object[Any]], Iterable[str]]] = {
    "VirtualService": mesh_hosts,
    "DestinationRule": lambda rule: (resolve_host(rule.spec.host, rule.namespace),),
    "ServiceEntry": lambda entry: entry.spec.names,
}
"""Of kinds whose objects are looked up by the hosts that they cover: those hosts."""

__all__ = [
    "EMPTY",
    "KINDS",
    "ROOT_NAMESPACE",
    "ConcernPort",
    "Destination",
    "Mesh",
    "MeshSettings",
    "Unconcerned",
    "mesh_hosts",
]
