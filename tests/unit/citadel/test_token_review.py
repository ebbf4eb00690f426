"""TokenReviews: what proves a pod on Kubernetes, and what does not."""

import copy
from typing import Any

import pytest

from argosy.citadel.errors import Code, TokenError
from argosy.citadel.token_review import build_review, identity_of_review

REVIEW: dict[str, Any] = {
    "kind": "TokenReview",
    "status": {
        "authenticated": True,
        "audiences": ["argosy-ca"],
        "user": {
            "username": "system:serviceaccount:shop:cart",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/pod-name": ["cart-1"],
                "authentication.kubernetes.io/node-name": ["n1"],
            },
        },
    },
}


def changed(path: str, value: object) -> dict[str, Any]:
    made = copy.deepcopy(REVIEW)
    *parents, last = path.split(" ")
    place = made
    for name in parents:
        place = place[name]
    place[last] = value
    return made


def test_the_audience_is_always_asked_for() -> None:
    assert build_review("t")["spec"] == {"token": "t", "audiences": ["argosy-ca"]}


def test_an_authenticated_service_account_is_its_pod() -> None:
    found = identity_of_review(REVIEW, workload="cart-v1")
    assert (found.namespace, found.service_account, found.pod, found.node) == ("shop", "cart", "cart-1", "n1")
    assert found.workload == "cart-v1"


def test_a_token_that_is_bound_to_no_pod_has_no_workload() -> None:
    assert identity_of_review(changed("status user extra", None), workload="cart-v1").workload == ""


@pytest.mark.parametrize(
    "path, value",
    [
        ("status", None),
        ("status authenticated", "true"),
        ("status authenticated", False),
        ("status error", "token expired"),
        ("status audiences", None),
        ("status audiences", ["kubernetes"]),
        ("status user", None),
        ("status user groups", ["system:authenticated"]),
        ("status user username", "alice"),
        ("status user username", "system:node:n1"),
        ("status user username", "system:serviceaccount:shop"),
        ("status user username", "system:serviceaccount:shop:cart:x"),
        ("status user username", None),
        ("status user extra", {"authentication.kubernetes.io/pod-name": ["a", "b"]}),
    ],
)
def test_whatever_is_missing_proves_nothing(path: str, value: object) -> None:
    with pytest.raises(TokenError) as caught:
        identity_of_review(changed(path, value))
    assert caught.value.reason is Code.TOKEN_REVIEW


def test_names_that_break_out_of_an_id_are_refused() -> None:
    with pytest.raises(TokenError) as caught:
        identity_of_review(changed("status user username", "system:serviceaccount:..:cart"))
    assert caught.value.reason is Code.TOKEN_SUBJECT
