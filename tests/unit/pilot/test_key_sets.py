"""The schedule of fetching keys: when, for how long what was loaded holds, and that nobody waits for another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.api.jwks import KeySet
from argosy.api.jwks_settings import JWKSSettings
from argosy.core.names import ObjectKey
from argosy.pilot.key_sets import REFRESH_S_MIN, RETRY_S_EMPTY_MAX, RETRY_S_STALE_MAX, KeySets
from argosy.pilot.key_sources import KeySource

A, B = KeySource("https://a/keys"), KeySource("https://b/keys")
ONE, TWO = ObjectKey("default", "one"), ObjectKey("default", "two")
KEYS, NEW = KeySet("keys"), KeySet("new")


def loaded(sets: KeySets, source: KeySource, keys: KeySet, now: float, max_age_s: float | None = None) -> None:
    sets.loaded(source, keys, now, chance=0.5, max_age_s=max_age_s)


def test_a_source_is_fetched_once_at_a_time_and_again_when_it_is_due() -> None:
    sets = KeySets(JWKSSettings(refresh_s=100))
    sets.watch(ONE, [A, B], 0)
    assert set(sets.start_due(0)) == {A, B}
    assert sets.start_due(50) == []
    assert sets.untried
    loaded(sets, A, KEYS, 1)
    sets.failed(B, "down", 1, chance=0.5)
    assert not sets.untried
    assert sets.take_changes() == {A: KEYS}
    assert sets.take_changes() == {}
    assert sets.start_due(1.5) == [B]
    assert sets.start_due(100.9) == []
    assert sets.start_due(101) == [A]
    loaded(sets, A, KEYS, 101)
    # Equal keys are no change.
    assert not sets.changes_wait
    assert (sets.successes, sets.failures) == (2, 1)


def test_refreshes_are_spread_and_an_issuer_may_ask_for_sooner_ones() -> None:
    def due(chance: float, max_age_s: float | None) -> float | None:
        sets = KeySets(JWKSSettings(refresh_s=1000))
        sets.watch(ONE, [A], 0)
        sets.start_due(0)
        sets.loaded(A, KEYS, 0, chance=chance, max_age_s=max_age_s)
        return sets.next_due()

    assert [due(chance, None) for chance in (0, 0.5, 1)] == [900, 1000, pytest.approx(1100)]
    assert [due(0.5, age) for age in (0, 300, 5000)] == [REFRESH_S_MIN, 300, 1000]


def test_a_source_without_keys_is_tried_every_few_seconds_for_ever() -> None:
    """G8: whatever happened before, it works within five seconds after its issuer is there."""
    sets = KeySets()
    sets.watch(ONE, [A], 0)
    now = 0.0
    for _again in range(200):
        assert sets.start_due(now) == [A]
        sets.failed(A, "down", now, chance=0.99)
        due = sets.next_due()
        assert due is not None
        assert 0 < due - now <= RETRY_S_EMPTY_MAX
        now = due


def test_keys_stay_while_their_issuer_is_down_up_to_a_limit() -> None:
    sets = KeySets(JWKSSettings(refresh_s=100, stale_s=1000))
    sets.watch(ONE, [A], 0)
    sets.start_due(0)
    loaded(sets, A, KEYS, 0)
    sets.take_changes()
    now = 0.0
    while now < 1000:
        sets.evict(now)
        assert not sets.changes_wait
        if sets.start_due(now):
            sets.failed(A, "down", now, chance=0.5)
            (problem,) = sets.problems(now)
            assert (problem.reason, problem.age_s, problem.users) == ("down", now, (ONE,))
        due = sets.next_due()
        assert due is not None
        assert due - now <= max(RETRY_S_STALE_MAX, 100)
        now = due
    sets.evict(now)
    assert sets.take_changes() == {A: None}
    assert next(sets.problems(now)).age_s is None
    assert sets.start_due(now) == [A]


def test_only_another_reason_is_news() -> None:
    sets = KeySets()
    sets.watch(ONE, [A], 0)
    said = [sets.failed(A, reason, 0, chance=0) for reason in ("down", "down", "late", "down")]
    assert said == [True, False, True, True]
    loaded(sets, A, KEYS, 0)
    assert sets.failed(A, "down", 0, chance=0)
    assert not sets.failed(B, "down", 0, chance=0)


def test_a_source_is_kept_while_some_policy_needs_it() -> None:
    sets = KeySets()
    sets.watch(ONE, [A], 0)
    sets.watch(TWO, [A, B], 0)
    sets.start_due(0)
    loaded(sets, A, KEYS, 0)
    sets.take_changes()
    sets.watch(ONE, [], 1)
    assert not sets.changes_wait
    sets.watch(TWO, [B], 1)
    assert sets.take_changes() == {A: None}
    # An answer that comes too late is for nobody.
    loaded(sets, A, NEW, 2)
    sets.failed(A, "down", 2, chance=0.5)
    assert list(sets.held()) == []
    assert not sets.changes_wait
    # Applied again, the policy has its keys at once, and they are fetched anew.
    sets.watch(ONE, [A], 3)
    assert sets.take_changes() == {A: KEYS}
    assert A in sets.start_due(3)


def test_what_an_earlier_run_kept_counts_unless_it_is_too_old() -> None:
    sets = KeySets(JWKSSettings(stale_s=100))
    sets.remember(A, KEYS, -50)
    sets.remember(B, KEYS, -100)
    sets.watch(ONE, [A, B], 0)
    assert sets.take_changes() == {A: KEYS}
    assert sorted(sets.start_due(0)) == [A, B]
    assert [source for source, _keys, _at in sets.held()] == [A]


def test_shorter_settings_hold_from_now_on() -> None:
    sets = KeySets(JWKSSettings(refresh_s=1000))
    sets.watch(ONE, [A], 0)
    sets.start_due(0)
    loaded(sets, A, KEYS, 0)
    sets.configure(JWKSSettings(refresh_s=10), 5)
    assert sets.next_due() == 15
    sets.configure(JWKSSettings(refresh_s=10), 12)
    assert sets.next_due() == 15


@given(st.lists(st.sampled_from(["watch", "unwatch", "start", "load", "fail", "wait", "evict"]), max_size=40))
def test_whatever_happens_proxies_are_told_what_is_held(steps: list[str]) -> None:
    """All changes together give what `held` says, and something is always to come while a source is watched."""
    sets, now, told = KeySets(JWKSSettings(refresh_s=10, stale_s=30)), 0.0, dict[KeySource, KeySet]()
    for number, step in enumerate(steps):
        if step == "watch":
            sets.watch(ONE, [A], now)
        elif step == "unwatch":
            sets.watch(ONE, [], now)
        elif step == "start":
            sets.start_due(now)
        elif step == "load":
            sets.loaded(A, KeySet(f"keys {number % 3}"), now, chance=0, max_age_s=None)
        elif step == "fail":
            sets.failed(A, "down", now, chance=0)
        elif step == "wait":
            now += 11
        else:
            sets.evict(now)
        for source, keys in sets.take_changes().items():
            if keys is None:
                told.pop(source, None)
            else:
                told[source] = keys
        assert told == {source: keys for source, keys, _at in sets.held()}
