"""What Mixer's core and the handlers of checks say to each other.

A handler that can tell at once (`LocalHandler`) is asked by the core itself. One that must ask somebody else (a Redis,
an adapter out of process) is a `RemoteHandler`: the core hands out a `Call`, whoever runs Mixer awaits the answer and
hands the `Verdict` back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

from argosy.core.frozen import FrozenMap
from argosy.mixer.attributes import Value
from argosy.mixer.names import Ref
from argosy.mixer.status import OK

VALID_S_MAX = 60.0
USES_MAX = 10_000
NOT_ASKED = "not asked: no time was left of the check"
NO_OUTPUT: Mapping[str, Value] = FrozenMap()


class DirectAnswer(NamedTuple):
    """What the client of a refused request is told instead of Mixer's own words; status 0: the usual one."""

    status: int
    body: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A handler's answer: gRPC code, message, for how long (seconds) and how often it may be used again.

    `output` are the values that a template with output gives, by field; `granted` is how much of a quota was given.
    """

    code: int = OK
    message: str = ""
    valid_duration_s: float = VALID_S_MAX
    valid_use_count: int = USES_MAX
    output: Mapping[str, Value] = field(default_factory=lambda: NO_OUTPUT)
    granted: int = 0
    answer: DirectAnswer | None = None
    """Of a refusal."""
    undecided: bool = False
    """Whom the handler must ask could not be asked: what holds then is what is set for a Mixer that cannot be asked."""


@dataclass(frozen=True, slots=True)
class QuotaAsked:
    """How much of a quota is wanted. The same `deduplication_id` asks for the same request once more."""

    amount: int
    best_effort: bool = False
    deduplication_id: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One question to one handler: the values of one instance, by field of its template."""

    handler: Ref
    instance: Ref
    template: str
    values: Mapping[str, Any]
    action: str = ""
    """The name that the rule gives the action, by which header operations speak of its output."""
    quota: QuotaAsked | None = None
    """Set for the template `quota` only."""


class LocalHandler(Protocol):
    """Decides from its own parameters and memory."""

    def check(self, call: Call, now: float) -> Verdict:
        """The verdict; `now` in seconds of a clock that never goes back."""
        ...


@runtime_checkable
class LocalKeeper(Protocol):
    """A `LocalHandler` that takes back what it gave of a quota."""

    def give_back(self, call: Call, now: float) -> None:
        """Undo what `call` took. Only calls with a deduplication id are known again; each gives back once."""
        ...


@runtime_checkable
class RemoteKeeper(Protocol):
    """A `RemoteHandler` that takes back what it gave of a quota."""

    async def give_back(self, call: Call) -> None:
        """As `LocalKeeper` does it. Bounded in time; what cannot be given back is lost until its window ends."""
        ...


class RemoteHandler(Protocol):
    """Asks somebody. Implemented at the edge."""

    async def check(self, call: Call, left_s: float) -> Verdict:
        """The verdict, within `left_s`: what others have left of the time of the check. Without any nobody is asked.

        What goes wrong is a verdict too (UNAVAILABLE, DEADLINE_EXCEEDED, ...).
        """
        ...

    async def close(self) -> None:
        """Give up connections; nothing is asked any more."""
        ...
