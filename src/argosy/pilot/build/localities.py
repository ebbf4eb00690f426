"""Endpoints in groups by locality: who is called first, and by what shares.

Given endpoints and how a client at one place balances, gives groups with priorities (0 first, no gaps) and weights.
Source: istio.io, locality load balancing; envoy.config.endpoint.v3.LocalityLbEndpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from argosy.api.locality import Failover, LocalityLB, ZoneAware
from argosy.core.locality import locality_labels, locality_matches, shared_parts, split_locality
from argosy.pilot.endpoint import Endpoint
from argosy.pilot.scopes import Place

# The smallest share, so that Envoy's whole numbers keep proportions between groups of one share.
_SHARE = 1000
# Envoy is not choosy among fewer.
_MIN_CLUSTER_SIZE = 6


@dataclass(frozen=True, slots=True)
class Balance:
    """How a client at `place` uses localities. `failover`: whether other places take over (ejection must be on)."""

    place: Place
    setting: LocalityLB
    failover: bool
    zones: ZoneAware | None = None
    clients: Mapping[str, int] = field(default_factory=dict)
    """How many replicas the client has in each zone (`region/zone`), for zone-aware balancing."""

    @property
    def is_weighted(self) -> bool:
        """True if localities have weights."""
        return self.shares is not None or self.zones is not None

    @property
    def ranking(self) -> tuple[tuple[Failover, ...], tuple[str, ...]]:
        """Which regions take over, and the labels by which endpoints are ranked."""
        if self.zones is not None:
            return self.zones.failover, self.zones.failover_priority
        return self.setting.failover, self.setting.failover_priority

    @property
    def shares(self) -> Mapping[str, int] | None:
        """Shares by locality pattern for this client, if traffic is distributed."""
        for one in self.setting.distribute:
            if locality_matches(one.from_, self.place.locality):
                return one.to
        return None


@dataclass(frozen=True, slots=True)
class Group:
    """Endpoints of one locality. `weight` 0: Envoy's own choice among the groups of a priority."""

    locality: str
    priority: int
    weight: int
    members: tuple[Member, ...]


Member = tuple[Endpoint, bool]
_T = TypeVar("_T")


def group_endpoints(members: Sequence[Member], balance: Balance | None) -> list[Group]:
    """Groups in the order of priority and locality; one group of all where nobody balances by locality."""
    if balance is None or not members:
        return [Group("", 0, 0, tuple(members))] if members else []
    shares = balance.shares
    if shares is not None:
        return _distributed(members, shares)
    if balance.zones is not None:
        return _zone_aware(members, balance)
    if not balance.failover:
        return [Group("", 0, 0, tuple(members))]
    return _by_priority(members, balance)


def _distributed(members: Sequence[Member], shares: Mapping[str, int]) -> list[Group]:
    by_locality = _gather(members, lambda one: one[0].locality)
    chosen = {locality: _best(shares, locality) for locality in by_locality}
    sizes: dict[str, int] = {}
    # A locality's part is that of its endpoints, by their own weights.
    own_sizes = {locality: sum(one.weight for one, _ in own) for locality, own in by_locality.items()}
    for locality, pattern in chosen.items():
        if pattern is not None:
            sizes[pattern] = sizes.get(pattern, 0) + own_sizes[locality]
    groups = []
    for locality, pattern in sorted(chosen.items()):
        if pattern is not None and shares[pattern]:
            own = by_locality[locality]
            weight = max(1, round(shares[pattern] * _SHARE * own_sizes[locality] / sizes[pattern]))
            groups.append(Group(locality, 0, weight, tuple(own)))
    return groups


def _best(shares: Mapping[str, int], locality: str) -> str | None:
    covering = [pattern for pattern in shares if locality_matches(pattern, locality)]
    return max(covering, key=lambda pattern: (len(pattern.split("/")), pattern), default=None)


def _zone_aware(members: Sequence[Member], balance: Balance) -> list[Group]:
    """The client's region by zones, as far as its own zone can bear its share; other regions take over after that.

    Zones get what Envoy's own zone-aware routing would give them; it needs the number of the client's replicas in each
    zone, which Pilot knows. Source: Envoy, "Zone aware routing".
    """
    assert balance.zones is not None
    region = split_locality(balance.place.locality)[0]
    near = [one for one in members if split_locality(one[0].locality)[0] == region]
    far = [one for one in members if split_locality(one[0].locality)[0] != region]
    weights = _zone_weights(near, balance)
    groups, later = [], list(far)
    for place, own in sorted(_gather(near, lambda one: one[0].locality).items()):
        weight = weights.get(_zone(place), 0)
        if weight:
            groups.append(Group(place, 0, weight, tuple(own)))
        else:
            # Not needed now, but nearer than anybody else should the own zone fail.
            later = [*own, *later]
    first = 1 if groups else 0
    ranked = _by_priority(later, balance) if later else []
    return [*groups, *(replace(one, priority=one.priority + first, weight=1) for one in ranked)]


def _zone_weights(members: Sequence[Member], balance: Balance) -> dict[str, int]:
    """Weights of zones; all alike where there are too few endpoints to be choosy, or nothing is known of clients."""
    assert balance.zones is not None
    servers = {zone: len(own) for zone, own in _gather(members, lambda one: _zone(one[0].locality)).items()}
    total, callers = sum(servers.values()), sum(balance.clients.values())
    own = _zone(balance.place.locality)
    least = balance.zones.min_cluster_size if balance.zones.min_cluster_size is not None else _MIN_CLUSTER_SIZE
    if total < least or own not in servers or not callers:
        return {zone: count * _SHARE for zone, count in servers.items()}
    capacity = {zone: count / total for zone, count in servers.items()}
    demand = {zone: balance.clients.get(zone, 0) / callers for zone in {*servers, *balance.clients}}
    if capacity[own] >= demand[own]:
        return {own: _SHARE}
    kept = capacity[own] / demand[own]
    spare = {zone: max(0.0, part - demand.get(zone, 0.0)) for zone, part in capacity.items() if zone != own}
    room = sum(spare.values())
    made = {zone: round((1 - kept) * part / room * _SHARE * _SHARE) for zone, part in spare.items() if room and part}
    return {own: round(kept * _SHARE * _SHARE), **made}


def _zone(locality: str) -> str:
    return "/".join(split_locality(locality)[:2])


def _by_priority(members: Sequence[Member], balance: Balance) -> list[Group]:
    ranked = _gather(members, lambda one: (_rank(one[0], balance), one[0].locality))
    # Envoy refuses gaps between priorities.
    order = {one: index for index, one in enumerate(sorted({place for place, _locality in ranked}))}
    return [Group(locality, order[place], 0, tuple(own)) for (place, locality), own in sorted(ranked.items())]


def _rank(endpoint: Endpoint, balance: Balance) -> tuple[int, int]:
    """By labels if they are named, and by place unless labels alone are named."""
    regions, labels = balance.ranking
    by_labels = _label_rank(endpoint, balance) if labels else 0
    return by_labels, _place_rank(endpoint, balance) if regions or not labels else 0


def _place_rank(endpoint: Endpoint, balance: Balance) -> int:
    """0: the same subzone, zone, region (as far as known); then the region that takes over; then the rest."""
    client = balance.place.locality
    shared = shared_parts(client, endpoint.locality)
    if shared:
        return 3 - shared
    region, own = split_locality(endpoint.locality)[0], split_locality(client)[0]
    takes_over = any(one.from_ == own and one.to == region for one in balance.ranking[0])
    return 3 if takes_over else 4


def _label_rank(endpoint: Endpoint, balance: Balance) -> int:
    """How many labels, counted from the first that differs, the endpoint does not share with the client."""
    wanted = balance.ranking[1]
    own = {**endpoint.labels, **locality_labels(endpoint.locality)}
    client = {**balance.place.labels, **locality_labels(balance.place.locality)}
    for index, label in enumerate(wanted):
        name, given, value = label.partition("=")
        expected = value if given else client.get(name)
        # What neither has does not tell them apart.
        if own.get(name) != expected:
            return len(wanted) - index
    return 0


def _gather(members: Sequence[Member], key: Callable[[Member], _T]) -> dict[_T, list[Member]]:
    found: dict[_T, list[Member]] = {}
    for one in members:
        found.setdefault(key(one), []).append(one)
    return found
