"""A fake Envoy and a server's stream, tied together in memory, byte for byte as over gRPC.

Given a world and a fake; gives what was sent, as counts. One `pump` goes on until neither side has anything to say.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from argosy.pilot.classes import ProxyClass
from argosy.pilot.world import Outcome, World
from argosy.testing.fake_envoy import FakeEnvoy
from argosy.xds import wire
from argosy.xds.messages import DeltaResponse
from argosy.xds.server import DeltaStream, Event, Interner, Rules


@dataclass(slots=True)
class Sent:
    """What went to one proxy: responses as they were sent, and their bytes."""

    responses: list[DeltaResponse] = field(default_factory=list)
    total_bytes: int = 0

    @property
    def names(self) -> list[str]:
        """Names of all resources sent, in order."""
        return [one.name for response in self.responses for one in response.resources]

    @property
    def removed(self) -> list[str]:
        """Names of all resources taken away, in order."""
        return [name for response in self.responses for name in response.removed_resources]


class Line:
    """One proxy of a class, connected."""

    def __init__(
        self, world: World, proxy_class: ProxyClass, fake: FakeEnvoy, rules: Rules, interner: Interner
    ) -> None:
        self.proxy_class = proxy_class
        self.fake = fake
        self.events: list[Event] = []
        self._stream = DeltaStream(rules, interner)
        self._stream.offer(world.join(proxy_class), None)
        fake.connect()

    def offer(self, outcome: Outcome) -> None:
        """Take what a commit offers to this proxy's class."""
        for one in outcome.offers:
            if one.proxy_class == self.proxy_class:
                self._stream.offer(one.snapshot, one.changes)

    def pump(self, now: float = 0.0) -> Sent:
        """Carry bytes both ways until both are silent."""
        sent = Sent()
        while True:
            requests = self.fake.outbox()
            for data in requests:
                self._stream.receive(wire.decode_delta_request(data), now)
            responses = self._stream.outbox(now)
            for response in responses:
                encoded = wire.encode_delta_response(response)
                sent.responses.append(response)
                sent.total_bytes += len(encoded)
                self.fake.receive(encoded)
            self.events += self._stream.events()
            if not requests and not responses:
                return sent
