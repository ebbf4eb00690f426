"""EnvoyFilters applied to resources: which part of a resource a patch is about, and what becomes of it.

Given a resource and patches in order, gives the resource as patched, None where it is removed, or the very same
object where no patch is about it. A patch that does not fit changes nothing. Pure.
Source: istio.io EnvoyFilter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import re2

from argosy.api.envoy_filter import ConfigPatch, FilterChainMatch, ObjectMatch
from argosy.core.filter_names import http_filter_name, listener_filter_name, network_filter_name
from argosy.core.names import ObjectKey, parse_cluster_name
from argosy.envoy import values as v
from argosy.envoy.api import decode, encode, pack
from argosy.envoy.merge import merge
from argosy.envoy.patch_values import PATCHED_TYPES, PatchValueError, patch_value
from argosy.pilot.build.filters import SLEEPING
from argosy.pilot.build.resource import CLUSTER, LISTENER, ROUTE, VIRTUAL_HOST, resource_of_bytes
from argosy.xds.messages import Resource

INBOUND, OUTBOUND, GATEWAY = "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY"
_MANAGER = "envoy.filters.network.http_connection_manager"
_MANAGER_TYPE = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "envoy.filters.http.router"
_TERMINAL = frozenset({_MANAGER, "envoy.filters.network.tcp_proxy"})
_INBOUND_PREFIX = "inbound|"
_ABOUT = {
    CLUSTER: ("CLUSTER",),
    LISTENER: ("LISTENER", "FILTER_CHAIN", "NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER"),
    ROUTE: ("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE"),
    VIRTUAL_HOST: ("VIRTUAL_HOST", "HTTP_ROUTE"),
}
_MERGING = ("MERGE", "MERGE_AND_REPLACE_LIST")
_AUTHORIZATION = "envoy.filters.http.rbac"


@dataclass(frozen=True, slots=True)
class OwnedPatch:
    """One patch, and the EnvoyFilter that it stands in."""

    owner: ObjectKey
    patch: ConfigPatch


def apply_patches(resource: Resource, patches: Sequence[OwnedPatch], *, gateway: bool) -> Resource | None:
    """One resource after all patches that are about it."""
    kinds = _ABOUT.get(resource.type_url, ())
    context = _context(resource, gateway=gateway)
    about = [one for one in patches if one.patch.apply_to in kinds and _in_context(one.patch.match, context)]
    if not about or resource.body is None:
        return resource
    message = decode(resource.type_url.rpartition("/")[2], resource.body)
    before = resource.body
    for one in about:
        if not _APPLY[resource.type_url](message, one.patch, context):
            return None
    if encode(message) == before:
        return resource
    _note(message, [one.owner for one in about])
    return resource_of_bytes(
        resource.type_url,
        resource.name,
        encode(message),
        clusters=[one.name for one in resource.requires],
        companion=next(iter(resource.companions), None),
    )


def may_concern(patch: ConfigPatch, type_url: str, host: str) -> bool:
    """Whether a patch may change a resource of that type, or (where `host` is given) of that type and host.

    It looks at the patch alone, so that resources which no patch is about need not be built to know it.
    """
    if patch.apply_to not in _ABOUT.get(type_url, ()):
        return False
    match = patch.match.cluster if patch.match is not None and type_url == CLUSTER else None
    if match is None or not host:
        return True
    named = parse_cluster_name(match.name) if match.name else None
    wanted = match.service or (named.host if named is not None else "")
    return not wanted or wanted == host


def added_resources(patches: Iterable[OwnedPatch], *, gateway: bool) -> list[Resource]:
    """Whole listeners and clusters that patches add."""
    made = []
    contexts = (GATEWAY,) if gateway else (INBOUND, OUTBOUND)
    types = {"CLUSTER": CLUSTER, "LISTENER": LISTENER}
    for one in patches:
        patch = one.patch
        if patch.apply_to not in types or patch.patch.operation != "ADD":
            continue
        if any(_in_context(patch.match, context) for context in contexts) and (value := _value(patch)) is not None:
            _note(value, [one.owner])
            made.append(resource_of_bytes(types[patch.apply_to], value.name, encode(value)))
    return made


def _note(message: Any, owners: Sequence[ObjectKey]) -> None:
    """Whose patches a resource carries, so that what Envoy says about it finds its way to them."""
    if "metadata" in message.DESCRIPTOR.fields_by_name:
        names = ",".join(dict.fromkeys(f"{owner.namespace}/{owner.name}" for owner in owners))
        merge(message.metadata, v.metadata(argosy={"patchedBy": names}))


def _context(resource: Resource, *, gateway: bool) -> str:
    if gateway:
        return GATEWAY
    inbound = resource.name.startswith((_INBOUND_PREFIX, "virtualInbound", "inbound_"))
    return INBOUND if inbound else OUTBOUND


def _in_context(match: ObjectMatch | None, context: str) -> bool:
    return match is None or match.context in ("ANY", context)


def _value(patch: ConfigPatch) -> Any:
    """The patch's value as a message, or None: galley has refused what is none."""
    if patch.patch.value is None:
        return None
    return _parsed(patch.apply_to, patch.patch.value)


@cache
def _parsed(apply_to: str, value: Any) -> Any:
    try:
        return patch_value(apply_to, value)
    except PatchValueError:
        return None


def _merged(message: Any, patch: ConfigPatch) -> None:
    value = _value(patch)
    if value is not None:
        merge(message, value, replace_lists=patch.patch.operation == "MERGE_AND_REPLACE_LIST")


# -- clusters ---------------------------------------------------------------------------------------------------


def _patch_cluster(cluster: Any, patch: ConfigPatch, _context: str) -> bool:
    match = patch.match.cluster if patch.match is not None else None
    if match is not None:
        parts = parse_cluster_name(cluster.name)
        host, port, subset = (parts.host, parts.port, parts.subset) if parts is not None else ("", 0, "")
        wanted = (
            (not match.name or match.name == cluster.name)
            and (not match.service or match.service == host)
            and (not match.port_number or match.port_number == port)
            and (not match.subset or match.subset == subset)
        )
        if not wanted:
            return True
    if patch.patch.operation == "REMOVE":
        return False
    if patch.patch.operation in _MERGING:
        _merged(cluster, patch)
    return True


# -- listeners --------------------------------------------------------------------------------------------------


def _patch_listener(listener: Any, patch: ConfigPatch, context: str) -> bool:
    match = patch.match.listener if patch.match is not None else None
    if match is not None:
        # Ports of the inbound side are told apart by its chains.
        port = listener.address.socket_address.port_value
        if match.name and match.name != listener.name:
            return True
        if match.port_number and context != INBOUND and match.port_number != port:
            return True
    operation = patch.patch.operation
    if patch.apply_to == "LISTENER":
        if operation == "REMOVE":
            return False
        if operation in _MERGING:
            _merged(listener, patch)
        return True
    if patch.apply_to == "LISTENER_FILTER":
        anchor = listener_filter_name(match.listener_filter) if match is not None else ""
        _edit(listener.listener_filters, patch, anchor)
        return True
    if patch.apply_to == "FILTER_CHAIN" and operation == "ADD":
        if (value := _value(patch)) is not None:
            listener.filter_chains.append(value)
        return True
    _patch_chains(listener, patch, context)
    return True


def _patch_chains(listener: Any, patch: ConfigPatch, context: str) -> None:
    match = patch.match.listener if patch.match is not None else None
    wanted = match.filter_chain if match is not None else None
    port = match.port_number if match is not None and context == INBOUND else 0
    kept = []
    for chain in listener.filter_chains:
        if _chain_matches(chain, wanted, port) and not _patch_chain(chain, patch, wanted):
            continue
        kept.append(chain)
    if len(kept) < len(listener.filter_chains):
        del listener.filter_chains[:]
        listener.filter_chains.extend(kept)
    if listener.HasField("default_filter_chain") and _chain_matches(listener.default_filter_chain, wanted, port):
        _patch_chain(listener.default_filter_chain, patch, wanted)


def _chain_matches(chain: Any, wanted: FilterChainMatch | None, port: int) -> bool:
    match = chain.filter_chain_match
    if port and match.destination_port.value != port:
        return False
    if wanted is None:
        return True
    asked = {one.strip() for one in wanted.application_protocols.split(",") if one.strip()}
    return (
        (not wanted.name or wanted.name == chain.name)
        and (not wanted.sni or wanted.sni in match.server_names)
        and (not wanted.transport_protocol or wanted.transport_protocol == match.transport_protocol)
        and asked <= set(match.application_protocols)
        and (not wanted.destination_port or wanted.destination_port == match.destination_port.value)
    )


def _patch_chain(chain: Any, patch: ConfigPatch, wanted: FilterChainMatch | None) -> bool:
    """Change one chain; False if it is removed."""
    if patch.apply_to == "FILTER_CHAIN":
        if patch.patch.operation == "REMOVE":
            return False
        if patch.patch.operation in _MERGING:
            _merged(chain, patch)
        return True
    named = wanted.filter if wanted is not None else None
    anchor = network_filter_name(named.name) if named is not None else ""
    if patch.apply_to == "NETWORK_FILTER":
        _edit(chain.filters, patch, anchor, last=_TERMINAL)
        return True
    for one in chain.filters:
        if one.name == _MANAGER and anchor in ("", one.name):
            manager = decode(_MANAGER_TYPE, one.typed_config.value)
            inner = named.sub_filter.name if named is not None and named.sub_filter is not None else ""
            below = http_filter_name(inner)
            _edit(manager.http_filters, patch, below, last=frozenset({_ROUTER}))
            one.typed_config.CopyFrom(pack(manager))
    return True


def _edit(filters: Any, patch: ConfigPatch, anchor: str, last: frozenset[str] = frozenset()) -> None:
    """Change a list of named filters. `anchor` names the filter that the operation is about; `last`: what must stay
    at the end."""
    operation = patch.patch.operation
    found = next((index for index, one in enumerate(filters) if one.name == anchor), None)
    if operation == "REMOVE":
        if found is not None:
            del filters[found]
        return
    value = _value(patch)
    if value is None:
        return
    if operation in _MERGING:
        for one in filters:
            if one.name in (anchor, value.name) if anchor else one.name == value.name:
                merge(one, value, replace_lists=operation == "MERGE_AND_REPLACE_LIST")
                if one.name in SLEEPING:
                    # What somebody configures for all requests is not for some routes only.
                    one.disabled = value.disabled
    elif operation == "REPLACE":
        if found is not None:
            filters[found].CopyFrom(value)
    else:
        _insert(filters, value, _place(filters, patch, found, anchor, last))


def _place(filters: Any, patch: ConfigPatch, found: int | None, anchor: str, last: frozenset[str]) -> int | None:
    operation = patch.patch.operation
    end = next((index for index, one in enumerate(filters) if one.name in last), len(filters))
    if operation == "INSERT_FIRST":
        return 0
    if operation == "ADD":
        # Who calls is known before what they may do is asked, and both before anything is counted.
        asking = [index for index, one in enumerate(filters) if one.name.startswith(_AUTHORIZATION)]
        beside = {"AUTHN": asking[:1], "AUTHZ": [index + 1 for index in asking[-1:]]}
        return next(iter(beside.get(patch.patch.filter_class, ())), end)
    if found is None:
        # Without a name: before all of them, or after.
        return None if anchor else 0 if operation == "INSERT_BEFORE" else end
    return found if operation == "INSERT_BEFORE" else min(found + 1, end)


def _insert(items: Any, value: Any, place: int | None) -> None:
    if place is None:
        return
    kept = [type(value).FromString(encode(one)) for one in items]
    kept.insert(place, value)
    del items[:]
    items.extend(kept)


# -- routes -----------------------------------------------------------------------------------------------------


def _patch_configuration(configuration: Any, patch: ConfigPatch, _context: str) -> bool:
    if not _names_configuration(configuration.name, patch):
        return True
    if patch.apply_to == "ROUTE_CONFIGURATION":
        if patch.patch.operation in _MERGING:
            _merged(configuration, patch)
        return True
    kept = [host for host in configuration.virtual_hosts if _patch_host_in(host, patch)]
    if len(kept) < len(configuration.virtual_hosts):
        del configuration.virtual_hosts[:]
        configuration.virtual_hosts.extend(kept)
    return True


def _names_configuration(name: str, patch: ConfigPatch) -> bool:
    match = patch.match.route_configuration if patch.match is not None else None
    if match is None:
        return True
    if match.name and match.name != name:
        return False
    if match.port_number and str(match.port_number) not in name.replace("|", ".").split("."):
        return False
    if match.port_name and match.port_name not in name.split("."):
        return False
    namespace, _slash, gateway = match.gateway.partition("/")
    return not match.gateway or name.endswith(f".{gateway}.{namespace}")


def _patch_virtual_host(host: Any, patch: ConfigPatch, _context: str) -> bool:
    configuration = host.name.partition("/")[0]
    return not _names_configuration(configuration, patch) or _patch_host_in(host, patch)


def _patch_host_in(host: Any, patch: ConfigPatch) -> bool:
    """Change one virtual host; False if it is removed."""
    match = patch.match.route_configuration if patch.match is not None else None
    wanted = match.vhost if match is not None else None
    if wanted is not None:
        title = host.name.partition("/")[2] or host.name
        if wanted.name and wanted.name not in (host.name, title) and not _is_istio_name(wanted.name, title, host.name):
            return True
        if wanted.domain_name and wanted.domain_name not in host.domains:
            return True
    operation = patch.patch.operation
    if patch.apply_to == "VIRTUAL_HOST":
        if operation == "REMOVE":
            return False
        if operation in _MERGING:
            _merged(host, patch)
        return True
    route = wanted.route if wanted is not None else None
    _edit_routes(host.routes, patch, route.name if route is not None else "", route.action if route else "ANY")
    return True


def _is_istio_name(wanted: str, host: str, full: str) -> bool:
    """Istio calls a virtual host `<host>:<port>`."""
    name, colon, port = wanted.rpartition(":")
    return bool(colon) and name == host and port in full.partition("/")[0].split(".")


_ACTIONS = {"ROUTE": "route", "REDIRECT": "redirect", "DIRECT_RESPONSE": "direct_response"}


def _edit_routes(routes: Any, patch: ConfigPatch, name: str, action: str) -> None:
    def wanted(one: Any) -> bool:
        return (not name or one.name == name) and (action == "ANY" or one.WhichOneof("action") == _ACTIONS[action])

    operation, value = patch.patch.operation, _value(patch)
    found = [index for index, one in enumerate(routes) if wanted(one)]
    if operation == "REMOVE":
        for index in reversed(found):
            del routes[index]
    elif value is None:
        return
    elif operation in _MERGING:
        for index in found:
            merge(routes[index], value, replace_lists=operation == "MERGE_AND_REPLACE_LIST")
    elif operation == "REPLACE":
        for index in found:
            routes[index].CopyFrom(value)
    elif operation == "INSERT_FIRST":
        _insert(routes, value, 0)
    elif operation == "INSERT_BEFORE":
        _insert(routes, value, found[0] if found else None)
    elif operation == "INSERT_AFTER":
        _insert(routes, value, found[0] + 1 if found else None)
    else:
        _insert(routes, value, len(routes))


_APPLY: dict[str, Callable[[Any, ConfigPatch, str], bool]] = {
    CLUSTER: _patch_cluster,
    LISTENER: _patch_listener,
    ROUTE: _patch_configuration,
    VIRTUAL_HOST: _patch_virtual_host,
}


@cache
def version_matches(pattern: str, version: str) -> bool:
    """Whether a patch for some proxy versions is for this one; galley has refused what is no expression."""
    return not pattern or re2.search(pattern, version) is not None


__all__ = ["PATCHED_TYPES", "OwnedPatch", "added_resources", "apply_patches", "version_matches"]
