"""Who is called first, and by what shares."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from argosy.api.locality import LocalityLB, ZoneAware
from argosy.api.scalars import decode_custom
from argosy.core.frozen import FrozenMap
from argosy.pilot.build.localities import Balance, group_endpoints
from argosy.pilot.endpoint import Endpoint
from argosy.pilot.scopes import Place


def member(address: str, locality: str, **labels: str) -> tuple[Endpoint, bool]:
    return Endpoint(address, labels=FrozenMap(labels), locality=locality), True


def groups(members: list[tuple[Endpoint, bool]], place: Place, setting: dict[str, Any], **more: Any) -> list[Any]:
    made = msgspec.convert(setting, LocalityLB, dec_hook=decode_custom)
    found = group_endpoints(members, Balance(place, made, more.pop("failover", True), **more))
    return [(one.locality, one.priority, one.weight, len(one.members)) for one in found]


FOUR = [member("1", "r1/z1"), member("2", "r1/z2"), member("3", "r2/z3"), member("4", "r3/z4")]
HERE = Place("r1/z1")


def test_the_nearest_is_called_first_and_a_region_that_takes_over_before_the_rest() -> None:
    made = groups(FOUR, HERE, {"failover": [{"from": "r1", "to": "r2"}]})
    assert made == [("r1/z1", 0, 0, 1), ("r1/z2", 1, 0, 1), ("r2/z3", 2, 0, 1), ("r3/z4", 3, 0, 1)]
    assert groups(FOUR, HERE, {}) == [("r1/z1", 0, 0, 1), ("r1/z2", 1, 0, 1), ("r2/z3", 2, 0, 1), ("r3/z4", 2, 0, 1)]


def test_without_ejection_nobody_takes_over() -> None:
    assert groups(FOUR, HERE, {}, failover=False) == [("", 0, 0, 4)]


def test_traffic_is_shared_as_it_is_written_and_places_that_are_not_named_get_none() -> None:
    to = {"r1/z1/*": 70, "r1/z2/*": 20, "r3/z4/*": 10}
    made = groups(FOUR, HERE, {"distribute": [{"from": "r1/z1/*", "to": to}]})
    assert made == [("r1/z1", 0, 70000, 1), ("r1/z2", 0, 20000, 1), ("r3/z4", 0, 10000, 1)]


def test_a_share_of_several_places_is_divided_by_their_endpoints() -> None:
    several = [member("1", "r1/z1"), member("2", "r1/z1"), member("3", "r1/z1"), member("4", "r1/z2")]
    made = groups(several, HERE, {"distribute": [{"from": "*", "to": {"r1/*": 100}}]})
    assert made == [("r1/z1", 0, 75000, 3), ("r1/z2", 0, 25000, 1)]


def test_a_share_is_divided_by_what_endpoints_weigh() -> None:
    """Three times the weight got no more than the other place."""
    heavy, light = member("1", "r1/z1"), member("2", "r1/z2")
    several = [(replace(heavy[0], weight=60), True), (replace(light[0], weight=20), True)]
    made = groups(several, HERE, {"distribute": [{"from": "*", "to": {"r1/*": 100}}]})
    assert made == [("r1/z1", 0, 75000, 1), ("r1/z2", 0, 25000, 1)]


def test_a_label_that_nobody_has_tells_nobody_apart() -> None:
    """Where one network is not named, all endpoints were alike, and the labels after it said nothing."""
    labels = ["topology.istio.io/network", "topology.kubernetes.io/region", "topology.kubernetes.io/zone"]
    made = groups(FOUR, HERE, {"failoverPriority": labels})
    assert [(name, priority) for name, priority, _weight, _count in made] == [
        ("r1/z1", 0),
        ("r1/z2", 1),
        ("r2/z3", 2),
        ("r3/z4", 2),
    ]


def test_regions_that_take_over_rank_what_labels_leave_alike() -> None:
    members = [member("1", "r3/z1", tier="a"), member("2", "r2/z1", tier="a"), member("3", "r1/z1", tier="b")]
    setting = {"failoverPriority": ["tier"], "failover": [{"from": "r1", "to": "r2"}]}
    made = groups(members, Place("r1/z1", FrozenMap({"tier": "a"})), setting)
    assert [(name, priority) for name, priority, _weight, _count in made] == [("r2/z1", 0), ("r3/z1", 1), ("r1/z1", 2)]


def test_labels_rank_endpoints_from_the_first_that_differs() -> None:
    place = Place("r1/z1", FrozenMap({"version": "v1"}))
    members = [member("1", "r1/z1", version="v2"), member("2", "r2/z2", version="v1"), member("3", "", canary="yes")]
    made = groups(members, place, {"failoverPriority": ["version"]})
    assert [(name, priority) for name, priority, _weight, _count in made] == [("r2/z2", 0), ("", 1), ("r1/z1", 1)]


def test_a_zone_that_bears_its_share_keeps_it_and_the_others_take_over() -> None:
    zones = ZoneAware(min_cluster_size=1)
    members = [member("1", "r1/z1"), member("2", "r1/z2"), member("3", "r2/z1")]
    even = groups(members, HERE, {}, zones=zones, clients={"r1/z1": 1, "r1/z2": 1})
    assert even == [("r1/z1", 0, 1000, 1), ("r1/z2", 1, 1, 1), ("r2/z1", 2, 1, 1)]
    # All clients stand in one zone with half of the servers: the other half is not left idle.
    crowded = groups(members, HERE, {}, zones=zones, clients={"r1/z1": 4})
    assert crowded[:2] == [("r1/z1", 0, 500000, 1), ("r1/z2", 0, 500000, 1)]
