"""From PERMISSIVE to STRICT without surprises: who still calls in plaintext, and may a scope be made strict.

Given: the modes of workloads (Pilot's), the callers without mutual TLS (Mixer's), the PeerAuthentication objects, all
as the plain data of the control API. Gives: the reasons that speak against STRICT, and the document that asks for it.
Times are seconds: ages count back from now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.core.names import ROOT_NAMESPACE
from argosy.core.words import counted
from argosy.flow.plaintext import PlaintextRow

API_VERSION = "security.istio.io/v1"
KIND = "PeerAuthentication"
STRICT = "STRICT"
Data = Mapping[str, Any]


def dump_caller(row: PlaintextRow, now: float) -> dict[str, Any]:
    """One row of the ledger as plain data. `source` is `namespace/workload`, or the address of somebody unknown."""
    known = row.source.known
    return {
        "source": f"{row.source.namespace}/{row.source.name}" if known else row.address or "unknown",
        "sidecar": row.source.sidecar if known else None,
        "namespace": row.destination.namespace,
        "workload": row.destination.name,
        "service": row.service.host,
        "first_seen_s": now - row.first_seen,
        "last_seen_s": now - row.last_seen,
        "requests": row.requests,
        "connections": row.connections,
        "refused": row.refused,
        "refused_s": now - row.refused_at if row.refused_at else None,
    }


@dataclass(frozen=True, slots=True)
class Scope:
    """What a PeerAuthentication is for: the mesh (both empty), a namespace, or one workload of it."""

    namespace: str = ""
    workload: str = ""

    def __str__(self) -> str:
        if self.workload:
            return f"workload {self.namespace}/{self.workload}"
        return f"namespace {self.namespace}" if self.namespace else "the mesh"

    def holds(self, one: Data) -> bool:
        """Whether the workload of a row lies in it."""
        return self.namespace in ("", one["namespace"]) and self.workload in ("", one["workload"])


def recent(callers: Iterable[Data], scope: Scope, window_s: float) -> list[Data]:
    """Callers of the scope's workloads that were seen in the window."""
    return [one for one in callers if scope.holds(one) and one["last_seen_s"] <= window_s]


def modes_of(workload: Data) -> list[str]:
    """The different modes of a workload's ports, as text: `PERMISSIVE`, or `STRICT, 9000 DISABLE`."""
    ports = workload["ports"]
    (wide,) = (one["mode"] for one in ports if not one["port"])
    return [wide, *(f"{one['port']} {one['mode']}" for one in ports if one["port"] and one["mode"] != wide)]


def reasons_against(plaintext: Data, scope: Scope, window_s: float, found: Sequence[Data]) -> list[str]:
    """Why the scope must not be made strict now, each in one sentence; none: it may.

    found: the workloads of the scope that have a sidecar.
    """
    reasons = []
    if not found:
        reasons.append(f"no workload of {scope} has a sidecar that is connected")
    if plaintext["observed_s"] < window_s:
        seen = f"traffic has been watched for {plaintext['observed_s']:.0f} s only"
        reasons.append(f"{seen}, and the window is {window_s:.0f} s: wait, or choose a shorter --window")
    callers = recent(plaintext["callers"], scope, window_s)
    reasons += [sentence(one) for one in callers]
    return reasons


def sentence(caller: Data) -> str:
    """Who calls in plaintext, how much, and when."""
    much = [counted(caller[f"{noun}s"], noun) for noun in ("request", "connection") if caller[f"{noun}s"]]
    if caller["refused"]:
        much.append(f"{counted(caller['refused'], 'connection')} refused")
    kind = {True: "around its sidecar", False: "without a sidecar", None: "which is no workload of the mesh"}
    when = f"first {_ago(caller['first_seen_s'])} ago, last {_ago(caller['last_seen_s'])} ago"
    target = f"{caller['namespace']}/{caller['workload']}"
    return f"{caller['source']} ({kind[caller['sidecar']]}) calls {target} in plaintext: {', '.join(much)}; {when}"


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


@dataclass(frozen=True, slots=True)
class Plan:
    """What makes a scope strict. `before`: the object as it is, None if it does not exist yet.

    exceptions: what stays as it is, because something narrower says so.
    """

    document: dict[str, Any]
    before: dict[str, Any] | None
    exceptions: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return self.document != self.before


def plan_strict(scope: Scope, existing: Sequence[dict[str, Any]], workloads: Sequence[Data]) -> Plan:
    """The PeerAuthentication that makes a scope strict: the one that holds for it now, changed, or a new one.

    Source: Istio's precedence; of several objects for one scope the oldest holds.
    """
    labels = next((dict(one["labels"]) for one in workloads if scope.workload and scope.holds(one)), {})
    namespace = scope.namespace or ROOT_NAMESPACE
    mine = sorted((one for one in existing if one["metadata"]["namespace"] == namespace), key=_age)
    if scope.workload:
        before = next((one for one in mine if _selector(one) and _selector(one).items() <= labels.items()), None)
    else:
        before = next((one for one in mine if not _selector(one)), None)
    if before is not None:
        document = {**before, "spec": {**before.get("spec", {}), "mtls": {"mode": STRICT}}}
    else:
        name = scope.workload or "default"
        spec: dict[str, Any] = {"mtls": {"mode": STRICT}}
        if scope.workload:
            spec = {"selector": {"matchLabels": labels}, **spec}
        document = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
    return Plan(document, before, tuple(_exceptions(scope, existing, document)))


def _exceptions(scope: Scope, existing: Sequence[dict[str, Any]], document: dict[str, Any]) -> list[str]:
    found = []
    for one in [*(e for e in existing if e["metadata"] != document["metadata"]), document]:
        meta, spec = one["metadata"], one.get("spec", {})
        narrower = _selector(one) or (not scope.namespace and meta["namespace"] != ROOT_NAMESPACE)
        if one is not document and not (scope.namespace in ("", meta["namespace"]) and narrower and not scope.workload):
            continue
        name = f"{KIND} {meta['namespace']}/{meta['name']}"
        mode = spec.get("mtls", {}).get("mode", "UNSET")
        if mode not in ("UNSET", STRICT):
            found.append(f"{name} says {mode} for what it selects")
        ports = spec.get("portLevelMtls", {})
        found += [f"{name} says {v.get('mode')} for port {k}" for k, v in ports.items() if v.get("mode") != STRICT]
    return found


def _age(one: Data) -> tuple[str, str]:
    return one["metadata"].get("creationTimestamp", ""), one["metadata"]["name"]


def _selector(one: Data) -> dict[str, str]:
    found: dict[str, str] = one.get("spec", {}).get("selector", {}).get("matchLabels", {})
    return found


def refusals(callers: Iterable[Data], scope: Scope, since_s: float) -> list[Data]:
    """Callers that were refused in the last `since_s` seconds."""
    return [one for one in callers if scope.holds(one) and one["refused_s"] is not None and one["refused_s"] <= since_s]
