"""The client's end of delta xDS, without any I/O: subscriptions, updates to accept or reject, reconnecting.

Given:   what to subscribe to, the server's responses, and the owner's verdict on each update.
Gives:   requests in the order in which they must be written, and updates as events.
Must not keep resources (the owner does) beyond the versions that a reconnect has to restate.
Source:  xDS protocol, "Incremental xDS".

An update counts as held only once it is accepted; one that is rejected leaves the versions as they were, as Envoy
does, so a server resends on the next stream what it cannot know to be held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from argosy.xds.messages import WILDCARD, DeltaRequest, DeltaResponse, ErrorDetail, Resource

INVALID_ARGUMENT = 3
"""google.rpc.Code of the refusals that this module makes itself."""


@dataclass(frozen=True, slots=True)
class Update:
    """A response to be applied, and then accepted or rejected by its nonce."""

    type_url: str
    nonce: str
    resources: tuple[Resource, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A response that breaks the protocol; it was rejected without asking the owner."""

    type_url: str
    nonce: str
    reason: str


ClientEvent = Update | Malformed


@dataclass(slots=True)
class _Subscription:
    """What is asked of one type, what of that the server has not been told on this stream, and what is held."""

    names: dict[str, None] = field(default_factory=dict)
    untold: dict[str, bool] = field(default_factory=dict)  # True: subscribe, False: unsubscribe
    versions: dict[str, str] = field(default_factory=dict)
    started: bool = False  # the type's first request on this stream was made


class DeltaClient:
    """One client over any number of streams, one at a time."""

    def __init__(self, node: object | None = None) -> None:
        """Start disconnected; `node` goes with the first request of each stream."""
        self._node = node
        self._types: dict[str, _Subscription] = {}
        self._open: dict[str, Update] = {}  # updates without a verdict, by nonce
        self._answers: list[DeltaRequest] = []
        self._events: list[ClientEvent] = []
        self._connected = False
        self._node_told = False

    # -- the owner's wishes

    def subscribe(self, type_url: str, names: Iterable[str] = (WILDCARD,)) -> None:
        """Ask for names (`*`: all). A name asked for again is sent again by the server."""
        subscription = self._types.setdefault(type_url, _Subscription())
        for name in names:
            subscription.names[name] = None
            subscription.untold[name] = True

    def unsubscribe(self, type_url: str, names: Iterable[str]) -> None:
        """Drop names; what was held under them only is forgotten. Unknown names are ignored."""
        subscription = self._types.get(type_url)
        if subscription is None:
            return
        for name in names:
            if name in subscription.names:
                del subscription.names[name]
                subscription.untold[name] = False
        if WILDCARD not in subscription.names:
            kept = {n: v for n, v in subscription.versions.items() if n in subscription.names}
            subscription.versions = kept

    def held(self, type_url: str) -> Mapping[str, str]:
        """Give the accepted versions of one type by name."""
        subscription = self._types.get(type_url)
        return {} if subscription is None else dict(subscription.versions)

    # -- the stream's life

    def connect(self) -> None:
        """Begin a stream: everything is stated anew, with the versions held. Open updates of an old one are void."""
        self._connected, self._node_told = True, False
        self._open.clear()
        self._answers.clear()
        for subscription in self._types.values():
            subscription.started = False

    def disconnect(self) -> None:
        """End the stream; verdicts on its updates are ignored from now on."""
        self._connected = False
        self._open.clear()
        self._answers.clear()

    # -- responses and verdicts

    def receive(self, response: DeltaResponse) -> None:
        """Take one response: it becomes an `Update`, or is rejected here if it breaks the protocol."""
        reason = self._fault(response)
        if reason:
            self._events.append(Malformed(response.type_url, response.nonce, reason))
            subscription = self._types.get(response.type_url)
            if response.nonce and subscription is not None and subscription.started:
                self._answer(response.type_url, response.nonce, ErrorDetail(INVALID_ARGUMENT, reason))
            return
        update = Update(response.type_url, response.nonce, response.resources, response.removed_resources)
        self._open[response.nonce] = update
        self._events.append(update)

    def _fault(self, response: DeltaResponse) -> str:
        if not self._connected:
            return "response without a stream"
        if not response.nonce:
            return "response without a nonce"
        subscription = self._types.get(response.type_url)
        if subscription is None or not subscription.started:
            return f"nothing of type {response.type_url} was asked for"
        if response.nonce in self._open:
            return f"nonce {response.nonce} is used twice"
        seen: set[str] = set()
        for name in (*(resource.name for resource in response.resources), *response.removed_resources):
            if name in seen:
                return f"{name} occurs twice in one response"
            seen.add(name)
        for resource in response.resources:
            if resource.type_url != response.type_url:
                return f"{resource.name} is of type {resource.type_url}, not {response.type_url}"
            if not resource.name:
                return "resource without a name"
        return ""

    def accept(self, nonce: str) -> None:
        """Acknowledge an update that has been applied whole. An unknown nonce (an ended stream's) is ignored."""
        update = self._open.pop(nonce, None)
        if update is None:
            return
        subscription = self._types[update.type_url]
        for resource in update.resources:
            if self._wants(subscription, resource):
                subscription.versions[resource.name] = resource.version
        for name in update.removed:
            subscription.versions.pop(name, None)
        self._answer(update.type_url, nonce, None)

    @staticmethod
    def _wants(subscription: _Subscription, resource: Resource) -> bool:
        names = subscription.names
        return WILDCARD in names or any(name in names for name in (resource.name, *resource.aliases))

    def reject(self, nonce: str, detail: ErrorDetail) -> None:
        """Refuse an update. The text should name the bad resources. An unknown nonce is ignored."""
        update = self._open.pop(nonce, None)
        if update is not None:
            self._answer(update.type_url, nonce, detail)

    def _answer(self, type_url: str, nonce: str, detail: ErrorDetail | None) -> None:
        self._answers.append(DeltaRequest(type_url, response_nonce=nonce, error_detail=detail))

    # -- output

    def outbox(self) -> list[DeltaRequest]:
        """Give what must be written now: answers first, then one request per type with news about its names."""
        if not self._connected:
            return []
        requests, self._answers = self._answers, []
        for type_url, subscription in self._types.items():
            if not subscription.started:
                if subscription.names:  # a first request without names would ask for all
                    requests.append(self._first_request(type_url, subscription))
            elif subscription.untold:
                told = subscription.untold
                subscribe = tuple(name for name, wanted in told.items() if wanted)
                unsubscribe = tuple(name for name, wanted in told.items() if not wanted)
                requests.append(DeltaRequest(type_url, subscribe, unsubscribe))
            subscription.untold = {}
        return requests

    def _first_request(self, type_url: str, subscription: _Subscription) -> DeltaRequest:
        subscription.started = True
        node = None if self._node_told else self._node
        self._node_told = True
        names = tuple(subscription.names)
        return DeltaRequest(type_url, names, initial_resource_versions=dict(subscription.versions), node=node)

    def events(self) -> list[ClientEvent]:
        """Hand out updates and faults since the last call."""
        events, self._events = self._events, []
        return events

    def dump(self) -> dict[str, object]:
        """Give subscriptions, held versions and open updates as plain data."""
        types = {
            url: {"names": list(sub.names), "versions": dict(sub.versions), "untold": dict(sub.untold)}
            for url, sub in self._types.items()
        }
        return {"connected": self._connected, "types": types, "open": list(self._open)}
