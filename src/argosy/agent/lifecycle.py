"""One pod's life as a table: (state, input) -> transition. Every pair is listed, ignored by name, or an error.

Given inputs with the time; gives actions for the edge to perform. All "ensure" actions are idempotent: a pod that an
earlier agent started is adopted by walking through the same states, and what already runs is left running.

    PENDING -> SANDBOX -> CERTIFICATE -> ENVOY_STARTING -> APP_STARTING <-> READY
    all applications have ended for good (a Job's): WORK_DONE -> FINISHING (Envoy ends too) -> FINISHED
    stop, from anywhere: DRAINING -> LAME_DUCK -> STOPPING_APP -> LAST_COUNTS -> STOPPING_ENVOY -> REMOVING -> GONE

An Envoy ends no sooner than it has told once more what it counted (WORK_DONE, LAST_COUNTS), unless it must end at once.

While Envoy is down the capture rules stay: traffic fails closed. Restarts back off, doubling, and start afresh after
the process has been well for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum


class State(StrEnum):
    """Where a pod is in its life."""

    PENDING = "Pending"
    SANDBOX = "Sandbox"
    CERTIFICATE = "Certificate"
    ENVOY_STARTING = "EnvoyStarting"
    ENVOY_BACKOFF = "EnvoyBackOff"
    APP_STARTING = "AppStarting"
    APP_BACKOFF = "CrashLoopBackOff"
    READY = "Ready"
    WORK_DONE = "WorkDone"
    FINISHING = "Finishing"
    FINISHED = "Finished"
    DRAINING = "Draining"
    LAME_DUCK = "LameDuck"
    STOPPING_APP = "StoppingApp"
    LAST_COUNTS = "LastCounts"
    STOPPING_ENVOY = "StoppingEnvoy"
    REMOVING = "Removing"
    GONE = "Gone"


class Input(StrEnum):
    """What can happen to a pod. FAILED: the step of the current state did not work (its reason is kept by the edge).

    APP_EXITED: an application ended that is to run again. APPS_DONE: all have ended, and none is to run again.
    """

    START = "start"
    SANDBOX_UP = "sandbox-up"
    CERTIFICATE_READY = "certificate-ready"
    ENVOY_LIVE = "envoy-live"
    ENVOY_EXITED = "envoy-exited"
    PROBE_OK = "probe-ok"
    PROBE_FAILED = "probe-failed"
    APP_EXITED = "app-exited"
    APPS_DONE = "apps-done"
    APPS_GONE = "apps-gone"
    WITHDRAWN = "withdrawn"
    SANDBOX_GONE = "sandbox-gone"
    FAILED = "failed"
    TIMER = "timer"
    STOP = "stop"
    KILL = "kill"


class Action(StrEnum):
    """What the edge must do; all are idempotent."""

    ENSURE_SANDBOX = "ensure-sandbox"
    ENSURE_CERTIFICATE = "ensure-certificate"
    ENSURE_ENVOY = "ensure-envoy"
    WATCH_ENVOY = "watch-envoy"
    ENSURE_APPS = "ensure-apps"
    PROBE_APPS = "probe-apps"
    REPORT = "report"
    AWAIT_WITHDRAWAL = "await-withdrawal"
    FAIL_HEALTH_CHECK = "fail-health-check"
    TERMINATE_APPS = "terminate-apps"
    KILL_APPS = "kill-apps"
    TERMINATE_ENVOY = "terminate-envoy"
    KILL_ENVOY = "kill-envoy"
    REMOVE_SANDBOX = "remove-sandbox"


class LifecycleError(AssertionError):
    """An input that cannot happen in this state: a programmer's error."""


@dataclass(frozen=True, slots=True)
class Timing:
    """All waits in seconds. `drain_s`: how long a withdrawn pod serves on at least, for clients without a proxy;
    `drain_max_s`: at most, if some client's proxy does not say that it has dropped the endpoint."""

    drain_s: float = 2.0
    drain_max_s: float = 12.0
    lame_duck_s: float = 1.0
    last_counts_s: float = 1.6
    grace_s: float = 30.0
    envoy_grace_s: float = 5.0
    backoff_first_s: float = 0.2
    backoff_max_s: float = 30.0
    healthy_after_s: float = 10.0


@dataclass(frozen=True, slots=True)
class PodLife:
    """One pod's state. `due` is when TIMER is to be given, None for never. Times are monotonic seconds."""

    has_envoy: bool
    has_apps: bool
    timing: Timing = Timing()
    state: State = State.PENDING
    since: float = 0.0
    due: float | None = None
    restarts: int = 0
    failures: int = 0
    withdrawn: bool = False
    finished: bool = False
    """Adopted with all of its work done: nothing is to be started."""
    hurried: bool = False
    """It must end at once."""

    @property
    def ready(self) -> bool:
        """True if traffic may be sent to the pod."""
        return self.state is State.READY

    @property
    def terminating(self) -> bool:
        """True from the request to stop on."""
        return self.state in _ENDING


Actions = tuple[Action, ...]
Step = tuple[PodLife, Actions]
_Handler = Callable[[PodLife, float], Step]
_ENDING = frozenset(
    {
        State.DRAINING,
        State.LAME_DUCK,
        State.STOPPING_APP,
        State.LAST_COUNTS,
        State.STOPPING_ENVOY,
        State.REMOVING,
        State.GONE,
    }
)


def step(life: PodLife, event: Input, now: float) -> Step:
    """What follows from one input: the new state and the actions, in order.

    Errors: `LifecycleError` for a pair that cannot happen.
    """
    handler = TABLE.get((life.state, event))
    if handler is None:
        raise LifecycleError(f"{event} in {life.state}")
    return handler(life, now)


def _go(life: PodLife, state: State, now: float, *actions: Action, wait_s: float | None = None) -> Step:
    due = None if wait_s is None else now + wait_s
    return replace(life, state=state, since=now, due=due), actions


def _ignore(life: PodLife, now: float) -> Step:
    return life, ()


def _start(life: PodLife, now: float) -> Step:
    return _go(life, State.SANDBOX, now, Action.ENSURE_SANDBOX, Action.REPORT)


def _sandbox_up(life: PodLife, now: float) -> Step:
    life = replace(life, failures=0)
    if life.finished:
        return _finish(life, now)
    if life.has_envoy:
        return _go(life, State.CERTIFICATE, now, Action.ENSURE_CERTIFICATE)
    return _start_apps(life, now)


def _start_envoy(life: PodLife, now: float) -> Step:
    return _go(life, State.ENVOY_STARTING, now, Action.ENSURE_ENVOY, Action.WATCH_ENVOY)


def _start_apps(life: PodLife, now: float) -> Step:
    if not life.has_apps:
        return _go(life, State.READY, now, Action.REPORT)
    return _go(life, State.APP_STARTING, now, Action.ENSURE_APPS, Action.PROBE_APPS, Action.REPORT)


def _ready(life: PodLife, now: float) -> Step:
    return _go(life, State.READY, now, Action.REPORT)


def _unready(life: PodLife, now: float) -> Step:
    return _go(life, State.APP_STARTING, now, Action.REPORT)


def _failed(life: PodLife, now: float) -> Step:
    """The current step did not work: try it again after a pause. The state stays."""
    wait_s = _backoff_s(life)
    return replace(life, due=now + wait_s, failures=life.failures + 1), (Action.REPORT,)


def _again(action: Action) -> _Handler:
    def retry(life: PodLife, now: float) -> Step:
        return replace(life, due=None), (action,)

    return retry


def _envoy_exited(life: PodLife, now: float) -> Step:
    life = _count_restart(life, now)
    return _go(life, State.ENVOY_BACKOFF, now, Action.REPORT, wait_s=_backoff_s(life) if life.failures > 1 else 0.0)


def _app_exited(life: PodLife, now: float) -> Step:
    life = _count_restart(life, now)
    return _go(life, State.APP_BACKOFF, now, Action.REPORT, wait_s=_backoff_s(life))


def _apps_done(life: PodLife, now: float) -> Step:
    """Nobody is left whom the proxy could serve, so it ends as well."""
    if not life.has_envoy:
        return _finish(life, now)
    return _go(life, State.WORK_DONE, now, Action.REPORT, wait_s=life.timing.last_counts_s)


def _end_proxy(life: PodLife, now: float) -> Step:
    return _go(life, State.FINISHING, now, Action.TERMINATE_ENVOY, wait_s=life.timing.envoy_grace_s)


def _finish(life: PodLife, now: float) -> Step:
    return _go(replace(life, finished=True), State.FINISHED, now, Action.REPORT)


def _count_restart(life: PodLife, now: float) -> PodLife:
    was_well = life.state is State.READY and now - life.since >= life.timing.healthy_after_s
    return replace(life, restarts=life.restarts + 1, failures=1 if was_well else life.failures + 1)


def _backoff_s(life: PodLife) -> float:
    wait_s: float = life.timing.backoff_first_s * 2.0 ** min(life.failures, 16)
    return min(wait_s, life.timing.backoff_max_s)


def _drain(life: PodLife, now: float) -> Step:
    """Say first that the pod is going away; traffic goes on until clients have heard it."""
    actions = (Action.REPORT, Action.AWAIT_WITHDRAWAL)
    return _go(replace(life, withdrawn=False), State.DRAINING, now, *actions, wait_s=life.timing.drain_s)


def _withdrawn(life: PodLife, now: float) -> Step:
    """Every client's proxy has dropped the endpoint."""
    if now - life.since >= life.timing.drain_s:
        return _lame_duck(life, now)
    return replace(life, withdrawn=True), ()


def _drain_timer(life: PodLife, now: float) -> Step:
    limit = life.since + life.timing.drain_max_s
    if life.withdrawn or now >= limit:
        return _lame_duck(life, now)
    return replace(life, due=limit), ()


def _lame_duck(life: PodLife, now: float) -> Step:
    if not life.has_envoy:
        return _stop_apps(life, now)
    return _go(life, State.LAME_DUCK, now, Action.FAIL_HEALTH_CHECK, wait_s=life.timing.lame_duck_s)


def _stop_apps(life: PodLife, now: float) -> Step:
    if not life.has_apps:
        return _stop_envoy(life, now)
    return _go(life, State.STOPPING_APP, now, Action.REPORT, Action.TERMINATE_APPS, wait_s=life.timing.grace_s)


def _stop_envoy(life: PodLife, now: float) -> Step:
    if not life.has_envoy:
        return _remove(life, now)
    if life.hurried:
        return _terminate_envoy(life, now)
    return _go(life, State.LAST_COUNTS, now, wait_s=life.timing.last_counts_s)


def _terminate_envoy(life: PodLife, now: float) -> Step:
    return _go(life, State.STOPPING_ENVOY, now, Action.TERMINATE_ENVOY, wait_s=life.timing.envoy_grace_s)


def _kill(life: PodLife, now: float) -> Step:
    return _stop_apps(replace(life, hurried=True), now)


def _hurry(life: PodLife, now: float) -> Step:
    return replace(life, hurried=True), ()


def _remove(life: PodLife, now: float) -> Step:
    return _go(life, State.REMOVING, now, Action.REMOVE_SANDBOX)


def _gone(life: PodLife, now: float) -> Step:
    return _go(life, State.GONE, now, Action.REPORT)


def _vanish(life: PodLife, now: float) -> Step:
    """The sandbox's holder died: nothing of the pod is left to keep, build it again."""
    life = _count_restart(life, now)
    life = replace(life, state=State.SANDBOX, since=now, due=now + _backoff_s(life))
    return life, (Action.KILL_APPS, Action.KILL_ENVOY, Action.REPORT)


def _table() -> dict[tuple[State, Input], _Handler]:
    s, i = State, Input
    rows: dict[State, dict[Input, _Handler]] = {
        s.PENDING: {i.START: _start, i.STOP: _gone, i.KILL: _gone},
        s.SANDBOX: {
            i.SANDBOX_UP: _sandbox_up,
            i.SANDBOX_GONE: _ignore,
            i.FAILED: _failed,
            i.TIMER: _again(Action.ENSURE_SANDBOX),
            i.STOP: _remove,
            i.KILL: _remove,
        },
        s.CERTIFICATE: {
            i.CERTIFICATE_READY: _start_envoy,
            i.FAILED: _failed,
            i.TIMER: _again(Action.ENSURE_CERTIFICATE),
            i.STOP: _remove,
            i.KILL: _remove,
        },
        s.ENVOY_STARTING: {
            i.ENVOY_LIVE: _start_apps,
            i.ENVOY_EXITED: _envoy_exited,
            # An Envoy that crashed beside a running application: that one goes on, or ends, meanwhile.
            i.APP_EXITED: _ignore,
            i.FAILED: _envoy_exited,
            i.STOP: _stop_apps,
            i.KILL: _kill,
        },
        s.ENVOY_BACKOFF: {i.TIMER: _start_envoy, i.APP_EXITED: _ignore, i.STOP: _stop_apps, i.KILL: _kill},
        s.APP_STARTING: {
            i.PROBE_OK: _ready,
            i.ENVOY_EXITED: _envoy_exited,
            i.APP_EXITED: _app_exited,
            i.FAILED: _app_exited,
            i.STOP: _stop_apps,
            i.KILL: _kill,
        },
        s.APP_BACKOFF: {
            i.TIMER: _start_apps,
            i.APP_EXITED: _ignore,
            i.ENVOY_EXITED: _envoy_exited,
            i.STOP: _stop_apps,
            i.KILL: _kill,
        },
        s.READY: {
            i.PROBE_OK: _ignore,
            i.PROBE_FAILED: _unready,
            i.ENVOY_EXITED: _envoy_exited,
            i.APP_EXITED: _app_exited,
            i.STOP: _drain,
            i.KILL: _kill,
        },
        s.WORK_DONE: {i.TIMER: _end_proxy, i.ENVOY_EXITED: _finish, i.STOP: _remove, i.KILL: _remove},
        s.FINISHING: {
            i.ENVOY_EXITED: _finish,
            i.TIMER: _again(Action.KILL_ENVOY),
            i.STOP: _remove,
            i.KILL: _remove,
        },
        s.FINISHED: {i.STOP: _remove, i.KILL: _remove},
        s.DRAINING: {i.TIMER: _drain_timer, i.WITHDRAWN: _withdrawn, i.STOP: _ignore, i.KILL: _kill},
        s.LAME_DUCK: {i.TIMER: _stop_apps, i.STOP: _ignore, i.KILL: _kill},
        s.STOPPING_APP: {i.APPS_GONE: _stop_envoy, i.TIMER: _again(Action.KILL_APPS), i.STOP: _ignore, i.KILL: _hurry},
        s.LAST_COUNTS: {i.TIMER: _terminate_envoy, i.ENVOY_EXITED: _remove, i.STOP: _ignore, i.KILL: _terminate_envoy},
        s.STOPPING_ENVOY: {
            i.ENVOY_EXITED: _remove,
            i.TIMER: _again(Action.KILL_ENVOY),
            i.STOP: _ignore,
            i.KILL: _ignore,
        },
        s.REMOVING: {i.SANDBOX_GONE: _gone, i.FAILED: _gone, i.STOP: _ignore, i.KILL: _ignore},
        s.GONE: {i.STOP: _ignore, i.KILL: _ignore},
    }
    for state in (s.CERTIFICATE, s.ENVOY_STARTING, s.ENVOY_BACKOFF, s.APP_STARTING, s.APP_BACKOFF, s.READY):
        rows[state][i.SANDBOX_GONE] = _vanish
    for state in (s.ENVOY_STARTING, s.ENVOY_BACKOFF, s.APP_STARTING, s.APP_BACKOFF, s.READY):
        rows[state][i.APPS_DONE] = _apps_done
    return {(state, event): handler for state, row in rows.items() for event, handler in _with_late(state, row).items()}


def _with_late(state: State, row: dict[Input, _Handler]) -> dict[Input, _Handler]:
    """Add the inputs that may come late, from tasks that watched an earlier state: they say nothing new."""
    late = {Input.TIMER, Input.PROBE_OK, Input.PROBE_FAILED, Input.ENVOY_LIVE, Input.CERTIFICATE_READY}
    if state is not State.PENDING:
        late |= {
            Input.WITHDRAWN,
            Input.APP_EXITED,
            Input.APPS_DONE,
            Input.ENVOY_EXITED,
            Input.APPS_GONE,
            Input.SANDBOX_UP,
            Input.FAILED,
        }
    if state in _ENDING or state in (State.WORK_DONE, State.FINISHING, State.FINISHED):
        late |= {Input.SANDBOX_GONE}
    return {**dict.fromkeys(late, _ignore), **row}


TABLE = _table()
