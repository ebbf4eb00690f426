"""EnvoyFilter: do its patches fit what they patch?

Given the typed object, adds findings to a `Check`. Values are read as Envoy's own messages, so that an unknown field or
a wrong type is refused here and not by every proxy. Source: Istio's EnvoyFilter rules; this Envoy's protobufs.
"""

from __future__ import annotations

from argosy.api.envoy_filter import ConfigPatch, EnvoyFilter, ListenerMatch
from argosy.api.paths import format_path, parse_path
from argosy.core.filter_names import http_filter_name, listener_filter_name, network_filter_name
from argosy.envoy.patch_values import PatchValueError, former_types_in, patch_value
from argosy.galley.validate.check import Check

_NAMED = frozenset({"NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER"})
_ORDERED = frozenset({"INSERT_BEFORE", "INSERT_AFTER", "INSERT_FIRST", "REPLACE"})
_WITH_ORDER = frozenset({"NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER", "HTTP_ROUTE"})
_MATCH_OF = {
    "LISTENER": "listener",
    "FILTER_CHAIN": "listener",
    "NETWORK_FILTER": "listener",
    "HTTP_FILTER": "listener",
    "LISTENER_FILTER": "listener",
    "ROUTE_CONFIGURATION": "routeConfiguration",
    "VIRTUAL_HOST": "routeConfiguration",
    "HTTP_ROUTE": "routeConfiguration",
    "CLUSTER": "cluster",
}


def validate_envoy_filter(check: Check, spec: EnvoyFilter) -> None:
    """All rules about one EnvoyFilter."""
    if spec.workload_selector is not None:
        at = "spec.workloadSelector.labels"
        check.labels(at, spec.workload_selector.labels)
        if not spec.workload_selector.labels:
            message = "a selector without labels: the patches are for every workload"
            check.warn("ARG0151", at, message, "leave workloadSelector out for all workloads")
    if not spec.config_patches:
        check.warn("ARG0151", "spec.configPatches", "without patches the object does nothing", "remove it")
    for index, patch in enumerate(spec.config_patches):
        _validate_patch(check, f"spec.configPatches[{index}]", patch)


def _validate_patch(check: Check, at: str, patch: ConfigPatch) -> None:
    _validate_match(check, f"{at}.match", patch)
    operation, value = patch.patch.operation, patch.patch.value
    if operation in _ORDERED and patch.apply_to not in _WITH_ORDER:
        message = f"{operation} does not go with {patch.apply_to}: it has no order"
        check.error("ARG0170", f"{at}.patch.operation", message, "use MERGE, ADD or REMOVE")
    if patch.apply_to == "ROUTE_CONFIGURATION" and operation not in ("MERGE", "MERGE_AND_REPLACE_LIST"):
        message = f"{operation} does not go with ROUTE_CONFIGURATION"
        check.error("ARG0170", f"{at}.patch.operation", message, "use MERGE")
    if patch.apply_to == "VIRTUAL_HOST" and operation == "ADD":
        message = "virtual hosts are made of services and VirtualServices: none can be added"
        check.error("ARG0170", f"{at}.patch.operation", message, "declare a VirtualService for the host")
    if operation == "REMOVE":
        if value is not None:
            check.warn("ARG0151", f"{at}.patch.value", "REMOVE uses no value", "remove the value")
    elif value is None:
        check.error("ARG0110", f"{at}.patch.value", f"{operation} needs a value")
    else:
        _validate_value(check, f"{at}.patch.value", patch)


def _validate_value(check: Check, at: str, patch: ConfigPatch) -> None:
    try:
        made = patch_value(patch.apply_to, patch.patch.value)
    except PatchValueError as error:
        hint = error.hint or "fields are those of Envoy's own configuration, version 3"
        check.error(
            "ARG0171", format_path((*parse_path(at), *error.at)), f"not a value for {patch.apply_to}: {error}", hint
        )
        return
    for where, old, new in former_types_in(patch.patch.value):
        message = f"{old} is of a former version of Envoy's API: read as {new.rpartition('/')[2]}"
        check.warn("ARG0153", format_path((*parse_path(at), *where)), message, f'write "@type": {new}')
    adding = patch.patch.operation not in ("MERGE", "MERGE_AND_REPLACE_LIST", "REMOVE")
    if adding and patch.apply_to in (*_NAMED, "CLUSTER", "LISTENER") and not made.name:
        check.error("ARG0110", f"{at}.name", f"a {patch.apply_to} that is added needs a name")
    if adding and patch.apply_to in ("NETWORK_FILTER", "HTTP_FILTER") and not made.HasField("typed_config"):
        check.error("ARG0110", f"{at}.typed_config", "a filter that is added needs typed_config with @type")


def _validate_match(check: Check, at: str, patch: ConfigPatch) -> None:
    match = patch.match
    if match is None:
        return
    given = {
        "listener": match.listener is not None,
        "routeConfiguration": match.route_configuration is not None,
        "cluster": match.cluster is not None,
    }
    wanted = _MATCH_OF[patch.apply_to]
    for name, is_given in given.items():
        if is_given and name != wanted:
            message = f"Envoy filter: applyTo for {patch.apply_to} cannot have {name} match"
            check.error("ARG0121", f"{at}.{name}", message, f"use match.{wanted}")
    if match.context == "WAYPOINT":
        check.warn("ARG0151", at, "there are no waypoint proxies: the patch changes nothing", "use sidecars' contexts")
    if match.proxy is not None and match.proxy.proxy_version:
        check.regex(f"{at}.proxy.proxyVersion", match.proxy.proxy_version)
    chain = match.listener.filter_chain if match.listener is not None else None
    named = chain.filter if chain is not None else None
    if named is not None and not named.name:
        message = "Envoy filter: filter match has no name to match on"
        check.error("ARG0110", f"{at}.listener.filterChain.filter.name", message)
    if match.listener is not None:
        _warn_former_names(check, f"{at}.listener", match.listener)
    own = network_filter_name(named.name) if named is not None else ""
    inner = named.sub_filter if named is not None else None
    if inner is not None:
        _validate_inner(check, f"{at}.listener.filterChain.filter", patch.apply_to, own, inner.name)
    elif patch.apply_to == "HTTP_FILTER" and own not in ("", _MANAGER):
        message = f"HTTP filters are part of {_MANAGER}: the patch changes nothing"
        check.warn("ARG0151", f"{at}.listener.filterChain.filter.name", message, f"write {_MANAGER}")
    if named is not None and patch.apply_to in ("LISTENER", "FILTER_CHAIN"):
        message = f"a {patch.apply_to} is not chosen by its filters"
        check.warn("ARG0151", f"{at}.listener.filterChain.filter", message, "remove it")


def _validate_inner(check: Check, at: str, apply_to: str, own: str, name: str) -> None:
    """A match of an HTTP filter within the network filter `own`."""
    if apply_to != "HTTP_FILTER":
        hint = "use applyTo: HTTP_FILTER, or remove it"
        check.error("ARG0121", f"{at}.subFilter", f"subFilter goes with HTTP_FILTER, not {apply_to}", hint)
    elif own != _MANAGER:
        check.error("ARG0121", f"{at}.name", f"HTTP filters are part of {_MANAGER}", f"write {_MANAGER}")
    elif not name:
        check.error("ARG0110", f"{at}.subFilter.name", "subFilter has no name to match on")


def _warn_former_names(check: Check, at: str, match: ListenerMatch) -> None:
    named = match.filter_chain.filter if match.filter_chain is not None else None
    inner = named.sub_filter if named is not None else None
    found = [(f"{at}.listenerFilter", match.listener_filter, listener_filter_name(match.listener_filter))]
    if named is not None:
        found.append((f"{at}.filterChain.filter.name", named.name, network_filter_name(named.name)))
    if inner is not None:
        found.append((f"{at}.filterChain.filter.subFilter.name", inner.name, http_filter_name(inner.name)))
    for field, old, new in found:
        if old != new:
            check.warn("ARG0153", field, f"{old} is a former name", f"use {new}")


_MANAGER = "envoy.filters.network.http_connection_manager"
