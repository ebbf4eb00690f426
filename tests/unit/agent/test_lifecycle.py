from itertools import product

import pytest

from argosy.agent.lifecycle import TABLE, Action, Input, LifecycleError, PodLife, State, Timing, step

SIDECAR = PodLife(has_envoy=True, has_apps=True)
PLAIN = PodLife(has_envoy=False, has_apps=True)
GATEWAY = PodLife(has_envoy=True, has_apps=False)


def walk(life: PodLife, *inputs: Input, now: float = 0.0) -> tuple[PodLife, list[Action]]:
    done: list[Action] = []
    for event in inputs:
        life, actions = step(life, event, now)
        done += actions
    return life, done


TO_READY = (Input.START, Input.SANDBOX_UP, Input.CERTIFICATE_READY, Input.ENVOY_LIVE, Input.PROBE_OK)
TO_GONE = (
    Input.STOP,
    Input.WITHDRAWN,
    Input.TIMER,
    Input.TIMER,
    Input.APPS_GONE,
    Input.TIMER,
    Input.ENVOY_EXITED,
    Input.SANDBOX_GONE,
)


@pytest.mark.parametrize("state, event", list(product(State, Input)))
def test_every_pair_is_listed_or_an_error(state, event):
    life = PodLife(has_envoy=True, has_apps=True, state=state)
    if (state, event) in TABLE:
        after, actions = step(life, event, 1.0)
        assert isinstance(after.state, State)
        assert all(isinstance(action, Action) for action in actions)
    else:
        with pytest.raises(LifecycleError):
            step(life, event, 1.0)


def test_only_a_start_that_comes_twice_or_news_of_nothing_are_errors():
    impossible = set(product(State, Input)) - set(TABLE)
    starts = {(state, Input.START) for state in State if state is not State.PENDING}
    early = {(State.PENDING, event) for event in Input}
    assert starts <= impossible
    assert impossible - starts <= early


def test_a_pod_with_sidecar_starts_envoy_before_its_application():
    life, actions = walk(SIDECAR, *TO_READY)
    assert life.ready
    assert actions.index(Action.ENSURE_CERTIFICATE) < actions.index(Action.ENSURE_ENVOY)
    assert actions.index(Action.ENSURE_ENVOY) < actions.index(Action.ENSURE_APPS)
    assert actions[-1] is Action.REPORT


def test_a_pod_without_sidecar_never_touches_envoy():
    life, actions = walk(PLAIN, Input.START, Input.SANDBOX_UP, Input.PROBE_OK)
    assert life.ready
    life, more = walk(life, Input.STOP, Input.WITHDRAWN, Input.TIMER, Input.APPS_GONE, Input.SANDBOX_GONE)
    assert life.state is State.GONE
    envoys = {Action.ENSURE_CERTIFICATE, Action.ENSURE_ENVOY, Action.FAIL_HEALTH_CHECK, Action.TERMINATE_ENVOY}
    assert not envoys & {*actions, *more}


def test_a_gateway_is_ready_as_soon_as_its_envoy_is():
    life, actions = walk(GATEWAY, Input.START, Input.SANDBOX_UP, Input.CERTIFICATE_READY, Input.ENVOY_LIVE)
    assert life.ready
    assert Action.ENSURE_APPS not in actions


def test_the_endpoint_is_withdrawn_before_anything_stops():
    life, _ = walk(SIDECAR, *TO_READY)
    life, actions = step(life, Input.STOP, 10.0)
    assert actions == (Action.REPORT, Action.AWAIT_WITHDRAWAL)
    assert life.terminating
    assert life.due == 10.0 + life.timing.drain_s
    life, actions = walk(life, *TO_GONE[1:], now=20.0)
    assert life.state is State.GONE
    stops = [Action.FAIL_HEALTH_CHECK, Action.TERMINATE_APPS, Action.TERMINATE_ENVOY, Action.REMOVE_SANDBOX]
    assert [action for action in actions if action in stops] == stops


def test_a_withdrawn_pod_serves_until_every_client_has_heard_of_it_but_not_for_ever():
    life, _ = step(walk(SIDECAR, *TO_READY)[0], Input.STOP, 10.0)
    timing = life.timing
    heard_early, _ = step(life, Input.WITHDRAWN, 10.1)
    assert heard_early.state is State.DRAINING
    assert step(heard_early, Input.TIMER, 10.0 + timing.drain_s)[0].state is State.LAME_DUCK
    unheard, actions = step(life, Input.TIMER, 10.0 + timing.drain_s)
    assert (unheard.state, actions, unheard.due) == (State.DRAINING, (), 10.0 + timing.drain_max_s)
    assert step(unheard, Input.WITHDRAWN, 15.0)[0].state is State.LAME_DUCK
    assert step(unheard, Input.TIMER, 10.0 + timing.drain_max_s)[0].state is State.LAME_DUCK


def test_a_pod_whose_work_is_done_ends_its_proxy_and_stays_to_be_asked():
    life, _ = walk(SIDECAR, *TO_READY)
    life, actions = step(life, Input.APPS_DONE, 5.0)
    assert (life.state, actions) == (State.WORK_DONE, (Action.REPORT,))
    life, actions = step(life, Input.TIMER, 7.0)
    assert actions == (Action.TERMINATE_ENVOY,)
    life, actions = walk(life, Input.TIMER, Input.ENVOY_EXITED)
    assert actions == [Action.KILL_ENVOY, Action.REPORT]
    assert (life.state, life.finished, life.ready) == (State.FINISHED, True, False)
    assert walk(life, Input.STOP, Input.SANDBOX_GONE)[0].state is State.GONE


def test_work_that_was_done_under_an_earlier_agent_is_not_done_again():
    life, actions = walk(PodLife(has_envoy=True, has_apps=True, finished=True), Input.START, Input.SANDBOX_UP)
    assert life.state is State.FINISHED
    assert actions == [Action.ENSURE_SANDBOX, Action.REPORT, Action.REPORT]


def test_an_envoy_ends_only_after_it_has_told_its_last_counts():
    life, actions = walk(SIDECAR, *TO_READY, *TO_GONE[:5])
    assert life.state is State.LAST_COUNTS
    assert life.due == life.timing.last_counts_s
    assert Action.TERMINATE_ENVOY not in actions
    assert step(life, Input.TIMER, 2.0)[1] == (Action.TERMINATE_ENVOY,)
    assert step(life, Input.ENVOY_EXITED, 1.0)[0].state is State.REMOVING


def test_what_must_end_at_once_does_not_wait_for_counts():
    life, _ = walk(SIDECAR, *TO_READY, Input.KILL, Input.APPS_GONE)
    assert life.state is State.STOPPING_ENVOY
    assert walk(SIDECAR, *TO_READY, *TO_GONE[:4], Input.KILL, Input.APPS_GONE)[0].state is State.STOPPING_ENVOY
    assert walk(SIDECAR, *TO_READY, *TO_GONE[:5], Input.KILL)[0].state is State.STOPPING_ENVOY


def test_a_stuck_application_is_killed_after_its_grace():
    life, _ = walk(SIDECAR, *TO_READY, Input.KILL)
    assert life.state is State.STOPPING_APP
    _, actions = step(life, Input.TIMER, life.due or 0.0)
    assert actions == (Action.KILL_APPS,)


def test_a_crashed_envoy_is_restarted_at_once_and_its_pod_is_not_ready_meanwhile():
    life, _ = walk(SIDECAR, *TO_READY)
    life, actions = step(life, Input.ENVOY_EXITED, 60.0)
    assert (life.state, life.due, actions) == (State.ENVOY_BACKOFF, 60.0, (Action.REPORT,))
    assert not life.ready
    life, actions = step(life, Input.TIMER, 60.0)
    assert Action.ENSURE_ENVOY in actions
    life, _ = walk(life, Input.ENVOY_LIVE, Input.PROBE_OK)
    assert life.ready


def test_a_crashing_application_backs_off_up_to_a_limit():
    timing = Timing(backoff_first_s=1.0, backoff_max_s=8.0)
    life, _ = walk(PodLife(has_envoy=True, has_apps=True, timing=timing), *TO_READY[:-1])
    waits = []
    for _ in range(6):
        life, _ = step(life, Input.APP_EXITED, 0.0)
        assert life.due is not None
        waits.append(life.due)
        life, _ = step(life, Input.TIMER, 0.0)
    assert waits == [2.0, 4.0, 8.0, 8.0, 8.0, 8.0]
    assert life.restarts == 6


def test_backing_off_starts_afresh_after_a_pod_was_well():
    life, _ = walk(SIDECAR, *TO_READY[:-1], Input.APP_EXITED, Input.TIMER, Input.APP_EXITED, Input.TIMER)
    life, _ = step(life, Input.PROBE_OK, 100.0)
    life, _ = step(life, Input.APP_EXITED, 100.0 + life.timing.healthy_after_s)
    assert life.failures == 1


def test_a_pod_that_fails_its_probe_is_reported_and_comes_back():
    life, _ = walk(SIDECAR, *TO_READY)
    life, actions = step(life, Input.PROBE_FAILED, 1.0)
    assert not life.ready
    assert actions == (Action.REPORT,)
    life, _ = step(life, Input.PROBE_OK, 2.0)
    assert life.ready


def test_a_step_that_failed_is_tried_again_later():
    life, _ = walk(SIDECAR, Input.START, Input.SANDBOX_UP)
    life, _ = step(life, Input.FAILED, 5.0)
    assert life.state is State.CERTIFICATE
    assert life.due is not None
    _, actions = step(life, Input.TIMER, life.due)
    assert actions == (Action.ENSURE_CERTIFICATE,)


def test_a_pod_whose_namespaces_vanished_is_built_again():
    life, _ = walk(SIDECAR, *TO_READY)
    life, actions = step(life, Input.SANDBOX_GONE, 1.0)
    assert life.state is State.SANDBOX
    assert actions == (Action.KILL_APPS, Action.KILL_ENVOY, Action.REPORT)
    _, actions = step(life, Input.TIMER, 2.0)
    assert actions == (Action.ENSURE_SANDBOX,)


def test_stop_is_possible_in_every_state():
    for state in State:
        life = PodLife(has_envoy=True, has_apps=True, state=state)
        for event in (Input.STOP, Input.KILL):
            after, _ = step(life, event, 0.0)
            assert after.terminating
