"""Sidecars that are in each other's way, or let workloads call hosts that there are not.

Given all objects that matter, gives warnings. Pure. Source: istio.io Sidecar; Istio's analyzer for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from argosy.api.meta import Object
from argosy.api.sidecar import Sidecar
from argosy.core.errors import Finding, Level
from argosy.core.hosts import is_wildcard

Limits = Object[Sidecar]


def analyze_sidecars(sidecars: Sequence[Limits], known: Callable[[str], bool]) -> Iterator[Finding]:
    """`known`: whether somebody declares a host."""
    first: dict[tuple[str, tuple[tuple[str, str], ...]], Limits] = {}
    for one in sorted(sidecars, key=lambda found: found.key):
        selector = one.spec.workload_selector
        labels = selector.labels if selector is not None else {}
        other = first.setdefault((one.namespace, tuple(sorted(labels.items()))), one)
        if other is not one:
            whom = "the workloads that it selects" if labels else f"namespace {one.namespace}"
            message = f"not used: Sidecar {other.name} is about {whom} too"
            at = "spec.workloadSelector" if labels else "spec"
            yield _warning(one, "ARG0214", at, message, "put what both say into one of them")
        yield from _unknown_hosts(one, known)


def _unknown_hosts(one: Limits, known: Callable[[str], bool]) -> Iterator[Finding]:
    for index, listener in enumerate(one.spec.egress):
        for n, entry in enumerate(listener.hosts):
            _namespace, _slash, host = entry.partition("/")
            if is_wildcard(host) or known(host.lower()):
                continue
            at = f"spec.egress[{index}].hosts[{n}]"
            yield _warning(one, "ARG0205", at, f"no service has the host {host}: this lets through nothing", "")


def _warning(one: Limits, code: str, at: str, message: str, hint: str) -> Finding:
    return Finding(code, Level.WARNING, message, one.kind, one.namespace, one.name, at, one.origin, hint)
