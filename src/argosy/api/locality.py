"""`networking.istio.io`: load balancing by locality, as DestinationRule and the mesh configuration have it.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, networking v1, LocalityLoadBalancerSetting.
"""

from __future__ import annotations

from msgspec import field

from argosy.api.meta import Strict
from argosy.core.frozen import FrozenMap

NO_WEIGHTS: FrozenMap[str, int] = FrozenMap()


class Distribute(Strict, frozen=True, kw_only=True):
    """Where traffic that comes `from` a locality goes: locality -> percent; `region/zone/*` are allowed."""

    from_: str = field(default="", name="from")
    to: FrozenMap[str, int] = NO_WEIGHTS


class Failover(Strict, frozen=True, kw_only=True):
    """The region that takes over when region `from_` has no healthy endpoint."""

    from_: str = field(default="", name="from")
    to: str = ""


class ZoneAware(Strict, frozen=True, kw_only=True):
    """Traffic stays in the client's zone as far as the endpoints there can bear it."""

    enabled: bool | None = None
    min_cluster_size: int | None = None
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()


class LocalityLB(Strict, frozen=True, kw_only=True):
    """`distribute`, `failover` and `failover_priority` exclude each other."""

    distribute: tuple[Distribute, ...] = ()
    failover: tuple[Failover, ...] = ()
    failover_priority: tuple[str, ...] = ()
    enabled: bool | None = None
