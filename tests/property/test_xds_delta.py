"""Random lives of a delta stream against a model of Envoy: warming, refusals, stale answers, reconnects (X48)."""

from collections import deque
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.xds.messages import (
    DeltaRequest,
    DeltaResponse,
    ErrorDetail,
    Resource,
    ResourceRef,
    Snapshot,
    changes_between,
)
from argosy.xds.server import DeltaStream, Interner, Rules

C, E, L, R = "t/cluster", "t/endpoints", "t/listener", "t/route"
RULES = Rules(order=(C, E, L, R), restate_s=1.0, hold_timeout_s=15.0)
CLUSTERS = tuple(f"c{i}" for i in range(5))
ROUTES = tuple(f"r{i}" for i in range(4))
LISTENERS = ("l0", "l1")


class World:
    """A consistent configuration that can be changed at random; versions starting with "bad" are refused."""

    def __init__(self, rnd: Random) -> None:
        self.rnd, self.number, self.count = rnd, 0, 0
        self.clusters: dict[str, str] = {}
        self.endpoints: dict[str, str] = {}
        self.users: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {L: {}, R: {}}
        self.last: Snapshot | None = None

    def version(self, may_be_bad: bool) -> str:
        self.count += 1
        return f"{'bad' if may_be_bad and self.rnd.random() < 0.2 else 'v'}{self.count}"

    def mutate(self) -> None:
        rnd = self.rnd
        what = rnd.choice(("cluster", "cluster", "endpoints", "route", "route", "drop", "drop cluster", "listener"))
        if what == "cluster":
            self.add_cluster()
        elif what == "endpoints" and self.clusters:
            self.endpoints[rnd.choice(sorted(self.clusters))] = self.version(True)
        elif what in ("route", "listener"):
            type_url, names, bad = (R, ROUTES, True) if what == "route" else (L, LISTENERS, False)
            uses = tuple(sorted(rnd.sample(sorted(self.clusters), rnd.randint(0, min(2, len(self.clusters))))))
            self.users[type_url][rnd.choice(names)] = (self.version(bad), uses)
        elif what == "drop":
            users = self.users[rnd.choice((L, R))]
            if users:
                del users[rnd.choice(sorted(users))]
        elif what == "drop cluster" and self.clusters:
            name = rnd.choice(sorted(self.clusters))
            del self.clusters[name]
            del self.endpoints[name]
            if rnd.random() < 0.5:
                self.add_cluster()
            for type_url, users in self.users.items():
                for user, (_, uses) in list(users.items()):
                    if name in uses:
                        left = {u for u in uses if u != name}.union(self.any_use())
                        users[user] = (self.version(type_url == R), tuple(sorted(left)))

    def add_cluster(self) -> None:
        name = self.rnd.choice(CLUSTERS)
        self.clusters[name] = self.version(True)
        self.endpoints.setdefault(name, self.version(False))

    def any_use(self) -> tuple[str, ...]:
        return tuple(self.rnd.sample(sorted(self.clusters), 1)) if self.clusters else ()

    def snapshot(self) -> Snapshot:
        self.number += 1
        groups = {
            C: [Resource(C, n, v, b"", companions=(ResourceRef(E, n),)) for n, v in self.clusters.items()],
            E: [Resource(E, n, v, b"") for n, v in self.endpoints.items()],
        }
        for type_url, users in self.users.items():
            groups[type_url] = [
                Resource(type_url, n, v, b"", requires=tuple(ResourceRef(C, u) for u in uses))
                for n, (v, uses) in users.items()
            ]
        return Snapshot(self.number, {t: {r.name: r for r in group} for t, group in groups.items()})


class Client:
    """Envoy as far as xDS goes: clusters warm until their endpoints come, and answers to them wait for that."""

    def __init__(self, rnd: Random) -> None:
        self.rnd = rnd
        self.held: dict[str, dict[str, Resource]] = {C: {}, E: {}, L: {}, R: {}}
        self.versions: dict[str, dict[str, str]] = {C: {}, E: {}, L: {}, R: {}}
        self.warming: dict[str, Resource] = {}
        self.waiting: list[tuple[DeltaResponse, ErrorDetail | None]] = []
        self.routes: set[str] = set(ROUTES[:2])
        self.unlisted: set[tuple[str, str]] = set()
        self.refused_clusters: set[str] = set()
        self.out: deque[DeltaRequest] = deque()
        self.asked_endpoints: set[str] = set()

    def connect(self) -> None:
        self.out.clear()
        self.waiting.clear()
        self.warming.clear()
        self.asked_endpoints = set(self.held[C])
        endpoints = tuple(sorted(self.asked_endpoints))
        listed = {t: {n: v for n, v in self.versions[t].items() if n in self.held[t]} for t in self.held}
        self.unlisted = {(t, n) for t in (C, L) for n in self.held[t] if n not in listed[t]}
        self.out.append(DeltaRequest(C, initial_resource_versions=listed[C], node=b"node"))
        if endpoints:
            self.out.append(DeltaRequest(E, endpoints, initial_resource_versions=listed[E]))
        self.out.append(DeltaRequest(L, initial_resource_versions=listed[L]))
        if self.routes:
            self.out.append(DeltaRequest(R, tuple(sorted(self.routes)), initial_resource_versions=listed[R]))

    def receive(self, response: DeltaResponse) -> None:
        names = [r.name for r in response.resources]
        assert len(names) == len(set(names)), "duplicate name"
        assert not set(names) & set(response.removed_resources), "name in both halves"
        bad = [r.name for r in response.resources if r.version.startswith("bad")]
        whole = bool(bad) and self.rnd.random() < 0.3  # some faults void the good parts as well
        if response.type_url == C:
            self.refused_clusters.update(bad)
        for resource in response.resources:
            if resource.name not in bad and not whole:
                self.apply(resource)
            elif resource.type_url == E:
                self.warmed(resource.name)
        for name in response.removed_resources if not whole else ():
            self.remove(response.type_url, name)
        detail = (
            ErrorDetail(13, f"Error adding/updating {', '.join(f'{name}: is bad' for name in bad)}") if bad else None
        )
        self.waiting.append((response, detail))
        self.answer()
        self.check()

    def apply(self, resource: Resource) -> None:
        kind, name = resource.type_url, resource.name
        if kind == C:
            self.warming[name] = resource
            if name not in self.asked_endpoints:
                self.asked_endpoints.add(name)
                self.out.append(DeltaRequest(E, (name,)))
        elif (kind == E and name in self.asked_endpoints) or kind == L or (kind == R and name in self.routes):
            self.held[kind][name] = resource
            if kind == E:
                self.warmed(name)

    def warmed(self, name: str) -> None:
        """Endpoints end a cluster's warming, also when they are refused or absent."""
        if name in self.warming:
            self.held[C][name] = self.warming.pop(name)

    def remove(self, kind: str, name: str) -> None:
        self.held[kind].pop(name, None)
        self.versions[kind].pop(name, None)
        if kind == E:
            self.warmed(name)
        if kind == C:
            self.warming.pop(name, None)
            if name in self.asked_endpoints:
                self.asked_endpoints.discard(name)
                self.held[E].pop(name, None)
                self.versions[E].pop(name, None)
                self.out.append(DeltaRequest(E, (), (name,)))

    def answer(self) -> None:
        """Answer what is handled; clusters only when nothing warms."""
        left = []
        for response, detail in self.waiting:
            if response.type_url == C and self.warming:
                left.append((response, detail))
                continue
            self.out.append(DeltaRequest(response.type_url, response_nonce=response.nonce, error_detail=detail))
            if detail is None:
                kind = response.type_url
                self.versions[kind].update((r.name, r.version) for r in response.resources if r.name in self.held[kind])
        self.waiting = left

    def check(self) -> None:
        for kind in (L, R):
            for resource in self.held[kind].values():
                for ref in resource.requires:
                    # A route that is new to the client is not kept back for a cluster that the client refuses.
                    present = ref.name in self.held[C] or ref.name in self.refused_clusters
                    assert present, f"{resource.name} names {ref.name}, which is not there"

    def fiddle(self) -> None:
        name = self.rnd.choice(ROUTES)
        if name in self.routes and self.rnd.random() < 0.5:
            self.routes.discard(name)
            self.held[R].pop(name, None)
            self.versions[R].pop(name, None)
            self.out.append(DeltaRequest(R, (), (name,)))
        else:
            self.routes.add(name)
            self.out.append(DeltaRequest(R, (name,), response_nonce=self.rnd.choice(("", "stale-nonce"))))


class Life:
    """One client, its streams, and the wires between."""

    def __init__(self, rnd: Random) -> None:
        self.rnd, self.now, self.streams = rnd, 0.0, 0
        self.world, self.client, self.interner = World(rnd), Client(rnd), Interner()
        self.down: deque[DeltaResponse] = deque()
        self.sent = 0
        self.snapshot: Snapshot | None = None
        self.connect()

    def connect(self) -> None:
        self.streams += 1
        self.down.clear()
        self.stream = DeltaStream(RULES, self.interner, stream_id=f"{self.streams}-")
        self.client.connect()
        if self.snapshot is not None:
            self.stream.offer(self.snapshot, None)
        while self.client.out:  # a client states everything at once, but the server may answer in between
            self.stream.receive(self.client.out.popleft(), self.now)
            if self.rnd.random() < 0.5:
                self.pump()

    def offer(self) -> None:
        for _ in range(self.rnd.randint(1, 3)):
            self.world.mutate()
        new = self.world.snapshot()
        precise = self.snapshot is not None and self.rnd.random() < 0.7
        changes = changes_between(self.snapshot, new) if precise and self.snapshot else None
        self.stream.offer(new, changes)
        self.snapshot = new

    def pump(self) -> None:
        responses = self.stream.outbox(self.now, self.rnd.choice((600, 1 << 20)))
        self.sent += len(responses)
        self.down.extend(responses)

    def step(self) -> None:
        what = self.rnd.choice(
            ("offer", "offer", "pump", "pump", "down", "down", "up", "up", "up", "tick", "fiddle", "?")
        )
        if what == "offer":
            self.offer()
        elif what == "pump":
            self.pump()
        elif what == "down" and self.down:
            self.client.receive(self.down.popleft())
        elif what == "up" and self.client.out:
            self.stream.receive(self.client.out.popleft(), self.now)
        elif what == "tick":
            self.now += self.rnd.choice((0.1, 2.0, 20.0))
        elif what == "fiddle":
            self.client.fiddle()
        elif what == "?" and self.rnd.random() < 0.3:
            self.connect()

    def drain(self) -> None:
        """Run until nothing moves; a storm of replies does not end and fails."""
        self.now += 100
        budget = self.sent + 200
        while True:
            self.pump()
            if not self.down and not self.client.out and not self.time_out_warming():
                return
            assert self.sent < budget, "reply storm"
            while self.down:
                self.client.receive(self.down.popleft())
            while self.client.out:
                self.stream.receive(self.client.out.popleft(), self.now)

    def time_out_warming(self) -> bool:
        """After 15 s a cluster goes on without endpoints; that may be needed only where these were refused."""
        assert self.snapshot is not None
        for name in list(self.client.warming):
            assert self.snapshot.of(E)[name].version.startswith("bad"), f"{name} warms for ever"
            self.client.warmed(name)
        self.client.answer()
        return bool(self.client.out)

    def check_converged(self) -> None:
        client, world = self.client, self.snapshot
        assert world is not None
        assert not client.waiting, "a cluster warms for ever"
        needed = {ref.name for kind in (L, R) for r in client.held[kind].values() for ref in r.requires}
        asked = {C: None, E: client.asked_endpoints, L: None, R: client.routes}
        for kind, names in asked.items():
            held = client.held[kind]
            goals = {n: r for n, r in world.of(kind).items() if names is None or n in names}
            for name, goal in goals.items():
                waits = any(self.cannot_be_known(ref.name) for ref in goal.requires)
                if not goal.version.startswith("bad") and not waits:
                    assert held.get(name) == goal, f"{kind} {name}"
            for name in held.keys() - goals.keys():
                blocked = (kind == C and name in needed) or (kind in (C, L) and self.has_unlisted_versions())
                blocked = blocked or (kind == E and name in held.keys() & client.held[C].keys())
                assert blocked or (kind, name) in client.unlisted, f"{kind} {name} is left over"

    def cannot_be_known(self, cluster: str) -> bool:
        """A cluster that is not held, or whose current version is refused and whose older one was never listed."""
        assert self.snapshot is not None
        goal = self.snapshot.of(C)[cluster]
        return cluster not in self.client.held[C] or (self.streams > 1 and goal.version.startswith("bad"))

    def has_unlisted_versions(self) -> bool:
        """After a reconnect, an old resource of unknown content may need any cluster until it is replaced."""
        dump = self.stream.dump()["types"]
        return self.streams > 1 and any(dump[kind]["refused"] or dump[kind]["held_back"] for kind in dump)


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 1 << 32), steps=st.integers(1, 120))
def test_x48_any_life_converges_and_never_dangles(seed: int, steps: int) -> None:
    life = Life(Random(seed))
    for _ in range(steps):
        life.step()
    life.offer()
    life.drain()
    life.check_converged()
    same = Snapshot(life.world.number + 1, life.snapshot.resources)
    life.stream.offer(same, None)
    assert life.stream.outbox(life.now) == [], "nothing changed, so nothing is sent"
