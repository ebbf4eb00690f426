"""Does this pod get a sidecar, and why (not).

Given the pod's labels and annotations, and its namespace's labels (None: nobody declared that namespace). Gives a
decision with a reason for people. The rules are Istio's: any "no" wins, then any "yes", then the default; the default
is yes only in a namespace that nobody declared.
Source: istio.io, "Installing the Sidecar", controlling the injection policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

INJECT = "sidecar.istio.io/inject"
NAMESPACE_INJECTION = "istio-injection"
REVISION = "istio.io/rev"
TEMPLATES = "inject.istio.io/templates"
_SYSTEM_NAMESPACES = frozenset({"istio-system", "kube-system", "kube-public", "kube-node-lease"})
_YES = frozenset({"true", "yes", "y", "on"})
_NO = frozenset({"false", "no", "n", "off"})


class Template(StrEnum):
    """What is injected: nothing, a sidecar, or a pod that is nothing but a gateway's Envoy."""

    NONE = "none"
    SIDECAR = "sidecar"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer, and the reason in a few words."""

    template: Template
    reason: str

    @property
    def inject(self) -> bool:
        """True if the pod gets an Envoy."""
        return self.template is not Template.NONE


def should_inject(
    *,
    namespace: str,
    namespace_labels: Mapping[str, str] | None,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    host_network: bool = False,
) -> Decision:
    """Decide for one pod. `labels` and `annotations` are those of the pod (or its template).

    A label `sidecar.istio.io/inject` stands above an annotation of that name, which older manifests use.
    """
    wish = _wish(labels, annotations)
    if host_network:
        return _no("the pod uses the host's network")
    if wish is False:
        return _no(f"the pod says {INJECT}: false")
    if annotations.get(TEMPLATES) == Template.GATEWAY:
        return Decision(Template.GATEWAY, f"the pod says {TEMPLATES}: gateway")
    if namespace in _SYSTEM_NAMESPACES:
        return _no(f"{namespace} is a system namespace")
    space = namespace_labels or {}
    if space.get(NAMESPACE_INJECTION) == "disabled":
        return _no(f"namespace {namespace} says {NAMESPACE_INJECTION}: disabled")
    if wish:
        return _yes(f"the pod says {INJECT}: true")
    if namespace_labels is None:
        return _yes(f"namespace {namespace} is not declared")
    if space.get(NAMESPACE_INJECTION) == "enabled":
        return _yes(f"namespace {namespace} says {NAMESPACE_INJECTION}: enabled")
    if space.get(REVISION) or labels.get(REVISION):
        return _yes(f"a label {REVISION} asks for it")
    return _no(f"namespace {namespace} is declared without {NAMESPACE_INJECTION}: enabled")


def _wish(labels: Mapping[str, str], annotations: Mapping[str, str]) -> bool | None:
    text = labels.get(INJECT, annotations.get(INJECT, "")).lower()
    return True if text in _YES else False if text in _NO else None


def _yes(reason: str) -> Decision:
    return Decision(Template.SIDECAR, reason)


def _no(reason: str) -> Decision:
    return Decision(Template.NONE, reason)
