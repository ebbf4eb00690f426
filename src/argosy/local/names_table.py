"""What the mesh's resolver answers: host names to addresses, as a value.

Given Services, service entries and ready pods; gives a table whose `lookup` says what a DNS answer needs, or which name
must be asked for elsewhere: never one below the cluster's own domain, nor one of a single label. Names are compared
without regard to case.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from itertools import product

from argosy.api.kubernetes import Service
from argosy.api.mesh_config import MeshConfig, with_default_exports
from argosy.api.meta import Object
from argosy.api.service_entry import ServiceEntry, allocated_addresses, precedence, shown_to
from argosy.core.hosts import CLUSTER_DOMAIN, is_wildcard, service_host
from argosy.core.names import ObjectKey
from argosy.local.service_endpoints import NOTHING_DECLARED, Declared, PodFact, pods_of

ALIASES_MAX = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """`exists` False is NXDOMAIN. Without addresses the name exists but has none of the asked kind.

    `aliases` is the chain of names that led to the addresses, the asked name not included. `elsewhere`: the name at its
    end is not the mesh's, but somebody outside may know it.
    """

    exists: bool
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    elsewhere: str = ""


@dataclass(frozen=True)
class NamesTable:
    """All names. `hosts` and `wildcards` (suffix with its dot) give addresses, `aliases` other names."""

    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    wildcards: dict[str, tuple[str, ...]] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    domain: str = CLUSTER_DOMAIN
    apart: Mapping[str, NamesTable] = field(default_factory=dict)
    """Of namespaces for which some host is declared apart from what counts for all: their own tables."""

    def lookup(self, name: str) -> Answer:
        """IPv4 addresses of `name` (a trailing dot is allowed)."""
        asked = name.lower().removesuffix(".")
        followed: list[str] = []
        while (target := self.aliases.get(asked)) and len(followed) < ALIASES_MAX:
            followed.append(target)
            asked = target
        addresses = self.hosts.get(asked)
        if addresses is None:
            addresses = self._by_wildcard(asked)
        if addresses is None:
            return Answer(bool(followed), (), tuple(followed), asked if self._may_be_elsewhere(asked) else "")
        return Answer(True, addresses, tuple(followed))

    def _may_be_elsewhere(self, name: str) -> bool:
        return "." in name and not f".{name}".endswith(f".{self.domain}") and name not in self.aliases

    def _by_wildcard(self, name: str) -> tuple[str, ...] | None:
        """The longest wildcard that covers `name`; `*` stands for one label or more."""
        at = name.find(".")
        while at >= 0:
            if (found := self.wildcards.get(name[at:])) is not None:
                return found
            at = name.find(".", at + 1)
        return None


def build_names(
    services: Iterable[Object[Service]],
    entries: Iterable[Object[ServiceEntry]],
    pods: Iterable[PodFact],
    declared: Declared = NOTHING_DECLARED,
    domain: str = CLUSTER_DOMAIN,
    config: MeshConfig | None = None,
) -> NamesTable:
    """The table of everything that has a name. What the mesh knows but has no address for is asked for elsewhere.

    `config` says who sees entries that do not say it themselves.
    """
    present = sorted(pods, key=lambda pod: pod.ip)
    hosts: dict[str, tuple[str, ...]] = {}
    wildcards: dict[str, tuple[str, ...]] = {}
    aliases: dict[str, str] = {}
    # Entries first: a Kubernetes Service keeps its own name whatever an entry says.
    shown = (with_default_exports(one, config or MeshConfig()) for one in entries)
    entries = sorted(shown, key=precedence, reverse=True)
    for entry in entries:
        allocated = allocated_addresses(entry)
        for host in entry.spec.names:
            addresses = _entry_addresses(entry.spec, host, allocated)
            if not addresses:
                continue
            if host.startswith("*."):
                wildcards[host[1:].lower()] = addresses
            elif not is_wildcard(host):
                hosts[host.lower()] = addresses
    taken: set[str] = set()
    for service in services:
        host = service_host(service.name, service.namespace, domain).lower()
        taken.add(host)
        if service.spec.type == "ExternalName":
            aliases[host] = service.spec.external_name.lower().removesuffix(".")
        elif service.spec.headless:
            serving = pods_of(service, present)
            hosts[host] = (*(pod.ip for pod in serving), *(one.address for one in declared.of(service)))
            hosts.update({f"{pod.name}.{host}": (pod.ip,) for pod in serving})
        elif service.spec.cluster_ip:
            hosts[host] = (service.spec.cluster_ip,)
    shared = NamesTable(hosts, wildcards, aliases, domain)
    return replace(shared, apart=_tables_apart(shared, entries, taken))


def _tables_apart(
    shared: NamesTable, entries: Sequence[Object[ServiceEntry]], taken: Container[str]
) -> dict[str, NamesTable]:
    """Tables of the namespaces that some private entry shows its hosts to, where they differ from what all have.
    `entries`: the one that counts for all comes last. `taken`: the hosts of Services."""
    nearest: dict[tuple[str, str], Object[ServiceEntry]] = {}
    for entry in entries:
        for namespace, host in product(shown_to(entry), entry.spec.names):
            before = nearest.get((namespace, host))
            if before is None or _distance(entry, namespace) < _distance(before, namespace):
                nearest[namespace, host] = entry
    first = {host: entry for entry in entries for host in entry.spec.names}
    tables: dict[str, NamesTable] = {}
    for (namespace, host), entry in nearest.items():
        addresses = _entry_addresses(entry.spec, host, allocated_addresses(entry))
        wild, name = host.startswith("*."), host[1:] if host.startswith("*.") else host
        if name in taken or entry.namespace == first[host].namespace:
            continue
        if addresses == (shared.wildcards if wild else shared.hosts).get(name, ()):
            continue
        own = tables.setdefault(namespace, replace(shared, hosts={**shared.hosts}, wildcards={**shared.wildcards}))
        names = own.wildcards if wild else own.hosts
        names.pop(name, None)
        if addresses and (wild or not is_wildcard(host)):
            names[name] = addresses
    return tables


def _distance(entry: Object[ServiceEntry], namespace: str) -> tuple[bool, ObjectKey]:
    """Which of several private entries a namespace goes by: one of its own, then the first."""
    return entry.namespace != namespace, entry.key


def _entry_addresses(entry: ServiceEntry, host: str, allocated: Mapping[str, str]) -> tuple[str, ...]:
    """Whole addresses of the entry; ranges cannot be answered. Else the one that was allocated to the host."""
    given = tuple(text for text in entry.called_addresses if _is_address(text))
    if given:
        return given
    return (allocated[host],) if host in allocated else ()


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True
