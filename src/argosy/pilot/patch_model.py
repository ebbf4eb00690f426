"""EnvoyFilters over everything else: resources as patched, laid over those of the groups that a class is made of.

Proxies that no EnvoyFilter is about have no such layer and go on sharing. For the others each member of their groups
is patched on its own, so that a change of one costs one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from argosy.api.envoy_filter import ConfigPatch, EnvoyFilter
from argosy.api.meta import Object
from argosy.core.names import PROXY_VERSION, ROOT_NAMESPACE, ObjectKey
from argosy.incr import Derived, Reader
from argosy.pilot import registry
from argosy.pilot.build.extensions import GATEWAY, INBOUND, OUTBOUND, Placed, insert_extensions
from argosy.pilot.build.patch import OwnedPatch, added_resources, apply_patches, may_concern, version_matches
from argosy.pilot.build.resource import CLUSTER, LISTENER, ROUTE, VIRTUAL_HOST
from argosy.pilot.classes import ROUTER, ProxyClass
from argosy.pilot.selecting import selecting
from argosy.xds.messages import Resource, gone

if TYPE_CHECKING:
    from argosy.pilot.model import Model

Resources = tuple[Resource, ...]
Member = tuple[str, Any]
# What members are made of, as far as it can be patched. Endpoints are patched through their clusters, secrets never.
_TYPES = {
    "clusters": (CLUSTER,),
    "edge_clusters": (CLUSTER,),
    "sni_clusters": (CLUSTER,),
    "builtin": (CLUSTER,),
    "inbound": (CLUSTER, LISTENER),
    "capture": (LISTENER,),
    "port_listener": (LISTENER,),
    "host_listeners": (LISTENER,),
    "bound_listener": (LISTENER,),
    "gateway_listener": (LISTENER,),
    "route": (ROUTE, VIRTUAL_HOST),
    "virtual_hosts": (VIRTUAL_HOST,),
    "inbound_routes": (ROUTE,),
    "gateway_route": (ROUTE, VIRTUAL_HOST),
    "gateway_host": (VIRTUAL_HOST,),
}


@dataclass(frozen=True, slots=True, order=True)
class PatchScope:
    """Which patches apply: the EnvoyFilters in order, and what their patches ask of the proxy itself."""

    filters: tuple[ObjectKey, ...]
    gateway: bool
    metadata: tuple[tuple[str, str], ...] = ()
    extensions: tuple[Placed, ...] = ()
    """Filters of users that are put in before anything is patched."""


class PatchModel:
    """The derived functions of patches, over the collections of a `Model`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.mesh = model.mesh
        self.scopes: Derived[ProxyClass, PatchScope] = model.mesh.engine.derived("patch_scope", self._scope)

    def _scope(self, read: Reader, key: ProxyClass) -> PatchScope | None:
        """The patches for a class, or None if there are none."""
        found: list[Object[EnvoyFilter]] = []
        for namespace in dict.fromkeys((ROOT_NAMESPACE, key.namespace)):
            chosen = selecting(read, self.mesh.envoy_filters, namespace, key.labels)
            found += [one for one in chosen if read.get(self.mesh.left_out, one.key) is None]
        extensions = self.model.extensions.about(read, key)
        if not found and not extensions:
            return None
        # The root namespace's first, then by priority, then by name.
        found.sort(key=lambda one: (one.spec.priority, one.namespace != ROOT_NAMESPACE, one.namespace, one.name))
        asked = {name for one in found for patch in one.spec.config_patches for name in _metadata_names(patch)}
        known = proxy_metadata(key)
        metadata = tuple(sorted((name, known[name]) for name in asked if name in known))
        return PatchScope(tuple(one.key for one in found), key.role == ROUTER, metadata, extensions)

    def members(self, read: Reader, key: ProxyClass, group: tuple[str, Any] | None) -> list[Member]:
        """The layer before one group of a class: its members, patched. `None`: what patches add."""
        scope = read.get(self.scopes, key)
        if scope is None:
            return []
        if group is None:
            return [("patch_added", scope), *(("extension", (one.kind, one.key)) for one in scope.extensions)]
        patches = [one.patch for one in self._patches(read, scope)]
        return [
            ("patched", (scope, member))
            for member in read.get(self.model.group_members, group) or ()
            if _is_concerned(member, patches) or _is_extended(member, scope)
        ]

    def patched(self, read: Reader, key: tuple[PatchScope, Member]) -> Resources:
        """What patches make of one member's resources: those that change, and marks for those that are removed."""
        scope, (name, inner) = key
        patches = self._patches(read, scope)
        place = GATEWAY if scope.gateway else INBOUND if name == "inbound" else OUTBOUND
        public = self._public_ports(read) if scope.gateway and scope.extensions else {}
        made = []
        for one in read.get(self.model.members[name], inner) or ():
            extended = insert_extensions(one, scope.extensions, place=place, public_ports=public)
            after = apply_patches(extended, patches, gateway=scope.gateway)
            if after is None:
                made.append(gone(one))
            elif after is not one:
                made.append(after)
        return tuple(made)

    def _public_ports(self, read: Reader) -> dict[int, tuple[int, ...]]:
        """Of each port that gateways bind, the public ports that lead to it."""
        found: dict[int, tuple[int, ...]] = {}
        for public, bound in registry.settings(read, self.mesh).gateway_ports.items():
            found[bound] = (*found.get(bound, ()), public)
        return found

    def added(self, read: Reader, scope: PatchScope) -> Resources:
        """Listeners and clusters that patches add."""
        return tuple(added_resources(self._patches(read, scope), gateway=scope.gateway))

    def _patches(self, read: Reader, scope: PatchScope) -> list[OwnedPatch]:
        found = [read.get(self.mesh.kinds["EnvoyFilter"], key) for key in scope.filters]
        known = dict(scope.metadata)
        return [
            OwnedPatch(one.key, patch)
            for one in found
            if one is not None
            for patch in one.spec.config_patches
            if _for_proxy(patch, known)
        ]


def _is_concerned(member: Member, patches: list[ConfigPatch]) -> bool:
    """Whether some patch may be about a member's resources."""
    name, key = member
    host = key[1] if name in ("clusters", "edge_clusters", "sni_clusters") else ""
    return any(may_concern(patch, type_url, host) for type_url in _TYPES.get(name, ()) for patch in patches)


def _is_extended(member: Member, scope: PatchScope) -> bool:
    """Whether some extension may stand in a member's listeners."""
    if LISTENER not in _TYPES.get(member[0], ()):
        return False
    inbound = member[0] == "inbound"
    return any(one.server if inbound else one.client for placed in scope.extensions for one in placed.traffic)


def proxy_metadata(key: ProxyClass) -> dict[str, str]:
    """What a patch may ask of a proxy's metadata: Istio's names, and the pod's labels."""
    return {
        **key.labels,
        "NAMESPACE": key.namespace,
        "SERVICE_ACCOUNT": key.service_account,
        "WORKLOAD_NAME": key.workload,
        "CLUSTER_ID": "Kubernetes",
        "ISTIO_VERSION": PROXY_VERSION,
    }


def _metadata_names(patch: ConfigPatch) -> tuple[str, ...]:
    proxy = patch.match.proxy if patch.match is not None else None
    return tuple(proxy.metadata) if proxy is not None else ()


def _for_proxy(patch: ConfigPatch, known: dict[str, str]) -> bool:
    proxy = patch.match.proxy if patch.match is not None else None
    if proxy is None:
        return True
    right = version_matches(proxy.proxy_version, PROXY_VERSION)
    return right and all(known.get(name) == value for name, value in proxy.metadata.items())
