"""A scripted client for the xDS rules: short words for resources, requests and answers."""

from types import SimpleNamespace

import pytest

from argosy.xds.messages import (
    DeltaRequest,
    ErrorDetail,
    Resource,
    ResourceRef,
    Snapshot,
    SotwRequest,
    changes_between,
)
from argosy.xds.server import DeltaStream, Interner, Rules, SotwStream

C, E, L, R = (f"type.googleapis.com/test.{name}" for name in ("Cluster", "Endpoints", "Listener", "Route"))
RULES = Rules(order=(C, E, L, R), full_sets=frozenset((C, L)))


def cluster(name: str, version: str = "1") -> Resource:
    return Resource(C, name, version, b"c", companions=(ResourceRef(E, name),))


def endpoints(name: str, version: str = "1") -> Resource:
    return Resource(E, name, version, b"e")


def listener(name: str, version: str = "1", *uses: str) -> Resource:
    return Resource(L, name, version, b"l", requires=tuple(ResourceRef(C, use) for use in uses))


def route(name: str, version: str = "1", *uses: str, aliases: tuple[str, ...] = ()) -> Resource:
    return Resource(R, name, version, b"r", requires=tuple(ResourceRef(C, use) for use in uses), aliases=aliases)


class Rig:
    """One server stream and the words to talk to it; responses are shown as (type, sent name@version, removed)."""

    def __init__(self, stream_class: type, rules: Rules = RULES) -> None:
        self.stream = stream_class(rules, Interner(), stream_id="s-")
        self.now = 0.0
        self.number = 0
        self.last: Snapshot | None = None
        self.responses: list = []

    def offer(self, *resources: Resource, precise: bool = False) -> None:
        self.number += 1
        groups: dict[str, dict[str, Resource]] = {}
        for resource in resources:
            groups.setdefault(resource.type_url, {})[resource.name] = resource
        new = Snapshot(self.number, groups)
        self.stream.offer(new, changes_between(self.last, new) if precise and self.last else None)
        self.last = new

    def ask(
        self, kind: str, *names: str, drop: tuple[str, ...] = (), held: dict[str, str] | None = None, **more
    ) -> None:
        self.stream.receive(DeltaRequest(kind, names, drop, initial_resource_versions=held or {}, **more), self.now)

    def want(self, kind: str, *names: str, nonce: str = "", version: str = "") -> None:
        self.stream.receive(SotwRequest(kind, names, version, nonce), self.now)

    def sent(self) -> list[tuple[str, list[str], list[str]]]:
        self.responses = self.stream.outbox(self.now)
        assert self.stream.outbox(self.now) == []
        return [
            (r.type_url, [f"{x.name}@{x.version}" for x in r.resources], list(getattr(r, "removed_resources", ())))
            for r in self.responses
        ]

    def answer(self, response, error: str | None = None, names: tuple[str, ...] = ()) -> None:
        detail = None if error is None else ErrorDetail(13, error)
        if isinstance(self.stream, DeltaStream):
            request = DeltaRequest(response.type_url, response_nonce=response.nonce, error_detail=detail)
        else:
            request = SotwRequest(response.type_url, names, response.version_info, response.nonce, detail)
        self.stream.receive(request, self.now)

    def settle(self, **names: tuple[str, ...]) -> None:
        """Accept everything until nothing comes any more."""
        while self.sent():
            for response in self.responses:
                self.answer(response, names=names.get(response.type_url.rpartition(".")[2], ()))

    def events(self, kind: type) -> list:
        return [event for event in self.stream.events() if isinstance(event, kind)]


@pytest.fixture
def kit() -> SimpleNamespace:
    return SimpleNamespace(
        C=C, E=E, L=L, R=R, RULES=RULES, cluster=cluster, endpoints=endpoints, listener=listener, route=route, Rig=Rig
    )


@pytest.fixture
def delta() -> Rig:
    return Rig(DeltaStream)


@pytest.fixture
def sotw() -> Rig:
    return Rig(SotwStream)
