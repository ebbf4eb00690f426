"""The control API's view of objects: who runs each, who does not yet, who refused it, and whom it is about at all.

Given Pilot's clients, what its streams say of themselves, and `pilot.effects` for who is concerned; gives plain data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from argosy.api.kinds import KINDS as ALL_KINDS
from argosy.api.meta import Object
from argosy.api.workload import HEALTH
from argosy.core.errors import ArgosyError, Finding, Level
from argosy.core.names import ObjectKey
from argosy.pilot.classes import ProxyClass, class_of_pod
from argosy.pilot.effects import Effect, Effects, Facts
from argosy.pilot.mesh import KINDS
from argosy.pilot.quarantine import Quarantine
from argosy.xds.messages import ResourceRef

NO_SUCH_OBJECT = "ARG0302"
NOT_FOR_PROXIES = "ARG0713"
STATUS_KINDS = tuple(kind for kind in KINDS if kind not in ("Pod", HEALTH))
"""Kinds whose objects make something of a proxy's configuration."""


class State(StrEnum):
    """How far an object is, at one proxy or (the worst of them) as a whole. In order of urgency."""

    REJECTED = "REJECTED"
    """The proxy refused it and keeps what it had; or it is left out, because a proxy refused it."""
    PENDING = "PENDING"
    """It is not sent yet, waits for something else, or is not answered yet."""
    STALE = "STALE"
    """The proxy was connected, and is not: it keeps what it had."""
    NEVER = "NEVER"
    """The proxy has not connected to this Pilot."""
    CURRENT = "CURRENT"
    """The proxy runs it."""
    UNUSED = "UNUSED"
    """Nobody's configuration would be another without it."""


class StatusPort(Protocol):
    """One connected proxy's state."""

    @property
    def pod(self) -> ObjectKey: ...
    @property
    def proxy_class(self) -> ProxyClass: ...
    @property
    def offered(self) -> int: ...
    @property
    def settled(self) -> int: ...


class ClientPort(Protocol):
    """One connected proxy."""

    @property
    def status(self) -> StatusPort: ...


class PilotPort(Protocol):
    """What is needed of Pilot; `app.pilot.Pilot` is one."""

    @property
    def clients(self) -> Mapping[int, ClientPort]: ...
    @property
    def objects(self) -> Mapping[tuple[str, ObjectKey], Object[Any]]: ...
    @property
    def quarantine(self) -> Quarantine: ...
    @property
    def gone(self) -> set[ObjectKey]:
        """Pods whose proxies were connected and are not."""
        ...

    def facts(self) -> Facts:
        """A copy of all that Pilot was told."""
        ...


@dataclass(frozen=True, slots=True)
class _Proxy:
    """One proxy that should be served. `types`: its stream's account by type URL; None if it has no stream."""

    pod: ObjectKey
    proxy_class: ProxyClass
    types: Mapping[str, Mapping[str, Any]] | None
    settled: bool = False
    was_here: bool = False


async def object_status(
    pilot: PilotPort, streams: Iterable[Mapping[str, Any]], kinds: Sequence[str], namespace: str, name: str
) -> list[dict[str, Any]]:
    """The status of all objects of `kinds`; of one namespace, or of one name, where given.

    Errors: `ArgosyError` ARG0713 for kinds that proxies are not made of, ARG0302 if there is no object of that name.
    """
    for kind in kinds:
        if kind not in STATUS_KINDS:
            hint = f"kinds of which proxies are made: {', '.join(STATUS_KINDS)}"
            raise ArgosyError.of(NOT_FOR_PROXIES, f"no proxy is configured by a {kind}", hint=hint)
    wanted = [
        (kind, key)
        for kind, key in pilot.objects
        if kind in kinds and (not name or key.name == name) and namespace in ("", key.namespace)
    ]
    if name and not wanted:
        what = Finding(NO_SUCH_OBJECT, Level.ERROR, "Pilot knows no such object", kinds[0], namespace, name)
        raise ArgosyError([what])
    proxies, facts, order = _proxies(pilot, streams), pilot.facts(), {kind: n for n, kind in enumerate(ALL_KINDS)}
    wanted.sort(key=lambda one: (order.get(one[0], 0), one[1]))
    # The proxies' state is taken first: what they do meanwhile is no answer to what they were asked.
    effects = await asyncio.to_thread(_effects, facts, [one.proxy_class for one in proxies], wanted)
    return [_row(facts, kind, key, effects[kind, key], proxies, pilot.quarantine) for kind, key in wanted]


def _effects(
    facts: Facts, classes: Sequence[ProxyClass], wanted: Iterable[tuple[str, ObjectKey]]
) -> dict[tuple[str, ObjectKey], Effect]:
    world = Effects(facts, classes)
    return {(kind, key): world.of(kind, key) for kind, key in wanted}


def _proxies(pilot: PilotPort, streams: Iterable[Mapping[str, Any]]) -> list[_Proxy]:
    accounts = {one["client"]: one["session"]["types"] for one in streams}
    found = {}
    for client in pilot.clients.values():
        status = client.status
        settled = status.settled >= status.offered
        found[status.pod] = _Proxy(status.pod, status.proxy_class, accounts.get(str(status.pod), {}), settled)
    for (kind, key), pod in pilot.objects.items():
        if kind == "Pod" and key not in found and pod.annotations.get("argosy.io/sidecar") == "true":
            found[key] = _Proxy(key, class_of_pod(pod), None, was_here=key in pilot.gone)
    return [found[key] for key in sorted(found)]


def _row(
    facts: Facts, kind: str, key: ObjectKey, effect: Effect, proxies: Sequence[_Proxy], quarantine: Quarantine
) -> dict[str, Any]:
    refused = quarantine.held.get(key) if kind == "EnvoyFilter" else None
    rows = []
    for one in proxies:
        refs = effect.get(one.proxy_class)
        if refs is None:
            continue
        if refused is not None:
            state, reason = State.REJECTED, f"left out: {refused.pod} refused {refused.ref.name}: {refused.text}"
        else:
            state, reason = state_of(one.types, refs, settled=one.settled, was_here=one.was_here)
        names = sorted({f"{ref.type_url.rpartition('.')[2]} {ref.name}" for ref in refs})
        shown = {"namespace": one.pod.namespace, "pod": one.pod.name, "state": state.value}
        rows.append({**shown, "reason": " ".join(reason.split()), "resources": names})
    order = list(State)
    worst = min((State(str(row["state"])) for row in rows), key=order.index, default=State.UNUSED)
    return {
        "kind": kind,
        "namespace": key.namespace,
        "name": key.name,
        "origin": str(facts.objects[kind, key].origin),
        "state": worst.value,
        "proxies": rows,
    }


def state_of(
    types: Mapping[str, Mapping[str, Any]] | None,
    refs: Iterable[ResourceRef],
    *,
    settled: bool = False,
    was_here: bool = False,
) -> tuple[State, str]:
    """How far some resources are at one proxy, and why not further.

    `types`: the account of its stream (`Session.dump`), None without one; `settled`: it runs all that it was offered.
    """
    if types is None:
        return (State.STALE, "not connected any more") if was_here else (State.NEVER, "not connected yet")
    waiting = ""
    for ref in sorted(refs, key=lambda one: (one.type_url, one.name)):
        account = types.get(ref.type_url)
        if account is None:
            waiting = waiting or ("" if settled else f"{ref.name} was not asked for yet")
            continue
        if ref.name in account["refused"]:
            error = account["last_error"]
            return State.REJECTED, f"{ref.name}: {error['message'] if error else 'refused'}"
        if ref.name in account["held_back"]:
            waiting = f"{ref.name} waits for {', '.join(_short(one) for one in account['held_back'][ref.name])}"
        elif any(ref.name in names for names in account["in_flight"].values()):
            waiting = waiting or f"{ref.name} is sent and not answered yet"
        elif ref.name in account["pending"]:
            waiting = waiting or f"{ref.name} is not sent yet"
    return (State.PENDING, waiting) if waiting else (State.CURRENT, "")


def _short(ref: str) -> str:
    """A reference without its type's address: `type.googleapis.com/a.b.Cluster x` -> `Cluster x`."""
    type_url, _space, name = ref.partition(" ")
    return f"{type_url.rpartition('.')[2]} {name}"
