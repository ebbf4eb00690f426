"""The state of an object at a proxy, from what the proxy's stream says of the object's resources."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.edge.control_status import State, state_of
from argosy.xds.messages import ResourceRef

CLUSTER, LISTENER = "type.googleapis.com/a.b.Cluster", "type.googleapis.com/a.b.Listener"
REFS = frozenset({ResourceRef(CLUSTER, "web"), ResourceRef(LISTENER, "80")})
QUIET: dict[str, Any] = {"pending": [], "in_flight": {}, "held_back": {}, "refused": {}, "last_error": None}


def account(**of_cluster: Any) -> dict[str, dict[str, Any]]:
    return {CLUSTER: {**QUIET, **of_cluster}, LISTENER: QUIET}


def test_a_proxy_that_has_answered_for_everything_runs_it() -> None:
    assert state_of(account(), REFS, settled=True) == (State.CURRENT, "")


def test_what_happens_to_other_resources_is_not_this_objects() -> None:
    others = account(pending=["other"], refused={"third": "v"}, in_flight={"1": ["fourth"]})
    assert state_of(others, REFS) == (State.CURRENT, "")


@pytest.mark.parametrize(
    "of_cluster, reason",
    [
        ({"pending": ["web"]}, "web is not sent yet"),
        ({"in_flight": {"1": ["other"], "2": ["web"]}}, "web is sent and not answered yet"),
        ({"pending": ["web"], "held_back": {"web": [f"{LISTENER} 81"]}}, "web waits for Listener 81"),
    ],
)
def test_a_proxy_that_has_not_answered_is_pending_and_why_is_told(of_cluster: dict[str, Any], reason: str) -> None:
    assert state_of(account(**of_cluster), REFS) == (State.PENDING, reason)


def test_a_refusal_is_told_in_envoys_words_whatever_else_waits() -> None:
    error = {"code": 13, "message": "no such thing"}
    refused = account(refused={"web": "v"}, pending=["web"], last_error=error)
    assert state_of(refused, REFS) == (State.REJECTED, "web: no such thing")


def test_a_type_that_was_not_asked_for_yet_is_pending_until_the_proxy_has_settled() -> None:
    only = {CLUSTER: QUIET}
    assert state_of(only, REFS) == (State.PENDING, "80 was not asked for yet")
    assert state_of(only, REFS, settled=True) == (State.CURRENT, "")


def test_a_proxy_without_a_stream_has_never_been_here_or_was_before() -> None:
    assert state_of(None, REFS) == (State.NEVER, "not connected yet")
    assert state_of(None, REFS, was_here=True) == (State.STALE, "not connected any more")
