"""A fake Envoy: the client's half of ADS, driven in the order in which Envoy asks, without any I/O.

Given the server's responses as bytes; gives requests as bytes, and what it holds. Clusters come first; the endpoints
of EDS clusters are asked for by name; once they are all there listeners follow, then filters and routes they name, then
virtual hosts. Like Envoy it takes in only virtual hosts of route configurations that it has. Everything is accepted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from argosy.core.names import REPORT_RUNTIME
from argosy.envoy import api
from argosy.pilot.build.resource import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, RUNTIME, VIRTUAL_HOST
from argosy.xds import DeltaClient, Resource, Update, wire

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def node_bytes(*, role: str, address: str, pod: str, namespace: str) -> bytes:
    """A node as an Argosy bootstrap names it."""
    identity = f"{role}~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local"
    return api.encode(api.message("envoy.config.core.v3.Node")(id=identity, cluster=pod, user_agent_name="envoy"))


@dataclass(slots=True)
class Reading:
    """Resources that were decoded, and the names that they refer to: once for all fakes that share a reading."""

    keep_bodies: bool = False
    """Keep what was received, not only its name and version."""
    _resources: dict[bytes, Resource] = field(default_factory=dict)
    _names: dict[Resource, tuple[str, ...]] = field(default_factory=dict)
    _extensions: dict[Resource, tuple[str, ...]] = field(default_factory=dict)

    def decode(self, data: bytes, type_url: str) -> Resource:
        """The resource in `data`; of equal ones always the same object."""
        known = self._resources.get(data)
        if known is None:
            full = wire.decode_resource(data, type_url)
            known = self._resources[data] = full if self.keep_bodies else replace(full, body=None)
            self._names[known] = tuple(_refers_to(full))
            self._extensions[known] = tuple(_discovers(full))
        return known

    def refers_to(self, resource: Resource) -> tuple[str, ...]:
        """Names of the endpoints of a cluster, or of the routes of a listener."""
        return self._names[resource]

    def discovers(self, resource: Resource) -> tuple[str, ...]:
        """Names of the filters that a listener discovers."""
        return self._extensions[resource]


class FakeEnvoy:
    """One proxy over any number of streams, one at a time."""

    def __init__(self, node: bytes, reading: Reading) -> None:
        self.held: dict[str, dict[str, Resource]] = {
            url: {} for url in (RUNTIME, CLUSTER, ENDPOINT, LISTENER, EXTENSION, ROUTE, VIRTUAL_HOST)
        }
        self.responses = 0
        self.resources = 0
        self.received_bytes = 0
        self.reconnects = 0
        self._reading = reading
        self._client = DeltaClient(node)
        self._asked: set[str] = set()
        self._awaited: set[str] = set()
        self._client.subscribe(RUNTIME, [REPORT_RUNTIME])
        self._ask_for_all(CLUSTER)

    def connect(self) -> None:
        """Begin a stream."""
        self._client.connect()

    def disconnect(self) -> None:
        """End the stream; what is held stays."""
        self.reconnects += 1
        self._client.disconnect()

    def receive(self, data: bytes) -> None:
        """Take one response and acknowledge it."""
        response = wire.decode_delta_response(data, self._reading.decode)
        self.responses += 1
        self.resources += len(response.resources)
        self.received_bytes += len(data)
        self._client.receive(response)
        for event in self._client.events():
            assert isinstance(event, Update), event
            self._apply(event)
            self._client.accept(event.nonce)

    def outbox(self) -> list[bytes]:
        """Requests to write now, in order."""
        return [wire.encode_delta_request(request) for request in self._client.outbox()]

    def _apply(self, update: Update) -> None:
        held = self.held[update.type_url]
        known = (one for one in update.resources if update.type_url != VIRTUAL_HOST or self._has_route(one.name))
        if update.type_url in (CLUSTER, LISTENER):
            before, found = self._referred(held.values()), self._discovered(held.values())
            held.update((one.name, one) for one in known)
            for name in update.removed:
                held.pop(name, None)
            self._follow(EXTENSION, found, self._discovered(held.values()))
            self._follow(ENDPOINT if update.type_url == CLUSTER else ROUTE, before, self._referred(held.values()))
        else:
            held.update((one.name, one) for one in known)
            for name in update.removed:
                held.pop(name, None)
        self._advance(update)

    def _has_route(self, virtual_host: str) -> bool:
        return virtual_host.partition("/")[0] in self.held[ROUTE]

    def _referred(self, resources: Iterable[Resource]) -> set[str]:
        return {name for one in resources for name in self._reading.refers_to(one)}

    def _discovered(self, resources: Iterable[Resource]) -> set[str]:
        return {name for one in resources for name in self._reading.discovers(one)}

    def _follow(self, type_url: str, before: set[str], after: set[str]) -> None:
        """Ask for what is newly referred to, and no more for what nothing refers to."""
        gone, new = before - after, after - before
        if new:
            self._client.subscribe(type_url, sorted(new))
        if gone:
            self._client.unsubscribe(type_url, sorted(gone))
            for name in gone:
                self.held[type_url].pop(name, None)
        if type_url == ENDPOINT:
            self._awaited = (self._awaited | new) - gone

    def _advance(self, update: Update) -> None:
        """Ask for the next type once what it rests on is there."""
        if update.type_url == ENDPOINT:
            self._awaited.difference_update(one.name for one in update.resources)
            self._awaited.difference_update(update.removed)
        if update.type_url in (CLUSTER, ENDPOINT) and not self._awaited:
            self._ask_for_all(LISTENER)
        if update.type_url == ROUTE:
            self._ask_for_all(VIRTUAL_HOST)

    def _ask_for_all(self, type_url: str) -> None:
        if type_url not in self._asked:
            self._asked.add(type_url)
            self._client.subscribe(type_url)


def _refers_to(resource: Resource) -> list[str]:
    if resource.type_url == CLUSTER:
        cluster = api.decode("envoy.config.cluster.v3.Cluster", resource.body or b"")
        return (
            [cluster.eds_cluster_config.service_name or cluster.name] if cluster.HasField("eds_cluster_config") else []
        )
    return [one.rds.route_config_name for one in _managers(resource) if one.HasField("rds")]


def _discovers(resource: Resource) -> list[str]:
    filters = [one for manager in _managers(resource) for one in manager.http_filters]
    return [one.name for one in filters if one.HasField("config_discovery")]


def _managers(resource: Resource) -> list[Any]:
    """The HTTP connection managers of a listener."""
    if resource.type_url != LISTENER:
        return []
    listener = api.decode("envoy.config.listener.v3.Listener", resource.body or b"")
    packed = [one.typed_config for chain in listener.filter_chains for one in chain.filters]
    return [api.decode(_HCM, one.value) for one in packed if one.type_url.endswith(_HCM)]


__all__ = ["FakeEnvoy", "Reading", "node_bytes"]
