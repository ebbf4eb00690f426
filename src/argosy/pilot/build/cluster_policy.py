"""What a DestinationRule's traffic policy makes of a cluster: load balancing, limits, connections, ejection.

Each function gives fields of `envoy.config.cluster.v3.Cluster`. Source: istio.io TrafficPolicy.
"""

from __future__ import annotations

from typing import Any

from argosy.api.destination_rule import (
    ConnectionPool,
    HTTPPool,
    LoadBalancer,
    OutlierDetection,
    RetryBudget,
    TCPKeepalive,
    TCPPool,
    TrafficPolicy,
    Warmup,
)
from argosy.envoy import values as v
from argosy.envoy.api import message, pack
from argosy.pilot.endpoint import HostPort

HTTP_OPTIONS_KEY = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_PRESERVE_CASE = "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"
UNLIMITED = 4294967295
# Of every 100 hosts, fewer than this many healthy means: none is, so all are tried rather than nobody.
_PANIC_PERCENT = 1.0
_PING_TIMEOUT_S = 20.0
_LB = {
    "UNSPECIFIED": "LEAST_REQUEST",
    "LEAST_CONN": "LEAST_REQUEST",
    "LEAST_REQUEST": "LEAST_REQUEST",
    "RANDOM": "RANDOM",
    "ROUND_ROBIN": "ROUND_ROBIN",
}


def load_balancing(balancer: LoadBalancer | None) -> dict[str, Any]:
    """The algorithm, and how new endpoints are warmed up."""
    if balancer is None:
        return {"lb_policy": "LEAST_REQUEST"}
    hashing = balancer.consistent_hash
    if hashing is None:
        chosen = _LB[balancer.simple or "UNSPECIFIED"]
        return {"lb_policy": chosen, **_slow_start(chosen, balancer.slow_start)}
    if hashing.maglev is not None:
        size = hashing.maglev.table_size
        return {"lb_policy": "MAGLEV", "maglev_lb_config": {"table_size": v.wrap(size)} if size else {}}
    ring = hashing.ring_hash.minimum_ring_size if hashing.ring_hash else hashing.minimum_ring_size
    return {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": v.wrap(ring or 1024)}}


def _slow_start(chosen: str, warmup: Warmup | None) -> dict[str, Any]:
    if warmup is None or chosen not in ("LEAST_REQUEST", "ROUND_ROBIN"):
        return {}
    config: dict[str, Any] = {"slow_start_window": v.duration(warmup.duration_s)}
    if warmup.aggression is not None:
        config["aggression"] = {"default_value": warmup.aggression, "runtime_key": "warmup.aggression"}
    if warmup.minimum_percent is not None:
        config["min_weight_percent"] = {"value": warmup.minimum_percent}
    return {f"{chosen.lower()}_lb_config": {"slow_start_config": config}}


def thresholds(pool: ConnectionPool | None, budget: RetryBudget | None = None) -> dict[str, Any]:
    """Circuit breakers. Envoy's own defaults (1,024) would be hidden limits; unset means no limit."""
    tcp, http = (pool.tcp, pool.http) if pool else (None, None)

    def limit(value: int | None) -> dict[str, int]:
        return {"value": value or UNLIMITED}

    made: dict[str, Any] = {
        "max_connections": limit(tcp.max_connections if tcp else None),
        "max_pending_requests": limit(http.http1_max_pending_requests if http else None),
        "max_requests": limit(http.http2_max_requests if http else None),
        "max_retries": limit(http.max_retries if http else None),
        "track_remaining": True,
    }
    if budget is not None:
        made["retry_budget"] = _retry_budget(budget)
    return made


def _retry_budget(budget: RetryBudget) -> dict[str, Any]:
    made: dict[str, Any] = {}
    if budget.percent is not None:
        made["budget_percent"] = {"value": budget.percent}
    if budget.min_retry_concurrency is not None:
        made["min_retry_concurrency"] = v.wrap(budget.min_retry_concurrency)
    if budget.budget_interval_s is not None:
        made["budget_interval"] = v.duration(budget.budget_interval_s)
    return made


def tcp_connections(tcp: TCPPool | None, keepalive: TCPKeepalive | None) -> dict[str, Any]:
    """Connect timeout and keep-alive; `keepalive` is the mesh's default for what the rule does not say."""
    made: dict[str, Any] = {}
    if tcp is not None and tcp.connect_timeout_s:
        made["connect_timeout"] = v.duration(tcp.connect_timeout_s)
    levels = [one for one in (keepalive, tcp.tcp_keepalive if tcp is not None else None) if one is not None]
    if levels:
        options: dict[str, Any] = {}
        for one in levels:
            options.update(_keepalive(one))
        made["upstream_connection_options"] = {"tcp_keepalive": options}
    return made


def _keepalive(alive: TCPKeepalive) -> dict[str, Any]:
    given = {
        "keepalive_probes": alive.probes,
        "keepalive_time": None if alive.time_s is None else round(alive.time_s),
        "keepalive_interval": None if alive.interval_s is None else round(alive.interval_s),
    }
    return {name: v.wrap(value) for name, value in given.items() if value is not None}


def http_options(
    policy: TrafficPolicy,
    port: HostPort,
    *,
    upgrade_all: bool,
    may_upgrade: bool,
    edge: bool = False,
    names_host: bool = False,
    checks_names: bool = False,
) -> dict[str, Any]:
    """The protocol towards the upstream, with its limits. `upgrade_all`: the mesh's own choice is HTTP/2, for hosts
    that are known to speak it (`may_upgrade`: they have a sidecar). `edge`: what clients speak, who are outside, says
    nothing of it. `names_host`: TLS is for the host that a request names. `checks_names`: a server must be who was
    asked for.
    """
    pool = policy.connection_pool
    tcp, http = (pool.tcp, pool.http) if pool else (None, None)
    codes = policy.outlier_detection.http_error_codes if policy.outlier_detection is not None else ()
    if not port.protocol.may_be_http:
        return {}
    options: dict[str, Any] = {"common_http_protocol_options": _common_options(tcp, http)}
    chosen = http.h2_upgrade_policy if http is not None else None
    upgrade = chosen == "UPGRADE" or (chosen in (None, "DEFAULT") and upgrade_all and may_upgrade)
    if codes:
        matcher = {"name": ":status", "string_match": {"safe_regex": v.regex("|".join(map(str, codes)))}}
        options["outlier_detection"] = {"error_matcher": {"http_response_headers_match": {"headers": [matcher]}}}
    if names_host or checks_names:
        options["upstream_http_protocol_options"] = {"auto_sni": True, "auto_san_validation": checks_names}
    http1, http2 = http1_options(), http2_options(http)
    as_clients = not port.protocol.is_http and not upgrade and not edge
    if (http is not None and http.use_client_protocol) or as_clients:
        options["use_downstream_protocol_config"] = {"http_protocol_options": http1, "http2_protocol_options": http2}
    elif port.protocol.is_http2 or upgrade:
        options["explicit_http_config"] = {"http2_protocol_options": http2}
    else:
        options["explicit_http_config"] = {"http_protocol_options": http1}
    return {"typed_extension_protocol_options": {HTTP_OPTIONS_KEY: pack(message(HTTP_OPTIONS_KEY)(**options))}}


def http1_options() -> dict[str, Any]:
    """HTTP/1 with header names as they were written: some applications look at their case."""
    return {"header_key_format": {"stateful_formatter": v.extension("preserve_case", _PRESERVE_CASE)}}


def _common_options(tcp: TCPPool | None, http: HTTPPool | None) -> dict[str, Any]:
    common: dict[str, Any] = {}
    # What is said of TCP connections holds for those of HTTP, unless more is said of them.
    idle_s = http.idle_timeout_s if http is not None else None
    if idle_s is None and tcp is not None:
        idle_s = tcp.idle_timeout_s
    if idle_s is not None:
        common["idle_timeout"] = v.duration(idle_s)
    if http is not None and http.max_requests_per_connection:
        common["max_requests_per_connection"] = v.wrap(http.max_requests_per_connection)
    if tcp is not None and tcp.max_connection_duration_s is not None:
        common["max_connection_duration"] = v.duration(tcp.max_connection_duration_s)
    return common


def http2_options(http: HTTPPool | None) -> dict[str, Any]:
    """HTTP/2 with its limits and PINGs."""
    made: dict[str, Any] = {}
    if http is not None and http.max_concurrent_streams:
        made["max_concurrent_streams"] = v.wrap(http.max_concurrent_streams)
    alive = http.http2_keep_alive if http is not None else None
    if alive is not None:
        pings: dict[str, Any] = {"timeout": v.duration(alive.timeout_s or _PING_TIMEOUT_S)}
        if alive.interval_s is not None:
            pings["interval"] = v.duration(alive.interval_s)
        made["connection_keepalive"] = pings
    return made


def outliers(outlier: OutlierDetection | None) -> dict[str, Any]:
    """Ejection of endpoints that fail, and what happens when too few are left."""
    if outlier is None:
        return {}
    old = outlier.consecutive_errors
    five_xx = outlier.consecutive_5xx_errors if outlier.consecutive_5xx_errors is not None else old
    gateway = outlier.consecutive_gateway_errors
    made: dict[str, Any] = {
        "enforcing_success_rate": v.wrap(0),
        # A tenth of a few hosts is none of them: the worst one can always be ejected.
        "always_eject_one_host": v.wrap(outlier.max_ejection_percent != 0),
    }
    if five_xx is not None:
        made |= {"consecutive_5xx": v.wrap(five_xx), "enforcing_consecutive_5xx": v.wrap(100 if five_xx else 0)}
    if gateway is not None:
        made["consecutive_gateway_failure"] = v.wrap(gateway)
        made["enforcing_consecutive_gateway_failure"] = v.wrap(100 if gateway else 0)
    if outlier.split_external_local_origin_errors:
        made["split_external_local_origin_errors"] = True
        if outlier.consecutive_local_origin_failures:
            made["consecutive_local_origin_failure"] = v.wrap(outlier.consecutive_local_origin_failures)
            made["enforcing_consecutive_local_origin_failure"] = v.wrap(100)
            # By default Envoy also ejects by the rate of such failures among the hosts, which nobody asked for.
            made["enforcing_local_origin_success_rate"] = v.wrap(0)
    if outlier.interval_s is not None:
        made["interval"] = v.duration(outlier.interval_s)
    if outlier.base_ejection_time_s is not None:
        made["base_ejection_time"] = v.duration(outlier.base_ejection_time_s)
    if outlier.max_ejection_percent is not None:
        made["max_ejection_percent"] = v.wrap(outlier.max_ejection_percent)
    return {"outlier_detection": made}


def common_balancing(outlier: OutlierDetection | None, *, weighted: bool) -> dict[str, Any]:
    """Panic threshold and weights of localities."""
    made: dict[str, Any] = {}
    if outlier is not None:
        least = outlier.min_health_percent
        made["healthy_panic_threshold"] = {"value": _PANIC_PERCENT if least is None else least}
    if weighted:
        made["locality_weighted_lb_config"] = {}
    return {"common_lb_config": made} if made else {}
