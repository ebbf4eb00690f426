"""What Pilot finds wrong with what proxies were given, as findings about the objects that it was made from."""

from __future__ import annotations

from collections.abc import Container, Iterable

from argosy.core.errors import Finding, Level
from argosy.core.names import ObjectKey
from argosy.pilot.build.origins import owners_of
from argosy.pilot.checking import OwnAnswers
from argosy.pilot.quarantine import Refused
from argosy.pilot.scopes import ServerKey
from argosy.xds.messages import Snapshot


def moving(key: ServerKey, wanted: str, waits: tuple[str, ...], refusing: Container[str]) -> Finding:
    """A change of mutual TLS that is not through yet, or that proxies of `refusing` bar."""
    port = f"port {key.port}" if key.port else "other ports"
    labels = ",".join(f"{name}={value}" for name, value in sorted(key.labels.items()))
    message = f"{port} of {labels} becomes {wanted} when its callers have followed; waiting for {', '.join(waits)}"
    hint = ""
    if bars := [name for name in waits if name in refusing]:
        verb = "refuses" if len(bars) == 1 else "refuse"
        message += f"; it cannot go on while {', '.join(bars)} {verb} what is offered"
        hint = "ARG0502 tells what is refused, and which object that is made of"
    return Finding("ARG0503", Level.INFO, message, "Namespace", "", key.namespace, hint=hint)


def one_line(text: str) -> str:
    """Envoy's text, which has a line for each resource, in one line."""
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


def asked_about(answers: Iterable[tuple[str, OwnAnswers]]) -> list[Finding]:
    """Rules for which proxies ask Mixer, with the reason; of each rule one finding for each reason. By workload."""
    found: dict[tuple[str, str], set[str]] = {}
    for workload, one in answers:
        for reason in one.reasons:
            found.setdefault(reason, set()).add(workload)
    return [_asked_about(rule, reason, workloads) for (rule, reason), workloads in sorted(found.items())]


def _asked_about(rule: str, reason: str, workloads: set[str]) -> Finding:
    namespace, _slash, name = rule.partition("/")
    message = f"proxies of {', '.join(sorted(workloads))} ask Mixer about each request, or TCP connection: {reason}"
    hint = "headers, paths, principals, addresses and server names need no call; labels of callers do"
    return Finding("ARG0505", Level.INFO, message, "rule", namespace, name, "spec", hint=hint)


def left_out(one: Refused) -> Finding:
    """An EnvoyFilter that no proxy is given."""
    message = f"left out of all proxies, because {one.pod} refused {one.ref.name}: {one_line(one.text)}"
    hint = "what it patched works as if it were not there; correct and apply it again"
    where = one.filter
    return Finding("ARG0504", Level.ERROR, message, where.kind, where.namespace, where.name, "", where.origin, hint)


def refusal(snapshot: Snapshot, pod: ObjectKey, type_url: str, names: tuple[str, ...], text: str) -> Finding:
    """What a proxy refused, as a finding about the object that it was made from, as far as that is known."""
    subject = ", ".join(names)
    resources = [one for name in names if (one := snapshot.of(type_url).get(name)) is not None]
    owner = next((owner for one in resources for owner in owners_of(one)), None)
    message = f"refused by {pod}: {one_line(text)}"
    if owner is None:
        return Finding("ARG0502", Level.ERROR, message, name=subject)
    message = f"{subject} {message}"
    return Finding("ARG0502", Level.ERROR, message, owner.kind, owner.namespace, owner.name, "", owner.origin)
