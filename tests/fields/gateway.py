"""Gateway."""

from __future__ import annotations

from tests.fields.cases import INGRESS, Case

KIND = "Gateway"
HEAD = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: "
PORT = "port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example.com]"
ROUTES = """---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bound}
spec: {hosts: [a.example.com], gateways: [gw], http: [{route: [{destination: {host: server}}]}]}
"""
HASH = "a" * 64
SPKI = "A" * 43 + "="
ALL_TLS = "Listener/0.0.0.0_8443"
FILES = "serverCertificate: /c.pem, privateKey: /k.pem"
MUTUAL = f"mode: MUTUAL, {FILES}, caCertificates: /ca.pem"


def server(field: str, text: str, spec: str, resource: str = ALL_TLS, more: str = "") -> Case:
    objects = f"{HEAD}{{selector: {{istio: ingressgateway}}, servers: [{{{spec}}}]}}\n{ROUTES}{more}"
    return Case(KIND, (f"servers[].{field}",), objects, resource, text, INGRESS)


def tls(field: str, text: str, settings: str, resource: str = ALL_TLS) -> Case:
    return server(f"tls.{field}", text, f"{PORT}, tls: {{{settings}}}", resource)


HTTP = "port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example.com]"

CASES: list[Case] = [
    Case(KIND, ("selector",), f"{HEAD}{{selector: {{istio: nobody}}, servers: [{{{HTTP}}}]}}\n" + HEAD.replace(
        "Gateway\n", "Gateway\n").replace("name: gw", "name: second").replace("apiVersion", "---\napiVersion", 1)
        + "{selector: {istio: ingressgateway}, servers: [{port: {number: 81, name: h, protocol: HTTP}, hosts: ['*']}]}",
        "Listener/*", "!0.0.0.0_8080", INGRESS),
    server("hosts", "a.example.com", HTTP, "VirtualHost/http.8080/a.example.com"),
    server("port.number", '"port_value":8080', HTTP, "Listener/*"),
    server("port.protocol", '"name":"http.8080"', HTTP, "Listener/*"),
    server("port.name", "https.443.mine.gw", "port: {number: 443, name: mine, protocol: HTTPS}, hosts: [a.example.com], "
           "tls: {mode: SIMPLE, credentialName: pair}"),
    server("bind", '"address":"127.0.0.1"', f"{HTTP}, bind: 127.0.0.1", "Listener/*"),
    Case(KIND, ("servers[].defaultEndpoint",), f"{HEAD}{{selector: {{a: b}}, servers: [{{{HTTP}, defaultEndpoint: "
         "127.0.0.1:80}]}", refused="requests of a gateway go where VirtualServices say; Istio has never used the field"),
    server("name", '"server":"mine"', f"{HTTP}, name: mine", "Listener/*"),
    Case(KIND, ("servers[].port.targetPort",), f"{HEAD}{{selector: {{a: b}}, servers: [{{port: {{number: 80, name: http, "
         "protocol: HTTP, targetPort: 8080}, hosts: ['*']}]}",
         refused="a gateway's proxy binds the port itself; Istio has never used the field"),
    server("tls.httpsRedirect", '"require_tls":"ALL"', f"{HTTP}, tls: {{httpsRedirect: true}}",
           "VirtualHost/http.8080/a.example.com"),
    tls("mode", '"transport_socket"', "mode: SIMPLE, credentialName: pair"),
    tls("credentialName", '"name":"pair"', "mode: SIMPLE, credentialName: pair"),
    tls("credentialNames", '"name":"other-pair"', "mode: SIMPLE, credentialNames: [pair, other-pair]"),
    tls("caCertCredentialName", '"name":"other-pair-cacert"',
        "mode: MUTUAL, credentialName: pair, caCertCredentialName: other-pair"),
    tls("serverCertificate", '"filename":"/c.pem"', f"mode: SIMPLE, {FILES}"),
    tls("privateKey", '"filename":"/k.pem"', f"mode: SIMPLE, {FILES}"),
    tls("caCertificates", '"filename":"/ca.pem"', MUTUAL),
    tls("caCrl", '"filename":"/crl.pem"', f"{MUTUAL}, caCrl: /crl.pem"),
    *[
        tls(f"tlsCertificates[].{name}", f'"filename":"/{name}"', "mode: MUTUAL, tlsCertificates: [{serverCertificate: "
            "/serverCertificate, privateKey: /privateKey, caCertificates: /caCertificates}]")
        for name in ("serverCertificate", "privateKey", "caCertificates")
    ],
    tls("subjectAltNames", '"exact":"client.example.com"', f"{MUTUAL}, subjectAltNames: [client.example.com]"),
    tls("verifyCertificateHash", HASH, f"{MUTUAL}, verifyCertificateHash: [{HASH}]"),
    tls("verifyCertificateSpki", SPKI, f"{MUTUAL}, verifyCertificateSpki: ['{SPKI}']"),
    tls("insecureSkipVerify", "ACCEPT_UNTRUSTED", f"{MUTUAL}, insecureSkipVerify: true"),
    tls("minProtocolVersion", '"tls_minimum_protocol_version":"TLSv1_3"',
        "mode: SIMPLE, credentialName: pair, minProtocolVersion: TLSV1_3"),
    tls("maxProtocolVersion", '"tls_maximum_protocol_version":"TLSv1_2"',
        "mode: SIMPLE, credentialName: pair, maxProtocolVersion: TLSV1_2"),
    tls("cipherSuites", "ECDHE-RSA-AES256-GCM-SHA384",
        "mode: SIMPLE, credentialName: pair, cipherSuites: [ECDHE-RSA-AES256-GCM-SHA384]"),
]  # fmt: skip
