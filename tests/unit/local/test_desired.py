from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.local.objects import KEY, deployment

from argosy.core.names import ObjectKey
from argosy.local.desired import AddressPool, PresentPod, next_moves, pod_name, safe_name, template_hash


def pod(number: int, version: str, ready: bool = True, terminating: bool = False) -> PresentPod:
    return PresentPod(ObjectKey("shop", f"cart-{number}"), KEY, version, ready, terminating, age=-float(number))


def moves(wish, *pods):
    found = next_moves({KEY: wish} if wish else {}, pods)
    return len(found.create), sorted(key.name for key in found.stop)


WISH = deployment(replicas=2)
NEW = WISH.template_hash


def test_all_pods_of_a_new_deployment_are_made_at_once():
    assert moves(WISH) == (2, [])


def test_a_deployment_that_is_whole_needs_nothing():
    assert moves(WISH, pod(1, NEW), pod(2, NEW, ready=False)) == (0, [])


def test_a_lost_pod_is_replaced():
    assert moves(WISH, pod(1, NEW)) == (1, [])
    assert moves(WISH, pod(1, NEW), pod(2, NEW, terminating=True)) == (1, [])


def test_scaling_down_stops_the_unready_first():
    assert moves(WISH, pod(1, NEW), pod(2, NEW, ready=False), pod(3, NEW)) == (0, ["cart-2"])


def test_scaling_to_nothing_stops_all():
    assert moves(deployment(replicas=0), pod(1, NEW), pod(2, NEW)) == (0, ["cart-1", "cart-2"])


def test_pods_of_a_deleted_deployment_are_stopped_once():
    assert moves(None, pod(1, NEW), pod(2, NEW, terminating=True)) == (0, ["cart-1"])


def test_a_new_version_starts_with_one_pod_more():
    assert moves(WISH, pod(1, "old"), pod(2, "old")) == (1, [])
    assert moves(WISH, pod(1, "old"), pod(2, "old"), pod(3, NEW, ready=False)) == (0, [])


def test_an_old_pod_leaves_only_when_a_new_one_is_ready():
    assert moves(WISH, pod(1, "old"), pod(2, "old"), pod(3, NEW)) == (0, ["cart-2"])


def test_old_pods_that_never_worked_leave_at_once():
    assert moves(WISH, pod(1, "old", ready=False), pod(2, "old")) == (1, ["cart-1"])


def test_a_bare_pod_is_replaced_after_the_old_one_is_gone():
    bare = replace(deployment(replicas=1), bare=True)
    old = replace(pod(1, "old"), key=KEY)
    assert moves(bare) == (1, [])
    assert moves(bare, old) == (0, ["cart"])
    assert moves(bare, replace(old, terminating=True)) == (0, [])


def test_a_job_runs_until_enough_pods_have_succeeded():
    job = replace(deployment(replicas=2), completions=3, failures_max=1)
    done, failed = replace(pod(1, NEW), exit_code=0), replace(pod(2, NEW), exit_code=3)
    assert moves(job) == (2, [])
    assert moves(job, pod(3, NEW)) == (1, [])
    assert moves(job, done, failed) == (2, [])
    assert moves(job, done, replace(done, key=failed.key), pod(3, NEW)) == (0, [])
    assert moves(job, done, done, done) == (0, [])


def test_a_job_gives_up_after_too_many_failures():
    job = replace(deployment(replicas=1), completions=1, failures_max=1)
    failed = replace(pod(1, NEW), exit_code=3)
    assert moves(job, failed) == (1, [])
    assert moves(job, failed, replace(failed, key=pod(2, NEW).key)) == (0, [])


@given(st.integers(1, 5), st.lists(st.sampled_from(["ready", "drop"]), max_size=60))
def test_a_rolling_update_always_ends_and_never_loses_capacity(replicas, script):
    """However late pods become ready, at least `replicas` are ready and at most one more exists."""
    wish = deployment(replicas=replicas)
    pods = {n: pod(n, "old") for n in range(replicas)}
    number = replicas
    for event in [*script, *["ready", "drop"] * (6 * replicas + 6)]:
        found = next_moves({KEY: wish}, pods.values())
        for _ in found.create:
            pods[number] = pod(number, wish.template_hash, ready=False)
            number += 1
        for key in found.stop:
            n = int(key.name.removeprefix("cart-"))
            pods[n] = replace(pods[n], terminating=True)
        living = [p for p in pods.values() if not p.terminating]
        assert sum(p.ready for p in living) >= replicas
        assert len(living) <= replicas + 1
        if event == "ready":
            unready = [n for n, p in pods.items() if not p.ready]
            if unready:
                pods[unready[0]] = replace(pods[unready[0]], ready=True)
        else:
            pods = {n: p for n, p in pods.items() if not p.terminating}
    assert {p.template_hash for p in pods.values()} == {wish.template_hash}


def test_the_hash_follows_the_content():
    assert deployment(image="a").template_hash != deployment(image="b").template_hash
    assert deployment(replicas=1).template_hash == deployment(replicas=9).template_hash
    assert template_hash(WISH.template) == template_hash(deployment().template)


def test_names_are_those_of_kubernetes():
    assert pod_name(WISH, "bcdfg") == f"cart-{NEW}-bcdfg"
    assert pod_name(replace(WISH, bare=True), "bcdfg") == "cart"
    assert len(safe_name(bytes(range(250)), 5)) == 5


def test_addresses_come_back_as_late_as_possible():
    pool = AddressPool("10.88.0.0/28", reserved=["10.88.0.1"])
    assert [pool.take(captured=False) for _ in range(3)] == ["10.88.0.2", "10.88.0.3", "10.88.0.4"]
    pool.release("10.88.0.2")
    pool.claim("10.88.0.5")
    assert [pool.take(captured=False) for _ in range(3)] == ["10.88.0.6", "10.88.0.7", "10.88.0.2"]
    with pytest.raises(ValueError, match="no free address"):
        pool.take(captured=False)


def test_captured_pods_have_the_upper_half_of_the_network_for_themselves():
    pool = AddressPool("10.88.0.0/28", reserved=["10.88.0.1"])
    assert [pool.take(captured=True) for _ in range(7)] == [f"10.88.0.{number}" for number in range(8, 15)]
    with pytest.raises(ValueError, match="no free address"):
        pool.take(captured=True)
    assert pool.take(captured=False) == "10.88.0.2"
