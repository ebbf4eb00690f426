"""How mutual TLS changes step by step: at no moment do clients speak what a server does not take."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from argosy.core.frozen import FrozenMap
from argosy.pilot.mtls_rollout import IN_FLIGHT_S, Audience, Rollout, Step, steps_to
from argosy.pilot.scopes import MovingMode, ServerKey

KEY = ServerKey("shop", FrozenMap({"app": "cart"}), 80)
MODES = ("DISABLE", "PERMISSIVE", "STRICT")
PLAIN, TLS = MovingMode("PERMISSIVE", False), MovingMode("PERMISSIVE", True)


def settled(mode: str) -> MovingMode:
    return MovingMode(mode, mode != "DISABLE")


def takes(server: str, clients_tls: bool) -> bool:
    return server == "PERMISSIVE" or (server == "STRICT") == clients_tls


@pytest.mark.parametrize(
    "old, new, steps",
    [
        ("DISABLE", "PERMISSIVE", (Step(PLAIN, Audience.SERVERS),)),
        ("DISABLE", "STRICT", (Step(PLAIN, Audience.SERVERS), Step(TLS, Audience.EVERYONE))),
        ("PERMISSIVE", "DISABLE", (Step(PLAIN, Audience.EVERYONE),)),
        ("STRICT", "DISABLE", (Step(TLS, Audience.SERVERS), Step(PLAIN, Audience.EVERYONE))),
        ("PERMISSIVE", "STRICT", ()),
        ("STRICT", "PERMISSIVE", ()),
        ("STRICT", "STRICT", ()),
    ],
)
def test_steps_from_one_mode_to_another(old: str, new: str, steps: tuple[Step, ...]) -> None:
    assert steps_to(old, old != "DISABLE", new, moving=False) == steps


@pytest.mark.parametrize("old, middle, new", list(product(MODES, repeat=3)))
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_wish_that_changes_on_the_way_never_leaves_both_sides_apart(
    old: str, middle: str, new: str, after: int
) -> None:
    """Servers and clients may each still have the step before: all pairs must understand each other."""
    rollout = Rollout()
    held = {KEY: settled(old)}
    seen = [held[KEY]]
    now = 0.0

    def put(moves: dict[ServerKey, MovingMode | None], wanted: str) -> None:
        for mode in moves.values():
            seen.append(mode if mode is not None else settled(wanted))
        rollout.set_goals(lambda _key, _audience: tuple)

    put(rollout.begin({KEY: seen[-1]}, {KEY: middle}), middle)
    if not rollout.active:
        seen.append(settled(middle))
    for _ in range(after):
        rollout.advance(now)
        now += IN_FLIGHT_S
        put(rollout.advance(now), middle)
    put(rollout.begin({KEY: seen[-1]}, {KEY: new}), new)
    if not rollout.active:
        seen.append(settled(new))
    while rollout.active:
        rollout.advance(now)
        now += IN_FLIGHT_S
        put(rollout.advance(now), new)
    assert seen[-1] == settled(new)
    for before, next_ in pairwise(seen):
        assert takes(before.server, next_.clients_tls), seen
        assert takes(next_.server, before.clients_tls), seen


def test_a_step_waits_for_those_it_must_reach_and_for_connections_on_their_way() -> None:
    rollout, late = Rollout(), ["cart-1"]
    audiences = []

    def goal(_key: ServerKey, audience: Audience) -> object:
        audiences.append(audience)
        return lambda: tuple(late)

    assert rollout.begin({KEY: settled("DISABLE")}, {KEY: "PERMISSIVE"}) == {KEY: PLAIN}
    rollout.set_goals(goal)  # type: ignore[arg-type]
    assert audiences == [Audience.SERVERS]
    assert rollout.advance(100.0) == {}
    assert list(rollout.waiting()) == [(KEY, "PERMISSIVE", ("cart-1",))]
    assert rollout.next_due() is None
    late.clear()
    assert rollout.advance(101.0) == {}
    assert rollout.next_due() == 101.0 + IN_FLIGHT_S
    assert rollout.advance(101.0 + IN_FLIGHT_S) == {KEY: None}
    assert not rollout.active


def test_a_wish_that_is_repeated_changes_nothing() -> None:
    rollout = Rollout()
    rollout.begin({KEY: settled("DISABLE")}, {KEY: "STRICT"})
    assert rollout.begin({KEY: PLAIN}, {KEY: "STRICT"}) == {}
