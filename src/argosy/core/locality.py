"""Localities: where a workload runs, as `region/zone/subzone` with parts left out from the end.

Source: istio.io, locality load balancing; Kubernetes' topology labels.
"""

from __future__ import annotations

from collections.abc import Mapping

LABEL = "istio-locality"
REGION, ZONE, SUBZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"


def locality_of_labels(labels: Mapping[str, str]) -> str:
    """What a pod's labels say: `istio-locality: region.zone.subzone` wins over the topology labels; else empty."""
    own = labels.get(LABEL, "")
    if own:
        # A label's value cannot hold a slash.
        return own.replace(".", "/") if "/" not in own else own
    parts = [labels.get(name, "") for name in (REGION, ZONE, SUBZONE)]
    return "/".join(parts).rstrip("/")


def split_locality(locality: str) -> tuple[str, str, str]:
    """Region, zone and subzone; empty where unknown."""
    region, zone, subzone = (*locality.split("/", 2), "", "", "")[:3]
    return region, zone, subzone


def locality_labels(locality: str) -> dict[str, str]:
    """The topology labels that a locality stands for."""
    named = zip((REGION, ZONE, SUBZONE), split_locality(locality), strict=True)
    return {name: part for name, part in named if part}


def locality_matches(pattern: str, locality: str) -> bool:
    """True if `region/zone/*`, `region/*`, `*` or a locality (a shorter one covers its parts) covers `locality`."""
    wanted, given = pattern.split("/"), locality.split("/")
    for index, part in enumerate(wanted):
        if part == "*":
            return True
        if index >= len(given) or given[index] != part:
            return False
    return True


def shared_parts(one: str, other: str) -> int:
    """How many leading parts two localities have in common, 0-3; unknown parts are shared by nobody."""
    count = 0
    for left, right in zip(split_locality(one), split_locality(other), strict=True):
        if left != right:
            break
        count += 1
    return count if split_locality(one)[0] else 0
