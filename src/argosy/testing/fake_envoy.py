"""A fake Envoy: the client's half of ADS, driven in the order in which Envoy asks, without any I/O.

Given the server's responses as bytes; gives requests as bytes, and what it holds. Clusters come first; the endpoints
of EDS clusters are asked for by name, then listeners, then the routes that they name. Everything is acknowledged.
Like Envoy, it takes its listeners only when the endpoints of all clusters are there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from argosy.envoy import api
from argosy.pilot.build.resource import CLUSTER, ENDPOINT, LISTENER, ROUTE
from argosy.xds import DeltaClient, Resource, Update, wire

_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def node_bytes(*, role: str, address: str, pod: str, namespace: str) -> bytes:
    """A node as an Argosy bootstrap names it."""
    identity = f"{role}~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local"
    return api.encode(api.message("envoy.config.core.v3.Node")(id=identity, cluster=pod, user_agent_name="envoy"))


@dataclass(slots=True)
class Reading:
    """What resources refer to, read once for all fakes of a process: equal resources are one object."""

    shared: dict[tuple[str, str, str], Resource] = field(default_factory=dict)
    names: dict[tuple[str, str, str], tuple[str, ...]] = field(default_factory=dict)

    def share(self, resource: Resource, *, keep_bodies: bool) -> Resource:
        """The one object equal to `resource`."""
        key = (resource.type_url, resource.name, resource.version)
        known = self.shared.get(key)
        if known is None:
            self.names[key] = tuple(_refers_to(resource))
            known = self.shared[key] = resource if keep_bodies else replace(resource, body=None)
        return known

    def refers_to(self, resource: Resource) -> tuple[str, ...]:
        """Names of the endpoints of a cluster, or of the routes of a listener."""
        return self.names[resource.type_url, resource.name, resource.version]


class FakeEnvoy:
    """One proxy over any number of streams, one at a time."""

    def __init__(self, node: bytes, reading: Reading, *, keep_bodies: bool = False) -> None:
        """`keep_bodies`: keep what was received, not only its versions."""
        self.held: dict[str, dict[str, Resource]] = {url: {} for url in (CLUSTER, ENDPOINT, LISTENER, ROUTE)}
        self.responses = 0
        self.resources = 0
        self.received_bytes = 0
        self._reading = reading
        self._keep_bodies = keep_bodies
        self._client = DeltaClient(node)
        self._client.subscribe(CLUSTER)
        self._awaited: set[str] = set()

    def connect(self) -> None:
        """Begin a stream."""
        self._client.connect()

    def disconnect(self) -> None:
        """End the stream; what is held stays."""
        self._client.disconnect()

    def receive(self, data: bytes) -> None:
        """Take one response and acknowledge it."""
        self.responses += 1
        self.received_bytes += len(data)
        response = wire.decode_delta_response(data)
        shared = tuple(self._reading.share(one, keep_bodies=self._keep_bodies) for one in response.resources)
        self._client.receive(replace(response, resources=shared))
        for event in self._client.events():
            assert isinstance(event, Update), event
            self._apply(event)
            self._client.accept(event.nonce)

    def outbox(self) -> list[bytes]:
        """Requests to write now, in order."""
        return [wire.encode_delta_request(request) for request in self._client.outbox()]

    def _apply(self, update: Update) -> None:
        self.resources += len(update.resources)
        held = self.held[update.type_url]
        before = {name for one in held.values() for name in self._reading.refers_to(one)}
        held.update((one.name, one) for one in update.resources)
        for name in update.removed:
            held.pop(name, None)
        if update.type_url == ENDPOINT:
            self._awaited.difference_update(one.name for one in update.resources)
            self._awaited.difference_update(update.removed)
        elif update.type_url in (CLUSTER, LISTENER):
            self._follow(update.type_url, before)
        if not self._awaited and update.type_url in (CLUSTER, ENDPOINT):
            self._ask_for_listeners()

    def _follow(self, type_url: str, before: set[str]) -> None:
        """Ask for what new resources refer to, and no more for what none does."""
        wanted = {name for one in self.held[type_url].values() for name in self._reading.refers_to(one)}
        target = ENDPOINT if type_url == CLUSTER else ROUTE
        if wanted - before:
            self._client.subscribe(target, sorted(wanted - before))
        if before - wanted:
            self._client.unsubscribe(target, sorted(before - wanted))
            for name in before - wanted:
                self.held[target].pop(name, None)
        if target == ENDPOINT:
            self._awaited |= wanted - before
            self._awaited &= wanted

    def _ask_for_listeners(self) -> None:
        if not self._client.held(LISTENER) and not self.held[LISTENER]:
            self._client.subscribe(LISTENER)


def _refers_to(resource: Resource) -> list[str]:
    if resource.type_url == CLUSTER:
        cluster = api.decode("envoy.config.cluster.v3.Cluster", resource.body or b"")
        return (
            [cluster.eds_cluster_config.service_name or cluster.name] if cluster.HasField("eds_cluster_config") else []
        )
    if resource.type_url == LISTENER:
        listener = api.decode("envoy.config.listener.v3.Listener", resource.body or b"")
        return [name for chain in listener.filter_chains for one in chain.filters for name in _routes_of(one)]
    return []


def _routes_of(network_filter: Any) -> list[str]:
    packed = network_filter.typed_config
    if not packed.type_url.endswith(_HCM):
        return []
    manager = api.decode(_HCM, packed.value)
    return [manager.rds.route_config_name] if manager.HasField("rds") else []


__all__ = ["FakeEnvoy", "Reading", "node_bytes"]
