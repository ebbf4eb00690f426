"""Sidecar."""

from __future__ import annotations

from tests.fields.cases import CLIENT, SERVER, Case
from tests.fields.destination_rule import POLICIES

KIND = "Sidecar"
HEAD = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: it}\nspec: "
OTHER = "Cluster/outbound|80||other.other.svc.cluster.local"
ALL = "Cluster/*"
INBOUND = "Listener/virtualInbound"
OWN = "Cluster/inbound|8080||"
FILES = "serverCertificate: /c.pem, privateKey: /k.pem"
MUTUAL = f"mode: MUTUAL, {FILES}, caCertificates: /ca.pem"
PLAIN = """---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: plain}
spec: {selector: {matchLabels: {app: server}}, mtls: {mode: DISABLE}}
"""
PORT = "port: {number: 8080, protocol: HTTP, name: http}"
TLS_PORT = "port: {number: 8080, protocol: HTTPS, name: https}"


def egress(field: str, spec: str, text: str, resource: str) -> Case:
    return Case(KIND, (f"egress[].{field}",), f"{HEAD}{{egress: [{{{spec}}}]}}", resource, text)


def ingress(field: str, spec: str, text: str, resource: str = OWN) -> Case:
    objects = f"{HEAD}{{workloadSelector: {{labels: {{app: server}}}}, ingress: [{{{spec}}}]}}"
    return Case(KIND, (f"ingress[].{field}",), f"{objects}\n{PLAIN}", resource, text, SERVER)


def tls(field: str, settings: str, text: str) -> Case:
    return ingress(f"tls.{field}", f"{TLS_PORT}, tls: {{{settings}}}", text, INBOUND)


def pool(prefix: str, spec: str, place: str) -> list[Case]:
    """Connection pools, as DestinationRule has them; where HTTP/2 is the client's choice both protocols are set up."""
    made = []
    for field, policy, text, where in POLICIES:
        if field.startswith("connectionPool.") and not where:
            settings = policy.removeprefix("connectionPool: ")
            if field.endswith(("h2UpgradePolicy", "useClientProtocol")):
                continue
            name = prefix + field.removeprefix("connectionPool")
            objects = f"{HEAD}{{workloadSelector: {{labels: {{app: server}}}}, {spec % settings}}}"
            made.append(Case(KIND, (name,), objects, place, text, SERVER))
    return made


PROXY = "outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: %s, port: {number: %s}%s}}"
OPEN = "egress: [{hosts: ['*/*']}], "

CASES: list[Case] = [
    egress("hosts", "hosts: ['./*']", "!other.other", ALL),
    egress("port.number", "hosts: ['./*'], port: {number: 80, protocol: HTTP, name: http}", "!_9000", "Listener/*"),
    egress("port.protocol", "hosts: ['./*'], port: {number: 9000, protocol: TCP, name: tcp}, bind: 127.0.0.9",
           '"cluster":"outbound|9000', "Listener/127.0.0.9_9000"),
    egress("bind", "hosts: ['./*'], port: {number: 80, protocol: HTTP, name: http}, bind: 127.0.0.9", "127.0.0.9",
           "Listener/127.0.0.9_80"),
    egress("captureMode", "hosts: ['./*'], port: {number: 80, protocol: HTTP, name: http}, captureMode: NONE",
           '"address":"127.0.0.1"', "Listener/127.0.0.1_80"),
    Case(KIND, ("egress[].port.targetPort",), f"{HEAD}{{egress: [{{hosts: ['./*'], port: {{number: 80, targetPort: 8}}}}]}}",
         refused="unused in Istio too"),
    Case(KIND, ("ingress[].port.targetPort",), f"{HEAD}{{ingress: [{{port: {{number: 80, targetPort: 8}}}}]}}",
         refused="unused in Istio too: defaultEndpoint says where traffic goes"),
    ingress("port.number", PORT, '"stat_prefix":"inbound_8080"', INBOUND),
    ingress("port.protocol", "port: {number: 8080, protocol: TCP, name: tcp}", '!"stat_prefix":"inbound_8080"', INBOUND),
    ingress("bind", f"{PORT}, bind: 127.0.0.7, captureMode: NONE", "127.0.0.7", "Listener/inbound_*"),
    ingress("captureMode", f"{PORT}, captureMode: NONE", '"port_value":8080', "Listener/inbound_*"),
    ingress("defaultEndpoint", f"{PORT}, defaultEndpoint: '127.0.0.1:7777'", '"port_value":7777'),
    tls("mode", MUTUAL, '"require_client_certificate":true'),
    tls("serverCertificate", MUTUAL, '"filename":"/c.pem"'),
    tls("privateKey", MUTUAL, '"filename":"/k.pem"'),
    tls("caCertificates", MUTUAL, '"filename":"/ca.pem"'),
    tls("caCrl", f"{MUTUAL}, caCrl: /crl.pem", '"filename":"/crl.pem"'),
    tls("credentialName", "mode: SIMPLE, credentialName: pair", '"name":"pair"'),
    tls("credentialNames", "mode: SIMPLE, credentialNames: [pair]", '"name":"pair"'),
    tls("caCertCredentialName", "mode: MUTUAL, credentialName: pair, caCertCredentialName: roots", '"name":"roots-cacert"'),
    *[
        tls(f"tlsCertificates[].{name}", "mode: MUTUAL, tlsCertificates: [{serverCertificate: /serverCertificate, "
            "privateKey: /privateKey, caCertificates: /caCertificates}]", f'"filename":"/{name}"')
        for name in ("serverCertificate", "privateKey", "caCertificates")
    ],
    tls("subjectAltNames", f"{MUTUAL}, subjectAltNames: [client.example.com]", '"exact":"client.example.com"'),
    tls("verifyCertificateHash", f"{MUTUAL}, verifyCertificateHash: [{'a' * 64}]", "a" * 64),
    tls("verifyCertificateSpki", f"{MUTUAL}, verifyCertificateSpki: ['{'A' * 43}=']", "A" * 43),
    tls("insecureSkipVerify", f"{MUTUAL}, insecureSkipVerify: true", "ACCEPT_UNTRUSTED"),
    tls("minProtocolVersion", f"mode: SIMPLE, {FILES}, minProtocolVersion: TLSV1_3",
        '"tls_minimum_protocol_version":"TLSv1_3"'),
    tls("maxProtocolVersion", f"mode: SIMPLE, {FILES}, maxProtocolVersion: TLSV1_2",
        '"tls_maximum_protocol_version":"TLSv1_2"'),
    tls("cipherSuites", f"mode: SIMPLE, {FILES}, cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384]",
        "ECDHE-RSA-AES256-GCM-SHA384"),
    ingress("port.name", PORT, '"port":"http"', INBOUND),
    egress("port.name", "hosts: ['./*'], port: {number: 80, protocol: HTTP, name: mine}, bind: 127.0.0.9", '"port":"mine"',
           "Listener/127.0.0.9_80"),
    Case(KIND, ("ingress[].tls.httpsRedirect",), f"{HEAD}{{ingress: [{{{TLS_PORT}, tls: {{mode: SIMPLE, {FILES}, "
         "httpsRedirect: true}}]}", refused="a sidecar does not redirect"),
    *[
        Case(KIND, (f"{at}.{field}",), f"{HEAD}{{workloadSelector: {{labels: {{app: server}}}}, {whole % value}}}", where, text, SERVER)
        for at, spec in (("inboundConnectionPool", "inboundConnectionPool: %s"),
                         ("ingress[].connectionPool", "ingress: [{port: {number: 8080, protocol: %s, name: a}, connectionPool: %%s}]"))
        for field, value, where, text, kind in (
            ("http.h2UpgradePolicy", "{http: {h2UpgradePolicy: UPGRADE}}", OWN, '"explicit_http_config":{"http2', "HTTP"),
            ("http.useClientProtocol", "{http: {useClientProtocol: true}}", OWN, '"use_downstream_protocol_config"', "HTTP"),
            ("tcp.idleTimeout", "{tcp: {idleTimeout: 66s}}", INBOUND, '"idle_timeout":"66s"', "TCP"),
        )
        for whole in (spec % kind if "protocol" in spec else spec,)
    ],
    *pool("inboundConnectionPool", "inboundConnectionPool: %s", OWN),
    *pool("ingress[].connectionPool", "ingress: [{" + PORT + ", connectionPool: %s}]", OWN),
    Case(KIND, ("outboundTrafficPolicy.mode",), f"{HEAD}{{{OPEN}outboundTrafficPolicy: {{mode: ALLOW_ANY}}}}",
         "Listener/virtualOutbound", "PassthroughCluster"),
    Case(KIND, ("outboundTrafficPolicy.egressProxy.host",), f"{HEAD}{{{OPEN}{PROXY % ('server', 9000, '')}}}",
         "Listener/virtualOutbound", "outbound|9000||server"),
    Case(KIND, ("outboundTrafficPolicy.egressProxy.port.number",), f"{HEAD}{{{OPEN}{PROXY % ('server', 9000, '')}}}",
         "Listener/virtualOutbound", "outbound|9000||server"),
    Case(KIND, ("outboundTrafficPolicy.egressProxy.subset",),
         f"{HEAD}{{{OPEN}{PROXY % ('server', 9000, ', subset: v1')}}}", "Listener/virtualOutbound", "outbound|9000|v1|server"),
    Case(KIND, ("workloadSelector.labels",),
         f"{HEAD}{{workloadSelector: {{labels: {{app: nobody}}}}, egress: [{{hosts: ['./*']}}]}}", OTHER,
         "outbound|80||other", CLIENT),
]  # fmt: skip
