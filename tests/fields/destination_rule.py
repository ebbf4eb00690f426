"""DestinationRule. What a traffic policy says is shown in each of the four places where one may stand."""

from __future__ import annotations

from tests.fields.cases import CLIENT, INGRESS, Case

KIND = "DestinationRule"
HEAD = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: it}\nspec: "
WHOLE = "Cluster/outbound|80||server.default.svc.cluster.local"
PART = "Cluster/outbound|80|v1|server.default.svc.cluster.local"
ROUTES = "VirtualHost/80/server.default.svc.cluster.local"
SUBSET_ROUTE = """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: to-part}
spec: {hosts: [server], http: [{route: [{destination: {host: server, subset: v1}}]}]}
"""
# (where, the rule around a policy, the cluster that it governs, objects that make routes to it)
PLACES = (
    ("trafficPolicy", "{{host: server, trafficPolicy: {{{0}}}}}", WHOLE, ""),
    (
        "trafficPolicy.portLevelSettings[]",
        "{{host: server, trafficPolicy: {{portLevelSettings: [{{port: {{number: 80}}, {0}}}]}}}}",
        WHOLE,
        "",
    ),
    (
        "subsets[].trafficPolicy",
        "{{host: server, subsets: [{{name: v1, labels: {{version: v1}}, trafficPolicy: {{{0}}}}}]}}",
        PART,
        SUBSET_ROUTE,
    ),
    (
        "subsets[].trafficPolicy.portLevelSettings[]",
        "{{host: server, subsets: [{{name: v1, labels: {{version: v1}}, trafficPolicy: "
        "{{portLevelSettings: [{{port: {{number: 80}}, {0}}}]}}}}]}}",
        PART,
        SUBSET_ROUTE,
    ),
)
HASH = "loadBalancer: {{consistentHash: {{{}}}}}".format
TLS = "tls: {{mode: SIMPLE, {}}}".format
LOCALITY = "outlierDetection: {{}}, loadBalancer: {{simple: ROUND_ROBIN, localityLbSetting: {{{}}}}}".format
NEAR, FAR = "region1/zone1", "region2/zone2"

# field, policy, text, where: "" is the cluster, "routes", "endpoints"
TCP_GATEWAY = """
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: tcp}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 31400, name: tcp, protocol: TCP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tcp}
spec:
  hosts: ["*"]
  gateways: [tcp]
  tcp: [{route: [{destination: {host: server, port: {number: 9000}}}]}]
"""
POLICIES: tuple[tuple[str, str, str, str], ...] = (
    ("loadBalancer.simple", "loadBalancer: {simple: RANDOM}", '"lb_policy":"RANDOM"', ""),
    ("loadBalancer.consistentHash.httpHeaderName", HASH("httpHeaderName: x-user"), '"header_name":"x-user"', "routes"),
    ("loadBalancer.consistentHash.useSourceIp", HASH("useSourceIp: true"), '"source_ip":true', "routes"),
    ("loadBalancer.consistentHash.httpQueryParameterName", HASH("httpQueryParameterName: q"), '{"name":"q"}', "routes"),
    ("loadBalancer.consistentHash.httpCookie.name", HASH("httpCookie: {name: c, ttl: 0s}"), '"name":"c"', "routes"),
    ("loadBalancer.consistentHash.httpCookie.path", HASH("httpCookie: {name: c, path: /p}"), '"path":"/p"', "routes"),
    ("loadBalancer.consistentHash.httpCookie.ttl", HASH("httpCookie: {name: c, ttl: 7s}"), '"ttl":"7s"', "routes"),
    (
        "loadBalancer.consistentHash.httpCookie.attributes[].name",
        HASH("httpCookie: {name: c, attributes: [{name: SameSite, value: Lax}]}"),
        '"name":"SameSite"',
        "routes",
    ),
    (
        "loadBalancer.consistentHash.httpCookie.attributes[].value",
        HASH("httpCookie: {name: c, attributes: [{name: SameSite, value: Lax}]}"),
        '"value":"Lax"',
        "routes",
    ),
    (
        "loadBalancer.consistentHash.ringHash.minimumRingSize",
        HASH("httpHeaderName: x, ringHash: {minimumRingSize: 2048}"),
        '"minimum_ring_size":"2048"',
        "",
    ),
    (
        "loadBalancer.consistentHash.minimumRingSize",
        HASH("httpHeaderName: x, minimumRingSize: 4096"),
        '"minimum_ring_size":"4096"',
        "",
    ),
    (
        "loadBalancer.consistentHash.maglev.tableSize",
        HASH("httpHeaderName: x, maglev: {tableSize: 251}"),
        '"table_size":"251"',
        "",
    ),
    (
        "loadBalancer.localityLbSetting.distribute[].from",
        LOCALITY("distribute: [{from: region1/zone1/*, to: {'region1/zone1/*': 70, 'region2/*': 30}}]"),
        '"load_balancing_weight":70000',
        "endpoints",
    ),
    (
        "loadBalancer.localityLbSetting.distribute[].to",
        LOCALITY("distribute: [{from: region1/zone1/*, to: {'region1/zone1/*': 70, 'region2/*': 30}}]"),
        '"load_balancing_weight":70000',
        "endpoints",
    ),
    (
        "loadBalancer.localityLbSetting.failover[].from",
        LOCALITY("failover: [{from: region1, to: region9}]"),
        '"priority":1',
        "failover",
    ),
    (
        "loadBalancer.localityLbSetting.failover[].to",
        LOCALITY("failover: [{from: region1, to: region9}]"),
        '"priority":1',
        "failover",
    ),
    (
        "loadBalancer.localityLbSetting.failoverPriority",
        LOCALITY("failoverPriority: ['tier=near']"),
        '"locality":{"region":"region1","zone":"zone1"},"priority":1',
        "ranked",
    ),
    ("loadBalancer.localityLbSetting.enabled", LOCALITY("enabled: false"), '!"priority"', "ranked"),
    (
        "loadBalancer.warmup.duration",
        "loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 30s}}",
        '"slow_start_window":"30s"',
        "",
    ),
    (
        "loadBalancer.warmup.aggression",
        "loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 30s, aggression: 2}}",
        '"default_value":2.0',
        "",
    ),
    (
        "loadBalancer.warmup.minimumPercent",
        "loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 30s, minimumPercent: 25}}",
        '"min_weight_percent":{"value":25.0}',
        "",
    ),
    (
        "loadBalancer.warmupDurationSecs",
        "loadBalancer: {simple: LEAST_REQUEST, warmupDurationSecs: 45s}",
        '"slow_start_window":"45s"',
        "",
    ),
    (
        "loadBalancer.zoneAwareLbSetting.enabled",
        "loadBalancer: {simple: ROUND_ROBIN, zoneAwareLbSetting: {enabled: false}}",
        '!"priority"',
        "ranked",
    ),
    (
        "loadBalancer.zoneAwareLbSetting.minClusterSize",
        "loadBalancer: {simple: ROUND_ROBIN, zoneAwareLbSetting: {minClusterSize: 1}}",
        '"load_balancing_weight":666667',
        "zones",
    ),
    (
        "loadBalancer.zoneAwareLbSetting.failover[].from",
        "outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, zoneAwareLbSetting: {failover: [{from: region1, to: region9}]}}",
        '"priority":2',
        "failover",
    ),
    (
        "loadBalancer.zoneAwareLbSetting.failover[].to",
        "outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, zoneAwareLbSetting: {failover: [{from: region1, to: region9}]}}",
        '"priority":2',
        "failover",
    ),
    (
        "loadBalancer.zoneAwareLbSetting.failoverPriority",
        "outlierDetection: {}, loadBalancer: {simple: ROUND_ROBIN, zoneAwareLbSetting: {failoverPriority: ['tier=near']}}",
        '"priority":2',
        "ranked",
    ),
    ("connectionPool.tcp.maxConnections", "connectionPool: {tcp: {maxConnections: 7}}", '"max_connections":7', ""),
    ("connectionPool.tcp.connectTimeout", "connectionPool: {tcp: {connectTimeout: 3s}}", '"connect_timeout":"3s"', ""),
    (
        "connectionPool.tcp.maxConnectionDuration",
        "connectionPool: {tcp: {maxConnectionDuration: 90s}}",
        '"max_connection_duration":"90s"',
        "",
    ),
    (
        "connectionPool.tcp.tcpKeepalive.probes",
        "connectionPool: {tcp: {tcpKeepalive: {probes: 3}}}",
        '"keepalive_probes":3',
        "",
    ),
    (
        "connectionPool.tcp.tcpKeepalive.time",
        "connectionPool: {tcp: {tcpKeepalive: {time: 60s}}}",
        '"keepalive_time":60',
        "",
    ),
    (
        "connectionPool.tcp.tcpKeepalive.interval",
        "connectionPool: {tcp: {tcpKeepalive: {interval: 9s}}}",
        '"keepalive_interval":9',
        "",
    ),
    (
        "connectionPool.http.http1MaxPendingRequests",
        "connectionPool: {http: {http1MaxPendingRequests: 7}}",
        '"max_pending_requests":7',
        "",
    ),
    ("connectionPool.http.http2MaxRequests", "connectionPool: {http: {http2MaxRequests: 7}}", '"max_requests":7', ""),
    (
        "connectionPool.http.maxRequestsPerConnection",
        "connectionPool: {http: {maxRequestsPerConnection: 7}}",
        '"max_requests_per_connection":7',
        "",
    ),
    ("connectionPool.http.maxRetries", "connectionPool: {http: {maxRetries: 7}}", '"max_retries":7', ""),
    ("connectionPool.http.idleTimeout", "connectionPool: {http: {idleTimeout: 7s}}", '"idle_timeout":"7s"', ""),
    (
        "connectionPool.http.h2UpgradePolicy",
        "connectionPool: {http: {h2UpgradePolicy: UPGRADE}}",
        '"explicit_http_config":{"http2_protocol_options"',
        "",
    ),
    (
        "connectionPool.http.useClientProtocol",
        "connectionPool: {http: {useClientProtocol: true}}",
        "use_downstream_protocol_config",
        "",
    ),
    (
        "connectionPool.http.maxConcurrentStreams",
        "connectionPool: {http: {h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 77}}",
        '"max_concurrent_streams":77',
        "",
    ),
    (
        "connectionPool.http.http2KeepAlive.interval",
        "connectionPool: {http: {h2UpgradePolicy: UPGRADE, http2KeepAlive: {interval: 8s, timeout: 2s}}}",
        '"interval":"8s"',
        "",
    ),
    (
        "connectionPool.http.http2KeepAlive.timeout",
        "connectionPool: {http: {h2UpgradePolicy: UPGRADE, http2KeepAlive: {interval: 8s, timeout: 2s}}}",
        '"timeout":"2s"',
        "",
    ),
    (
        "outlierDetection.consecutive5xxErrors",
        "outlierDetection: {consecutive5xxErrors: 3}",
        '"consecutive_5xx":3',
        "",
    ),
    ("outlierDetection.consecutiveErrors", "outlierDetection: {consecutiveErrors: 4}", '"consecutive_5xx":4', ""),
    (
        "outlierDetection.consecutiveGatewayErrors",
        "outlierDetection: {consecutiveGatewayErrors: 3}",
        '"consecutive_gateway_failure":3',
        "",
    ),
    (
        "outlierDetection.consecutiveLocalOriginFailures",
        "outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 6}",
        '"consecutive_local_origin_failure":6',
        "",
    ),
    (
        "outlierDetection.splitExternalLocalOriginErrors",
        "outlierDetection: {splitExternalLocalOriginErrors: true}",
        '"split_external_local_origin_errors":true',
        "",
    ),
    ("outlierDetection.interval", "outlierDetection: {interval: 3s}", '"interval":"3s"', ""),
    (
        "outlierDetection.baseEjectionTime",
        "outlierDetection: {baseEjectionTime: 33s}",
        '"base_ejection_time":"33s"',
        "",
    ),
    (
        "outlierDetection.maxEjectionPercent",
        "outlierDetection: {maxEjectionPercent: 60}",
        '"max_ejection_percent":60',
        "",
    ),
    (
        "outlierDetection.minHealthPercent",
        "outlierDetection: {minHealthPercent: 40}",
        '"healthy_panic_threshold":{"value":40.0}',
        "",
    ),
    (
        "outlierDetection.outlierDetectionHttpErrorCodes",
        "outlierDetection: {outlierDetectionHttpErrorCodes: [500, 429]}",
        "500|429",
        "",
    ),
    ("tls.mode", "tls: {mode: ISTIO_MUTUAL}", '"transport_socket":', ""),
    ("tls.sni", TLS("sni: s.example.com"), '"sni":"s.example.com"', ""),
    ("tls.subjectAltNames", TLS("subjectAltNames: [a.example.com]"), '"exact":"a.example.com"', ""),
    ("tls.caCertificates", TLS("caCertificates: /ca.pem"), '"filename":"/ca.pem"', ""),
    ("tls.caCrl", TLS("caCrl: /crl.pem"), '"filename":"/crl.pem"', ""),
    ("tls.credentialName", TLS("credentialName: pair"), '"name":"pair-cacert"', ""),
    ("tls.insecureSkipVerify", TLS("insecureSkipVerify: true"), "!validation_context", ""),
    (
        "tls.clientCertificate",
        "tls: {mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem}",
        '"filename":"/c.pem"',
        "",
    ),
    ("tls.privateKey", "tls: {mode: MUTUAL, clientCertificate: /c.pem, privateKey: /k.pem}", '"filename":"/k.pem"', ""),
)
# Not for single ports.
WIDE: tuple[tuple[str, str, str, str], ...] = (
    ("proxyProtocol.version", "proxyProtocol: {version: V2}", '"config":{"version":"V2"}', ""),
    ("retryBudget.percent", "retryBudget: {percent: 35}", '"budget_percent":{"value":35.0}', ""),
    ("retryBudget.minRetryConcurrency", "retryBudget: {minRetryConcurrency: 9}", '"min_retry_concurrency":9', ""),
    ("retryBudget.budgetInterval", "retryBudget: {budgetInterval: 4s}", '"budget_interval":"4s"', ""),
    (
        "tunnel.protocol",
        "tunnel: {protocol: POST, targetHost: t.example.com, targetPort: 443}",
        '"use_post":true',
        "tcp",
    ),
    ("tunnel.targetHost", "tunnel: {targetHost: t.example.com, targetPort: 443}", "t.example.com:443", "tcp"),
    ("tunnel.targetPort", "tunnel: {targetHost: t.example.com, targetPort: 443}", "t.example.com:443", "tcp"),
)
OTHERS = """---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: third}
spec: {address: 10.1.1.1, labels: {app: server, version: v1, tier: near}, locality: region9/zone9}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: fourth}
spec: {address: 10.1.1.2, labels: {app: server, version: v1}, locality: region2/zone2}
"""
NEIGHBOUR = """---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: neighbour}
spec: {address: 10.1.1.3, labels: {app: server, version: v1}, locality: region1/zone1}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: next-zone}
spec: {address: 10.1.1.4, labels: {app: server, version: v1}, locality: region1/zone2}
"""
TCP_SUBSET = """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: to-part}
spec: {hosts: [server], tcp: [{route: [{destination: {host: server, subset: v1}}]}]}
"""


def _case(place: tuple[str, str, str, str], field: str, policy: str, text: str, where: str) -> Case:
    at, rule, cluster, routes = place
    if where in ("tcp", "idle"):
        rule = rule.replace("number: 80", "number: 9000")
        routes = TCP_SUBSET if routes else ""
    objects = HEAD + rule.format(policy) + "\n" + routes
    resource = {
        "": cluster,
        "routes": ROUTES,
        "endpoints": cluster.replace("Cluster/", "Endpoints/") + "~*",
        "ranked": cluster.replace("Cluster/", "Endpoints/") + "~*",
        "zones": cluster.replace("Cluster/", "Endpoints/") + "~*",
        "failover": cluster.replace("Cluster/", "Endpoints/") + "~*",
        "tcp": "Listener/10.96.*_9000",
    }[where]
    if "enabled: false" in policy:
        resource = cluster.replace("Cluster/", "Endpoints/") + "*"
    if where in ("failover", "ranked"):
        objects += OTHERS
    if where == "zones":
        objects += NEIGHBOUR
    if where == "failover":
        # A third place takes over before the second one.
        text = '"priority":2'
    return Case(KIND, (f"{at}.{field}",), objects, resource, text, CLIENT)


CASES: list[Case] = [
    *[_case(place, *one) for place in PLACES for one in POLICIES],
    *[_case(place, *one) for place in (PLACES[0], PLACES[2]) for one in WIDE],
    *[
        Case(
            KIND,
            ("trafficPolicy.loadBalancer.consistentHash.useSourceIp",),
            HEAD + "{host: server, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}}" + more,
            listener,
            '"hash_policy":[{"source_ip":{}}]',
            proxy,
        )
        for more, listener, proxy in (("", "Listener/10.96.*_9000", CLIENT), (TCP_GATEWAY, "Listener/*_31400", INGRESS))
    ],
    Case(
        KIND,
        ("trafficPolicy.connectionPool.tcp.idleTimeout",),
        HEAD + "{host: server, trafficPolicy: {connectionPool: {tcp: {idleTimeout: 66s}}}}" + TCP_GATEWAY,
        "Listener/*_31400",
        '"idle_timeout":"66s"',
        INGRESS,
    ),
    *[
        Case(
            KIND,
            (f"{place[0]}.connectionPool.tcp.idleTimeout",),
            HEAD + place[1].replace("number: 80", "number: 9000").format("connectionPool: {tcp: {idleTimeout: 66s}}"),
            "Listener/10.96.*_9000",
            '"idle_timeout":"66s"',
        )
        for place in PLACES[:2]
    ],
    *[
        Case(
            KIND,
            (f"{place[0]}.connectionPool.tcp.idleTimeout",),
            HEAD
            + place[1].replace("number: 80", "number: 9000").format("connectionPool: {tcp: {idleTimeout: 66s}}")
            + "\n"
            + TCP_SUBSET,
            "Listener/10.96.*_9000",
            '"idle_timeout":"66s"',
        )
        for place in PLACES[2:]
    ],
    Case(
        KIND,
        ("trafficPolicy.portLevelSettings[].port.number",),
        HEAD + PLACES[1][1].format("loadBalancer: {simple: RANDOM}"),
        WHOLE,
        '"lb_policy":"RANDOM"',
    ),
    Case(
        KIND,
        ("subsets[].trafficPolicy.portLevelSettings[].port.number",),
        HEAD + PLACES[3][1].format("loadBalancer: {simple: RANDOM}"),
        PART,
        '"lb_policy":"RANDOM"',
    ),
    Case(KIND, ("host",), HEAD + PLACES[0][1].format("loadBalancer: {simple: RANDOM}"), WHOLE, '"lb_policy":"RANDOM"'),
    Case(KIND, ("subsets[].name",), HEAD + PLACES[2][1].format("loadBalancer: {simple: RANDOM}"), PART, "RANDOM"),
    Case(
        KIND,
        ("subsets[].labels",),
        HEAD + "{host: server, subsets: [{name: v1, labels: {version: v1}}]}",
        PART.replace("Cluster/", "Endpoints/"),
        "!server-v2",
    ),
    Case(
        KIND,
        ("exportTo",),
        HEAD + "{host: server, exportTo: [other], trafficPolicy: {loadBalancer: {simple: RANDOM}}}",
        WHOLE,
        '!"lb_policy":"RANDOM"',
    ),
    Case(
        KIND,
        ("workloadSelector.matchLabels",),
        HEAD
        + "{host: server, workloadSelector: {matchLabels: {app: nobody}}, trafficPolicy: {loadBalancer: {simple: RANDOM}}}",
        WHOLE,
        '!"lb_policy":"RANDOM"',
    ),
]
