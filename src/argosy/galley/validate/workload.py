"""WorkloadEntry and WorkloadGroup: is what they say possible?

Given typed objects, adds findings to a `Check`. Source: Istio's rules.
"""

from __future__ import annotations

from argosy.api.service_entry import WorkloadEndpoint
from argosy.api.workload import WorkloadEntry, WorkloadGroup, WorkloadProbe
from argosy.galley.validate.check import Check, is_dns_name, is_ip, is_label, member


def validate_workload_entry(check: Check, entry: WorkloadEntry) -> None:
    """All rules about one WorkloadEntry."""
    check.not_empty("spec.address", entry.address, "an address")
    _validate_workload(check, "spec", entry)


def validate_workload_group(check: Check, group: WorkloadGroup) -> None:
    """All rules about one WorkloadGroup."""
    check.labels("spec.metadata.labels", group.metadata.labels)
    if group.template.address:
        message = "the address belongs to each workload, not to the group"
        check.error("ARG0160", "spec.template.address", message, "write it in the WorkloadEntries")
    _validate_workload(check, "spec.template", group.template)
    if group.probe is not None:
        _validate_probe(check, "spec.probe", group.probe)


def _validate_probe(check: Check, at: str, probe: WorkloadProbe) -> None:
    ways = {"httpGet": probe.http_get, "tcpSocket": probe.tcp_socket, "grpc": probe.grpc}
    check.one_of(at, {name: way is not None for name, way in ways.items()})
    for name, way in ways.items():
        if way is not None:
            check.port(f"{at}.{name}.port", way.port)
    for name, host in (("httpGet", probe.http_get), ("tcpSocket", probe.tcp_socket)):
        if host is not None and host.host and not is_ip(host.host) and not is_dns_name(host.host):
            check.error("ARG0103", f"{at}.{name}.host", f"{host.host!r} is not a host name or IP address")
    for number, header in enumerate(probe.http_get.http_headers if probe.http_get is not None else ()):
        check.header_name(f"{at}.httpGet.httpHeaders[{number}].name", header.name, plain=True)
        check.printable(f"{at}.httpGet.httpHeaders[{number}].value", header.value)
    for name, value in _numbers(probe).items():
        check.at_least(f"{at}.{name}", value)


def _numbers(probe: WorkloadProbe) -> dict[str, int]:
    return {
        "initialDelaySeconds": probe.initial_delay_seconds,
        "timeoutSeconds": probe.timeout_seconds,
        "periodSeconds": probe.period_seconds,
        "successThreshold": probe.success_threshold,
        "failureThreshold": probe.failure_threshold,
    }


def _validate_workload(check: Check, at: str, one: WorkloadEndpoint) -> None:
    address = one.address
    if address.startswith("unix://"):
        check.socket(f"{at}.address", address)
        if one.ports:
            check.error("ARG0121", f"{at}.ports", "a Unix socket has no ports", "remove ports")
    elif address and not is_ip(address):
        check.host(f"{at}.address", address)
    for name, number in one.ports.items():
        check.port_name(member(f"{at}.ports", name), name)
        check.port(member(f"{at}.ports", name), number)
    check.labels(f"{at}.labels", one.labels)
    check.at_least(f"{at}.weight", one.weight)
    if one.service_account and not is_label(one.service_account):
        check.error("ARG0101", f"{at}.serviceAccount", f"{one.service_account!r} is not the name of an account")
