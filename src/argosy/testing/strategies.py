"""Hypothesis strategies for the networking API: sets of valid objects that refer to each other.

Given nothing; gives documents as plain data, all of one namespace and about hosts of one small world (`WORLD`).
What is drawn is valid: Galley accepts it, and what Pilot makes of it Envoy accepts.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]

SERVICES = ("alpha", "beta", "gamma")
PORTS = {"http": 80, "grpc": 7070, "tcp": 9000, "unnamed": 5000}
OUTSIDE = ("one.example.com", "two.example.com", "*.wild.example.com")
VERSIONS = ("v1", "v2")
GROUP = "networking.istio.io/v1"

WORLD: tuple[Document, ...] = (
    *(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"name": n, "port": p} for n, p in PORTS.items()]},
        }
        for name in SERVICES
    ),
    *(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": f"{name}-{version}"},
            "spec": {
                "template": {
                    "metadata": {"labels": {"app": name, "version": version, "istio-locality": f"region1.{version}"}},
                    "spec": {"serviceAccountName": name, "containers": [{"name": "app"}]},
                }
            },
        }
        for name in SERVICES
        for version in VERSIONS
    ),
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
        "spec": {
            "template": {
                "metadata": {
                    "labels": {"istio": "ingressgateway"},
                    "annotations": {"inject.istio.io/templates": "gateway"},
                },
                "spec": {"serviceAccountName": "gateway", "containers": [{"name": "istio-proxy"}]},
            }
        },
    },
)
"""Three services of two versions each, and an ingress gateway."""
PROXIES = (("alpha-v1-0", "default"), ("gamma-v2-0", "default"), ("istio-ingressgateway-0", "istio-system"))
"""(pod, namespace) of proxies to look at."""

names = st.sampled_from(["a", "b", "c", "d"])
durations = st.sampled_from(["0.25s", "1s", "10s", "1m", "1h"])
percents = st.sampled_from([0.0, 0.5, 12.5, 50.0, 100.0])
services = st.sampled_from(SERVICES)
counts = st.integers(1, 1000)
paths = st.sampled_from(["/", "/a", "/a/b", "/v1/*", "/x-y_z"])


def some(required: dict[str, Any] | None = None, /, **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    """A mapping with all of `required` (strategies or plain values) and some of `optional`."""
    fixed = {k: v if isinstance(v, st.SearchStrategy) else st.just(v) for k, v in (required or {}).items()}
    return st.fixed_dictionaries(fixed, optional=optional)


def at_least_one(**optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Document]:
    """A mapping with one or more of `optional`."""
    return some(**optional).filter(bool)


def string_matches(values: st.SearchStrategy[str] = paths) -> st.SearchStrategy[Document]:
    """Exact, prefix or regular expression."""
    exact = values.map(lambda text: {"exact": text})
    prefix = values.map(lambda text: {"prefix": text})
    return st.one_of(exact, prefix, st.sampled_from([{"regex": "/a.*"}, {"regex": "[a-z]+"}]))


def destinations() -> st.SearchStrategy[Document]:
    """A host of the world, sometimes with subset and port."""
    port = st.sampled_from([{"number": number} for number in PORTS.values()])
    return st.builds(
        lambda host, more, port: {"host": host, "port": port, **more},
        services,
        some(subset=st.sampled_from(VERSIONS)),
        port,
    )


headers = at_least_one(
    request=at_least_one(set=st.just({"x-set": "1"}), add=st.just({"x-add": "%PROTOCOL%"}), remove=st.just(["x-gone"])),
    response=at_least_one(set=st.just({"x-set": "1"}), add=st.just({"x-add": "2"}), remove=st.just(["x-gone"])),
)

http_matches = some(
    name=names,
    uri=string_matches(),
    scheme=string_matches(st.sampled_from(["http", "https"])),
    method=string_matches(st.sampled_from(["GET", "POST"])),
    authority=string_matches(st.sampled_from(["alpha", "a.example.com"])),
    headers=st.dictionaries(st.sampled_from(["x-a", "x-b"]), string_matches(), max_size=2),
    withoutHeaders=st.dictionaries(st.sampled_from(["x-c"]), string_matches(), max_size=1),
    queryParams=st.dictionaries(st.sampled_from(["q"]), string_matches(), max_size=1),
    ignoreUriCase=st.booleans(),
    port=st.sampled_from([80, 5000]),
    sourceLabels=st.just({"app": "alpha"}),
    sourceNamespace=st.sampled_from(["default", "elsewhere"]),
    statPrefix=names,
)

retries = some(
    {"attempts": st.integers(1, 5)},
    perTryTimeout=durations,
    retryOn=st.sampled_from(["5xx", "connect-failure,refused-stream", "gateway-error,503", "unavailable"]),
    backoff=durations,
    retryIgnorePreviousHosts=st.booleans(),
    retryRemoteLocalities=st.booleans(),
)

faults = at_least_one(
    delay=some({"fixedDelay": durations}, percentage=percents.map(lambda value: {"value": value})),
    abort=st.one_of(
        some({"httpStatus": st.integers(200, 599)}, percentage=percents.map(lambda value: {"value": value})),
        some({"grpcStatus": st.sampled_from(["UNAVAILABLE", "14"])}),
    ),
)

cors = some(
    allowOrigins=st.lists(string_matches(st.just("https://a.example.com")), max_size=2),
    allowMethods=st.just(["GET", "POST"]),
    allowHeaders=st.just(["x-a"]),
    exposeHeaders=st.just(["x-b"]),
    maxAge=st.sampled_from(["5s", "24h"]),
    allowCredentials=st.booleans(),
    unmatchedPreflights=st.sampled_from(["FORWARD", "IGNORE"]),
)

_weighted = st.lists(
    some({"destination": destinations(), "weight": st.integers(1, 100)}, headers=headers), min_size=2, max_size=3
)
_single = some({"destination": destinations()}, headers=headers).map(lambda one: [one])

_forwarding = some(
    {"route": st.one_of(_single, _weighted)},
    match=st.lists(http_matches, min_size=1, max_size=2),
    name=names,
    rewrite=st.one_of(
        at_least_one(uri=paths, authority=st.just("new.example.com")),
        st.just({"uriRegexRewrite": {"match": "^/(a+)", "rewrite": "/x/\\1"}}),
    ),
    timeout=st.one_of(durations, st.just("0s")),
    retries=retries,
    fault=faults,
    mirrors=st.lists(
        some({"destination": destinations()}, percentage=percents.map(lambda value: {"value": value})), max_size=2
    ),
    corsPolicy=cors,
    headers=headers,
)
_answering = st.one_of(
    some(
        {
            "redirect": some(
                {"authority": "new.example.com"}, uri=paths, scheme=st.just("https"), redirectCode=st.just(308)
            )
        },
        match=st.lists(http_matches, min_size=1, max_size=2),
    ),
    some(
        {"directResponse": some({"status": st.integers(200, 599)}, body=st.just({"string": "gone"}))},
        match=st.lists(http_matches, min_size=1, max_size=2),
    ),
)
http_rules = st.one_of(_forwarding, _answering)

_l4_routes = st.one_of(
    destinations().map(lambda one: [{"destination": one}]),
    st.lists(some({"destination": destinations(), "weight": st.integers(1, 100)}), min_size=2, max_size=3),
)
tcp_rules = some(
    {"route": _l4_routes},
    match=st.lists(
        some(
            port=st.sampled_from([9000, 5000]),
            destinationSubnets=st.just(["10.0.0.0/8"]),
            sourceSubnet=st.just("10.88.0.0/16"),
            sourceLabels=st.just({"app": "alpha"}),
        ),
        min_size=1,
        max_size=2,
    ),
)


def _object(kind: str, name: str, spec: Document, version: str = GROUP, namespace: str = "default") -> Document:
    metadata = {"name": f"{kind.lower()}-{name}", "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


virtual_services = st.builds(
    lambda name, hosts, spec, gateways: _object(
        "VirtualService", name, {"hosts": hosts, **spec, **({"gateways": gateways} if gateways else {})}
    ),
    names,
    st.lists(st.sampled_from([*SERVICES, "one.example.com", "*o.example.com"]), min_size=1, max_size=2, unique=True),
    at_least_one(http=st.lists(http_rules, min_size=1, max_size=3), tcp=st.lists(tcp_rules, min_size=1, max_size=2)),
    st.sampled_from([None, None, ["mesh"], ["istio-system/gateway-a"], ["mesh", "istio-system/gateway-b"]]),
)

_hash = st.one_of(
    st.just({"httpHeaderName": "x-user"}),
    st.just({"useSourceIp": True}),
    st.just({"httpQueryParameterName": "q"}),
    some({"name": "c"}, ttl=st.sampled_from(["0s", "5s"]), path=st.just("/")).map(lambda one: {"httpCookie": one}),
)
_places = st.sampled_from(
    [
        {"distribute": [{"from": "region1/v1/*", "to": {"region1/v1/*": 70, "region1/v2/*": 30}}]},
        {"failover": [{"from": "region1", "to": "region2"}]},
        {"failoverPriority": ["version", "topology.kubernetes.io/zone"]},
        {"enabled": False},
    ]
)
balancers = st.one_of(
    some({"simple": st.sampled_from(["RANDOM", "ROUND_ROBIN", "LEAST_REQUEST"])}, localityLbSetting=_places),
    st.just({"simple": "PASSTHROUGH"}),
    some({"simple": st.sampled_from(["ROUND_ROBIN", "LEAST_REQUEST"])}, warmup=some({"duration": durations})),
    st.builds(
        lambda key, table: {"consistentHash": {**key, **table}},
        _hash,
        st.sampled_from([{}, {"ringHash": {"minimumRingSize": 64}}, {"maglev": {"tableSize": 251}}]),
    ),
)
pools = at_least_one(
    tcp=some(
        maxConnections=counts,
        connectTimeout=durations,
        idleTimeout=durations,
        maxConnectionDuration=durations,
        tcpKeepalive=some(probes=st.integers(1, 9), time=st.just("60s"), interval=st.just("5s")),
    ),
    http=some(
        http1MaxPendingRequests=counts,
        http2MaxRequests=counts,
        maxRequestsPerConnection=counts,
        maxRetries=counts,
        idleTimeout=durations,
        h2UpgradePolicy=st.sampled_from(["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"]),
        maxConcurrentStreams=counts,
        http2KeepAlive=some(interval=durations, timeout=durations),
    ),
)
outliers = some(
    consecutive5xxErrors=st.integers(0, 9),
    consecutiveGatewayErrors=st.integers(0, 9),
    interval=durations,
    baseEjectionTime=durations,
    maxEjectionPercent=st.integers(0, 100),
    minHealthPercent=st.integers(0, 100),
    outlierDetectionHttpErrorCodes=st.just([500, 503]),
)
client_tls = st.one_of(
    st.sampled_from([{"mode": "DISABLE"}, {"mode": "ISTIO_MUTUAL"}]),
    some({"mode": "SIMPLE"}, sni=st.just("s.example.com"), subjectAltNames=st.just(["a.example.com"])),
)
_settings: dict[str, st.SearchStrategy[Any]] = {
    "loadBalancer": balancers,
    "connectionPool": pools,
    "outlierDetection": outliers,
    "tls": client_tls,
}
policies = at_least_one(
    **_settings,
    portLevelSettings=at_least_one(**_settings).map(lambda one: [{"port": {"number": 80}, **one}]),
    retryBudget=some(percent=percents, minRetryConcurrency=counts),
    proxyProtocol=st.sampled_from([{"version": "V1"}, {"version": "V2"}]),
)
destination_rules = st.builds(
    lambda name, host, policy, subsets: _object(
        "DestinationRule",
        f"{host}-{name}",
        {
            "host": host,
            **({"trafficPolicy": policy} if policy else {}),
            "subsets": [
                {"name": version, "labels": {"version": version}, **({"trafficPolicy": own} if own else {})}
                for version, own in zip(VERSIONS, subsets, strict=True)
            ],
        },
    ),
    names,
    services,
    st.none() | policies,
    st.tuples(st.none() | policies, st.none() | policies),
)

_tls = st.sampled_from(
    [
        {"mode": "SIMPLE", "credentialName": "pair"},
        {"mode": "MUTUAL", "credentialName": "pair", "minProtocolVersion": "TLSV1_3"},
        {"mode": "OPTIONAL_MUTUAL", "credentialName": "pair"},
        {"mode": "ISTIO_MUTUAL"},
        {"mode": "PASSTHROUGH"},
        {"mode": "AUTO_PASSTHROUGH"},
    ]
)
gateways = st.builds(
    lambda name, servers: _object(
        "Gateway", name, {"selector": {"istio": "ingressgateway"}, "servers": servers}, namespace="istio-system"
    ),
    st.sampled_from(["a", "b"]),
    st.tuples(
        st.builds(
            lambda hosts: {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": hosts},
            st.sampled_from([["*"], ["default/one.example.com"], ["*.example.com"], ["*o.example.com"]]),
        ),
        st.builds(
            lambda hosts, tls: {
                "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
                "hosts": hosts,
                "tls": tls,
            },
            st.sampled_from([["*"], ["one.example.com"], ["*.example.com", "two.example.com"]]),
            _tls,
        ),
    ).map(list),
)

_entry_ports = st.sampled_from(
    [
        [{"number": 80, "name": "http", "protocol": "HTTP"}],
        [{"number": 443, "name": "tls", "protocol": "TLS"}],
        [{"number": 9000, "name": "tcp", "protocol": "TCP"}, {"number": 80, "name": "http", "protocol": "HTTP"}],
    ]
)


def _of_wildcard(ports: list[dict[str, Any]], kind: dict[str, Any]) -> dict[str, Any]:
    """The resolution of a host that is no single one."""
    named = all(port["protocol"] != "TCP" for port in ports)
    return {"resolution": "DYNAMIC_DNS" if named and kind["resolution"].startswith("DNS") else "NONE"}


service_entries = st.builds(
    lambda name, host, ports, kind, more: _object(
        "ServiceEntry",
        name,
        {"hosts": [host], "ports": ports, **(_of_wildcard(ports, kind) if host.startswith("*") else kind), **more},
    ),
    names,
    st.sampled_from(OUTSIDE),
    _entry_ports,
    st.sampled_from(
        [
            {"resolution": "DNS"},
            {"resolution": "DNS_ROUND_ROBIN"},
            {"resolution": "NONE"},
            {"resolution": "STATIC", "endpoints": [{"address": "10.1.1.1", "locality": "region1/v1", "weight": 3}]},
            {"resolution": "STATIC", "workloadSelector": {"labels": {"app": "vm"}}},
        ]
    ),
    some(location=st.sampled_from(["MESH_EXTERNAL", "MESH_INTERNAL"]), exportTo=st.sampled_from([["*"], ["."]])),
)
workload_entries = st.builds(
    lambda name, more: _object("WorkloadEntry", name, {"address": "10.2.2.2", "labels": {"app": "vm"}, **more}),
    names,
    some(weight=counts, locality=st.just("region2/v9"), serviceAccount=st.just("vm"), ports=st.just({"http": 8080})),
)
sidecars = st.builds(
    lambda selector, egress, more: _object(
        "Sidecar",
        "limits",
        {"egress": egress, **({"workloadSelector": {"labels": selector}} if selector else {}), **more},
    ),
    st.sampled_from([None, {"app": "alpha"}]),
    st.sampled_from(
        [
            [{"hosts": ["./*"]}],
            [{"hosts": ["*/*"]}],
            [{"hosts": ["./beta.default.svc.cluster.local"]}],
            [{"hosts": ["./*"], "port": {"number": 80, "protocol": "HTTP", "name": "http"}}, {"hosts": ["~/*"]}],
        ]
    ),
    some(outboundTrafficPolicy=st.sampled_from([{"mode": "REGISTRY_ONLY"}, {"mode": "ALLOW_ANY"}])),
)
envoy_filters = st.sampled_from(
    [
        {"applyTo": "CLUSTER", "patch": {"operation": "MERGE", "value": {"connect_timeout": "7s"}}},
        {
            "applyTo": "VIRTUAL_HOST",
            "match": {"context": "SIDECAR_OUTBOUND"},
            "patch": {"operation": "MERGE", "value": {"include_attempt_count_in_response": True}},
        },
        {
            "applyTo": "HTTP_FILTER",
            "patch": {
                "operation": "INSERT_FIRST",
                "value": {
                    "name": "buffer",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
                        "max_request_bytes": 4096,
                    },
                },
            },
        },
    ]
).map(lambda patch: _object("EnvoyFilter", "patch", {"configPatches": [patch]}, "networking.istio.io/v1alpha3"))

KINDS: dict[str, st.SearchStrategy[Document]] = {
    "VirtualService": virtual_services,
    "DestinationRule": destination_rules,
    "Gateway": gateways,
    "ServiceEntry": service_entries,
    "WorkloadEntry": workload_entries,
    "Sidecar": sidecars,
    "EnvoyFilter": envoy_filters,
}
"""A strategy for each kind that changes what proxies hold."""


def _unique(documents: list[Document]) -> list[Document]:
    return list(
        {(one["kind"], one["metadata"]["namespace"], one["metadata"]["name"]): one for one in documents}.values()
    )


object_sets = st.lists(st.one_of(*KINDS.values()), min_size=1, max_size=6).map(_unique)
"""Sets of valid objects; of several with one name the last one counts."""
