"""DestinationRule: is what it says possible?

Given typed objects, adds findings to a `Check`. Source: Istio's rules; Envoy's cluster limits.
"""

from __future__ import annotations

from argosy.api.destination_rule import (
    ClientTLS,
    ConnectionPool,
    ConsistentHash,
    DestinationRule,
    HTTPPool,
    LoadBalancer,
    OutlierDetection,
    PortTrafficPolicy,
    TCPPool,
    TrafficPolicy,
)
from argosy.api.locality import LocalityLB
from argosy.galley.validate.check import Check, is_dns_name, is_ip, member

RING_SIZE_MAX = 8_388_608
MAGLEV_SIZE_MAX = 5_000_011
_PLACES = frozenset(("topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"))
_AGGRESSION_MAX = 1000.0


def validate_destination_rule(check: Check, rule: DestinationRule) -> None:
    """All rules about one DestinationRule."""
    check.host("spec.host", rule.host, wildcard=True)
    check.export_to(rule.export_to)
    if rule.workload_selector is not None:
        check.labels("spec.workloadSelector.matchLabels", rule.workload_selector.match_labels)
        if not rule.workload_selector.match_labels:
            hint = "name labels, or leave out workloadSelector"
            check.warn("ARG0151", "spec.workloadSelector", "a selector without labels: every workload's rule", hint)
        for index, namespace in enumerate(rule.export_to):
            if namespace not in (".", check.obj.namespace):
                message = "a rule with a workloadSelector is for its own namespace only"
                check.error("ARG0126", f"spec.exportTo[{index}]", message, "write '.', or remove exportTo")
    _validate_policy(check, "spec.trafficPolicy", rule.traffic_policy)
    check.unique("spec.subsets", ((f"[{i}].name", s.name) for i, s in enumerate(rule.subsets)), "subset")
    for index, subset in enumerate(rule.subsets):
        at = f"spec.subsets[{index}]"
        check.subset(f"{at}.name", subset.name)
        check.labels(f"{at}.labels", subset.labels)
        if not subset.labels:
            check.warn("ARG0151", at, f"subset {subset.name!r} has no labels: it selects every endpoint of the host")
        _validate_policy(check, f"{at}.trafficPolicy", subset.traffic_policy)


def _validate_policy(check: Check, at: str, policy: TrafficPolicy | None) -> None:
    if policy is None:
        return
    if policy == TrafficPolicy():
        check.error("ARG0110", at, "a traffic policy needs at least one field")
    _validate_settings(check, at, policy)
    _validate_extras(check, at, policy)
    seen: set[int] = set()
    for index, settings in enumerate(policy.port_level_settings):
        field, number = f"{at}.portLevelSettings[{index}]", settings.port.number
        check.port(f"{field}.port.number", number)
        if number in seen:
            check.warn("ARG0152", field, f"port {number} stands before: these settings are not used", "remove them")
        seen.add(number)
        if settings == PortTrafficPolicy(port=settings.port):
            check.error("ARG0110", field, "a port's traffic policy needs at least one field")
        _validate_settings(check, field, settings)


def _validate_settings(check: Check, at: str, policy: TrafficPolicy | PortTrafficPolicy) -> None:
    if policy.load_balancer is not None:
        _validate_load_balancer(check, f"{at}.loadBalancer", policy.load_balancer)
    if policy.connection_pool is not None:
        validate_pool(check, f"{at}.connectionPool", policy.connection_pool)
    if policy.outlier_detection is not None:
        _validate_outlier(check, f"{at}.outlierDetection", policy.outlier_detection)
    if policy.tls is not None:
        _validate_client_tls(check, f"{at}.tls", policy.tls)


def _validate_extras(check: Check, at: str, policy: TrafficPolicy) -> None:
    """What a policy of a whole host or subset may have beside what one of a port has."""
    if policy.tunnel is not None:
        if not is_ip(policy.tunnel.target_host):
            check.host(f"{at}.tunnel.targetHost", policy.tunnel.target_host)
        tunnelled = {"tunnel": True, "proxyProtocol": policy.proxy_protocol is not None}
        check.one_of(at, tunnelled, required=False)
        check.port(f"{at}.tunnel.targetPort", policy.tunnel.target_port)
    if policy.retry_budget is not None:
        check.percent(f"{at}.retryBudget.percent", policy.retry_budget.percent)
        check.at_least(f"{at}.retryBudget.minRetryConcurrency", policy.retry_budget.min_retry_concurrency)
        check.duration(f"{at}.retryBudget.budgetInterval", policy.retry_budget.budget_interval_s)


def _validate_load_balancer(check: Check, at: str, balancer: LoadBalancer) -> None:
    given = {"simple": balancer.simple is not None, "consistentHash": balancer.consistent_hash is not None}
    if balancer.zone_aware_lb_setting is not None:
        _validate_zones(check, at, balancer)
    check.one_of(at, given, required=False)
    if balancer.locality_lb_setting is not None:
        validate_locality(check, f"{at}.localityLbSetting", balancer.locality_lb_setting)
    _validate_warmup(check, at, balancer)
    if balancer.simple == "LEAST_CONN":
        check.warn("ARG0153", f"{at}.simple", "LEAST_CONN is deprecated", "use LEAST_REQUEST")
    if balancer.consistent_hash is not None:
        _validate_hash(check, f"{at}.consistentHash", balancer.consistent_hash)


def _validate_zones(check: Check, at: str, balancer: LoadBalancer) -> None:
    zones = balancer.zone_aware_lb_setting
    assert zones is not None
    settings = {"localityLbSetting": balancer.locality_lb_setting is not None, "zoneAwareLbSetting": True}
    check.one_of(at, settings, required=False)
    check.at_least(f"{at}.zoneAwareLbSetting.minClusterSize", zones.min_cluster_size, 1)
    same = LocalityLB(failover=zones.failover, failover_priority=zones.failover_priority)
    validate_locality(check, f"{at}.zoneAwareLbSetting", same)


def _validate_warmup(check: Check, at: str, balancer: LoadBalancer) -> None:
    check.duration(f"{at}.warmupDurationSecs", balancer.warmup_duration_s)
    given = {"warmup": balancer.warmup is not None, "warmupDurationSecs": balancer.warmup_duration_s is not None}
    check.one_of(at, given, required=False)
    if balancer.warmup is not None:
        check.duration(f"{at}.warmup.duration", balancer.warmup.duration_s)
        check.percent(f"{at}.warmup.minimumPercent", balancer.warmup.minimum_percent)
        aggression = balancer.warmup.aggression
        if aggression is not None and not 1 <= aggression <= _AGGRESSION_MAX:
            check.error("ARG0122", f"{at}.warmup.aggression", f"{aggression:g} is not in 1-1000")
    if balancer.slow_start is not None and (balancer.consistent_hash or balancer.simple in ("RANDOM", "PASSTHROUGH")):
        hint = "ROUND_ROBIN and LEAST_REQUEST can warm up"
        check.warn("ARG0151", at, "warm-up does not go with this way of load balancing: there is none", hint)


def validate_locality(check: Check, at: str, setting: LocalityLB) -> None:
    """A locality setting of a rule or of the mesh."""
    if setting.distribute and setting.failover:
        message = "can not simultaneously specify 'distribute' and 'failover'"
        check.error("ARG0109", at, message, "keep one of them")
    if setting.distribute and setting.failover_priority:
        message = "failoverPriority is not used where there is distribute"
        check.warn("ARG0151", f"{at}.failoverPriority", message, "keep one of them")
    _validate_overlap(check, [(f"{at}.distribute[{i}].from", one.from_) for i, one in enumerate(setting.distribute)])
    for index, label in enumerate(setting.failover_priority):
        if setting.failover and label.partition("=")[0] in _PLACES:
            message = f"{label} says with failover twice where to go"
            check.error("ARG0109", f"{at}.failoverPriority[{index}]", message, "keep one of them")
    for index, one in enumerate(setting.distribute):
        field = f"{at}.distribute[{index}]"
        check.not_empty(f"{field}.from", one.from_, "a locality")
        _validate_place(check, f"{field}.from", one.from_)
        for place, weight in one.to.items():
            _validate_place(check, member(f"{field}.to", place), place)
            check.at_least(member(f"{field}.to", place), weight, 1, 100)
        _validate_overlap(check, [(member(f"{field}.to", place), place) for place in one.to])
        if (total := sum(one.to.values())) != 100:
            check.error("ARG0111", f"{field}.to", f"total locality weight {total} != 100")
    for index, pair in enumerate(setting.failover):
        field = f"{at}.failover[{index}]"
        if pair.from_ == pair.to:
            message = "locality lb failover settings must specify different regions"
            check.error("ARG0121", field, message, "from and to are regions")
        for name, region in (("from", pair.from_), ("to", pair.to)):
            check.not_empty(f"{field}.{name}", region, "a region")
            if "/" in region or "*" in region:
                check.error("ARG0121", f"{field}.{name}", f"{region!r} is not a region", "no zone, no wildcard")
    for index, label in enumerate(setting.failover_priority):
        name, _equals, value = label.partition("=")
        check.labels(f"{at}.failoverPriority[{index}]", {name: value})


def _validate_overlap(check: Check, places: list[tuple[str, str]]) -> None:
    """No locality may lie within one that stands before it, or the other way round."""
    seen: list[list[str]] = []
    for field, place in places:
        parts = [part for part in place.split("/") if part != "*"]
        if any(parts[: len(one)] == one[: len(parts)] for one in seen):
            check.error("ARG0114", field, f"locality {place!r} overlaps with another one here", "make them disjoint")
        seen.append(parts)


def _validate_place(check: Check, field: str, place: str) -> None:
    parts = place.split("/")
    if len(parts) > 3 or "" in parts or "*" in "".join(parts[:-1]) or ("*" in parts[-1] and parts[-1] != "*"):
        check.error("ARG0121", field, f"{place!r} is not a locality", "region/zone/subzone; * may stand last")


def _validate_hash(check: Check, at: str, hashing: ConsistentHash) -> None:
    keys = {
        "httpHeaderName": hashing.http_header_name is not None,
        "httpCookie": hashing.http_cookie is not None,
        "useSourceIp": hashing.use_source_ip is not None,
        "httpQueryParameterName": hashing.http_query_parameter_name is not None,
    }
    check.one_of(at, keys, required=False)
    if not any(keys.values()):
        check.warn("ARG0151", at, "nothing is hashed: any endpoint may be chosen", f"give one of {', '.join(keys)}")
    algorithms = {"ringHash": hashing.ring_hash is not None, "maglev": hashing.maglev is not None}
    check.one_of(at, {**algorithms, "minimumRingSize": bool(hashing.minimum_ring_size)}, required=False)
    if hashing.http_header_name is not None:
        check.header_name(f"{at}.httpHeaderName", hashing.http_header_name)
    if hashing.http_cookie is not None:
        check.header_name(f"{at}.httpCookie.name", hashing.http_cookie.name)
        check.duration(f"{at}.httpCookie.ttl", hashing.http_cookie.ttl_s, zero=True)
        for index, attribute in enumerate(hashing.http_cookie.attributes):
            field = f"{at}.httpCookie.attributes[{index}]"
            check.header_name(f"{field}.name", attribute.name)
            check.printable(f"{field}.value", attribute.value)
    if hashing.http_query_parameter_name is not None:
        check.not_empty(f"{at}.httpQueryParameterName", hashing.http_query_parameter_name, "a name")
    check.at_least(f"{at}.minimumRingSize", hashing.minimum_ring_size, 0, RING_SIZE_MAX)
    if hashing.ring_hash is not None:
        check.at_least(f"{at}.ringHash.minimumRingSize", hashing.ring_hash.minimum_ring_size, 0, RING_SIZE_MAX)
    if hashing.maglev is not None and (size := hashing.maglev.table_size):
        check.at_least(f"{at}.maglev.tableSize", size, 2, MAGLEV_SIZE_MAX)
        if 2 <= size <= MAGLEV_SIZE_MAX and not _is_prime(size):
            check.error("ARG0122", f"{at}.maglev.tableSize", f"{size} is not a prime", "the default is 65537")


def validate_pool(check: Check, at: str, pool: ConnectionPool) -> None:
    """A connection pool of a rule or of a Sidecar."""
    if pool == ConnectionPool():
        check.error("ARG0110", at, "a connection pool needs tcp or http")
    if pool.tcp is not None:
        _validate_tcp_pool(check, f"{at}.tcp", pool.tcp)
    if pool.http is not None:
        _validate_http_pool(check, f"{at}.http", pool.http)


def _validate_tcp_pool(check: Check, at: str, pool: TCPPool) -> None:
    check.at_least(f"{at}.maxConnections", pool.max_connections, 0, 2**31 - 1)
    check.duration(f"{at}.connectTimeout", pool.connect_timeout_s)
    check.duration(f"{at}.idleTimeout", pool.idle_timeout_s, zero=True)
    check.duration(f"{at}.maxConnectionDuration", pool.max_connection_duration_s)
    if pool.tcp_keepalive is not None:
        check.at_least(f"{at}.tcpKeepalive.probes", pool.tcp_keepalive.probes)
        check.duration(f"{at}.tcpKeepalive.time", pool.tcp_keepalive.time_s)
        check.duration(f"{at}.tcpKeepalive.interval", pool.tcp_keepalive.interval_s)


def _validate_http_pool(check: Check, at: str, pool: HTTPPool) -> None:
    limits = {
        "http1MaxPendingRequests": pool.http1_max_pending_requests,
        "http2MaxRequests": pool.http2_max_requests,
        "maxRequestsPerConnection": pool.max_requests_per_connection,
        "maxRetries": pool.max_retries,
        "maxConcurrentStreams": pool.max_concurrent_streams,
    }
    for name, value in limits.items():
        check.at_least(f"{at}.{name}", value, 0, 2**31 - 1)
    if pool.http2_keep_alive is not None:
        check.duration(f"{at}.http2KeepAlive.interval", pool.http2_keep_alive.interval_s)
        check.duration(f"{at}.http2KeepAlive.timeout", pool.http2_keep_alive.timeout_s)
    if pool.use_client_protocol and pool.h2_upgrade_policy == "UPGRADE":
        message = "use client protocol must not be true when H2UpgradePolicy is UPGRADE"
        check.error("ARG0121", f"{at}.useClientProtocol", message, "keep one of them")
    check.duration(f"{at}.idleTimeout", pool.idle_timeout_s, zero=True)


def _validate_outlier(check: Check, at: str, outlier: OutlierDetection) -> None:
    counts = {
        "consecutiveErrors": outlier.consecutive_errors,
        "consecutive5xxErrors": outlier.consecutive_5xx_errors,
        "consecutiveGatewayErrors": outlier.consecutive_gateway_errors,
        "consecutiveLocalOriginFailures": outlier.consecutive_local_origin_failures,
    }
    for name, value in counts.items():
        check.at_least(f"{at}.{name}", value)
    if outlier.consecutive_errors is not None:
        check.warn("ARG0153", f"{at}.consecutiveErrors", "consecutiveErrors is deprecated", "use consecutive5xxErrors")
    check.duration(f"{at}.interval", outlier.interval_s)
    check.duration(f"{at}.baseEjectionTime", outlier.base_ejection_time_s)
    check.percent(f"{at}.maxEjectionPercent", outlier.max_ejection_percent)
    check.percent(f"{at}.minHealthPercent", outlier.min_health_percent)
    for index, code in enumerate(outlier.http_error_codes):
        check.status(f"{at}.outlierDetectionHttpErrorCodes[{index}]", code, 400)
    if outlier.consecutive_local_origin_failures and not outlier.split_external_local_origin_errors:
        message = "outlier detection consecutive local origin failures is specified, but split external local origin"
        hint = "set splitExternalLocalOriginErrors: true"
        check.error("ARG0121", f"{at}.consecutiveLocalOriginFailures", f"{message} errors is false", hint)


def _validate_client_tls(check: Check, at: str, tls: ClientTLS) -> None:
    files = {
        "clientCertificate": tls.client_certificate,
        "privateKey": tls.private_key,
        "caCertificates": tls.ca_certificates,
        "caCrl": tls.ca_crl,
    }
    named = [name for name, value in files.items() if value]
    _validate_credential(check, at, tls, named)
    for index, name in enumerate(tls.subject_alt_names):
        check.not_empty(f"{at}.subjectAltNames[{index}]", name, "a name")
    # The mesh's own server names (`outbound_.80_._.web.shop.svc.cluster.local`) are no host names.
    if tls.sni and not is_dns_name(tls.sni.replace("_", "x")):
        hint = "use labels of a-z, 0-9, '-' and '_' joined by dots"
        check.error("ARG0103", f"{at}.sni", f"{tls.sni!r} is not a server name", hint)
    if tls.mode == "MUTUAL" and not tls.credential_name and not (tls.client_certificate and tls.private_key):
        hint = "give clientCertificate and privateKey, or credentialName"
        check.error("ARG0120", at, "MUTUAL needs a client certificate and its key", hint)
    if tls.mode == "ISTIO_MUTUAL" and named:
        message = f"ISTIO_MUTUAL uses the mesh's certificates: {named[0]} is not used"
        check.warn("ARG0151", at, message, "use MUTUAL, or remove the certificates")
    if tls.mode == "SIMPLE" and not tls.credential_name and (tls.client_certificate or tls.private_key):
        check.warn("ARG0151", at, "SIMPLE sends no client certificate", "use MUTUAL to authenticate the client")
    if tls.insecure_skip_verify and (tls.ca_certificates or tls.subject_alt_names):
        check.error("ARG0121", at, "insecureSkipVerify contradicts caCertificates and subjectAltNames")
    elif tls.insecure_skip_verify and tls.mode == "SIMPLE" and tls.credential_name:
        check.error("ARG0121", at, "insecureSkipVerify contradicts the roots in credentialName")


def _validate_credential(check: Check, at: str, tls: ClientTLS, named: list[str]) -> None:
    """A Secret in place of files; which sidecars may use it is for the rule's selector to say."""
    if not tls.credential_name:
        return
    if tls.mode not in ("SIMPLE", "MUTUAL"):
        check.warn("ARG0151", at, f"{tls.mode} uses no credentialName", "use SIMPLE or MUTUAL, or remove it")
    elif named:
        check.error("ARG0109", at, f"credentialName and {named[0]} exclude each other", "keep credentialName")
    if not is_dns_name(tls.credential_name):
        check.error("ARG0101", f"{at}.credentialName", f"{tls.credential_name!r} is not the name of a Secret")


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, int(number**0.5) + 1))
