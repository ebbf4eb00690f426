"""Both halves of delta xDS over bytes and a wire that breaks: they converge, whatever is lost (X48)."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.xds.client import DeltaClient, Update
from argosy.xds.messages import Resource, Snapshot, changes_between
from argosy.xds.server import DeltaStream, Interner, Rules, Settled
from argosy.xds.wire import (
    decode_delta_request,
    decode_delta_response,
    encode_delta_request,
    encode_delta_response,
)

T, U = "t/one", "t/two"
RULES = Rules(order=(T, U), restate_s=1.0)
NAMES = tuple("abcdef")


def world(rnd: Random, number: int) -> Snapshot:
    groups = {
        kind: {n: Resource(kind, n, str(rnd.randint(1, 2)), n.encode()) for n in rnd.sample(NAMES, rnd.randint(0, 6))}
        for kind in (T, U)
    }
    return Snapshot(number, groups)


class Wire:
    """A client that lives on, streams that come and go, and what the client's owner has."""

    def __init__(self, rnd: Random) -> None:
        self.rnd, self.now, self.number = rnd, 0.0, 1
        self.snapshot = world(rnd, 1)
        self.client = DeltaClient(b"node")
        self.client.subscribe(T)
        self.client.subscribe(U, NAMES[:3])
        self.wanted = set(NAMES[:3])
        self.store: dict[str, dict[str, bytes]] = {T: {}, U: {}}
        self.connect()

    def connect(self) -> None:
        self.stream = DeltaStream(RULES, Interner(), stream_id=f"{self.number}.{self.now}-")
        self.stream.offer(self.snapshot, None)
        self.client.connect()

    def exchange(self) -> bool:
        requests, responses = self.client.outbox(), []
        for request in requests:
            self.stream.receive(decode_delta_request(encode_delta_request(request)), self.now)
        for response in self.stream.outbox(self.now, 700):
            responses.append(response)
            self.client.receive(decode_delta_response(encode_delta_response(response)))
        for event in self.client.events():
            assert isinstance(event, Update), event
            store = self.store[event.type_url]
            store.update((r.name, r.version.encode()) for r in event.resources)
            for name in event.removed:
                store.pop(name, None)
            self.client.accept(event.nonce)
        return bool(requests or responses)

    def wait(self) -> bool:
        """Let the time come at which the stream has something to say by itself."""
        due = self.stream.next_due()
        self.now = self.now if due is None else due
        return due is not None

    def step(self) -> None:
        what = self.rnd.choice(("exchange", "exchange", "offer", "lose", "names"))
        self.now += self.rnd.choice((0.0, 0.5, 5.0))
        if what == "exchange":
            self.exchange()
        elif what == "offer":
            self.number += 1
            new = world(self.rnd, self.number)
            self.stream.offer(new, changes_between(self.snapshot, new) if self.rnd.random() < 0.7 else None)
            self.snapshot = new
        elif what == "lose":
            if self.rnd.random() < 0.5:  # responses or answers that never arrive
                self.client.outbox() if self.rnd.random() < 0.5 else self.stream.outbox(self.now)
            self.client.disconnect()
            self.connect()
        else:
            name = self.rnd.choice(NAMES)
            if name in self.wanted:
                self.wanted.discard(name)
                self.client.unsubscribe(U, [name])
                self.store[U].pop(name, None)
            else:
                self.wanted.add(name)
                self.client.subscribe(U, [name])


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 1 << 32), steps=st.integers(1, 60))
def test_both_halves_converge_under_loss_and_reconnect(seed: int, steps: int) -> None:
    wire = Wire(Random(seed))
    for _ in range(steps):
        wire.step()
    wire.now += 10
    rounds = 0
    while wire.exchange() or wire.wait():
        rounds += 1
        assert rounds < 40, "they never fall silent"
    goal_t = {n: r.version for n, r in wire.snapshot.of(T).items()}
    goal_u = {n: r.version for n, r in wire.snapshot.of(U).items() if n in wire.wanted}
    assert {n: v.decode() for n, v in wire.store[T].items()} == goal_t == wire.client.held(T)
    assert {n: v.decode() for n, v in wire.store[U].items()} == goal_u == wire.client.held(U)
    assert Settled(wire.number) in wire.stream.events()
