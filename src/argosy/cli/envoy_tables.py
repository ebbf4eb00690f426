"""Envoy's configuration as tables: one line for each cluster, endpoint, filter chain, route and secret.

Given resources as Envoy's own JSON (proto field names), from its configuration dump or from Pilot. Gives rows. What a
resource was made from stands in its `argosy` metadata. Source: envoy.admin.v3.ConfigDump.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from argosy.core.names import parse_cluster_name

Resource = Mapping[str, Any]
Rows = list[Sequence[str]]


def sections_of_dump(dump: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a configuration dump by the names of `proxy-config`, each a list of resources (one bootstrap)."""
    found: dict[str, Any] = {
        "bootstrap": {},
        "clusters": [],
        "endpoints": [],
        "listeners": [],
        "routes": [],
        "secrets": [],
    }
    for part in dump.get("configs", ()):
        kind = part.get("@type", "").rpartition(".")[2]
        if kind == "BootstrapConfigDump":
            found["bootstrap"] = part.get("bootstrap", {})
        elif kind in _DUMPS:
            section, member = _DUMPS[kind]
            found[section] += _members(part, member)
    return found


_DUMPS = MappingProxyType(
    {
        "ClustersConfigDump": ("clusters", "cluster"),
        "EndpointsConfigDump": ("endpoints", "endpoint_config"),
        "ListenersConfigDump": ("listeners", "listener"),
        "RoutesConfigDump": ("routes", "route_config"),
        "SecretsConfigDump": ("secrets", "secret"),
    }
)


def _members(part: Mapping[str, Any], member: str) -> Iterator[Any]:
    """What Envoy uses now: entries that warm, drain or failed are not in force."""
    for key, entries in part.items():
        if not key.startswith(("static_", "dynamic_")) or "warming" in key:
            continue
        for entry in entries:
            held = entry.get("active_state", entry)
            if member in held:
                yield held[member]


def cluster_rows(clusters: Iterable[Resource]) -> Rows:
    """SERVICE, PORT, SUBSET, DIRECTION, TYPE, PROTOCOL, LIMITS, MADE FROM."""
    rows: Rows = []
    for one in clusters:
        name = parse_cluster_name(one["name"])
        kind = str(one.get("type") or one.get("cluster_type", {}).get("name") or "STATIC")
        service, port, subset, direction = one["name"], "-", "-", "-"
        if name is not None:
            service, port, subset, direction = name.host or "-", str(name.port), name.subset or "-", name.direction
        told = (protocol_of(one), limits_text(one), made_from(one))
        rows.append((service, port, subset, direction, kind, *told))
    return rows


LIMITS = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
"""Circuit breakers, as Envoy names them."""
NO_LIMIT = 4294967295
_OWN_LIMITS = {"max_retries": 3}
_OWN_LIMIT = 1024


def protocol_of(cluster: Resource) -> str:
    """What a cluster's port is taken to speak, and why: `http (port name)`."""
    metadata = cluster.get("metadata", {}).get("filter_metadata", {}).get("argosy", {})
    return str(metadata.get("protocol", "-"))


def limits_of(cluster: Resource) -> dict[str, int]:
    """The circuit breakers of a cluster that limit anything."""
    thresholds = cluster.get("circuit_breakers", {}).get("thresholds", [{}])[0]
    # Where a cluster says nothing, Envoy's own defaults hold.
    found = {name: int(thresholds.get(name, _OWN_LIMITS.get(name, _OWN_LIMIT))) for name in LIMITS}
    return {name: value for name, value in found.items() if value != NO_LIMIT}


def limits_text(cluster: Resource) -> str:
    """The same in words; `none`."""
    return ", ".join(f"{name.removeprefix('max_')} {value}" for name, value in limits_of(cluster).items()) or "none"


def endpoint_rows(assignments: Iterable[Resource]) -> Rows:
    """ENDPOINT, HEALTH, WEIGHT, CLUSTER."""
    rows: Rows = []
    for one in assignments:
        for locality in one.get("endpoints", ()):
            for entry in locality.get("lb_endpoints", ()):
                address = _address(entry.get("endpoint", {}).get("address", {}))
                health = entry.get("health_status", "UNKNOWN")
                rows.append((address, health, str(entry.get("load_balancing_weight", 1)), one.get("cluster_name", "-")))
    return rows


def listener_rows(listeners: Iterable[Resource]) -> Rows:
    """ADDRESS, MATCH, DESTINATION, MADE FROM; one line for each filter chain."""
    rows: Rows = []
    for one in listeners:
        chains = [*one.get("filter_chains", ()), *filter(None, [one.get("default_filter_chain")])]
        address = _address(one.get("address", {}))
        for chain in chains:
            match = _chain_match(chain.get("filter_chain_match", {}))
            rows.append((address, match, chain_target(chain), made_from(chain, one)))
        if not chains:
            rows.append((address, "-", "-", made_from(one)))
    return rows


def _chain_match(match: Mapping[str, Any]) -> str:
    parts = []
    if "destination_port" in match:
        parts.append(f"port {match['destination_port']}")
    parts += [f"to {_range(one)}" for one in match.get("prefix_ranges", ())]
    parts += [f"SNI {name}" for name in match.get("server_names", ())]
    if match.get("transport_protocol"):
        parts.append(match["transport_protocol"])
    if match.get("application_protocols"):
        parts.append(f"ALPN {'|'.join(match['application_protocols'])}")
    return ", ".join(parts) or "all"


def _range(one: Mapping[str, Any]) -> str:
    return f"{one.get('address_prefix')}/{one.get('prefix_len', 0)}"


def chain_target(chain: Mapping[str, Any]) -> str:
    """Where a filter chain's connections go: routes, a cluster, several by weight."""
    for one in reversed(chain.get("filters", ())):
        config = one.get("typed_config", {})
        if "rds" in config:
            return f"routes {config['rds'].get('route_config_name', '')}"
        if "route_config" in config:
            return f"routes {config['route_config'].get('name', '')} (inline)"
        if "weighted_clusters" in config:
            return _weighted(config["weighted_clusters"])
        if "cluster" in config:
            return f"cluster {config['cluster']}"
    return "-"


def route_rows(configurations: Iterable[Resource]) -> Rows:
    """ROUTES, VIRTUAL HOST, DOMAINS, MATCH, DESTINATION, MADE FROM; one line for each route."""
    rows: Rows = []
    for one in configurations:
        for host in one.get("virtual_hosts", ()):
            for route in host.get("routes", ()):
                rows.append(
                    (
                        one.get("name", "-"),
                        host.get("name", ""),
                        _few(host.get("domains", ())),
                        route_match(route.get("match", {})),
                        route_target(route),
                        made_from(route, host, one),
                    )
                )
    return rows


def route_match(match: Mapping[str, Any]) -> str:
    """What a route asks of requests, in a few words."""
    paths = [f"{key} {match[key]}" for key in ("prefix", "path", "path_separated_prefix") if key in match]
    if "safe_regex" in match:
        paths.append(f"regex {match['safe_regex'].get('regex')}")
    headers = [str(header.get("name")) for header in match.get("headers", ())]
    parameters = [f"?{parameter.get('name')}" for parameter in match.get("query_parameters", ())]
    return ", ".join([*paths, *(f"header {name}" for name in headers), *parameters]) or "all"


def route_target(route: Mapping[str, Any]) -> str:
    """What a route does with requests, in a few words."""
    if "redirect" in route:
        return "redirect"
    if "direct_response" in route:
        return f"answer {route['direct_response'].get('status')}"
    action = route.get("route", {})
    if "weighted_clusters" in action:
        return _weighted(action["weighted_clusters"])
    return str(action.get("cluster") or action.get("cluster_header") or "-")


def _weighted(clusters: Mapping[str, Any]) -> str:
    return ", ".join(f"{one.get('weight', 0)}: {one.get('name')}" for one in clusters.get("clusters", ()))


def secret_rows(secrets: Iterable[Resource]) -> Rows:
    """NAME, TYPE, SUBJECT, SERIAL, NOT AFTER; certificates are public, so they may be shown."""
    rows: Rows = []
    for one in secrets:
        if "tls_certificate" in one:
            kind, source = "certificate", one["tls_certificate"].get("certificate_chain", {})
        elif "validation_context" in one:
            kind, source = "roots", one["validation_context"].get("trusted_ca", {})
        else:
            kind, source = "other", {}
        rows.append((one.get("name", ""), kind, *_certificate(source)))
    return rows


def _certificate(source: Mapping[str, Any]) -> tuple[str, str, str]:
    """(name, serial, end) of the first certificate of a data source."""
    from cryptography import x509

    pem = source.get("inline_string", "").encode() or b64decode(source.get("inline_bytes", ""))
    try:
        leaf = x509.load_pem_x509_certificate(pem)
    except ValueError:
        return "-", "-", "-"
    names: list[str] = [leaf.subject.rfc4514_string()]
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = alternative.get_values_for_type(x509.UniformResourceIdentifier) or names
    except x509.ExtensionNotFound:
        pass
    return names[0], f"{leaf.serial_number:x}", leaf.not_valid_after_utc.isoformat(" ", "seconds")


def _address(address: Mapping[str, Any]) -> str:
    socket = address.get("socket_address")
    if socket:
        return f"{socket.get('address')}:{socket.get('port_value', 0)}"
    return str(address.get("pipe", {}).get("path", "-"))


def made_from(*resources: Resource) -> str:
    """The object that the first of the resources that knows names."""
    for one in resources:
        fields = one.get("metadata", {}).get("filter_metadata", {}).get("argosy", {})
        if "kind" in fields:
            where = f" ({fields['origin']})" if "origin" in fields else ""
            return f"{fields['kind']} {fields.get('object', '')}{where}"
    return "-"


def _few(items: Sequence[str]) -> str:
    return ", ".join(items[:2]) + (f" and {len(items) - 2} more" if len(items) > 2 else "")


TABLES: Mapping[str, tuple[Sequence[str], Callable[[Iterable[Resource]], Rows]]] = MappingProxyType(
    {
        "listeners": (("ADDRESS", "MATCH", "DESTINATION", "MADE FROM"), listener_rows),
        "routes": (("ROUTES", "VIRTUAL HOST", "DOMAINS", "MATCH", "DESTINATION", "MADE FROM"), route_rows),
        "clusters": (
            ("SERVICE", "PORT", "SUBSET", "DIRECTION", "TYPE", "PROTOCOL", "LIMITS", "MADE FROM"),
            cluster_rows,
        ),
        "endpoints": (("ENDPOINT", "HEALTH", "WEIGHT", "CLUSTER"), endpoint_rows),
        "secrets": (("NAME", "TYPE", "IDENTITY", "SERIAL", "NOT AFTER"), secret_rows),
    }
)
