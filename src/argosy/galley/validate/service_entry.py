"""ServiceEntry: is what it says possible?

Given the typed object, adds findings to a `Check`. Source: Istio's rules; Envoy's cluster limits.
"""

from __future__ import annotations

from argosy.api.service_entry import ServiceEntry, WorkloadEndpoint
from argosy.core.protocols import parse_protocol
from argosy.galley.validate.check import Check, is_dns_name, is_ip


def validate_service_entry(check: Check, entry: ServiceEntry) -> None:
    """All rules about one ServiceEntry."""
    check.not_empty("spec.hosts", entry.hosts, "at least one host")
    check.unique("spec.hosts", ((f"[{i}]", h) for i, h in enumerate(entry.names)), "host")
    for index, host in enumerate(entry.hosts):
        if host == "*":
            check.error("ARG0104", f"spec.hosts[{index}]", "host '*' is not allowed", "use *.suffix or name the hosts")
        elif is_ip(host):
            hint = "choose any name, and write the address in spec.addresses"
            check.error("ARG0103", f"spec.hosts[{index}]", f"{host!r} is an address", hint)
        else:
            check.host(f"spec.hosts[{index}]", host, wildcard=True)
    for index, address in enumerate(entry.addresses):
        check.network(f"spec.addresses[{index}]", address)
        if "/" in address and entry.resolution.startswith("DNS"):
            hint = "CIDR blocks go with resolution NONE or STATIC"
            check.error("ARG0125", f"spec.addresses[{index}]", f"{address!r} with resolution DNS", hint)
    check.export_to(entry.export_to, nobody=True)
    for index, name in enumerate(entry.subject_alt_names):
        check.not_empty(f"spec.subjectAltNames[{index}]", name, "a name")
        check.printable(f"spec.subjectAltNames[{index}]", name)
    _validate_entry_ports(check, entry)
    _validate_server_names(check, entry)
    _validate_resolution(check, entry)
    for index, endpoint in enumerate(entry.endpoints):
        _validate_endpoint(check, f"spec.endpoints[{index}]", endpoint, entry)
    if entry.workload_selector is not None:
        check.labels("spec.workloadSelector.labels", entry.workload_selector.labels)


def _validate_entry_ports(check: Check, entry: ServiceEntry) -> None:
    if not entry.ports:
        check.warn(
            "ARG0151", "spec.ports", "an entry without ports declares nothing that can be called", "name its ports"
        )
    check.unique("spec.ports", ((f"[{i}].name", p.name) for i, p in enumerate(entry.ports)), "port name")
    check.unique("spec.ports", ((f"[{i}].number", p.number) for i, p in enumerate(entry.ports)), "port")
    for index, port in enumerate(entry.ports):
        at = f"spec.ports[{index}]"
        check.port(f"{at}.number", port.number)
        check.port(f"{at}.targetPort", port.target_port)
        check.port_name(f"{at}.name", port.name)
        if port.protocol and parse_protocol(port.protocol) is None:
            check.error(
                "ARG0124", f"{at}.protocol", f"unknown protocol {port.protocol!r}", "HTTP, HTTP2, GRPC, TLS, TCP, ..."
            )


def _validate_server_names(check: Check, entry: ServiceEntry) -> None:
    protocols = [parse_protocol(port.protocol) for port in entry.ports if port.protocol]
    if any(protocol is not None and protocol.is_tls for protocol in protocols):
        for index, host in enumerate(entry.hosts):
            check.server_name(f"spec.hosts[{index}]", host)


def _validate_resolution(check: Check, entry: ServiceEntry) -> None:
    check.one_of(
        "spec",
        {"endpoints": bool(entry.endpoints), "workloadSelector": entry.workload_selector is not None},
        required=False,
    )
    has_targets = bool(entry.endpoints) or entry.workload_selector is not None
    if entry.resolution == "NONE" and entry.endpoints:
        hint = "use STATIC for addresses or DNS for names"
        check.error("ARG0125", "spec.endpoints", "resolution NONE goes where the client asked: no endpoints", hint)
    if entry.resolution == "STATIC" and not has_targets:
        message = "resolution STATIC without endpoints or a workloadSelector: nobody answers"
        check.warn("ARG0151", "spec.resolution", message, "give endpoints")
    if entry.resolution not in ("NONE", "DYNAMIC_DNS") and len(entry.hosts) > 1:
        _validate_told_apart(check, entry)
    if entry.resolution == "DNS_ROUND_ROBIN" and len(entry.endpoints) > 1:
        message = "resolution DNS_ROUND_ROBIN has at most one endpoint"
        check.error("ARG0125", "spec.endpoints", message, "use DNS for several names")
    if entry.resolution == "DYNAMIC_DNS":
        _validate_dynamic(check, entry)
    if entry.resolution.startswith("DNS") and not has_targets:
        for index, host in enumerate(entry.hosts):
            if host.startswith("*"):
                hint = "name the host, or give endpoints"
                check.error("ARG0125", f"spec.hosts[{index}]", f"{host!r} cannot be resolved by DNS", hint)


def _validate_told_apart(check: Check, entry: ServiceEntry) -> None:
    """Of several hosts, only a request or a server name says which one is called."""
    for index, port in enumerate(entry.ports):
        protocol = parse_protocol(port.protocol) if port.protocol else None
        if protocol is None or not (protocol.is_http or protocol.is_tls):
            message = (
                f"{port.protocol or 'an undeclared protocol'} does not say which of {len(entry.hosts)} hosts is called"
            )
            hint = "make an entry for each host, or use HTTP, TLS or resolution NONE"
            check.error("ARG0125", f"spec.ports[{index}].protocol", message, hint)


def _validate_dynamic(check: Check, entry: ServiceEntry) -> None:
    """Hosts that are resolved when they are called: what is called must be known from the call itself."""
    for index, host in enumerate(entry.hosts):
        if not host.startswith("*"):
            hint = "use resolution DNS for it"
            check.error("ARG0125", f"spec.hosts[{index}]", f"{host!r} is no wildcard: it can be resolved before", hint)
    given = {"addresses": entry.addresses, "endpoints": entry.endpoints, "workloadSelector": entry.workload_selector}
    for name, value in given.items():
        if value:
            check.error("ARG0125", f"spec.{name}", f"{name} with resolution DYNAMIC_DNS", f"remove {name}")
    for index, port in enumerate(entry.ports):
        protocol = parse_protocol(port.protocol) if port.protocol else None
        if protocol is None or not (protocol.is_http or protocol.is_tls):
            message = f"{port.protocol or 'TCP'} does not say which host is called"
            check.error("ARG0125", f"spec.ports[{index}].protocol", message, "use HTTP, HTTP2, GRPC or TLS")
        elif protocol.is_http and port.target_port not in (None, 0, port.number):
            message = "a request to a host of DYNAMIC_DNS goes to the port that it names"
            check.error("ARG0125", f"spec.ports[{index}].targetPort", message, "remove targetPort")


def _validate_endpoint(check: Check, at: str, endpoint: WorkloadEndpoint, entry: ServiceEntry) -> None:
    check.not_empty(f"{at}.address", endpoint.address, "an address")
    if endpoint.address.startswith("unix://"):
        if endpoint.ports:
            check.error("ARG0121", f"{at}.ports", "a Unix socket has no ports", "remove ports")
        check.socket(f"{at}.address", endpoint.address)
        if len(entry.ports) > 1:
            message = "a Unix socket serves one port, and the entry has several"
            check.error("ARG0125", f"{at}.address", message, "make an entry for each port")
        if entry.resolution != "STATIC":
            check.error("ARG0125", f"{at}.address", "Unix sockets go with resolution STATIC")
    elif endpoint.address and not is_ip(endpoint.address):
        if entry.resolution == "STATIC":
            check.error("ARG0125", f"{at}.address", f"{endpoint.address!r} is not an IP address", "use resolution DNS")
        elif not is_dns_name(endpoint.address):
            check.error("ARG0103", f"{at}.address", f"{endpoint.address!r} is not a host name or IP address")
    names = {port.name for port in entry.ports}
    for name, number in endpoint.ports.items():
        check.port(f"{at}.ports.{name}", number)
        if name not in names:
            hint = f"ports of the object: {', '.join(sorted(names)) or 'none'}"
            check.error("ARG0125", f"{at}.ports.{name}", f"port {name!r} is not one of the entry's ports", hint)
    check.labels(f"{at}.labels", endpoint.labels)
    check.at_least(f"{at}.weight", endpoint.weight)
