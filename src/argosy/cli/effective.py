"""What holds for calls of one host from one proxy, setting by setting, and who set each.

Given the proxy's routes, clusters and listeners as Envoy's JSON, the mesh configuration, and who declares a host; gives
plain values. Pure.
A setting that equals the mesh's own choice is the mesh configuration's, one that equals Argosy's default is "default";
any other is that of the object that the route or the cluster was made from (VirtualService, DestinationRule).
Source: envoy.config.route.v3.RouteAction; envoy.config.cluster.v3.Cluster; docs/reference/semantics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.api.mesh_config import MeshConfig
from argosy.cli.envoy_tables import LIMITS, chain_target, limits_of, made_from, protocol_of, route_match, route_target
from argosy.core.hosts import host_matches, specificity

Resource = Mapping[str, Any]
DEFAULT = "default"
MESH = "mesh configuration"
HOST = "the host's declaration"
_RETRIES = "2 on connect-failure,refused-stream,reset-before-request"
_CONNECT_TIMEOUT, _IDLE = "10s", "3600s"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting that holds, and who set it."""

    name: str
    value: str
    set_by: str


@dataclass(frozen=True, slots=True)
class Effective:
    """All settings of one way that calls take: what it matches, the clusters that it leads to, what it is made from."""

    port: int
    match: str
    target: str
    made_from: str
    settings: tuple[Setting, ...]


Declared = Callable[[str], str]
"""Who declares what a cluster, given by its name, leads to."""


def declared_by(cluster: str, listings: Iterable[Mapping[str, Any]]) -> str:
    """The object that declares the host and port that a cluster leads to, of the control API's lists of objects.

    A DestinationRule's cluster names the rule that it was made from, not what it was made for.
    """
    _direction, port, _subset, host = cluster.split("|") if cluster.count("|") == 3 else ("", "", "", cluster)
    for listing in listings:
        for one, origin in zip(listing["objects"], listing["origins"], strict=True):
            name, namespace = one["metadata"]["name"], one["metadata"]["namespace"]
            spec = one.get("spec", {})
            own = host in spec.get("hosts", ()) or host.startswith(f"{name}.{namespace}.svc.")
            if own and any(str(each.get("port", each.get("number"))) == port for each in spec.get("ports", ())):
                where = f" ({origin['file']}:{origin['line']})" if origin["file"] else ""
                return f"{listing['kind']} {namespace}/{name}{where}"
    return HOST


def effective_settings(
    config: Mapping[str, Any],
    mesh: MeshConfig,
    host: str,
    port: int = 0,
    path: str = "",
    *,
    declared: Declared = lambda _cluster: HOST,
) -> list[Effective]:
    """The ways of calls to `host` (in full or as an application calls it), in the order in which they are tried.

    `port` 0: all; `path`: only ways that a request for that path may take. Empty if the proxy does not know the host.
    """
    clusters = {one["name"]: one for one in config["clusters"]}
    found = [
        _of_route(one, route, clusters, mesh, declared)
        for one in config["routes"]
        if str(one.get("name", "")).isdigit() and port in (0, int(one["name"]))
        for route in _routes(one, host)
        if not path or _may_take(route.get("match", {}), path)
    ]
    found += _of_connections(config["listeners"], clusters, mesh, host, port, declared)
    return sorted(found, key=lambda one: one.port)


def _routes(configuration: Resource, host: str) -> Iterator[Resource]:
    """The routes of the virtual host that is about `host`; a request goes to the most specific one."""
    hosts = [
        (min(map(specificity, matching)), one)
        for one in configuration.get("virtual_hosts", ())
        if (matching := [domain for domain in one.get("domains", ()) if domain != "*" and host_matches(domain, host)])
    ]
    for _rank, one in sorted(hosts, key=lambda pair: pair[0])[:1]:
        yield from ({**route, "of": one, "port": configuration["name"]} for route in one.get("routes", ()))


def _may_take(match: Resource, path: str) -> bool:
    if "path" in match:
        return bool(match["path"] == path)
    if "path_separated_prefix" in match:
        return path == match["path_separated_prefix"] or path.startswith(f"{match['path_separated_prefix']}/")
    # A regular expression is not judged here: it may.
    return path.startswith(str(match.get("prefix", "")))


def _of_route(
    configuration: Resource, route: Resource, clusters: Mapping[str, Resource], mesh: MeshConfig, declared: Declared
) -> Effective:
    made = made_from(route, route["of"])
    action = route.get("route", {})
    settings = list(_route_settings(action, made, mesh)) if action else []
    for name in _clusters(action):
        several = len(_clusters(action)) > 1
        settings += _cluster_settings(clusters.get(name), name, mesh, declared, several=several)
    target = route_target(route)
    return Effective(int(configuration["name"]), route_match(route.get("match", {})), target, made, tuple(settings))


def _route_settings(action: Resource, made: str, mesh: MeshConfig) -> Iterator[Setting]:
    timeout = str(action.get("timeout", "15s"))
    yield Setting("timeout", _time(timeout), DEFAULT if timeout == "0s" else made)
    idle = str(action.get("idle_timeout", "0s"))
    yield Setting("stream idle timeout", _time(idle), DEFAULT if idle == "0s" else made)
    retries = _retries(action.get("retry_policy"))
    default = mesh.default_http_retry_policy
    same = default is not None and retries.startswith(f"{default.attempts} on {default.retry_on or ''}")
    by_mesh = default is not None and (same if default.attempts else retries == "none")
    yield Setting("retries", retries, MESH if by_mesh else DEFAULT if retries == _RETRIES else made)
    per_try = str((action.get("retry_policy") or {}).get("per_try_timeout", "0s"))
    if per_try != "0s":
        yield Setting("per-try timeout", _time(per_try), MESH if by_mesh else made)


def _retries(policy: Resource | None) -> str:
    if not policy:
        return "none"
    codes = ",".join(map(str, policy.get("retriable_status_codes", ())))
    return f"{policy.get('num_retries', 1)} on {policy.get('retry_on', '')}{f' ({codes})' if codes else ''}"


def _clusters(action: Resource) -> list[str]:
    if "weighted_clusters" in action:
        return [one["name"] for one in action["weighted_clusters"].get("clusters", ())]
    return [action["cluster"]] if "cluster" in action else []


def _cluster_settings(
    cluster: Resource | None, name: str, mesh: MeshConfig, declared: Declared, *, several: bool
) -> Iterator[Setting]:
    """What holds for connections of a cluster. `several`: say of which."""
    of = f" of {name}" if several else ""
    if cluster is None:
        yield Setting(f"cluster{of}", f"{name} is not there: 503", "-")
        return
    made = made_from(cluster)
    owner = made if made.startswith("DestinationRule") else DEFAULT
    connect = str(cluster.get("connect_timeout", "5s"))
    by_mesh = mesh.connect_timeout_s is not None and connect == f"{mesh.connect_timeout_s:g}s"
    who = MESH if by_mesh else DEFAULT if connect == _CONNECT_TIMEOUT else owner
    yield Setting(f"connect timeout{of}", _time(connect), who)
    options = _http_options(cluster)
    common = options.get("common_http_protocol_options", {})
    idle = str(common.get("idle_timeout", _IDLE))
    yield Setting(f"idle connections{of}", _time(idle), owner if "idle_timeout" in common else DEFAULT)
    for field, title in (
        ("max_requests_per_connection", "requests on a connection"),
        ("max_connection_duration", "age"),
    ):
        if field in common:
            yield Setting(f"{title}{of}", _time(str(common[field])), owner)
    limits = limits_of(cluster)
    for limit in LIMITS:
        value = str(limits[limit]) if limit in limits else "no limit"
        yield Setting(f"{limit}{of}", value, owner if limit in limits else DEFAULT)
    balancing = str(cluster.get("lb_policy", "ROUND_ROBIN"))
    yield Setting(f"load balancing{of}", balancing, DEFAULT if balancing in _OWN_BALANCING else owner)
    outliers = cluster.get("outlier_detection")
    yield Setting(f"ejection{of}", _ejection(outliers), owner if outliers else DEFAULT)
    yield Setting(f"mutual TLS{of}", *_tls(cluster, owner, mesh))
    # A DestinationRule does not decide this, whatever else of the cluster it made.
    yield Setting(f"protocol{of}", protocol_of(cluster), made if owner == DEFAULT else declared(name))


_OWN_BALANCING = frozenset({"LEAST_REQUEST", "CLUSTER_PROVIDED"})


def _http_options(cluster: Resource) -> Mapping[str, Any]:
    given = cluster.get("typed_extension_protocol_options", {})
    return next((one for name, one in given.items() if name.endswith("HttpProtocolOptions")), {})


def _ejection(outliers: Resource | None) -> str:
    if not outliers:
        return "none"
    told = [f"{key} {outliers[key]}" for key in ("consecutive_5xx", "consecutive_gateway_failure") if outliers.get(key)]
    told += [f"{key} {outliers[key]}" for key in ("base_ejection_time", "max_ejection_percent") if key in outliers]
    return ", ".join(told) or "as Envoy does by default"


def _tls(cluster: Resource, owner: str, mesh: MeshConfig) -> tuple[str, str]:
    """How connections are secured, and who says so."""
    automatic = DEFAULT if mesh.enable_auto_mtls else MESH
    if "transport_socket_matches" in cluster:
        return "where the endpoint has a sidecar", automatic
    socket = cluster.get("transport_socket")
    if not socket or socket.get("name", "").endswith("raw_buffer"):
        return "none", owner if owner != DEFAULT else automatic
    common = socket.get("typed_config", {}).get("common_tls_context", {})
    alpn = common.get("alpn_protocols", ())
    mutual = any(str(one).startswith("istio") for one in alpn)
    return ("always" if mutual else "no, but TLS to the outside"), owner


def _of_connections(
    listeners: Iterable[Resource],
    clusters: Mapping[str, Resource],
    mesh: MeshConfig,
    host: str,
    port: int,
    declared: Declared,
) -> Iterator[Effective]:
    """The ways of connections that are not HTTP: those of the host's own listeners."""
    for one in listeners:
        service = str(one.get("metadata", {}).get("filter_metadata", {}).get("argosy", {}).get("service", ""))
        number = int(one.get("address", {}).get("socket_address", {}).get("port_value", 0))
        if not service or not _is_called(service, host) or port not in (0, number):
            continue
        for chain in (*one.get("filter_chains", ()), *filter(None, [one.get("default_filter_chain")])):
            proxy = _tcp_proxy(chain)
            if proxy is None:
                continue
            made = made_from(chain, one)
            idle = str(proxy.get("idle_timeout", _IDLE))
            # It is of the rule for the first destination that has one, wherever connections are sent by.
            rules = [made_from(clusters[name]) for name in _clusters(proxy) if name in clusters]
            settings = [Setting("idle timeout", _time(idle), DEFAULT if idle == _IDLE else next(iter(rules), made))]
            for name in _clusters(proxy):
                several = len(_clusters(proxy)) > 1
                settings += _cluster_settings(clusters.get(name), name, mesh, declared, several=several)
            yield Effective(number, "connections", chain_target(chain), made, tuple(settings))


def _is_called(service: str, host: str) -> bool:
    """True if an application's `host` means that service: in full, or a beginning of its name."""
    return service == host or service.startswith(f"{host}.")


def _tcp_proxy(chain: Resource) -> Mapping[str, Any] | None:
    filters: Sequence[Resource] = chain.get("filters", ())
    return next(
        (one.get("typed_config", {}) for one in filters if str(one.get("name", "")).endswith("tcp_proxy")), None
    )


def _time(text: str) -> str:
    return "none" if text == "0s" else text
