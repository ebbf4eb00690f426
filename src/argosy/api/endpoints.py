"""Kubernetes' Endpoints and EndpointSlices: the addresses behind a Service that selects no pods.

Unknown fields are tolerated, known ones are typed; both kinds have their content beside `metadata`, not in `spec`.
Source: Kubernetes' API, core/v1 Endpoints, discovery.k8s.io/v1 EndpointSlice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from argosy.api.meta import Object, Tolerant
from argosy.core.frozen import FrozenMap

SERVICE_LABEL = "kubernetes.io/service-name"
"""Label of an EndpointSlice: the Service, beside it, that it belongs to."""


class EndpointPort(Tolerant, frozen=True, kw_only=True):
    """A port of addresses; `name` is the name of the Service's port that it stands for."""

    name: str = ""
    port: int = 0
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


class EndpointAddress(Tolerant, frozen=True, kw_only=True):
    """One address."""

    ip: str


class EndpointSubset(Tolerant, frozen=True, kw_only=True):
    """Addresses that all serve the same ports; the others are not ready."""

    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(Tolerant, frozen=True, kw_only=True):
    """The addresses behind the Service of the same name."""

    subsets: tuple[EndpointSubset, ...] = ()


class SliceConditions(Tolerant, frozen=True, kw_only=True):
    """State of an endpoint; unknown counts as ready."""

    ready: bool | None = None


class SliceEndpoint(Tolerant, frozen=True, kw_only=True):
    """One endpoint of a slice."""

    addresses: tuple[str, ...] = ()
    conditions: SliceConditions = SliceConditions()


class EndpointSlice(Tolerant, frozen=True, kw_only=True):
    """Some of the addresses behind a Service."""

    address_type: Literal["IPv4", "IPv6", "FQDN"]
    endpoints: tuple[SliceEndpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class DeclaredEndpoint:
    """One ready address, and its ports by the names of the Service's ports."""

    address: str
    ports: FrozenMap[str, int]


def declared_endpoints(objects: Iterable[Object[Any]]) -> tuple[DeclaredEndpoint, ...]:
    """What Endpoints and EndpointSlices of one Service say, sorted, each once."""
    found = {one for declared in objects for one in _declared(declared.spec)}
    return tuple(sorted(found, key=lambda one: (one.address, sorted(one.ports.items()))))


def _declared(spec: Endpoints | EndpointSlice) -> Iterator[DeclaredEndpoint]:
    if isinstance(spec, EndpointSlice):
        for endpoint in spec.endpoints:
            # The first address of an endpoint is it; the others are other names of the same.
            if endpoint.addresses and endpoint.conditions.ready is not False:
                yield DeclaredEndpoint(endpoint.addresses[0], _ports(spec.ports))
        return
    for subset in spec.subsets:
        for address in subset.addresses:
            yield DeclaredEndpoint(address.ip, _ports(subset.ports))


def _ports(ports: tuple[EndpointPort, ...]) -> FrozenMap[str, int]:
    return FrozenMap({one.name: one.port for one in ports})


def service_of(declared: Object[Any]) -> str:
    """Name of the Service beside them that Endpoints or an EndpointSlice belong to."""
    if isinstance(declared.spec, EndpointSlice):
        return declared.labels.get(SERVICE_LABEL, "")
    return declared.name
