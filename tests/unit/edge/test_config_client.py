"""Galley's configuration at a component, over real gRPC: batches, restarts of the server, and what cannot be read."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from argosy.api import Document, parse_documents
from argosy.app.galley import GalleyService, galley_handlers
from argosy.core.names import ObjectKey
from argosy.core.spiffe import SpiffeID
from argosy.edge.clock import SystemClock
from argosy.edge.config_client import CONFIG_SERVICE, Batch, watch_config
from argosy.edge.grpc_server import GRPCServer, start_server
from argosy.edge.tls import ClientTLS, ServerTLS
from argosy.edge.xds_server import Push, XdsServer
from argosy.galley.memory import MemoryStore
from argosy.galley.publish import config_type_url
from argosy.galley.state import Galley
from argosy.xds.messages import Resource, Snapshot, content_version
from argosy.xds.server import Event, Nacked, Rules, Settled

from ..citadel.meshca import TRUST_DOMAIN, HandClock, component_source

KINDS = ("Namespace", "Service", "VirtualService")


def service(name: str, port: int = 80) -> str:
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: {port}}}]}}
"""


def documents(*texts: str) -> list[Document]:
    return [document for text in texts for document in parse_documents(text, "shop.yaml")]


def galley(store: MemoryStore, *texts: str) -> GalleyService:
    made = GalleyService(Galley(store), HandClock())
    if texts:
        made.apply(documents(*texts), who="test")
    return made


class Servers:
    """One address at which, one after the other, servers live."""

    def __init__(self) -> None:
        self.port = 0
        self.running: GRPCServer | None = None

    async def start(self, handlers: Any) -> None:
        certificate = component_source()
        await certificate.renew()
        credentials = ServerTLS(certificate).mutual()
        self.running = await start_server(handlers, address=f"127.0.0.1:{self.port}", credentials=credentials)
        self.port = self.running.port

    async def serve(self, one: GalleyService) -> None:
        await self.start(galley_handlers(one, trust_domain=TRUST_DOMAIN, clock=SystemClock()))

    async def stop(self) -> None:
        if self.running is not None:
            await self.running.stop(0)
            self.running = None


@asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    made = Servers()
    try:
        yield made
    finally:
        await made.stop()


@asynccontextmanager
async def watching(servers: Servers, kinds: Sequence[str] = KINDS) -> AsyncIterator[AsyncIterator[Batch]]:
    certificate = component_source("pilot")
    await certificate.renew()
    tls = ClientTLS(certificate)
    batches = watch_config(lambda: tls.channel(f"127.0.0.1:{servers.port}", "galley.istio-system.svc"), kinds)
    try:
        yield batches
    finally:
        await batches.aclose()  # type: ignore[attr-defined]


Changes = list[tuple[str, str, bool]]


def told(batch: Batch) -> Changes:
    return [(kind, key.name, found is not None) for kind, key, found in batch.changes]


async def until_synced(batches: AsyncIterator[Batch]) -> Changes:
    found: Changes = []
    async for batch in batches:
        found += told(batch)
        if batch.synced:
            return found
    raise AssertionError("it watches for ever")


async def next_change(batches: AsyncIterator[Batch]) -> Changes:
    async for batch in batches:
        if batch.changes:
            return told(batch)
    raise AssertionError("it watches for ever")


async def test_synced_is_said_only_after_every_kind_even_one_without_objects() -> None:
    async with servers() as place:
        await place.serve(galley(MemoryStore(), service("cart")))
        async with watching(place) as batches:
            first = await anext(batches)
            second = await anext(batches)
            third = await anext(batches)
    assert [one.synced for one in (first, second, third)] == [False, False, True]
    assert [name for one in (first, second, third) for _kind, name, _there in told(one)] == ["cart"]


async def test_objects_come_decoded_and_later_changes_one_by_one() -> None:
    one = galley(MemoryStore(), service("cart"))
    async with servers() as place:
        await place.serve(one)
        async with watching(place) as batches:
            assert await until_synced(batches) == [("Service", "cart", True)]
            one.apply(documents(service("cart", 81)), who="test")
            batch = await anext(batches)
            ((kind, key, found),) = batch.changes
            assert (kind, key, batch.synced) == ("Service", ObjectKey("shop", "cart"), True)
            assert found is not None
            assert found.spec.ports[0].port == 81
            one.delete([("Service", ObjectKey("shop", "cart"))], who="test")
            assert await next_change(batches) == [("Service", "cart", False)]


async def test_an_object_without_a_namespace_keeps_its_key_when_it_goes() -> None:
    one = galley(MemoryStore(), "{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    async with servers() as place:
        await place.serve(one)
        async with watching(place) as batches:
            await until_synced(batches)
            one.delete([("Namespace", ObjectKey("", "shop"))], who="test")
            batch = await anext(batches)
    assert batch.changes == (("Namespace", ObjectKey("", "shop"), None),)


async def test_a_server_that_was_away_is_no_news() -> None:
    """Nothing is reported gone, nothing reported again; and the stream may end while a batch is being worked on."""
    store = MemoryStore()
    one = galley(store, service("cart"), service("ads"))
    async with servers() as place:
        await place.serve(one)
        async with watching(place) as batches:
            await until_synced(batches)
            # The last batch is not acknowledged yet: its answer meets a stream that has ended.
            await place.stop()
            again = galley(store)
            waiting = asyncio.ensure_future(next_change(batches))
            await place.serve(again)
            again.apply(documents(service("late")), who="test")
            assert await waiting == [("Service", "late", True)]


async def test_what_went_while_the_server_was_away_is_told_once_it_is_back() -> None:
    store = MemoryStore()
    one = galley(store, service("cart"), service("ads"))
    async with servers() as place:
        await place.serve(one)
        async with watching(place) as batches:
            await until_synced(batches)
            waiting = asyncio.ensure_future(next_change(batches))
            await place.stop()
            again = galley(store)
            again.delete([("Service", ObjectKey("shop", "ads"))], who="test")
            await place.serve(again)
            assert await waiting == [("Service", "ads", False)]


async def test_a_server_that_does_not_answer_yet_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async with servers() as place:
        await place.serve(galley(MemoryStore()))
        await place.stop()
        async with watching(place) as batches:
            waiting = asyncio.ensure_future(until_synced(batches))
            while "galley is away" not in caplog.text:  # noqa: ASYNC110 - a log line has no event to wait for
                await asyncio.sleep(0.01)
            await place.serve(galley(MemoryStore(), service("cart")))
            assert await waiting == [("Service", "cart", True)]


class Fixed:
    """A source with one snapshot; also its clients' connection."""

    name = "client"

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.events: list[Event] = []
        self.pushes: list[Push] = []
        self.heard = asyncio.Event()

    def connect(self, identity: SpiffeID, node: bytes, push: Push) -> "Fixed":
        self.pushes.append(push)
        return self

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Nacked | Settled):
            self.heard.set()

    def close(self) -> None:
        pass


def resource(name: str, body: bytes) -> Resource:
    return Resource(config_type_url("Namespace"), f"/{name}", content_version(body), body)


def namespace(name: str, kind: str = "Namespace") -> bytes:
    return f'{{"apiVersion": "v1", "kind": "{kind}", "metadata": {{"name": "{name}"}}}}'.encode()


async def test_what_cannot_be_read_is_refused_and_the_rest_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    """A newer Galley may serve what this component does not know: it must say so, and go on with what it has."""
    type_url = config_type_url("Namespace")
    good = resource("shop", namespace("shop"))
    source = Fixed(Snapshot(1, {type_url: {"/shop": good}}))
    server = XdsServer(source, Rules(order=(type_url,)), trust_domain=TRUST_DOMAIN, clock=SystemClock())
    async with servers() as place:
        await place.start(server.handlers(CONFIG_SERVICE))
        async with watching(place, ("Namespace",)) as batches:
            assert await until_synced(batches) == [("Namespace", "shop", True)]
            reading = asyncio.ensure_future(anext(batches))
            await source.heard.wait()
            source.heard.clear()
            bad = resource("new", namespace("new", "Novelty"))
            source.pushes[0](Snapshot(2, {type_url: {"/shop": good, "/new": bad}}), None)
            assert (await reading).changes == ()
            reading = asyncio.ensure_future(anext(batches))
            await source.heard.wait()
            mended = resource("new", namespace("new"))
            source.pushes[0](Snapshot(3, {type_url: {"/shop": good, "/new": mended}}), None)
            assert told(await reading) == [("Namespace", "new", True)]
    (nack,) = [one for one in source.events if isinstance(one, Nacked)]
    assert nack.names == ("/new",)
    assert "Novelty" in nack.detail.message
    assert "cannot be read" in caplog.text


async def test_one_object_that_cannot_be_read_does_not_keep_the_others_of_its_response_back() -> None:
    """The refusal names it, so that the server sends the rest again."""
    type_url = config_type_url("Namespace")
    good, bad = resource("shop", namespace("shop")), resource("new", namespace("new", "Novelty"))
    server = XdsServer(
        Fixed(Snapshot(1, {type_url: {"/shop": good, "/new": bad}})),
        Rules(order=(type_url,)),
        trust_domain=TRUST_DOMAIN,
        clock=SystemClock(),
    )
    async with servers() as place:
        await place.start(server.handlers(CONFIG_SERVICE))
        async with watching(place, ("Namespace",)) as batches:
            assert await until_synced(batches) == [("Namespace", "shop", True)]
