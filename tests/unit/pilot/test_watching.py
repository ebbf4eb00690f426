"""Leases of those who watch."""

from argosy.pilot.reporting import Switches
from argosy.pilot.watching import LEASE_S_MAX, LEASES_MAX, Watchers

BOTH, IN, OUT = Switches(True, True), Switches(inbound=True), Switches(outbound=True)
ALL, SHOP, CART = ("", ""), ("shop", ""), ("shop", "cart")


def test_a_lease_is_told_once_and_ends_by_itself() -> None:
    watchers = Watchers()
    assert watchers.next_due() is None
    assert watchers.hold("a", [CART], IN, now=0.0, lease_s=10.0)
    assert watchers.take_changes() == {CART: IN}
    assert watchers.take_changes() == {}
    assert watchers.next_due() == 10.0
    watchers.expire(9.9)
    assert watchers.take_changes() == {}
    watchers.expire(10.0)
    assert watchers.take_changes() == {CART: None}
    assert watchers.next_due() is None


def test_who_renews_keeps_it_and_may_want_something_else() -> None:
    watchers = Watchers()
    watchers.hold("a", [CART], IN, now=0.0, lease_s=10.0)
    watchers.take_changes()
    watchers.hold("a", [CART], IN, now=8.0, lease_s=10.0)
    watchers.expire(11.0)
    assert watchers.take_changes() == {}
    watchers.hold("a", [SHOP], OUT, now=12.0, lease_s=10.0)
    assert watchers.take_changes() == {CART: None, SHOP: OUT}


def test_of_several_watchers_what_any_of_them_wants_is_reported() -> None:
    watchers = Watchers()
    watchers.hold("a", [CART, ALL], IN, now=0.0, lease_s=10.0)
    watchers.hold("b", [CART], OUT, now=0.0, lease_s=10.0)
    assert watchers.take_changes() == {CART: BOTH, ALL: IN}
    watchers.hold("a", [], IN, now=1.0, lease_s=10.0)
    assert watchers.take_changes() == {CART: OUT, ALL: None}
    watchers.hold("b", [CART], Switches(), now=1.0, lease_s=10.0)
    assert watchers.take_changes() == {CART: None}
    assert len(watchers) == 0


def test_leases_are_bounded_in_time_and_number() -> None:
    watchers = Watchers()
    watchers.hold("a", [ALL], IN, now=0.0, lease_s=1e9)
    assert watchers.next_due() == LEASE_S_MAX
    for number in range(LEASES_MAX - 1):
        assert watchers.hold(str(number), [ALL], IN, now=0.0, lease_s=10.0)
    assert not watchers.hold("one more", [ALL], IN, now=0.0, lease_s=10.0)
    assert watchers.hold("a", [ALL], IN, now=1.0, lease_s=10.0)
    # Those that have ended make room.
    assert watchers.hold("one more", [ALL], IN, now=10.5, lease_s=10.0)
