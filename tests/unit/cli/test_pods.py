from typing import Any

import pytest

from argosy.cli.pods import choose_pod
from argosy.core.errors import ArgosyError


def row(name: str, owner: str, *, namespace: str = "default", ready: bool = True, for_s: float = 1.0) -> dict[str, Any]:
    state = "Ready" if ready else "AppStarting"
    return {"namespace": namespace, "name": name, "owner": owner, "ready": ready, "for_s": for_s, "state": state}


BLOCKED = {"namespace": "default", "name": "odd", "state": "Blocked", "ready": False, "reason": "no such image"}
ROWS = [
    row("web-a", "web", for_s=9),
    row("web-b", "web", for_s=3),
    row("web-c", "web", ready=False, for_s=1),
    row("new-a", "new", ready=False),
    row("far-a", "far", namespace="prod"),
    BLOCKED,
]


@pytest.mark.parametrize(
    "word, found",
    [
        ("web-a", "web-a"),
        ("pod/web-a", "web-a"),
        ("deploy/web", "web-b"),
        ("deployment/web", "web-b"),
        ("deploy/new", "new-a"),
    ],
)
def test_pods_are_found_by_name_and_by_their_deployment(word: str, found: str):
    """Of a Deployment the pod that became ready last; one that is not ready only if none is."""
    assert choose_pod(ROWS, word, "default")["name"] == found


@pytest.mark.parametrize(
    "word, hint",
    [
        ("web-d", "did you mean web-"),
        ("web", "did you mean deploy/web?"),
        ("far-a", "it is in namespace prod: add -n prod"),
        ("qqqqqq", "`argosy ps` lists the pods"),
        ("far", "did you mean deploy/far -n prod?"),
        ("deploy/far", "it is in namespace prod: add -n prod"),
        ("we", "did you mean deploy/web?"),
        ("deploy/webb", "did you mean deploy/web?"),
        ("deploy/odd", "its pods cannot be made: no such image"),
        ("deploy/zzzzzz", "`argosy get deploy -A`"),
        ("svc/web", "write POD, pod/NAME or deploy/NAME"),
    ],
)
def test_a_pod_that_is_not_there_comes_with_a_hint(word: str, hint: str):
    with pytest.raises(ArgosyError) as caught:
        choose_pod(ROWS, word, "default")
    assert hint in caught.value.findings[0].hint
