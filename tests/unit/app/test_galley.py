"""Galley as a running thing: listeners, remote readers, and reports of pods over mutual TLS."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import msgspec
import pytest

from argosy.api import parse_documents
from argosy.api.workload import HEALTH
from argosy.app.galley import CONFIG_RULES, REPORT_PODS, GalleyService, PodReport, galley_handlers
from argosy.core.errors import ArgosyError
from argosy.core.names import ObjectKey
from argosy.edge.clock import SystemClock
from argosy.edge.grpc_server import start_server
from argosy.edge.tls import ClientTLS, ServerTLS
from argosy.edge.xds_server import Refusal
from argosy.galley.memory import MemoryStore
from argosy.galley.publish import config_type_url
from argosy.galley.state import Galley
from argosy.xds.messages import Changes, Snapshot
from argosy.xds.server import Settled, Subscribed

from ..citadel.meshca import TRUST_DOMAIN, component_source, forged, source_of
from .shop import CART, SPLIT, documents, identity, pod

CART_ID = ("Service", ObjectKey("shop", "cart"))


def service(*texts: str, expected: Mapping[str, Sequence[str]] | None = None) -> GalleyService:
    made = GalleyService(Galley(MemoryStore()), SystemClock(), expected)
    if texts:
        made.apply(documents(*texts), who="test")
    return made


class Listener:
    """Keeps what it is told: (kind, name, is it there)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, bool]] = []

    def __call__(self, changes: Any) -> None:
        self.told += [(kind, key.name, found is not None) for kind, key, found in changes]


class Reader:
    """A remote component as its stream sees it."""

    def __init__(self, galley: GalleyService, account: str = "pilot") -> None:
        self.pushes: list[tuple[Snapshot, Changes | None]] = []
        self.connection = galley.connect(identity(account, "istio-system"), b"", self._push)

    def _push(self, snapshot: Snapshot, changes: Changes | None) -> None:
        self.pushes.append((snapshot, changes))

    def settle(self) -> None:
        self.connection.on_event(Settled(self.connection.snapshot.number))


# -- listeners -------------------------------------------------------------------------------------------------------


def test_a_listener_hears_of_everything_at_once_and_then_of_every_change() -> None:
    galley, listener = service(CART), Listener()
    galley.listen(listener)
    assert listener.told == [("Service", "cart", True)]
    galley.apply(documents(SPLIT), who="test")
    galley.delete([CART_ID], who="test")
    galley.rollback(1, who="test")
    assert listener.told[1:] == [
        ("VirtualService", "cart", True),
        ("Service", "cart", False),
        ("Service", "cart", True),
        ("VirtualService", "cart", False),
    ]


def test_what_changes_nothing_is_no_news() -> None:
    galley, listener = service(CART), Listener()
    galley.listen(listener)
    galley.apply(documents(CART), who="test")
    galley.apply(documents(SPLIT), who="test", dry_run=True)
    galley.delete([CART_ID], who="test", dry_run=True)
    galley.apply(documents(SPLIT), who="test")
    galley.rollback(1, who="test", dry_run=True)
    assert listener.told == [("Service", "cart", True), ("VirtualService", "cart", True)]


def test_a_refused_change_is_no_news() -> None:
    galley, listener = service(CART), Listener()
    galley.listen(listener)
    with pytest.raises(ArgosyError):
        galley.apply(documents(SPLIT.replace("timeout: 3s", "timeout: soon")), who="test")
    assert listener.told == [("Service", "cart", True)]


def test_a_readers_order_stands_even_if_a_listener_answers_with_a_change() -> None:
    """Readers come first, or they would hear of the answer before they heard of what caused it."""
    galley = service()
    reader = Reader(galley)

    def answer(changes: Any) -> None:
        if any(kind == "Service" for kind, _key, _object in changes):
            galley.apply(documents(SPLIT), who="listener")

    galley.listen(answer)
    galley.apply(documents(CART), who="test")
    assert [list(changes.names) for _snapshot, changes in reader.pushes if changes] == [
        [config_type_url("Service")],
        [config_type_url("VirtualService")],
    ]
    assert [snapshot.number for snapshot, _changes in reader.pushes] == sorted(
        snapshot.number for snapshot, _changes in reader.pushes
    )


def test_a_nodes_report_is_news_of_its_pods() -> None:
    galley, listener = service(), Listener()
    galley.listen(listener)
    galley.report_pods(report(pod()))
    galley.report_pods(report(pod()))
    galley.report_pods(report())
    assert listener.told == [("Pod", "cart-1", True), ("Pod", "cart-1", False)]


def test_the_configuration_says_how_many_pods_it_asks_for() -> None:
    deployment = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 3
  template: {spec: {containers: [{name: app, image: httpbin}]}}
"""
    bare = """
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop}
spec: {containers: [{name: a, image: sleep}]}
"""
    assert service(deployment, bare).wished_pods() == 4


# -- remote readers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("account", ["argosy", "pilot", "mixer", "agent"])
def test_components_of_the_control_plane_may_read(account: str) -> None:
    galley = service(CART)
    assert list(Reader(galley, account).connection.snapshot.of(config_type_url("Service"))) == ["shop/cart"]


@pytest.mark.parametrize("account, namespace", [("cart", "shop"), ("pilot", "shop"), ("citadel", "istio-system")])
def test_nobody_else_may_read(account: str, namespace: str) -> None:
    galley = service(CART)
    with pytest.raises(Refusal) as caught:
        galley.connect(identity(account, namespace), b"", lambda _snapshot, _changes: None)
    assert caught.value.code is grpc.StatusCode.PERMISSION_DENIED
    assert caught.value.reason == "not a component of the control plane"


def test_a_push_names_what_changed_since_the_last() -> None:
    galley = service(CART)
    reader = Reader(galley)
    before = reader.connection.snapshot.number
    galley.apply(documents("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}"), who="test")
    ((snapshot, changes),) = reader.pushes
    assert changes == Changes(before, {config_type_url("Namespace"): frozenset({"/shop"})})
    assert "/shop" in snapshot.of(config_type_url("Namespace"))


def test_what_others_refer_to_is_served_before_those_that_refer() -> None:
    order = [CONFIG_RULES.order.index(config_type_url(kind)) for kind in ("Service", "Pod", "VirtualService")]
    assert order == sorted(order)


async def test_waiting_for_readers_ends_when_all_have_taken_over() -> None:
    galley = service(CART)
    one, other = Reader(galley, "pilot"), Reader(galley, "mixer")
    assert await galley.wait_read(0.01) == ["mixer", "pilot"]
    waiting = asyncio.create_task(galley.wait_read(10))
    await asyncio.sleep(0)
    one.settle()
    await asyncio.sleep(0)
    assert not waiting.done()
    other.settle()
    assert await waiting == []
    assert await galley.wait_read(10) == []


async def test_a_reader_that_goes_is_not_waited_for_unless_it_is_expected() -> None:
    galley = service(CART)
    reader = Reader(galley)
    waiting = asyncio.create_task(galley.wait_read(10))
    await asyncio.sleep(0)
    reader.connection.close()
    assert await waiting == []
    assert await service(CART, expected={"pilot": ("Service",)}).wait_read(0.01) == ["pilot"]


async def test_a_reader_that_is_back_has_read_nothing_before_it_has_asked_for_every_kind() -> None:
    """It asks for them one after another, and has all that it has asked for also after the first."""
    galley = service(CART, expected={"pilot": ("Service", "VirtualService")})
    reader = Reader(galley)
    for kind, unread in (("Service", ["pilot"]), ("VirtualService", [])):
        reader.connection.on_event(Subscribed(config_type_url(kind), ("*",), first=True))
        reader.settle()
        assert await galley.wait_read(0.01) == unread


async def test_an_older_acknowledgement_does_not_count_for_a_newer_change() -> None:
    galley = service(CART)
    reader = Reader(galley)
    reader.settle()
    galley.apply(documents(SPLIT), who="test")
    reader.connection.on_event(Settled(reader.connection.snapshot.number - 1))
    assert await galley.wait_read(0.01) == ["pilot"]
    reader.settle()
    assert await galley.wait_read(0.01) == []


# -- reports over gRPC -----------------------------------------------------------------------------------------------


def report(*pods: str) -> PodReport:
    return PodReport("node", [document.data for one in pods for document in parse_documents(one, "pods.yaml")])


@asynccontextmanager
async def reporting(galley: GalleyService, certificate: Any, method: str = "ReportPods") -> AsyncIterator[Any]:
    ours = component_source()
    await ours.renew()
    handlers = galley_handlers(galley, trust_domain=TRUST_DOMAIN, clock=SystemClock())
    server = await start_server(handlers, address="127.0.0.1:0", credentials=ServerTLS(ours).mutual())
    try:
        tls = ClientTLS(certificate)
        async with tls.channel(f"127.0.0.1:{server.port}", "galley.istio-system.svc") as channel:
            yield channel.unary_unary(f"/{REPORT_PODS}/{method}")
    finally:
        await server.stop(0)


async def test_an_agent_reports_the_pods_of_its_node() -> None:
    galley = service()
    agent = component_source("agent")
    await agent.renew()
    async with reporting(galley, agent) as call:
        assert await call(msgspec.json.encode(report(pod())), timeout=60) == b""
    (found,) = galley.galley.objects("Pod")
    assert found.spec.pod_ip == "10.88.0.2"


async def test_an_agent_reports_the_health_of_workloads() -> None:
    galley = service()
    agent = component_source("agent")
    await agent.renew()
    workload = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "WorkloadEntry",
        "metadata": {"name": "vm", "namespace": "shop"},
        "spec": {"address": "10.1.1.1"},
        "status": {"conditions": [{"type": "Healthy", "status": "True"}]},
    }
    async with reporting(galley, agent, "ReportHealth") as call:
        assert await call(msgspec.json.encode({"node": "a", "workloads": [workload]}), timeout=60) == b""
    assert [one.key for one in galley.galley.objects(HEALTH)] == [("shop", "vm")]


@pytest.mark.parametrize(
    "body, named",
    [
        (b"nonsense", "malformed"),
        (b'{"node": "a", "pods": {}}', "pods"),
        (b'{"node": "a", "pods": [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}]}', "ARG0"),
    ],
)
async def test_a_report_that_is_none_is_refused_and_changes_nothing(body: bytes, named: str) -> None:
    galley = service()
    agent = component_source("agent")
    await agent.renew()
    async with reporting(galley, agent) as call:
        with pytest.raises(grpc.aio.AioRpcError, match=named) as caught:
            await call(body, timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert galley.galley.objects("Pod") == []


async def test_only_agents_report_pods() -> None:
    galley = service()
    for uri in ("spiffe://td/ns/istio-system/sa/pilot", "spiffe://td/ns/shop/sa/agent"):
        async with reporting(galley, await source_of(forged((uri,)))) as call:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(msgspec.json.encode(report(pod())), timeout=60)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert galley.galley.objects("Pod") == []
