"""The policies about one pod, as the control plane has them: AuthorizationPolicies, and what roles come to there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argosy.api.meta import Object

Ask = Callable[[str], dict[str, Any]]
"""How the control API is read: a path to what it answers."""


def policies_about(ask: Ask, namespace: str, name: str) -> tuple[str, dict[str, str], list[Object[Any]]]:
    """A pod's namespace, labels, and the policies of the mesh with what roles come to at that pod's ports."""
    from argosy.local.forbidden import Server, policies_of
    from argosy.local.roles import KINDS, Pod, policies_of_pod

    pod = ask(f"objects/Pod/{namespace}/{name}")["objects"][0]
    labels: dict[str, str] = pod["metadata"].get("labels", {})
    policies = typed(ask("objects/AuthorizationPolicy"))
    configs = {kind: typed(ask(f"objects/{kind}")) for kind in KINDS[:2]}
    if not any(configs.values()):
        return namespace, labels, policies
    objects = {**configs, **{kind: typed(ask(f"objects/{kind}")) for kind in (*KINDS[2:], "Service")}}
    about = Pod(namespace, labels, pod.get("spec", {}).get("serviceAccountName", ""))
    own = policies_of(policies, Server(namespace, labels, ""))
    return namespace, labels, [*policies, *policies_of_pod(objects, about, own)]


def typed(listing: dict[str, Any]) -> list[Object[Any]]:
    """What the control API lists, as objects with their origins."""
    from argosy.api import decode_object
    from argosy.api.document import Document
    from argosy.core.errors import Origin

    pairs = zip(listing["objects"], listing["origins"], strict=True)
    return [decode_object(Document(data, Origin(at["file"], at["line"]))) for data, at in pairs]
