"""`networking.istio.io` ServiceEntry: hosts that the platform does not know, and where they are.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, networking v1.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from argosy.api.meta import Object, Strict, without_final_dots
from argosy.api.ports import Port
from argosy.core.frozen import EMPTY, FrozenMap
from argosy.core.names import ObjectKey

NO_PORTS: FrozenMap[str, int] = FrozenMap()


class WorkloadEndpoint(Strict, frozen=True, kw_only=True):
    """One address of a service entry."""

    # There is one network here: gateways between networks are not built.
    not_yet = frozenset({"network"})
    address: str = ""
    ports: FrozenMap[str, int] = NO_PORTS
    labels: FrozenMap[str, str] = EMPTY
    service_account: str = ""
    locality: str = ""
    weight: int | None = None


class LabelSelector(Strict, frozen=True, kw_only=True):
    """A service entry's selector of pods (its field is `labels`, not `matchLabels`)."""

    labels: FrozenMap[str, str] = EMPTY


class ServiceEntry(Strict, frozen=True, kw_only=True):
    """Hosts that the platform does not know, and where they are."""

    hosts: tuple[str, ...]
    addresses: tuple[str, ...] = ()
    ports: tuple[Port, ...] = ()
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Literal["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN", "DYNAMIC_DNS"] = "NONE"
    endpoints: tuple[WorkloadEndpoint, ...] = ()
    workload_selector: LabelSelector | None = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        without_final_dots(self, "hosts")

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts as names are compared: in lower case."""
        return tuple(host.lower() for host in self.hosts)

    @property
    def called_addresses(self) -> tuple[str, ...]:
        """The addresses; a block of one is that one."""
        return tuple(one.removesuffix("/128" if ":" in one else "/32") for one in self.addresses)


def allocated_addresses(entry: Object[ServiceEntry]) -> FrozenMap[str, str]:
    """Host -> address that Galley chose for hosts of a service entry without addresses (`status.addresses`)."""
    chosen = entry.status.get("addresses", ())
    return FrozenMap({item["host"]: item["value"] for item in chosen})


def precedence(entry: Object[ServiceEntry]) -> tuple[bool, ObjectKey]:
    """Of several entries for one host the least counts: one that all namespaces may see, then by namespace and name."""
    return is_private(entry), entry.key


def is_private(entry: Object[ServiceEntry]) -> bool:
    """True for an entry that says itself that not every namespace may see it."""
    return bool(entry.spec.export_to) and "*" not in entry.spec.export_to


def shown_to(entry: Object[ServiceEntry]) -> set[str]:
    """The namespaces that a private entry names as those that may see it."""
    exports = entry.spec.export_to if is_private(entry) else ()
    return {entry.namespace if name == "." else name for name in exports if name != "~"}


def says_the_same(one: Object[ServiceEntry], other: Object[ServiceEntry]) -> bool:
    """True if two entries declare their hosts alike, whoever may see them; selected workloads are never alike."""
    mine, others = (msgspec.structs.replace(entry.spec, hosts=(), export_to=()) for entry in (one, other))
    return mine == others and mine.workload_selector is None
