"""Sidecar: is what it says possible?

Given the typed object, adds findings to a `Check`. Source: Istio's Sidecar rules.
"""

from __future__ import annotations

from argosy.api.sidecar import EgressListener, IngressListener, Sidecar, SidecarPort
from argosy.core.names import ROOT_NAMESPACE
from argosy.core.protocols import parse_protocol
from argosy.galley.validate.check import Check, is_ip, is_label
from argosy.galley.validate.destination_rule import validate_pool
from argosy.galley.validate.gateway import validate_server_tls

_LOCAL = ("", "127.0.0.1", "0.0.0.0", "[::1]", "[::]")


def validate_sidecar(check: Check, sidecar: Sidecar) -> None:
    """All rules about one Sidecar."""
    selector = sidecar.workload_selector
    if selector is not None:
        check.labels("spec.workloadSelector.labels", selector.labels)
        if check.obj.namespace == ROOT_NAMESPACE and selector.labels:
            message = "a Sidecar of the root namespace is every namespace's default: it selects no workloads"
            check.warn("ARG0165", "spec.workloadSelector", message, "it holds for this namespace's workloads only")
    if not (sidecar.egress or sidecar.ingress or sidecar.outbound_traffic_policy or sidecar.inbound_connection_pool):
        check.error("ARG0110", "spec", "sidecar: missing egress", "give egress, ingress or outboundTrafficPolicy")
    ports = ((f"[{i}].port.number", one.port.number) for i, one in enumerate(sidecar.ingress))
    check.unique("spec.ingress", ports, "port")
    for index, ingress in enumerate(sidecar.ingress):
        _validate_ingress(check, f"spec.ingress[{index}]", ingress)
    _validate_egress_ports(check, sidecar.egress)
    for index, egress in enumerate(sidecar.egress):
        _validate_egress(check, f"spec.egress[{index}]", egress)
    if sidecar.inbound_connection_pool is not None:
        validate_pool(check, "spec.inboundConnectionPool", sidecar.inbound_connection_pool)
    _validate_outbound(check, sidecar)


def _validate_outbound(check: Check, sidecar: Sidecar) -> None:
    policy = sidecar.outbound_traffic_policy
    proxy = policy.egress_proxy if policy is not None else None
    if policy is None or proxy is None:
        return
    at = "spec.outboundTrafficPolicy.egressProxy"
    if policy.mode != "ALLOW_ANY":
        message = "sidecar: egress_proxy must be set only with ALLOW_ANY outbound_traffic_policy mode"
        check.error("ARG0121", at, message, "set mode: ALLOW_ANY")
    check.host(f"{at}.host", proxy.host)
    if proxy.port is None:
        check.error("ARG0110", f"{at}.port", "sidecar: egress_proxy port must be non-nil", "give port.number")
    else:
        check.port(f"{at}.port.number", proxy.port.number)
    if proxy.subset:
        check.subset(f"{at}.subset", proxy.subset)


def _validate_port(check: Check, at: str, port: SidecarPort) -> None:
    if port.name:
        check.port_name(f"{at}.name", port.name)
    check.port(f"{at}.number", port.number)
    if port.protocol and parse_protocol(port.protocol) is None:
        hint = "one of HTTP, HTTP2, GRPC, HTTPS, TLS, TCP, MONGO, MYSQL, REDIS"
        check.error("ARG0124", f"{at}.protocol", f"unknown protocol {port.protocol!r}", hint)


def _validate_ingress(check: Check, at: str, ingress: IngressListener) -> None:
    _validate_port(check, f"{at}.port", ingress.port)
    if ingress.bind:
        check.address(f"{at}.bind", ingress.bind)
    if ingress.default_endpoint:
        _validate_endpoint(check, f"{at}.defaultEndpoint", ingress.default_endpoint)
    if ingress.connection_pool is not None:
        validate_pool(check, f"{at}.connectionPool", ingress.connection_pool)
    if ingress.tls is not None:
        _validate_ingress_tls(check, at, ingress)


def _validate_ingress_tls(check: Check, at: str, ingress: IngressListener) -> None:
    own = ingress.tls
    assert own is not None
    if own.mode not in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"):
        message = f"configuration is invalid: cannot use {own.mode} in ingress listener TLS"
        check.error("ARG0121", f"{at}.tls.mode", message, "use SIMPLE or MUTUAL")
        return
    if own.https_redirect:
        check.error("ARG0121", f"{at}.tls.httpsRedirect", "a sidecar does not redirect", "gateways do")
    protocol = parse_protocol(ingress.port.protocol)
    if protocol is not None and not protocol.is_tls:
        message = f"a port of protocol {protocol} cannot have tls settings"
        check.error("ARG0121", f"{at}.port.protocol", message, "use HTTPS or TLS")
    validate_server_tls(check, f"{at}.tls", own)


def _validate_endpoint(check: Check, at: str, endpoint: str) -> None:
    if endpoint.startswith("unix://"):
        check.socket(at, endpoint)
        return
    host, colon, port = endpoint.rpartition(":")
    number = int(port) if port.isascii() and port.isdecimal() else 0
    if not colon or host not in _LOCAL or not 1 <= number <= 65535:
        message = "sidecar: defaultEndpoint must be of form 127.0.0.1:<port>"
        check.error(
            "ARG0166", at, message, "127.0.0.1:port, :port or 0.0.0.0:port (the pod's address), or unix:///path"
        )


def _validate_egress_ports(check: Check, egress: tuple[EgressListener, ...]) -> None:
    open_ones = [i for i, one in enumerate(egress) if one.port is None or not one.port.number]
    for index in open_ones[1:]:
        message = "sidecar: egress can have only one listener with empty port"
        check.error("ARG0114", f"spec.egress[{index}]", message, "add its hosts to the other one")
    for index in open_ones[:1]:
        if index != len(egress) - 1:
            message = "sidecar: the egress listener with empty port should be the last listener in the list"
            check.error("ARG0121", f"spec.egress[{index}]", message, "move it to the end")
    numbered = [(i, one) for i, one in enumerate(egress) if one.port is not None and one.port.number]
    places = ((f"[{i}].port.number", (one.bind, one.port.number)) for i, one in numbered if one.port is not None)
    check.unique("spec.egress", places, "listener")


def _validate_egress(check: Check, at: str, egress: EgressListener) -> None:
    if egress.bind.startswith("unix://"):
        message = "a listener on a Unix socket is not supported"
        check.error("ARG0115", f"{at}.bind", message, "bind 127.0.0.1, and give port.number")
        return
    if egress.port is not None and egress.port.number:
        _validate_port(check, f"{at}.port", egress.port)
        if egress.port.protocol.upper() == "HTTP_PROXY":
            message = "a listener for requests to hosts on ports of all numbers (HTTP_PROXY) is not supported"
            check.error("ARG0124", f"{at}.port.protocol", message, "use HTTP, and one entry per port")
    elif egress.port is not None:
        check.port(f"{at}.port.number", 0)
    if egress.bind and not is_ip(egress.bind):
        check.error("ARG0115", f"{at}.bind", f"{egress.bind!r} is not an IP address")
    check.not_empty(f"{at}.hosts", egress.hosts, "sidecar: egress listener must contain at least one host")
    for index, host in enumerate(egress.hosts):
        if host in egress.hosts[:index]:
            check.warn("ARG0152", f"{at}.hosts[{index}]", f"host {host!r} stands here twice", "remove one of them")
        _validate_host(check, f"{at}.hosts[{index}]", host)


def _validate_host(check: Check, at: str, host: str) -> None:
    namespace, slash, name = host.partition("/")
    if not slash or "/" in name:
        hint = "./* is the own namespace, */* everything, ns/* one namespace"
        check.error("ARG0167", at, f"host {host!r} must be of form namespace/dnsName", hint)
        return
    if namespace not in (".", "*", "~") and not is_label(namespace):
        check.error("ARG0101", at, f"{namespace!r} is not a namespace", "a namespace, '.', '*' or '~'")
    check.full_host(at, name)
