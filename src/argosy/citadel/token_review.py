"""What Kubernetes says about a token: its TokenReview, read as an identity or not at all.

Given the object that the API server answered with (an edge asks it) and the audience that was asked for; gives an
`AuthenticatedIdentity` or raises `TokenError`. What is missing proves nothing.
Source: authentication.k8s.io/v1 TokenReview; bound service account tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from argosy.citadel.errors import Code, TokenError
from argosy.citadel.identity import AuthenticatedIdentity, vouch
from argosy.citadel.tokens import CA_AUDIENCE
from argosy.core.spiffe import SpiffeIDError

ACCOUNTS_GROUP = "system:serviceaccounts"
POD_NAME = "authentication.kubernetes.io/pod-name"
NODE_NAME = "authentication.kubernetes.io/node-name"


def build_review(token: str, audience: str = CA_AUDIENCE) -> dict[str, Any]:
    """The TokenReview to send: with the audience, always, so that a token for another service is of no use here."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    }


def identity_of_review(
    review: Mapping[str, Any], *, workload: str = "", audience: str = CA_AUDIENCE
) -> AuthenticatedIdentity:
    """Who the API server says it is. `workload`: the owner of the pod, from the caller's own knowledge of pods."""
    status = review.get("status")
    if not isinstance(status, Mapping) or status.get("authenticated") is not True or status.get("error"):
        _refuse("the API server does not know the token")
    if audience not in _texts(status.get("audiences")):
        _refuse("the API server does not confirm the audience")
    user = status.get("user")
    if not isinstance(user, Mapping) or ACCOUNTS_GROUP not in _texts(user.get("groups")):
        _refuse("the token is no service account's")
    name = user.get("username")
    parts = name.split(":") if isinstance(name, str) else []
    if len(parts) != 4 or parts[:2] != ["system", "serviceaccount"]:
        _refuse("the user is not a service account")
    extra = user.get("extra")
    pod, node = _single(extra, POD_NAME), _single(extra, NODE_NAME)
    try:
        return vouch(parts[2], parts[3], pod=pod, workload=workload if pod else "", node=node)
    except SpiffeIDError as error:
        raise TokenError.of(Code.TOKEN_SUBJECT, f"the subject makes no SPIFFE id: {error}") from error


def _refuse(message: str) -> NoReturn:
    raise TokenError.of(Code.TOKEN_REVIEW, message)


def _texts(value: object) -> Sequence[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list | tuple) else []


def _single(extra: object, key: str) -> str:
    """The one value of an attribute; nothing if it is absent, and a refusal if there are several."""
    values = _texts(extra.get(key)) if isinstance(extra, Mapping) else []
    if len(values) > 1:
        _refuse(f"the token has {len(values)} values of {key}")
    return values[0] if values else ""
