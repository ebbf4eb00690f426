"""WorkloadEntry and WorkloadGroup: is what they say possible?

Given typed objects, adds findings to a `Check`. Source: Istio's rules.
"""

from __future__ import annotations

from argosy.api.service_entry import WorkloadEndpoint
from argosy.api.workload import WorkloadEntry, WorkloadGroup
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


def _validate_workload(check: Check, at: str, one: WorkloadEndpoint) -> None:
    address = one.address
    if address.startswith("unix://"):
        if one.ports:
            check.error("ARG0121", f"{at}.ports", "a Unix socket has no ports", "remove ports")
    elif address and not is_ip(address) and not is_dns_name(address):
        check.error("ARG0103", f"{at}.address", f"{address!r} is not a host name or IP address")
    for name, number in one.ports.items():
        check.port(member(f"{at}.ports", name), number)
    check.labels(f"{at}.labels", one.labels)
    check.at_least(f"{at}.weight", one.weight)
    if one.service_account and not is_label(one.service_account):
        check.error("ARG0101", f"{at}.serviceAccount", f"{one.service_account!r} is not the name of an account")
