"""`networking.istio.io` EnvoyFilter: patches to what Pilot generates for Envoy, for what has no field of its own.

Typed, frozen, strict shapes; a patch's `value` is Envoy's own configuration as plain data. No meaning.
Source: Istio's API, networking v1alpha3.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from argosy.api.meta import Strict
from argosy.api.service_entry import LabelSelector
from argosy.core.frozen import EMPTY, FrozenMap

Context = Literal["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "WAYPOINT"]
ApplyTo = Literal[
    "LISTENER",
    "FILTER_CHAIN",
    "NETWORK_FILTER",
    "HTTP_FILTER",
    "ROUTE_CONFIGURATION",
    "VIRTUAL_HOST",
    "HTTP_ROUTE",
    "CLUSTER",
    "LISTENER_FILTER",
]
Operation = Literal[
    "MERGE", "ADD", "REMOVE", "INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE", "MERGE_AND_REPLACE_LIST"
]


class ProxyMatch(Strict, frozen=True, kw_only=True):
    """Which proxies: by version (a regular expression) and by metadata."""

    proxy_version: str = ""
    metadata: FrozenMap[str, str] = EMPTY


class SubFilterMatch(Strict, frozen=True, kw_only=True):
    """A filter within a filter: an HTTP filter of a connection manager."""

    name: str = ""


class FilterMatch(Strict, frozen=True, kw_only=True):
    """A network filter by name."""

    name: str = ""
    sub_filter: SubFilterMatch | None = None


class FilterChainMatch(Strict, frozen=True, kw_only=True):
    """Filter chains of a listener; all conditions must hold."""

    name: str = ""
    sni: str = ""
    transport_protocol: str = ""
    application_protocols: str = ""
    filter: FilterMatch | None = None
    destination_port: int = 0


class ListenerMatch(Strict, frozen=True, kw_only=True):
    """Listeners; all conditions must hold."""

    # Listeners are shared by services, so a service's port name says nothing about them.
    not_yet = frozenset({"portName"})
    port_number: int = 0
    filter_chain: FilterChainMatch | None = None
    listener_filter: str = ""
    name: str = ""


class RouteMatch(Strict, frozen=True, kw_only=True):
    """Routes of a virtual host."""

    name: str = ""
    action: Literal["ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE"] = "ANY"


class VirtualHostMatch(Strict, frozen=True, kw_only=True):
    """Virtual hosts of a route configuration."""

    name: str = ""
    domain_name: str = ""
    route: RouteMatch | None = None


class RouteConfigurationMatch(Strict, frozen=True, kw_only=True):
    """Route configurations; `gateway` is `namespace/name` of a Gateway."""

    port_number: int = 0
    port_name: str = ""
    gateway: str = ""
    vhost: VirtualHostMatch | None = None
    name: str = ""


class ClusterMatch(Strict, frozen=True, kw_only=True):
    """Clusters; all conditions must hold."""

    port_number: int = 0
    service: str = ""
    subset: str = ""
    name: str = ""


class ObjectMatch(Strict, frozen=True, kw_only=True):
    """Where a patch applies; one of `listener`, `route_configuration`, `cluster`."""

    # There are no waypoints here.
    not_yet = frozenset({"waypoint"})
    context: Context = "ANY"
    proxy: ProxyMatch | None = None
    listener: ListenerMatch | None = None
    route_configuration: RouteConfigurationMatch | None = None
    cluster: ClusterMatch | None = None


class Patch(Strict, frozen=True, kw_only=True):
    """What is done. `filter_class` says beside which of the generated filters an added one stands."""

    operation: Operation
    value: FrozenMap[str, Any] | None = None
    filter_class: Literal["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"] = "UNSPECIFIED"


class ConfigPatch(Strict, frozen=True, kw_only=True):
    """One patch."""

    # The proxy's own start-up file and discovery of single filters are not patched.
    not_yet_values: ClassVar[dict[str, frozenset[str]]] = {
        "applyTo": frozenset({"BOOTSTRAP", "EXTENSION_CONFIG", "NETWORK_FILTER_ECDS"})
    }
    apply_to: ApplyTo
    match: ObjectMatch | None = None
    patch: Patch


class EnvoyFilter(Strict, frozen=True, kw_only=True):
    """Patches for the proxies of the workloads that are selected, in order."""

    # Targets are Gateways of Kubernetes and waypoints; workloads are selected by labels here.
    not_yet = frozenset({"targetRefs"})
    workload_selector: LabelSelector | None = None
    config_patches: tuple[ConfigPatch, ...] = ()
    priority: int = 0
