"""How a server's mutual TLS changes without a moment at which its clients speak what it does not take.

Given: what holds and what is wanted of each server, and later which proxies have what they were sent. Gives: changes of
the input `moving_modes`, one step at a time. Whenever clients must change their way of calling, the server takes both
ways first; clients change when all its proxies run that; the server stops taking the old way when all clients have
changed. PERMISSIVE and STRICT are called alike, so a change between those needs no steps. No I/O, no clock: times are
seconds of a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from argosy.pilot.policy import DISABLE, PERMISSIVE
from argosy.pilot.scopes import MovingMode, ServerKey

IN_FLIGHT_S = 2.0
"""How long after the last acknowledgement the next step comes: a connection that was being opened just then may not
have reached the server's filter chains yet (seen on busy machines: 0.4 s)."""


class Audience(Enum):
    """Who must run a step before the next one."""

    SERVERS = "its own proxies"
    EVERYONE = "all proxies"


class Step(NamedTuple):
    """What holds, and until whom it must have reached."""

    mode: MovingMode
    audience: Audience


Way = tuple[ServerKey, str]
"""A server on its way, and the mode that is wanted."""
Moves = dict[ServerKey, MovingMode | None]
"""Changes of `moving_modes`; None: what is wanted holds."""
Goal = Callable[[], tuple[str, ...]]
"""Names of the proxies that do not run a step yet."""


def steps_to(server: str, clients_tls: bool, wanted: str, *, moving: bool) -> tuple[Step, ...]:
    """The steps from what holds to `wanted`, without the last one (which is `wanted` itself).

    `moving`: `server` may not have reached all of its proxies yet.
    """
    wants_tls = wanted != DISABLE
    made = []
    if clients_tls != wants_tls and (moving or server != PERMISSIVE):
        made.append(Step(MovingMode(PERMISSIVE, clients_tls), Audience.SERVERS))
    if wanted != PERMISSIVE and (clients_tls != wants_tls or moving):
        made.append(Step(MovingMode(PERMISSIVE, wants_tls), Audience.EVERYONE))
    return tuple(made)


@dataclass(slots=True)
class _Move:
    """One server on its way: the current step first."""

    wanted: str
    steps: tuple[Step, ...]
    goal: Goal | None = None
    reached_at: float | None = None
    """Since when all that must have the current step have it."""


@dataclass(slots=True)
class Rollout:
    """All servers on their way."""

    _moves: dict[ServerKey, _Move] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        """True while some server is on its way."""
        return bool(self._moves)

    def begin(self, before: Mapping[ServerKey, MovingMode], wanted: Mapping[ServerKey, str]) -> Moves:
        """What to do because other modes are wanted. `before`: what held, of all servers that `wanted` speaks of."""
        made: Moves = {}
        for key, mode in wanted.items():
            known = self._moves.get(key)
            if known is not None and known.wanted == mode:
                continue
            old = before[key]
            steps = steps_to(old.server, old.clients_tls, mode, moving=known is not None)
            if steps:
                self._moves[key] = _Move(mode, steps)
                made[key] = steps[0].mode
            elif known is not None:
                del self._moves[key]
                made[key] = None
        return made

    def set_goals(self, goal_of: Callable[[ServerKey, Audience], Goal]) -> None:
        """Once a step was sent: how to tell who does not run it yet."""
        for key, move in self._moves.items():
            if move.goal is None:
                move.goal = goal_of(key, move.steps[0].audience)

    def advance(self, now: float) -> Moves:
        """The next steps of servers whose current one has reached everybody that it must."""
        made: Moves = {}
        for key, move in list(self._moves.items()):
            if not self._reached(move, now):
                continue
            move.steps, move.goal, move.reached_at = move.steps[1:], None, None
            if move.steps:
                made[key] = move.steps[0].mode
            else:
                del self._moves[key]
                made[key] = None
        return made

    def next_due(self) -> float | None:
        """When `advance` should be called at the latest; None: when proxies have acknowledged more."""
        due = [move.reached_at + IN_FLIGHT_S for move in self._moves.values() if move.reached_at is not None]
        return min(due, default=None)

    def _reached(self, move: _Move, now: float) -> bool:
        if move.reached_at is None:
            if move.goal is None or move.goal():
                return False
            move.reached_at = now
        return now >= move.reached_at + IN_FLIGHT_S

    def held_up(self, refusing: Container[str]) -> dict[Way, tuple[str, ...]]:
        """Of each way that is barred, those of `refusing` that bar it."""
        barred = {(key, mode): tuple(name for name in late if name in refusing) for key, mode, late in self.waiting()}
        return {way: names for way, names in barred.items() if names}

    def under_way(self) -> set[Way]:
        """All servers on their way."""
        return {(key, move.wanted) for key, move in self._moves.items()}

    def waiting(self) -> Iterable[tuple[ServerKey, str, tuple[str, ...]]]:
        """Each server on its way: the mode that is wanted, and the proxies that are waited for."""
        return [(key, move.wanted, move.goal() if move.goal is not None else ()) for key, move in self._moves.items()]
