"""Gateway: is what it says possible?

Given the typed object, adds findings to a `Check`. Source: Istio's Gateway rules.
"""

from __future__ import annotations

from base64 import b64decode

from argosy.api.gateway import CIPHER_SUITES, Gateway, Server, ServerTLS
from argosy.core.names import PROXY_PORTS
from argosy.core.protocols import Protocol, parse_protocol
from argosy.galley.validate.check import Check, is_dns_name, is_ip, is_label

_SHA256_HEX = 64
_TLS_ORDER = ("TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3")


def validate_gateway(check: Check, gateway: Gateway) -> None:
    """All rules about one Gateway."""
    check.dns_label("metadata.name", check.obj.name, "gateway")
    check.labels("spec.selector", gateway.selector)
    check.not_empty("spec.servers", gateway.servers, "at least one server")
    names = ((f"[{i}].port.name", s.port.name) for i, s in enumerate(gateway.servers))
    check.unique("spec.servers", names, "port name")
    by_port: dict[int, bool] = {}
    for index, server in enumerate(gateway.servers):
        at = f"spec.servers[{index}]"
        _validate_server(check, at, server)
        protocol = parse_protocol(server.port.protocol)
        plain = protocol is not None and protocol.is_http
        if by_port.setdefault(server.port.number, plain) != plain:
            message = f"port {server.port.number} is already served with another kind of protocol"
            check.error("ARG0124", f"{at}.port", message, "plain HTTP cannot share a port with TLS or TCP")


def _validate_server(check: Check, at: str, server: Server) -> None:
    check.port(f"{at}.port.number", server.port.number)
    if server.port.number in PROXY_PORTS:
        message = f"port {server.port.number} is the proxy's own"
        check.error("ARG0105", f"{at}.port.number", message, "choose another one")
    check.not_empty(f"{at}.port.name", server.port.name, "a name")
    check.not_empty(f"{at}.hosts", server.hosts, "at least one host")
    if server.bind and not is_ip(server.bind):
        hint = "an address of the gateway's pod, or leave it out"
        check.error("ARG0115", f"{at}.bind", f"{server.bind!r} is not an IP address", hint)
    if server.name:
        check.dns_label(f"{at}.name", server.name, "server name")
    for index, host in enumerate(server.hosts):
        _validate_server_host(check, f"{at}.hosts[{index}]", host)
    protocol = parse_protocol(server.port.protocol)
    if protocol in (None, Protocol.UDP):
        hint = "one of HTTP, HTTP2, GRPC, HTTPS, TLS, TCP, MONGO, MYSQL, REDIS"
        check.error("ARG0124", f"{at}.port.protocol", f"unknown protocol {server.port.protocol!r}", hint)
        return
    assert protocol is not None
    if protocol.is_tls:
        for index, host in enumerate(server.hosts):
            check.server_name(f"{at}.hosts[{index}]", host.rpartition("/")[2])
    _validate_tls_use(check, at, server, protocol)
    if server.tls is not None:
        validate_server_tls(check, f"{at}.tls", server.tls)


def _validate_server_host(check: Check, at: str, host: str) -> None:
    namespace, slash, name = host.rpartition("/")
    if slash and namespace not in ("*", ".") and not is_label(namespace):
        check.error("ARG0101", at, f"{namespace!r} is not a namespace", "write namespace/host, ./host or */host")
    if not is_ip(name):
        check.full_host(at, name)


def _validate_tls_use(check: Check, at: str, server: Server, protocol: Protocol) -> None:
    tls = server.tls
    if protocol.is_tls and tls is None:
        check.error("ARG0120", at, f"a server of protocol {protocol} needs tls", "give tls.mode and credentialName")
    if protocol.is_http and tls is not None and tls != ServerTLS(https_redirect=tls.https_redirect):
        hint = "use protocol HTTPS; only httpsRedirect goes with plain HTTP"
        check.error("ARG0121", f"{at}.tls", f"a server of protocol {protocol} cannot have tls settings", hint)
    if not (protocol.is_tls or protocol.is_http) and tls is not None:
        hint = "use protocol TLS to end TLS in front of what is not HTTP"
        check.error("ARG0121", f"{at}.tls", f"a server of protocol {protocol} cannot have tls settings", hint)
    if protocol.is_tls and tls is not None and tls.https_redirect:
        message = "httpsRedirect belongs to the plain HTTP server: here it does nothing"
        check.warn("ARG0151", f"{at}.tls.httpsRedirect", message, "move it to the server of port 80")


def validate_server_tls(check: Check, at: str, tls: ServerTLS) -> None:
    """TLS of a gateway's server or of a Sidecar's ingress."""
    files = {
        "serverCertificate": tls.server_certificate,
        "privateKey": tls.private_key,
        "caCertificates": tls.ca_certificates,
        "caCrl": tls.ca_crl,
        "tlsCertificates": tls.tls_certificates,
    }
    named = [name for name, value in files.items() if value]
    secrets = {
        "credentialName": tls.credential_name,
        "credentialNames": tls.credential_names,
        "caCertCredentialName": tls.ca_cert_credential_name,
    }
    used = [name for name, value in secrets.items() if value]
    check.one_of(at, {name: bool(secrets[name]) for name in ("credentialName", "credentialNames")}, required=False)
    if used and named and tls.mode != "ISTIO_MUTUAL":
        check.warn("ARG0151", at, f"{named[0]} is not used where there is {used[0]}", f"keep {used[0]}")
    if tls.mode in ("PASSTHROUGH", "AUTO_PASSTHROUGH") and (named or used):
        message = f"{tls.mode} uses no certificates: {(named or used)[0]} is not used"
        check.warn("ARG0151", at, message, "use SIMPLE or MUTUAL to end TLS here")
    if tls.mode == "SIMPLE" and tls.ca_crl and not used:
        check.error("ARG0121", f"{at}.caCrl", "SIMPLE asks clients for no certificates", "use MUTUAL")
    for field, name in _secret_names(at, tls):
        if not is_dns_name(name):
            check.error("ARG0101", field, f"{name!r} is not the name of a Secret", "a Secret beside the gateway's pods")
    if tls.mode in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL") and not (tls.credential_name or tls.credential_names):
        _validate_files(check, at, tls)
    _validate_verification(check, at, tls)
    if tls.mode == "ISTIO_MUTUAL" and (named or used):
        message = f"ISTIO_MUTUAL uses the mesh's certificates: {(named or used)[0]} cannot be given"
        check.error("ARG0121", at, message, "use MUTUAL, or remove the certificates")
    low, high = tls.min_protocol_version, tls.max_protocol_version
    if low in _TLS_ORDER and high in _TLS_ORDER and _TLS_ORDER.index(low) > _TLS_ORDER.index(high):
        check.error("ARG0121", f"{at}.minProtocolVersion", f"{low} is above maxProtocolVersion {high}")
    if low in ("TLSV1_0", "TLSV1_1") and not tls.cipher_suites:
        message = f"{low} needs cipher suites of its time, which are none of the default ones"
        check.warn("ARG0151", f"{at}.minProtocolVersion", message, "name them in cipherSuites")
    for index, suite in enumerate(tls.cipher_suites):
        if suite not in CIPHER_SUITES:
            hint = f"one of {', '.join(sorted(CIPHER_SUITES))}"
            message = f"unknown cipher suite {suite!r} is not used"
            check.warn("ARG0145", f"{at}.cipherSuites[{index}]", message, hint)
        elif suite in tls.cipher_suites[:index]:
            check.warn("ARG0145", f"{at}.cipherSuites[{index}]", f"cipher suite {suite!r} stands here twice")


def _secret_names(at: str, tls: ServerTLS) -> list[tuple[str, str]]:
    found = [(f"{at}.credentialNames[{index}]", name) for index, name in enumerate(tls.credential_names)]
    found.append((f"{at}.credentialName", tls.credential_name))
    found.append((f"{at}.caCertCredentialName", tls.ca_cert_credential_name))
    return [(field, name) for field, name in found if name]


def _validate_files(check: Check, at: str, tls: ServerTLS) -> None:
    """Certificates in files, one or several."""
    pairs = [(at, tls.server_certificate, tls.private_key)]
    if tls.tls_certificates:
        if tls.server_certificate or tls.private_key:
            check.error("ARG0109", at, "tlsCertificates and serverCertificate exclude each other", "keep one of them")
        pairs = [
            (f"{at}.tlsCertificates[{index}]", one.server_certificate, one.private_key)
            for index, one in enumerate(tls.tls_certificates)
        ]
    for field, certificate, key in pairs:
        if not (certificate and key):
            hint = "give credentialName (a Secret), or serverCertificate and privateKey"
            check.error("ARG0120", field, f"{tls.mode} TLS requires a private key and a server certificate", hint)
    roots = tls.ca_certificates or tls.ca_cert_credential_name or any(o.ca_certificates for o in tls.tls_certificates)
    if tls.mode != "SIMPLE" and not roots and not tls.insecure_skip_verify:
        check.error("ARG0120", at, f"{tls.mode} TLS requires a client CA bundle", "give caCertificates")


def _validate_verification(check: Check, at: str, tls: ServerTLS) -> None:
    """What is asked of clients' certificates; without any there is nothing to ask."""
    asked = {
        "subjectAltNames": tls.subject_alt_names,
        "verifyCertificateHash": tls.verify_certificate_hash,
        "verifyCertificateSpki": tls.verify_certificate_spki,
        "insecureSkipVerify": tls.insecure_skip_verify,
    }
    for name, value in asked.items():
        if value and tls.mode not in ("MUTUAL", "OPTIONAL_MUTUAL"):
            message = f"{name} goes with MUTUAL or OPTIONAL_MUTUAL: under {tls.mode} no client is checked"
            check.warn("ARG0151", f"{at}.{name}", message, "use MUTUAL, or remove it")
    if tls.insecure_skip_verify and tls.subject_alt_names:
        message = "names cannot be checked in certificates that nobody vouches for"
        check.error("ARG0121", f"{at}.insecureSkipVerify", message, "remove insecureSkipVerify or subjectAltNames")
    for index, text in enumerate(tls.verify_certificate_hash):
        digest = text.replace(":", "").lower()
        if len(digest) != _SHA256_HEX or set(digest) - set("0123456789abcdef"):
            message = f"{text!r} is not a SHA-256 in hexadecimal"
            check.error("ARG0146", f"{at}.verifyCertificateHash[{index}]", message, "64 digits, colons are allowed")
    for index, text in enumerate(tls.verify_certificate_spki):
        if not _is_sha256_base64(text):
            message = f"{text!r} is not a SHA-256 in base64"
            check.error("ARG0146", f"{at}.verifyCertificateSpki[{index}]", message, "44 characters")


def _is_sha256_base64(text: str) -> bool:
    try:
        return len(b64decode(text, validate=True)) == _SHA256_HEX // 2
    except ValueError:
        return False
