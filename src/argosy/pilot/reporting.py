"""Which proxies report single requests to Mixer, and what of them: asked for by rules and by people who watch.

Values only. A switch reaches a proxy through its runtime; headers stand in its loggers, and so are the same in the
whole mesh and rarely change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from argosy.api.meta import Object
from argosy.core.frozen import FrozenMap


@dataclass(frozen=True, slots=True, order=True)
class Switches:
    """Which sides of a proxy report."""

    inbound: bool = False
    outbound: bool = False

    def __or__(self, other: Switches) -> Switches:
        """What either wants."""
        return Switches(self.inbound or other.inbound, self.outbound or other.outbound)

    def __bool__(self) -> bool:
        """True if any side reports."""
        return self.inbound or self.outbound


QUIET = Switches()


@dataclass(frozen=True, slots=True, order=True)
class ReportedHeaders:
    """Headers that some rule names, beyond those that are always told. Lower case, sorted."""

    request: tuple[str, ...] = ()
    response: tuple[str, ...] = ()


NO_MORE = ReportedHeaders()


@dataclass(frozen=True, slots=True)
class Destination:
    """What is known beforehand of the workload that a Mixer rule may concern."""

    namespace: str
    labels: FrozenMap[str, str]
    service_account: str
    workload: str
    gateway: bool = False
    """A gateway: not where requests end, but where they come from."""


class ReportPort(Protocol):
    """What Mixer's rules want to be told of single requests: Pilot's port to whoever knows them."""

    def policy(self, objects: Sequence[Object[Any]]) -> Any:
        """What all objects of `MIXER_KINDS` together want; equal where nothing changed."""
        ...

    def sides(self, policy: Any, workload: Destination) -> Switches:
        """Which sides of a workload's proxies must report."""
        ...

    def headers(self, policy: Any) -> ReportedHeaders:
        """What rules read of requests and responses."""
        ...


class Unreported:
    """The port of a mesh without rules that report."""

    def policy(self, objects: Sequence[Object[Any]]) -> Any:
        """No rules."""
        return ()

    def sides(self, policy: Any, workload: Destination) -> Switches:
        """None."""
        return QUIET

    def headers(self, policy: Any) -> ReportedHeaders:
        """None."""
        return NO_MORE


Watched = tuple[str, str]
"""Whom somebody watches: `(namespace, workload)`, `(namespace, "")` for all of it, `("", "")` for everybody."""


def watched(namespace: str, workload: str) -> tuple[Watched, ...]:
    """Everything that somebody may watch and that a workload is part of."""
    return (("", ""), (namespace, ""), (namespace, workload))
