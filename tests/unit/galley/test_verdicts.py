"""What is refused, and what only gives a warning: one object of each kind, with one thing changed."""

import pytest

from argosy.api import decode_object, parse_documents
from argosy.core.errors import ArgosyError, Level
from argosy.galley.validate import validate_object

FORWARD = "route: [{destination: {host: pears}}]"
MUTUAL = "serverCertificate: c.pem, privateKey: c.key"


def _verdict(kind: str, spec: str) -> list[str]:
    """Codes of errors, and of warnings with a question mark."""
    text = f"apiVersion: networking.istio.io/v1alpha3\nkind: {kind}\n"
    text += f"metadata: {{name: one, namespace: orchard}}\nspec: {spec}"
    try:
        found = [f for d in parse_documents(text) for f in validate_object(decode_object(d))]
    except ArgosyError as error:
        found = list(error.findings)
    marks = {Level.ERROR: "", Level.WARNING: "?", Level.INFO: "!"}
    return [f.code + marks[f.level] for f in found]


@pytest.mark.parametrize(
    ("rule", "codes"),
    [
        ("redirect: {uri: /new}, fault: {abort: {httpStatus: 503}}", ["ARG0109"]),
        ("directResponse: {status: 204}, fault: {delay: {fixedDelay: 2s}}", ["ARG0109"]),
        ("directResponse: {status: 204}, rewrite: {uri: /new}", ["ARG0109"]),
        (f"{FORWARD}, fault: {{abort: {{}}}}", ["ARG0151?"]),
        (f"{FORWARD}, fault: {{delay: {{percentage: {{value: 5}}}}}}", ["ARG0151?"]),
        (f"{FORWARD}, fault: {{abort: {{httpStatus: 503, percentage: {{value: 0.00005}}}}}}", ["ARG0106"]),
        (f"{FORWARD}, mirrorPercentage: {{value: 7}}", ["ARG0151?"]),
        (f"{FORWARD}, retries: {{attempts: 0, retryRemoteLocalities: true}}", ["ARG0121"]),
        (f"{FORWARD}, retries: {{attempts: 2, retryOn: '499'}}", ["ARG0117"]),
        (f"{FORWARD}, retries: {{attempts: 2, retryOn: '429'}}", []),
        (f"{FORWARD}, rewrite: {{uriRegexRewrite: {{match: /a}}}}", ["ARG0110"]),
        (f"{FORWARD}, rewrite: {{authority: a.example}}, headers: {{request: {{set: {{Host: b}}}}}}", ["ARG0109"]),
        (f"{FORWARD}, headers: {{request: {{set: {{host: a}}, add: {{':authority': b}}}}}}", ["ARG0109"]),
        (f"{FORWARD}, corsPolicy: {{allowMethods: [GET, FETCH]}}", ["ARG0112"]),
        (f"{FORWARD}, corsPolicy: {{allowMethods: ['*']}}", ["ARG0112"]),
        (f"{FORWARD}, corsPolicy: {{allowHeaders: ['*', x-pear]}}", []),
        (f"{FORWARD}, corsPolicy: {{maxAge: 0s}}", ["ARG0107"]),
        (
            f"{FORWARD}, corsPolicy: {{allowOrigin: [a], allowOrigins: [{{exact: 'https://a.example'}}]}}",
            ["ARG0151?", "ARG0153?"],
        ),
        (f"{FORWARD}, match: [{{headers: {{'x*': {{exact: a}}}}}}]", ["ARG0112"]),
        (f"{FORWARD}, match: [{{headers: {{x-pear: null}}}}]", ["ARG0012"]),
        (f"{FORWARD}, match: [{{headers: {{'@request.auth.claims.group': {{exact: a}}}}}}]", ["ARG0121"]),
        ("delegate: {name: other}, match: [{uri: {regex: /a.*}}]", ["ARG0121"]),
        ("delegate: {name: other}, match: [{withoutHeaders: {x-pear: {regex: a.*}}}]", ["ARG0121"]),
        ("delegate: {name: other}, match: [{uri: {prefix: /a}}]", []),
        ("route: [{destination: {host: 192.0.2.7}}]", ["ARG0103"]),
        ("route: [{destination: {host: pears, subset: Ripe}}]", []),
        ("route: [{destination: {host: pears, subset: not_ripe}}]", ["ARG0101"]),
    ],
)
def test_an_http_rule(rule: str, codes: list[str]) -> None:
    assert _verdict("VirtualService", f"{{hosts: [pears.example], http: [{{{rule}}}]}}") == codes


@pytest.mark.parametrize(
    ("members", "codes"),
    [
        ("hosts: [pears.42]", ["ARG0103"]),
        ("hosts: ['*-pears.example', '*apples.example']", []),
        ("hosts: ['*-pears.example', 'a-pears.example']", ["ARG0114"]),
        ("hosts: [pears.example.]", []),
        ("hosts: [pears.example., pears.example]", ["ARG0114"]),
        ("hosts: [192.0.2.7]", []),
        ("hosts: [pears], gateways: [garden/a.b]", ["ARG0101"]),
        ("hosts: [pears], exportTo: ['~']", ["ARG0126"]),
        ("hosts: [pears], exportTo: ['*', meadow]", ["ARG0126"]),
        ("hosts: [pears], exportTo: [meadow, meadow]", ["ARG0114"]),
        ("hosts: [pears], exportTo: ['.', orchard]", ["ARG0114"]),
        ("hosts: [pears], exportTo: ['.', meadow]", []),
    ],
)
def test_a_virtual_service(members: str, codes: list[str]) -> None:
    assert _verdict("VirtualService", f"{{{members}, http: [{{{FORWARD}}}]}}") == codes


def test_an_address_as_server_name_is_possible_but_rare() -> None:
    spec = f"{{hosts: [192.0.2.7], tls: [{{match: [{{sniHosts: [192.0.2.7]}}], {FORWARD}}}]}}"
    assert _verdict("VirtualService", spec) == ["ARG0151?"]


@pytest.mark.parametrize("network, codes", [("10.1.0.0/16", []), ("10.1.0.0/255.255.0.0", ["ARG0115"])])
def test_a_network_has_a_length(network: str, codes: list[str]) -> None:
    match = f"match: [{{destinationSubnets: [{network}]}}]"
    assert _verdict("VirtualService", f"{{hosts: [pears], tcp: [{{{match}, {FORWARD}}}]}}") == codes


HASH = "loadBalancer: {consistentHash: {%s}}"
PLACES = "loadBalancer: {localityLbSetting: {%s}}"


@pytest.mark.parametrize(
    ("policy", "codes"),
    [
        (HASH % "useSourceIp: true, minimumRingSize: 64, ringHash: {minimumRingSize: 64}", ["ARG0109"]),
        (HASH % "minimumRingSize: 64", ["ARG0151?"]),
        ("loadBalancer: {simple: RANDOM, warmupDurationSecs: 20s}", ["ARG0151?"]),
        ("loadBalancer: {warmup: {duration: 20s, aggression: 0.5}}", ["ARG0122"]),
        (PLACES % "distribute: [{from: north, to: {south: 100}}], failoverPriority: [tier]", ["ARG0151?"]),
        (PLACES % "distribute: [{from: north, to: {south: 100}}, {from: north/one, to: {east: 100}}]", ["ARG0114"]),
        (PLACES % "distribute: [{from: '*', to: {south: 100}}, {from: north, to: {east: 100}}]", ["ARG0114"]),
        (PLACES % "distribute: [{from: north/one, to: {south: 100}}, {from: north/two, to: {east: 100}}]", []),
        (PLACES % "distribute: [{from: north, to: {south: 50, south/one: 50}}]", ["ARG0114"]),
        (
            PLACES % "failover: [{from: north, to: south}], failoverPriority: [topology.kubernetes.io/zone]",
            ["ARG0109"],
        ),
        (PLACES % "failover: [{from: north, to: south}], failoverPriority: [tier]", []),
        ("tls: {mode: SIMPLE, clientCertificate: c.pem, privateKey: c.key}", ["ARG0151?"]),
        ("tls: {mode: ISTIO_MUTUAL, caCertificates: ca.pem}", ["ARG0151?"]),
        ("tls: {mode: DISABLE, credentialName: cert}", ["ARG0151?"]),
        ("tls: {mode: SIMPLE, credentialName: cert, insecureSkipVerify: true}", ["ARG0121"]),
        ("tls: {mode: MUTUAL, credentialName: cert, insecureSkipVerify: true}", []),
        ("portLevelSettings: [{port: {number: 8080}}]", ["ARG0110"]),
        ("portLevelSettings: [{port: {number: 81}, tls: {}}, {port: {number: 81}, tls: {}}]", ["ARG0152?"]),
        ("tunnel: {targetHost: '2001:db8::7', targetPort: 443}", []),
        ("tunnel: {targetHost: pears.example, targetPort: 443}, proxyProtocol: {}", ["ARG0109"]),
    ],
)
def test_a_traffic_policy(policy: str, codes: list[str]) -> None:
    assert _verdict("DestinationRule", f"{{host: pears, trafficPolicy: {{{policy}}}}}") == codes


@pytest.mark.parametrize(
    ("members", "codes"),
    [
        ("host: 192.0.2.7", ["ARG0103"]),
        ("host: pears, subsets: [{name: Ripe, labels: {a: b}}]", []),
        ("host: pears, workloadSelector: {}", ["ARG0151?"]),
        ("host: pears, workloadSelector: {matchLabels: {a: b}}, exportTo: [orchard]", []),
        ("host: pears, workloadSelector: {matchLabels: {a: b}}, exportTo: [meadow]", ["ARG0126"]),
    ],
)
def test_a_destination_rule(members: str, codes: list[str]) -> None:
    assert _verdict("DestinationRule", f"{{{members}}}") == codes


@pytest.mark.parametrize(
    ("tls", "codes"),
    [
        ("mode: SIMPLE, credentialName: cert, httpsRedirect: true", ["ARG0151?"]),
        (f"mode: SIMPLE, credentialName: cert, {MUTUAL}", ["ARG0151?"]),
        (f"mode: SIMPLE, {MUTUAL}, caCrl: crl.pem", ["ARG0121"]),
        (f"mode: MUTUAL, {MUTUAL}, caCertificates: ca.pem, caCrl: crl.pem", []),
        ("mode: PASSTHROUGH, credentialName: cert", ["ARG0151?"]),
        ("mode: SIMPLE, credentialName: cert, subjectAltNames: [a.example]", ["ARG0151?"]),
        ("mode: SIMPLE, credentialName: cert, cipherSuites: [ROT13]", ["ARG0145?"]),
        ("mode: SIMPLE, credentialName: cert, minProtocolVersion: TLSV1_0", ["ARG0151?"]),
        ("mode: ISTIO_MUTUAL, credentialName: cert", ["ARG0121"]),
    ],
)
def test_a_servers_tls(tls: str, codes: list[str]) -> None:
    server = f"{{port: {{number: 8443, name: safe, protocol: HTTPS}}, hosts: [a.example], tls: {{{tls}}}}}"
    assert _verdict("Gateway", f"{{servers: [{server}]}}") == codes


def test_a_server_of_tls_knows_no_wildcard_within_a_label() -> None:
    """Envoy refuses the whole listener."""
    server = (
        "{port: {number: 8443, name: safe, protocol: HTTPS}, hosts: ['%s'], tls: {credentialName: a, mode: SIMPLE}}"
    )
    assert _verdict("Gateway", f"{{servers: [{server % './*.example'}]}}") == []
    assert _verdict("Gateway", f"{{servers: [{server % './*-pears.example'}]}}") == ["ARG0104"]


@pytest.mark.parametrize(
    ("protocol", "members", "codes"),
    [
        ("TCP", "hosts: [a.example], tls: {mode: SIMPLE, credentialName: cert}", ["ARG0121"]),
        ("HTTP", "hosts: [pears]", ["ARG0103"]),
        ("HTTP", "hosts: [orchard/pears]", ["ARG0103"]),
        ("HTTP", "hosts: ['orchard/*-pears.example', '*pears.example']", []),
        ("HTTP", "hosts: ['*--pears.example']", ["ARG0103"]),
        ("HTTP", "hosts: ['*-']", ["ARG0103"]),
        ("HTTP", "hosts: [orchard/pears.example.]", []),
        ("HTTP", "hosts: [pears.]", ["ARG0103"]),
        ("HTTP", "hosts: ['*.']", ["ARG0103"]),
        ("HTTP", "hosts: [192.0.2.7, './*', '*.a.example']", []),
    ],
)
def test_a_server(protocol: str, members: str, codes: list[str]) -> None:
    server = f"{{port: {{number: 8080, name: main, protocol: {protocol}}}, {members}}}"
    assert _verdict("Gateway", f"{{servers: [{server}]}}") == codes


@pytest.mark.parametrize(
    ("members", "codes"),
    [
        ("hosts: [192.0.2.7], ports: [{number: 80, name: web, protocol: HTTP}]", ["ARG0103"]),
        ("hosts: ['*-pears.example'], ports: [{number: 80, name: web, protocol: HTTP}]", []),
        ("hosts: ['*-pears.example'], ports: [{number: 443, name: tls, protocol: TLS}]", ["ARG0104"]),
        ("hosts: [pears.example.], ports: [{number: 80, name: web, protocol: HTTP}]", []),
        ("hosts: [a.example], ports: [{number: 80, name: web_1, protocol: HTTP}]", ["ARG0101"]),
        ("hosts: [a.example], ports: [{number: 80, name: Web, protocol: HTTP}]", []),
        ("hosts: [a.example], resolution: STATIC, ports: [{number: 80, name: web, protocol: HTTP}]", ["ARG0151?"]),
        ("hosts: [a.example, b.example], resolution: DNS, ports: [{number: 5432, name: db}]", ["ARG0125"]),
        ("hosts: [a.example, b.example], resolution: DNS, ports: [{number: 443, name: s, protocol: TLS}]", []),
        ("hosts: [a.example, b.example], ports: [{number: 5432, name: db, protocol: TCP}]", []),
        ("hosts: [a.example], ports: [{number: 80, name: web, protocol: HTTP}], exportTo: ['~']", []),
        ("hosts: [a.example], ports: [{number: 80, name: web, protocol: HTTP}], exportTo: ['~', '.']", ["ARG0126"]),
    ],
)
def test_a_service_entry(members: str, codes: list[str]) -> None:
    assert _verdict("ServiceEntry", f"{{{members}}}") == codes


@pytest.mark.parametrize(
    ("members", "codes"),
    [
        ("egress: [{hosts: [./pears]}]", ["ARG0103"]),
        ("egress: [{hosts: [./192.0.2.7]}]", ["ARG0103"]),
        ("egress: [{hosts: [./a.example, ./a.example]}]", ["ARG0152?"]),
        ("egress: [{port: {number: 80, name: a_b}, hosts: ['*/*']}]", ["ARG0101"]),
        ("egress: [{port: {protocol: HTTP}, hosts: ['*/*']}]", ["ARG0105"]),
        ("egress: [{bind: 127.0.0.9, hosts: ['*/*']}]", []),
        ("egress: [{bind: 'unix:///tmp/s', port: {number: 0, protocol: HTTP, name: a}, hosts: ['*/*']}]", ["ARG0115"]),
        ("egress: [{captureMode: NONE, hosts: ['*/*']}]", []),
        ("egress: [{port: {number: 8123, protocol: http_proxy, name: p}, hosts: ['*/*']}]", ["ARG0124"]),
        ("ingress: [{port: {number: 80}, defaultEndpoint: '::1:80'}]", ["ARG0166"]),
        ("ingress: [{port: {number: 80}, defaultEndpoint: '[::1]:80'}]", []),
        ("ingress: [{port: {number: 80}, defaultEndpoint: ':8080'}]", []),
        ("ingress: [{port: {number: 80}, defaultEndpoint: ':'}]", ["ARG0166"]),
        ("ingress: [{port: {number: 80}, defaultEndpoint: ':70000'}]", ["ARG0166"]),
        ("ingress: [{port: {number: 80}, defaultEndpoint: 'unix://run/a'}]", ["ARG0125"]),
        ("ingress: [{port: {number: 80}, defaultEndpoint: 'unix://@a'}]", []),
    ],
)
def test_a_sidecar(members: str, codes: list[str]) -> None:
    assert _verdict("Sidecar", f"{{{members}}}") == codes


@pytest.mark.parametrize(
    ("members", "codes"),
    [
        ("address: 'unix:///run/'", ["ARG0125"]),
        ("address: 'unix://run/a.sock'", ["ARG0125"]),
        ("address: 'unix:///run/a.sock'", []),
        ("address: 192.0.2.7.9", ["ARG0103"]),
        ("address: 192.0.2.7, ports: {web_1: 80}", ["ARG0101"]),
    ],
)
def test_a_workload_entry(members: str, codes: list[str]) -> None:
    assert _verdict("WorkloadEntry", f"{{{members}}}") == codes


FILTER = "match: {listener: {filterChain: {filter: {%s}}}}, patch: {operation: REMOVE}"


@pytest.mark.parametrize(
    ("patch", "codes"),
    [
        ("applyTo: CLUSTER, patch: {operation: REMOVE, value: {name: a}}", ["ARG0151?"]),
        ("applyTo: HTTP_FILTER, " + FILTER % "name: envoy.filters.network.tcp_proxy", ["ARG0151?"]),
        (
            "applyTo: HTTP_FILTER, " + FILTER % "name: envoy.filters.network.tcp_proxy, subFilter: {name: a}",
            ["ARG0121"],
        ),
        ("applyTo: NETWORK_FILTER, " + FILTER % "name: a, subFilter: {name: b}", ["ARG0121"]),
        (
            "applyTo: HTTP_FILTER, " + FILTER % "name: envoy.filters.network.http_connection_manager, subFilter: {}",
            ["ARG0110"],
        ),
        ("applyTo: LISTENER, " + FILTER % "name: a", ["ARG0151?"]),
    ],
)
def test_a_patch(patch: str, codes: list[str]) -> None:
    assert _verdict("EnvoyFilter", f"{{configPatches: [{{{patch}}}]}}") == codes


def test_an_envoy_filter_may_say_nothing() -> None:
    assert _verdict("EnvoyFilter", "{workloadSelector: {}}") == ["ARG0151?", "ARG0151?"]
