"""Gateway: is what it says possible?

Given the typed object, adds findings to a `Check`. Source: Istio's Gateway rules.
"""

from __future__ import annotations

from argosy.api.gateway import Gateway, Server, ServerTLS
from argosy.core.protocols import Protocol, parse_protocol
from argosy.galley.validate.check import Check, is_label

_TLS_ORDER = ("TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3")


def validate_gateway(check: Check, gateway: Gateway) -> None:
    """All rules about one Gateway."""
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
    check.port(f"{at}.port.targetPort", server.port.target_port)
    check.not_empty(f"{at}.port.name", server.port.name, "a name")
    check.not_empty(f"{at}.hosts", server.hosts, "at least one host")
    for index, host in enumerate(server.hosts):
        _validate_server_host(check, f"{at}.hosts[{index}]", host)
    protocol = parse_protocol(server.port.protocol)
    if protocol in (None, Protocol.UDP):
        hint = "one of HTTP, HTTP2, GRPC, HTTPS, TLS, TCP, MONGO, MYSQL, REDIS"
        check.error("ARG0124", f"{at}.port.protocol", f"unknown protocol {server.port.protocol!r}", hint)
        return
    assert protocol is not None
    _validate_tls_use(check, at, server, protocol)
    if server.tls is not None:
        _validate_server_tls(check, f"{at}.tls", server.tls)


def _validate_server_host(check: Check, at: str, host: str) -> None:
    namespace, slash, name = host.rpartition("/")
    if slash and namespace not in ("*", ".") and not is_label(namespace):
        check.error("ARG0101", at, f"{namespace!r} is not a namespace", "write namespace/host, ./host or */host")
    check.host(at, name, wildcard=True)


def _validate_tls_use(check: Check, at: str, server: Server, protocol: Protocol) -> None:
    tls = server.tls
    if protocol.is_tls and tls is None:
        check.error("ARG0120", at, f"a server of protocol {protocol} needs tls", "give tls.mode and credentialName")
    if protocol.is_http and tls is not None and tls != ServerTLS(https_redirect=tls.https_redirect):
        hint = "use protocol HTTPS; only httpsRedirect goes with plain HTTP"
        check.error("ARG0121", f"{at}.tls", f"a server of protocol {protocol} cannot have tls settings", hint)
    if protocol.is_tls and tls is not None and tls.https_redirect:
        check.error("ARG0121", f"{at}.tls.httpsRedirect", "httpsRedirect belongs to the plain HTTP server")


def _validate_server_tls(check: Check, at: str, tls: ServerTLS) -> None:
    files = {
        "serverCertificate": tls.server_certificate,
        "privateKey": tls.private_key,
        "caCertificates": tls.ca_certificates,
    }
    named = [name for name, value in files.items() if value]
    if tls.credential_name and named:
        check.error("ARG0109", at, f"credentialName and {named[0]} exclude each other", "keep credentialName")
    if tls.mode in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL") and not tls.credential_name:
        if not (tls.server_certificate and tls.private_key):
            hint = "give credentialName (a Secret), or serverCertificate and privateKey"
            check.error("ARG0120", at, f"{tls.mode} needs a certificate and its key", hint)
        if tls.mode != "SIMPLE" and not tls.ca_certificates:
            check.error("ARG0120", at, f"{tls.mode} needs caCertificates to verify clients")
    if tls.mode == "ISTIO_MUTUAL" and (named or tls.credential_name):
        message = f"ISTIO_MUTUAL uses the mesh's certificates: {(named or ['credentialName'])[0]} cannot be given"
        check.error("ARG0121", at, message, "use MUTUAL, or remove the certificates")
    low, high = tls.min_protocol_version, tls.max_protocol_version
    if low in _TLS_ORDER and high in _TLS_ORDER and _TLS_ORDER.index(low) > _TLS_ORDER.index(high):
        check.error("ARG0121", f"{at}.minProtocolVersion", f"{low} is above maxProtocolVersion {high}")
    check.unique(f"{at}.cipherSuites", ((f"[{i}]", c) for i, c in enumerate(tls.cipher_suites)), "cipher suite")
