"""What the control API tells of proxies: their state, the resources they should have, and why those were computed.

Given a running Pilot (by the protocol below), gives plain data in Envoy's own words. Private keys are redacted: nothing
that Pilot knows of a key may leave it by this way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from argosy.core.errors import ArgosyError, Finding, Level
from argosy.core.names import ObjectKey
from argosy.edge import control_status
from argosy.envoy import api
from argosy.incr import Derived, Engine
from argosy.pilot.build.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET, VIRTUAL_HOST
from argosy.pilot.reporting import Switches, Watched
from argosy.pilot.world import World
from argosy.xds.messages import Snapshot

NO_SUCH_PROXY = "ARG0302"
NO_SUCH_COLLECTION = "ARG0704"
EXPLANATIONS_MAX = 20
STALE_S = 10.0
"""A proxy that is behind for so long does not answer, though its connection is there."""
SECTIONS: Mapping[str, str] = {
    "clusters": CLUSTER,
    "endpoints": ENDPOINT,
    "listeners": LISTENER,
    "routes": ROUTE,
    "secrets": SECRET,
}
"""The parts of a proxy's configuration by the names that the command line uses."""

_REDACTED = "[redacted]"
_PRIVATE = frozenset({"private_key", "private_key_provider", "password", "session_ticket_keys", "generic_secret"})


class StatusPort(control_status.StatusPort, Protocol):
    """One proxy's state; `app.proxy_status.ProxyStatus` is one."""

    @property
    def behind_since(self) -> float | None: ...
    @property
    def rejected(self) -> Mapping[str, tuple[tuple[str, ...], str]]: ...
    @property
    def held(self) -> Mapping[str, tuple[str, ...]]: ...


class ClientPort(Protocol):
    """One connected proxy."""

    @property
    def status(self) -> StatusPort: ...


class PilotPort(control_status.PilotPort, Protocol):
    """What the control API needs of Pilot; `app.pilot.Pilot` is one."""

    @property
    def clients(self) -> Mapping[int, ClientPort]: ...
    @property
    def world(self) -> World: ...
    async def wait_settled(self, deadline_s: float) -> Sequence[StatusPort]: ...
    def findings(self) -> list[Finding]: ...
    def now(self) -> float: ...

    def mtls_modes(self) -> list[dict[str, Any]]: ...
    def told_headers(self) -> Sequence[str]: ...
    def watch(self, name: str, places: frozenset[Watched], switches: Switches, *, lease_s: float) -> bool: ...


def dump_proxies(pilot: PilotPort) -> list[dict[str, Any]]:
    """Every connected proxy, sorted by pod. `state`: SYNCED, PENDING, HELD (waits for others), STALE (for long) or
    REJECTED; `behind_s`: for how long it has not run the newest configuration."""
    now = pilot.now()
    statuses = [client.status for client in pilot.clients.values()]
    return [_dump_status(status, now) for status in sorted(statuses, key=lambda status: status.pod)]


def _state(status: StatusPort, behind_s: float) -> str:
    if status.rejected:
        return "REJECTED"
    if status.settled >= status.offered:
        return "SYNCED"
    if status.held:
        return "HELD"
    return "STALE" if behind_s >= STALE_S else "PENDING"


def _dump_status(status: StatusPort, now: float) -> dict[str, Any]:
    behind_s = now - status.behind_since if status.behind_since is not None else 0.0
    state = _state(status, behind_s)
    return {
        "namespace": status.pod.namespace,
        "pod": status.pod.name,
        "role": status.proxy_class.role,
        "service_account": status.proxy_class.service_account,
        "labels": dict(status.proxy_class.labels),
        "offered": status.offered,
        "settled": status.settled,
        "state": state,
        "behind_s": round(behind_s, 1),
        "rejected": [
            {"type": type_url.rpartition(".")[2], "names": list(names), "error": text}
            for type_url, (names, text) in status.rejected.items()
        ],
        "held": [{"name": name, "waits_for": list(waits)} for name, waits in status.held.items()],
    }


def dump_proxy_config(pilot: PilotPort, pod: ObjectKey) -> dict[str, list[dict[str, Any]]]:
    """The newest resources of the pod's class by section, as Envoy's JSON, sorted by name, keys redacted.

    Errors: `ArgosyError` ARG0302 if no proxy of that pod is connected here.
    """
    status = next((one.status for one in pilot.clients.values() if one.status.pod == pod), None)
    if status is None:
        hint = "`argosy proxy-status` lists the connected proxies"
        raise ArgosyError(
            [Finding(NO_SUCH_PROXY, Level.ERROR, "no proxy of this pod is connected", "Pod", *pod, hint=hint)]
        )
    snapshot = pilot.world.current(status.proxy_class)
    dump = {section: _dump_type(snapshot, type_url) for section, type_url in SECTIONS.items()}
    for virtual_host in _dump_type(snapshot, VIRTUAL_HOST):
        route = virtual_host["name"].partition("/")[0]
        for configuration in dump["routes"]:
            if configuration["name"] == route:
                configuration.setdefault("virtual_hosts", []).append(virtual_host)
    return dump


def _dump_type(snapshot: Snapshot, type_url: str) -> list[dict[str, Any]]:
    resources = snapshot.of(type_url)
    name = type_url.removeprefix(api.TYPE_PREFIX)
    bodies = [resources[key].body for key in sorted(resources)]
    return [redact(api.to_dict(api.decode(name, body))) for body in bodies if body is not None]


def redact(value: Any) -> Any:
    """`value` without private parts of TLS secrets, at any depth."""
    if isinstance(value, dict):
        return {key: _REDACTED if key in _PRIVATE else redact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redact(item) for item in value]
    return value


def explain(pilot: PilotPort, collection: str, text: str) -> dict[str, Any]:
    """The engine's counts; with a collection: why its keys that contain `text` were last computed.

    Errors: `ArgosyError` ARG0704 for a collection that is not there.
    """
    engine = pilot.world.engine
    if not collection:
        return engine.dump()
    model = pilot.world.model
    parts = (*vars(model).values(), *vars(model.outbound).values())
    known = {one.name: one for one in parts if isinstance(one, Derived)}
    known |= {one.name: one for one in model.members.values()}
    derived = known.get(collection)
    if derived is None:
        hint = f"collections: {', '.join(sorted(known))}"
        raise ArgosyError.of(NO_SUCH_COLLECTION, f"nothing is derived as {collection!r}", hint=hint)
    keys = [key for key, node in derived.nodes.items() if text in repr(key) and node.ran_at >= 0]
    shown = [_explain(engine, derived, key) for key in keys[:EXPLANATIONS_MAX]]
    return {"collection": collection, "matching": len(keys), "keys": shown}


def _explain(engine: Engine, derived: Derived[Any, Any], key: Any) -> dict[str, Any]:
    told = engine.explain(derived, key)
    return {
        "key": repr(key),
        "commit": told.commit,
        "cause": str(told.cause) if told.cause is not None else "asked for the first time",
        "outcome": str(told.outcome),
        "reads": [str(read) for read in told.reads],
        "failure": repr(told.failure.exception) if told.failure is not None else None,
    }
