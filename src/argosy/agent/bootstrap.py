"""Envoy's bootstrap: all that a proxy knows before its control plane has spoken.

Given a pod's plan and where the node's control plane listens; gives the configuration file as a plain dictionary.
Everything mutable comes by ADS; here are the node's identity, the two static clusters (Pilot for xDS, Mixer for
statistics), where the pod's certificate lies, and limits. Follows envoy.config.bootstrap.v3.Bootstrap.

Paths are those inside the pod (`PROXY_DIR`), equal in all pods, so that generated resources can name them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from argosy.agent.bootstrap_metrics import metrics_clusters, metrics_listeners
from argosy.agent.pod import PodPlan, Role
from argosy.agent.privileges import Privileges
from argosy.agent.proxy_environment import service_name
from argosy.core.names import COUNTS_CLUSTER, HEALTH_PORT, MIXER_CLUSTER, NODE_HEADER, REPORT_RUNTIME, XDS_CLUSTER

PROXY_DIR = "/etc/argosy/proxy"
BOOTSTRAP_FILE = "bootstrap.json"
SYSTEM_ROOTS_FILE = "system-roots.pem"
"""The authorities that the machine trusts, for TLS to outside servers."""
ADMIN_SOCKET = "admin.sock"
KEPT_SOCKET = "kept.sock"
"""Where the agent serves the configuration that the proxy last ran, while Pilot is away."""
IDENTITY_SECRET = "default"
ROOT_SECRET = "ROOTCA"
# Envoy takes exactly one secret from a file. Roots first: a new certificate must find its root in place.
SDS_FILES = {ROOT_SECRET: "roots.json", IDENTITY_SECRET: "certificate.json"}
REGEX_PROGRAM_MAX = 32_768
"""The largest program that a regular expression may become; its length is limited where it is written."""
_RUNTIME_S = 2.0
"""How long a proxy waits for the first word on what it reports."""
_FLUSHES_MAX = 4
_EVICTION_FLUSHES = 60
"""After so many flushes without a report, a connection's gauges are forgotten."""
_ADMIN_CLUSTER = "argosy-admin"
_TYPES = "type.googleapis.com/envoy"
_MONITORS = f"{_TYPES}.extensions.resource_monitors"
_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_HEAP = "envoy.resource_monitors.fixed_heap"
_HEAP_BYTES_MAX = 2 << 30
_STOPS = ("stop_accepting_requests", "stop_accepting_connections")
_CONNECTIONS_MAX = {Role.ROUTER: 50_000, Role.SIDECAR: 10_000}


@dataclass(frozen=True, slots=True)
class Upstreams:
    """Where Pilot, Mixer and the resolver for proxies listen, as seen from a pod: (address, port) each."""

    pilot: tuple[str, int]
    mixer: tuple[str, int]
    resolver: tuple[str, int]
    flush_s: float = 1.0


def build_bootstrap(
    plan: PodPlan, upstreams: Upstreams, privileges: Privileges, *, kept: bool = False
) -> dict[str, Any]:
    """Envoy's whole start-up configuration.

    kept:   the proxy starts while Pilot is away, with what it last ran: it also asks the agent (`KEPT_SOCKET`).
    Shape:  JSON-able dictionary of envoy.config.bootstrap.v3.Bootstrap.
    Note:   both xDS subscriptions wait without a limit: an Envoy that never heard its control plane serves nothing,
            which is right, because nothing yet says what may be served.
    """
    bootstrap: dict[str, Any] = {
        "node": _node(plan),
        "admin": {"address": {"pipe": {"path": f"{PROXY_DIR}/{ADMIN_SOCKET}", "mode": 0o600}}},
        "dynamic_resources": _dynamic_resources(),
        "static_resources": {
            "clusters": [
                _xds_cluster(upstreams.pilot, kept=kept),
                _control_plane_cluster(MIXER_CLUSTER, "mixer", upstreams.mixer),
                _counts_cluster(upstreams.mixer),
                _admin_cluster(),
                *metrics_clusters(plan.metrics, PROXY_DIR),
            ],
            "listeners": [
                _health_listener(),
                *metrics_listeners(plan.metrics, PROXY_DIR, _health_route(), _server_tls()),
            ],
        },
        "stats_flush_interval": f"{upstreams.flush_s:g}s",
        "stats_eviction_interval": f"{upstreams.flush_s * _EVICTION_FLUSHES:g}s",
        "stats_sinks": [_counts_sink(plan)],
        "stats_config": {"use_all_default_tags": False, "stats_matcher": _stats_matcher(plan)},
        "overload_manager": _overload_manager(_CONNECTIONS_MAX[plan.role]),
        "typed_dns_resolver_config": _resolver(upstreams.resolver),
        "layered_runtime": {"layers": [{"name": "argosy", "static_layer": _runtime()}, _report_layer()]},
    }
    if bind_config := privileges.bind_config():
        bootstrap["cluster_manager"] = {"upstream_bind_config": dict(bind_config)}
    return bootstrap


def sds_config(secret: str) -> dict[str, Any]:
    """The `sds_config` of one secret: a file, replaced as a whole, watched through its directory."""
    path = f"{PROXY_DIR}/{SDS_FILES[secret]}"
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": path, "watched_directory": {"path": PROXY_DIR}},
    }


def _node(plan: PodPlan) -> dict[str, Any]:
    labels = dict(plan.labels)
    metadata = {
        "NAME": plan.name,
        "NAMESPACE": plan.namespace,
        "LABELS": labels,
        "SERVICE_ACCOUNT": plan.service_account,
        "WORKLOAD_NAME": plan.workload,
        "INSTANCE_IPS": plan.ip,
    }
    return {"id": plan.node_id, "cluster": service_name(plan), "metadata": metadata}


def _dynamic_resources() -> dict[str, Any]:
    # Envoy starts afresh after a response only, and to one that has everything none is sent: by default every restart
    # of the control plane would make the next reconnect slower, up to 30 s.
    back_off = {"base_interval": "0.25s", "max_interval": "3s"}
    source = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    ads = {
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [{"envoy_grpc": {"cluster_name": XDS_CLUSTER, "retry_policy": {"retry_back_off": back_off}}}],
    }
    return {"ads_config": ads, "cds_config": source, "lds_config": source}


def _resolver(server: tuple[str, int]) -> dict[str, Any]:
    """Whom the proxy asks for names: not the application's resolver, which gives hosts of ServiceEntries addresses that
    only lead to this very proxy."""
    address = {"socket_address": {"address": server[0], "port_value": server[1]}}
    config = f"{_TYPES}.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
    return {"name": "envoy.network.dns_resolver.cares", "typed_config": {"@type": config, "resolvers": [address]}}


def _control_plane_cluster(name: str, component: str, address: tuple[str, int]) -> dict[str, Any]:
    host, port = address
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": _one_endpoint(name, {"socket_address": {"address": host, "port_value": port}}),
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": _client_tls(f"{component}.istio-system.svc"),
        },
        "typed_extension_protocol_options": _http2(),
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 300}},
    }


def _counts_cluster(mixer: tuple[str, int]) -> dict[str, Any]:
    """Few flushes may be on their way: what a Mixer that does not answer is still to get, the next one will tell."""
    limits = {"max_requests": _FLUSHES_MAX, "max_pending_requests": _FLUSHES_MAX}
    cluster = _control_plane_cluster(COUNTS_CLUSTER, "mixer", mixer)
    return {**cluster, "circuit_breakers": {"thresholds": [limits]}}


def _xds_cluster(pilot: tuple[str, int], *, kept: bool) -> dict[str, Any]:
    """Pilot; and if `kept` the agent's socket, in turns with it.

    Of the two only one serves at a time, and a failed attempt leads to the other. No health checks or priorities: the
    agent knows whether Pilot is back, and ends its stream then.
    """
    cluster = _control_plane_cluster(XDS_CLUSTER, "pilot", pilot)
    if kept:
        mark = {"kept": True}
        pipe = {
            "endpoint": {"address": {"pipe": {"path": f"{PROXY_DIR}/{KEPT_SOCKET}"}}},
            "metadata": {"filter_metadata": {"envoy.transport_socket_match": mark}},
        }
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"].append(pipe)
        raw = {
            "name": "envoy.transport_sockets.raw_buffer",
            "typed_config": {"@type": f"{_TYPES}.extensions.transport_sockets.raw_buffer.v3.RawBuffer"},
        }
        cluster["transport_socket_matches"] = [{"name": "kept", "match": mark, "transport_socket": raw}]
    return cluster


def _client_tls(server_name: str) -> dict[str, Any]:
    matcher = {"san_type": "DNS", "matcher": {"exact": server_name}}
    return {
        "@type": f"{_TYPES}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": server_name,
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
            "alpn_protocols": ["h2"],
            "tls_certificate_sds_secret_configs": [
                {"name": IDENTITY_SECRET, "sds_config": sds_config(IDENTITY_SECRET)}
            ],
            "combined_validation_context": {
                "default_validation_context": {"match_typed_subject_alt_names": [matcher]},
                "validation_context_sds_secret_config": {"name": ROOT_SECRET, "sds_config": sds_config(ROOT_SECRET)},
            },
        },
    }


def _http2() -> dict[str, Any]:
    return {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {
                # A control plane that vanished without closing is noticed within 20 s.
                "http2_protocol_options": {"connection_keepalive": {"interval": "10s", "timeout": "10s"}}
            },
        }
    }


def _admin_cluster() -> dict[str, Any]:
    pipe = {"pipe": {"path": f"{PROXY_DIR}/{ADMIN_SOCKET}"}}
    return {
        "name": _ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": _one_endpoint(_ADMIN_CLUSTER, pipe),
    }


def _one_endpoint(name: str, address: Mapping[str, Any]) -> dict[str, Any]:
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": dict(address)}}]}]}


def _health_listener() -> dict[str, Any]:
    """`/healthz/ready` on 15021, for load balancers in front of gateways; the rest of the admin page stays private."""
    manager = {
        "@type": f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "argosy-health",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "strip_trailing_host_dot": True,
        "request_headers_timeout": "5s",
        "common_http_protocol_options": {"idle_timeout": "60s", "headers_with_underscores_action": "REJECT_REQUEST"},
        "route_config": {"virtual_hosts": [{"name": "health", "domains": ["*"], "routes": [_health_route()]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }
    return {
        "name": "argosy-health",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": HEALTH_PORT}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _health_route() -> dict[str, Any]:
    return {
        "match": {"path": "/healthz/ready", "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
        "route": {"cluster": _ADMIN_CLUSTER, "prefix_rewrite": "/ready"},
    }


def _server_tls() -> dict[str, Any]:
    """The pod's certificate, for clients with one of this mesh."""
    return {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificate_sds_secret_configs": [{"name": IDENTITY_SECRET, "sds_config": sds_config(IDENTITY_SECRET)}],
        "validation_context_sds_secret_config": {"name": ROOT_SECRET, "sds_config": sds_config(ROOT_SECRET)},
    }


def _counts_sink(plan: PodPlan) -> dict[str, Any]:
    """Counters and histograms to Mixer, each with all that it has counted since the proxy began.

    So a flush that is lost is made good by the next one. Envoy's own metrics service tells of histograms only what came
    since the last flush.
    """
    return {
        "name": "envoy.stat_sinks.open_telemetry",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.stat_sinks.open_telemetry.v3.SinkConfig",
            "grpc_service": {
                "envoy_grpc": {"cluster_name": COUNTS_CLUSTER},
                "initial_metadata": [{"key": NODE_HEADER, "value": plan.node_id}],
            },
        },
    }


def _runtime() -> dict[str, Any]:
    # Envoy's own limit of 100 refuses regular expressions of a few dozen characters, and with them whole listeners.
    return {"re2.max_program_size.error_level": REGEX_PROGRAM_MAX}


def _report_layer() -> dict[str, Any]:
    """Which sides report to Mixer: from Pilot. Clusters are asked for only after that, so a proxy does not wait long
    for a Pilot that is away or does not know of it; until it is told it reports nothing."""
    source = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": f"{_RUNTIME_S:g}s"}
    return {"name": REPORT_RUNTIME, "rtds_layer": {"name": REPORT_RUNTIME, "rtds_config": source}}


def _stats_matcher(plan: PodPlan) -> dict[str, Any]:
    # What is not named here costs memory for every cluster of the mesh (about 40 KB each) and bytes in every flush.
    prefixes = ("istio_", "access_logs.", "cluster_manager.", "listener_manager.", "server.")
    patterns: list[dict[str, Any]] = [{"prefix": prefix} for prefix in prefixes]
    asked = [{"safe_regex": {"regex": text}} if kind == "regex" else {kind: text} for kind, text in plan.proxy_stats]
    return {"inclusion_list": {"patterns": [*patterns, {"contains": "xds"}, *asked]}}


def _overload_manager(connections_max: int) -> dict[str, Any]:
    """Bounds on connections and memory: first memory is given back, then connections close after their answer, then
    new requests are answered with 503 and no more connections are taken."""
    actions = (("shrink_heap", 0.90), ("disable_http_keepalive", 0.92), *((name, 0.95) for name in _STOPS))
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {
                "name": _CONNECTIONS,
                "typed_config": {
                    "@type": f"{_MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": connections_max,
                },
            },
            {
                "name": _HEAP,
                "typed_config": {
                    "@type": f"{_MONITORS}.fixed_heap.v3.FixedHeapConfig",
                    "max_heap_size_bytes": _HEAP_BYTES_MAX,
                },
            },
        ],
        "actions": [
            {"name": f"envoy.overload_actions.{name}", "triggers": [{"name": _HEAP, "threshold": {"value": at}}]}
            for name, at in actions
        ],
    }
