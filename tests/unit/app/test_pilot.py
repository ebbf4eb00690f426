"""Pilot as a running thing: when it commits, whom it serves, and what it says of its proxies."""

import asyncio
from typing import Any

import grpc
import pytest

from argosy.app.pilot import Pilot, ProxyStatus
from argosy.app.pilot_client import Client
from argosy.core.names import ObjectKey
from argosy.edge.clock import SystemClock
from argosy.edge.control_proxies import STALE_S, dump_proxies
from argosy.edge.xds_server import Refusal
from argosy.envoy import api
from argosy.pilot.build.resource import CLUSTER, EXTENSION, VIRTUAL_HOST
from argosy.pilot.mesh import Destination, MeshSettings, Unconcerned
from argosy.pilot.mtls_rollout import IN_FLIGHT_S
from argosy.pilot.xds_rules import ENVOY_RULES
from argosy.xds.messages import Changes, DeltaRequest, ErrorDetail, ResourceRef, Snapshot
from argosy.xds.server import DeltaStream, Event, Held, Interner, Nacked, Settled

from .shop import CART, SPLIT, added, identity, pod, removed

CART_CLUSTER = "outbound|80||cart.shop.svc.cluster.local"


def pilot(*texts: str, synced: bool = True) -> Pilot:
    made = Pilot(MeshSettings(), Unconcerned(), SystemClock())
    made.on_changes(added(*texts), synced=synced)
    return made


def node(name: str = "cart-1", *, text: str = "") -> bytes:
    node_id = text or f"sidecar~10.88.0.2~{name}.shop~shop.svc.cluster.local"
    return api.encode(api.message("envoy.config.core.v3.Node")(id=node_id))


class Proxy:
    """What a stream does for its client: keeps the pushes, and answers them."""

    def __init__(self, pilot: Pilot, name: str = "cart-1") -> None:
        self.pushes: list[tuple[Snapshot, Changes | None]] = []
        self.pushed = asyncio.Event()
        self.connection: Client = pilot.connect(identity(), node(name), self._push)

    def _push(self, snapshot: Snapshot, changes: Changes | None) -> None:
        self.pushes.append((snapshot, changes))
        self.pushed.set()

    @property
    def status(self) -> ProxyStatus:
        return self.connection.status

    def settle(self) -> None:
        self.connection.on_event(Settled(self.status.offered))


# -- configuration in ------------------------------------------------------------------------------------------------


def test_what_is_queued_before_everything_was_read_is_committed_as_one() -> None:
    one = pilot(CART, synced=False)
    one.on_changes(added(pod()), synced=False)
    assert (one.commits, one.synced) == (0, False)
    one.on_changes([], synced=True)
    assert (one.commits, one.synced) == (1, True)


def test_of_several_changes_to_one_object_the_last_counts() -> None:
    one = pilot(CART)
    one.on_changes(added(SPLIT), synced=True)
    one.on_changes(removed(added(SPLIT)), synced=True)
    one.commit_now()
    assert one.mesh.engine.get(one.mesh.virtual_services, ObjectKey("shop", "cart")) is None
    one.on_changes(added(SPLIT), synced=True)
    one.commit_now()
    assert one.mesh.engine.get(one.mesh.virtual_services, ObjectKey("shop", "cart")) is not None


def test_kinds_that_pilot_does_not_read_cause_no_commit() -> None:
    one = pilot(CART)
    before = one.commits
    one.on_changes(added("{apiVersion: v1, kind: ServiceAccount, metadata: {name: a, namespace: b}}"), synced=True)
    one.commit_now()
    assert one.commits == before


async def test_changes_that_come_together_are_committed_together() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    before = one.commits
    running = asyncio.create_task(one.run())
    for version in range(20):
        one.on_changes(added(pod("cart-2", "10.88.0.3", version=f"v{version}")), synced=True)
        await asyncio.sleep(0)
    waiting = asyncio.create_task(one.wait_settled(10))
    await proxy.pushed.wait()
    proxy.settle()
    assert await waiting == []
    running.cancel()
    assert one.commits == before + 1
    assert len(proxy.pushes) == 1


# -- who is served ---------------------------------------------------------------------------------------------------


def refusal(one: Pilot, node_bytes: bytes, **who: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        one.connect(identity(**who), node_bytes, lambda _snapshot, _changes: None)
    return caught.value


def test_x40_nobody_is_served_before_everything_was_read() -> None:
    assert refusal(pilot(CART, pod(), synced=False), node()).code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "text",
    ["cart-1", "sidecar~10.88.0.2~cart-1~x", "sidecar~1~.shop~x", "sidecar~1~cart-1.~x", "a~b~c.d~e~f", "~~~"],
)
def test_x40_a_node_id_of_another_form_is_invalid(text: str) -> None:
    assert refusal(pilot(CART, pod()), node(text=text)).code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("data", [b"", b"\xff\xff\xff", b"\x0a\x05ab"])
def test_a_node_that_is_no_node_is_invalid(data: bytes) -> None:
    """Bytes that cannot be decoded used to end the stream with an internal error."""
    assert refusal(pilot(CART, pod()), data).code is grpc.StatusCode.INVALID_ARGUMENT


def test_an_unknown_pod_may_come_again() -> None:
    assert refusal(pilot(CART, pod()), node("cart-9")).code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("who", [{"account": "other"}, {"namespace": "other"}])
def test_x40_a_pod_is_served_only_to_its_own_certificate(who: dict[str, str]) -> None:
    assert refusal(pilot(CART, pod()), node(), **who).code is grpc.StatusCode.PERMISSION_DENIED


def test_nothing_is_kept_of_a_refused_client() -> None:
    one = pilot(CART, pod())
    refusal(one, node(), account="other")
    assert one.clients == {}
    assert one.world.dump()["classes"] == []


def test_a_pod_that_is_still_queued_is_known() -> None:
    one = pilot(CART)
    one.on_changes(added(pod()), synced=True)
    assert Proxy(one).connection.name == "shop/cart-1"


# -- pushes ----------------------------------------------------------------------------------------------------------


def test_a_proxy_gets_its_world_at_once_and_then_what_changes() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    assert CART_CLUSTER in proxy.connection.snapshot.of(CLUSTER)
    one.on_changes(added(SPLIT), synced=True)
    one.commit_now()
    ((snapshot, changes),) = proxy.pushes
    assert snapshot.number == proxy.status.offered
    assert changes is not None
    assert any("cart" in name for name in changes.names[VIRTUAL_HOST])


def test_what_changes_nothing_for_a_class_is_not_pushed_to_it() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    before = proxy.status.offered
    one.on_changes(added(CART), synced=True)
    one.commit_now()
    assert proxy.pushes == []
    assert proxy.status.offered == before


def test_a_pod_with_new_labels_moves_to_its_new_class() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    proxy.settle()
    one.on_changes(added(pod(version="v2")), synced=True)
    one.commit_now()
    assert proxy.status.proxy_class.labels["version"] == "v2"
    assert [changes for _snapshot, changes in proxy.pushes] == [None]
    assert len(one.world.dump()["classes"]) == 1


def test_a_proxy_that_has_moved_has_not_settled_what_its_new_class_has() -> None:
    """Numbers count for one class: the old one's higher number used to pass for the new one's."""
    one = pilot(CART, pod(), pod("cart-2", "10.88.0.3", version="v2"))
    standing = Proxy(one, "cart-2")
    moving = Proxy(one, "cart-1")
    assert moving.status.offered > standing.status.offered
    moving.settle()
    standing.settle()
    one.on_changes(added(pod(version="v2")), synced=True)
    one.commit_now()
    assert moving.status in one.laggards()
    moving.settle()
    standing.settle()
    assert one.laggards() == []


def test_a_stream_whose_proxy_moves_between_equal_worlds_settles_again() -> None:
    """Two classes may have worlds of one number; the second must be settled too, even if nothing has to be sent."""
    stream = DeltaStream(ENVOY_RULES, Interner())
    stream.offer(Snapshot(7, {}), None)
    stream.receive(DeltaRequest(CLUSTER), 0.0)
    events: list[Event] = []
    for response in stream.outbox(0.0):
        stream.receive(DeltaRequest(CLUSTER, response_nonce=response.nonce), 0.0)
    events += stream.events()
    stream.offer(Snapshot(7, {}), None)
    events += stream.events()
    assert [one for one in events if isinstance(one, Settled)] == [Settled(7), Settled(7)]


def test_a_pod_that_is_gone_keeps_what_it_has_until_its_stream_ends() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    one.on_changes(removed(added(pod())), synced=True)
    one.commit_now()
    assert proxy.status.proxy_class.labels["version"] == "v1"
    proxy.connection.close()
    assert one.world.dump() == {"classes": [], "groups": []}


def test_the_last_client_frees_what_only_it_used() -> None:
    one = pilot(CART, pod())
    first, second = Proxy(one), Proxy(one)
    first.connection.close()
    assert len(one.world.dump()["classes"]) == 1
    second.connection.close()
    assert one.clients == {}
    assert one.world.dump() == {"classes": [], "groups": []}


# -- what it says ----------------------------------------------------------------------------------------------------


async def test_whoever_lags_is_named_at_the_deadline() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    assert [status.pod.name for status in await one.wait_settled(0.01)] == ["cart-1"]
    waiting = asyncio.create_task(one.wait_settled(10))
    await asyncio.sleep(0)
    proxy.settle()
    assert await waiting == []


async def test_a_proxy_that_goes_is_not_waited_for() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    waiting = asyncio.create_task(one.wait_settled(10))
    await asyncio.sleep(0)
    proxy.connection.close()
    assert await waiting == []


def test_a_proxys_own_ports_outlive_their_last_service() -> None:
    """Connections of the filter chain that goes still need its cluster."""
    assert ENVOY_RULES.kept(ResourceRef(CLUSTER, "inbound|8080||"))
    assert not ENVOY_RULES.kept(ResourceRef(CLUSTER, CART_CLUSTER))
    assert not ENVOY_RULES.kept(ResourceRef(VIRTUAL_HOST, "inbound|8080||"))
    assert ENVOY_RULES.kept(ResourceRef(VIRTUAL_HOST, "8080/others"))
    assert ENVOY_RULES.kept(ResourceRef(EXTENSION, "extensions.istio.io/wasmplugin/default/it"))
    assert not ENVOY_RULES.kept(ResourceRef(EXTENSION, "envoy.filters.http.jwt_authn"))
    assert not ENVOY_RULES.kept(ResourceRef(VIRTUAL_HOST, "8080/cart.shop.svc.cluster.local"))


def test_a_refusal_is_a_finding_until_the_proxy_has_settled() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    detail = ErrorDetail(13, "no such filter")
    proxy.connection.on_event(Nacked(CLUSTER, "1", (CART_CLUSTER,), {CART_CLUSTER: "v"}, detail))
    (finding,) = one.findings()
    assert (finding.code, finding.kind, finding.namespace, finding.name) == ("ARG0502", "Service", "shop", "cart")
    assert finding.message == f"{CART_CLUSTER} refused by shop/cart-1: no such filter"
    proxy.settle()
    assert one.findings() == []


PATCH = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: NAME, namespace: shop}
spec: {configPatches: [{applyTo: CLUSTER, patch: {operation: MERGE, value: {connect_timeout: SECONDSs}}}]}
"""


def patch(name: str, seconds: int) -> str:
    return PATCH.replace("NAME", name).replace("SECONDS", str(seconds))


def timeout_of(one: Pilot, proxy: Proxy) -> int:
    cluster = one.world.current(proxy.status.proxy_class).of(CLUSTER)[CART_CLUSTER]
    return int(api.decode("envoy.config.cluster.v3.Cluster", cluster.body or b"").connect_timeout.seconds)


def refuse_newest(one: Pilot, proxy: Proxy) -> None:
    """Refuse the cluster as it is now, as a stream would tell it, and let Pilot draw its consequences."""
    version = one.world.current(proxy.status.proxy_class).of(CLUSTER)[CART_CLUSTER].version
    detail = ErrorDetail(13, "no\nsuch time")
    proxy.connection.on_event(Nacked(CLUSTER, "1", (CART_CLUSTER,), {CART_CLUSTER: version}, detail))
    one.commit_now()


def test_an_envoy_filter_that_a_proxy_cannot_take_is_left_out_alone() -> None:
    one = pilot(CART, pod(), patch("a", 3))
    proxy = Proxy(one)
    one.on_changes(added(patch("b", 4)), synced=True)
    one.commit_now()
    assert timeout_of(one, proxy) == 4
    refuse_newest(one, proxy)
    assert timeout_of(one, proxy) == 3
    proxy.settle()
    (finding,) = one.findings()
    assert (finding.code, finding.kind, finding.name) == ("ARG0504", "EnvoyFilter", "b")
    assert f"shop/cart-1 refused {CART_CLUSTER}: no; such time" in finding.message


def test_an_envoy_filter_that_is_mended_is_tried_again() -> None:
    one = pilot(CART, pod(), patch("a", 3))
    proxy = Proxy(one)
    refuse_newest(one, proxy)
    assert timeout_of(one, proxy) == 10
    one.on_changes(added(patch("a", 5)), synced=True)
    one.commit_now()
    assert timeout_of(one, proxy) == 5
    proxy.settle()
    assert one.findings() == []


def test_where_envoy_does_not_say_what_it_refuses_one_filter_at_a_time_is_left_out() -> None:
    one = pilot(CART, CART.replace("cart", "desk").replace("10.96.0.10", "10.96.0.11"), pod(), patch("a", 3))
    proxy = Proxy(one)
    one.on_changes(added(patch("b", 4)), synced=True)
    one.commit_now()
    clusters = one.world.current(proxy.status.proxy_class).of(CLUSTER)
    versions = {name: clusters[name].version for name in clusters if name.startswith("outbound|80|")}
    assert len(versions) == 2
    proxy.connection.on_event(Nacked(CLUSTER, "1", tuple(versions), versions, ErrorDetail(13, "something")))
    one.commit_now()
    assert set(one.quarantine.held) == {ObjectKey("shop", "b")}


def test_what_a_proxy_says_of_an_older_version_judges_nobody() -> None:
    one = pilot(CART, pod(), patch("a", 3))
    proxy = Proxy(one)
    detail = ErrorDetail(13, "no")
    proxy.connection.on_event(Nacked(CLUSTER, "1", (CART_CLUSTER,), {CART_CLUSTER: "older"}, detail))
    one.commit_now()
    assert timeout_of(one, proxy) == 3


def test_a_refusal_of_what_came_later_finds_its_owner() -> None:
    """The owner was looked for in what the proxy had been offered at first."""
    one = pilot(CART.replace("cart", "basket"), pod())
    proxy = Proxy(one)
    one.on_changes(added(CART), synced=True)
    one.commit_now()
    refuse_newest(one, proxy)
    (finding,) = one.findings()
    assert (finding.kind, finding.name) == ("Service", "cart")


def test_it_is_known_whose_proxy_was_here_and_is_not() -> None:
    one = pilot(CART, pod())
    first, second = Proxy(one), Proxy(one)
    first.connection.close()
    assert one.gone == set()
    second.connection.close()
    assert one.gone == {ObjectKey("shop", "cart-1")}
    third = Proxy(one)
    assert one.gone == set()
    third.connection.close()
    one.on_changes(removed(added(pod())), synced=True)
    assert one.gone == set()


def test_what_is_held_back_is_told_until_the_proxy_has_settled() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    held = Held(ResourceRef(CLUSTER, "a"), removal=False, waiting_for=(ResourceRef(CLUSTER, "b"),))
    proxy.connection.on_event(held)
    assert proxy.status.held == {"a": ("b",)}
    proxy.settle()
    assert proxy.status.held == {}


def test_a_key_that_cannot_be_built_is_a_finding_and_the_rest_is_served() -> None:
    class Broken(Unconcerned):
        def concerns(self, policy: Any, destination: Destination) -> bool:
            raise RuntimeError("no opinion")

    one = Pilot(MeshSettings(), Broken(), SystemClock())
    one.on_changes(added(CART, pod(), RULE, HANDLER, INSTANCE), synced=True)
    proxy = Proxy(one)
    found = one.findings()
    assert {finding.code for finding in found} == {"ARG0501"}
    assert all("no opinion" in finding.message for finding in found)
    assert CART_CLUSTER in proxy.connection.snapshot.of(CLUSTER)


RULE = """
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: deny, namespace: shop}
spec: {match: 'destination.labels["app"] == "cart"', actions: [{handler: deny, instances: [all]}]}
"""
HANDLER = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: deny, namespace: shop}
spec: {compiledAdapter: denier, params: {status: {code: 7, message: "no"}}}
"""
INSTANCE = """
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: all, namespace: shop}
spec: {compiledTemplate: checknothing}
"""


# -- mutual TLS that changes -----------------------------------------------------------------------------------------


class HandClock(SystemClock):
    """Monotonic time that a test moves."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


def mode(value: str) -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: shop}}
spec: {{mtls: {{mode: {value}}}}}
"""


def test_servers_take_both_ways_until_their_callers_have_changed() -> None:
    clock = HandClock()
    one = Pilot(MeshSettings(), Unconcerned(), clock)
    one.on_changes(added(CART, pod(), mode("DISABLE")), synced=True)
    proxy = Proxy(one)

    def modes() -> set[tuple[str, str]]:
        (row,) = one.mtls_modes()
        return {(port["mode"], port["wanted"]) for port in row["ports"]}

    def step() -> None:
        proxy.settle()
        for _ in range(2):
            one.commit_now()
            clock.seconds += IN_FLIGHT_S
        one.commit_now()

    proxy.settle()
    assert modes() == {("DISABLE", "DISABLE")}
    one.on_changes(added(mode("STRICT")), synced=True)
    one.commit_now()
    assert modes() == {("PERMISSIVE", "STRICT")}
    told = one.findings()
    assert {finding.code for finding in told} == {"ARG0503"}
    assert all("waiting for shop/cart-1" in finding.message for finding in told)
    one.commit_now()
    assert modes() == {("PERMISSIVE", "STRICT")}
    step()
    assert modes() == {("PERMISSIVE", "STRICT")}
    step()
    assert modes() == {("STRICT", "STRICT")}
    assert not one.rollout.active
    assert one.findings() == []


def test_a_proxy_that_does_not_answer_for_long_is_stale_until_it_does() -> None:
    """Pains A9: a stream that is there and dead must be seen, and its age told."""
    clock = HandClock()
    one = Pilot(MeshSettings(), Unconcerned(), clock)
    one.on_changes(added(CART, pod()), synced=True)
    proxy = Proxy(one)
    proxy.settle()
    assert [(row["state"], row["behind_s"]) for row in dump_proxies(one)] == [("SYNCED", 0.0)]
    for index in range(2):
        one.on_changes(added(pod(f"cart-{index + 2}", f"10.88.0.{index + 3}")), synced=True)
        one.commit_now()
        clock.seconds += STALE_S - 1
    assert [(row["state"], row["behind_s"]) for row in dump_proxies(one)] == [("STALE", 2 * STALE_S - 2)]
    proxy.settle()
    assert [(row["state"], row["behind_s"]) for row in dump_proxies(one)] == [("SYNCED", 0.0)]
