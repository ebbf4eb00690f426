"""Who waits for a change is not kept by what a proxy lacked before."""

from __future__ import annotations

import asyncio

from argosy.app.pilot import Pilot
from argosy.app.proxy_status import lacks_nothing_new
from argosy.pilot.build.resource import CLUSTER
from argosy.xds.messages import ErrorDetail, ResourceRef
from argosy.xds.server import Nacked, Stuck

from .shop import CART, SPLIT, added, pod
from .test_pilot import CART_CLUSTER, Proxy, mode, patch, pilot, timeout_of


def stuck(one: Proxy, *versions: str, refused: bool = False) -> None:
    """Tell that it lacks versions of a cluster, and nothing else of what it was offered."""
    ref = ResourceRef(CLUSTER, CART_CLUSTER)
    blocked = frozenset({(ref, version) for version in versions})
    one.connection.on_event(Stuck(one.status.offered, blocked, frozenset({ref} if refused else ())))


async def test_what_a_proxy_lacked_before_is_no_part_of_a_change() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    stuck(proxy, "1")
    assert await one.wait_settled(10) == []
    one.on_changes(added(SPLIT), synced=True)
    waiting = asyncio.create_task(one.wait_settled(10))
    await asyncio.sleep(0)
    one.commit_now()
    one.note_progress()
    await asyncio.sleep(0)
    assert not waiting.done()
    stuck(proxy, "1")
    assert await waiting == []


async def test_what_a_proxy_has_come_to_lack_is_waited_for() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    stuck(proxy, "1")
    one.on_changes(added(SPLIT), synced=True)
    waiting = asyncio.create_task(one.wait_settled(0.05))
    await asyncio.sleep(0)
    one.commit_now()
    one.note_progress()
    stuck(proxy, "2")
    assert [status.pod.name for status in await waiting] == ["cart-1"]


def refuse(one: Proxy) -> None:
    """Tell that it has refused the cluster and has all else that it was offered."""
    detail = ErrorDetail(13, "no such thing")
    one.connection.on_event(Nacked(CLUSTER, "1", (CART_CLUSTER,), {CART_CLUSTER: "2"}, detail))
    stuck(one, "2", refused=True)


async def test_who_has_refused_a_change_is_told_at_once_when_all_others_run_it() -> None:
    one = pilot(CART, pod())
    refusing, other = Proxy(one), Proxy(one)
    waiting = asyncio.create_task(one.wait_settled(600))
    await asyncio.sleep(0)
    refuse(refusing)
    await asyncio.sleep(0)
    assert not waiting.done()
    other.settle()
    assert await waiting == [refusing.status]


async def test_what_only_waits_is_waited_for_whatever_was_refused_before() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    refuse(proxy)
    one.on_changes(added(SPLIT), synced=True)
    waiting = asyncio.create_task(one.wait_settled(600))
    await asyncio.sleep(0)
    one.commit_now()
    one.note_progress()
    stuck(proxy, "3")
    await asyncio.sleep(0)
    assert not waiting.done()
    proxy.settle()
    assert await waiting == []


async def test_a_refusal_that_ends_with_leaving_a_filter_out_is_no_failure() -> None:
    """The proxy refuses what a filter makes, is offered the same without the filter, and takes that."""
    one = pilot(CART, pod())
    proxy = Proxy(one)
    proxy.settle()
    one.on_changes(added(patch("slow", 4)), synced=True)
    one.commit_now()
    waiting = asyncio.create_task(one.wait_settled(600))
    await asyncio.sleep(0)
    refuse_newest(one, proxy)
    await asyncio.sleep(0)
    assert not waiting.done(), "whom to leave out is decided, and not yet carried out"
    one.commit_now()
    one.note_progress()
    await asyncio.sleep(0)
    assert (timeout_of(one, proxy), waiting.done()) == (10, False)
    proxy.settle()
    assert await waiting == []
    assert [finding.code for finding in one.findings()] == ["ARG0504"]


async def test_what_is_refused_without_the_filter_too_is_a_failure() -> None:
    """With the filter, without it, and with it again, since it is innocent: then nothing is left to try."""
    one = pilot(CART, pod(), patch("slow", 4))
    proxy = Proxy(one)
    waiting = asyncio.create_task(one.wait_settled(600))
    for _try in range(3):
        await asyncio.sleep(0)
        assert not waiting.done()
        refuse_newest(one, proxy)
        await asyncio.sleep(0)
        one.commit_now()
        one.note_progress()
    assert await waiting == [proxy.status]


def refuse_newest(one: Pilot, proxy: Proxy) -> None:
    """Tell that it has refused the cluster as it is now and has all else that it was offered."""
    version = one.world.current(proxy.status.proxy_class).of(CLUSTER)[CART_CLUSTER].version
    detail = ErrorDetail(13, "no such time")
    proxy.connection.on_event(Nacked(CLUSTER, "1", (CART_CLUSTER,), {CART_CLUSTER: version}, detail))
    stuck(proxy, version, refused=True)


async def test_what_follows_from_a_refusal_is_waited_for() -> None:
    """A patch may be left out because of it: then the proxy gets something else."""
    one = pilot(CART, pod())
    refusing = Proxy(one)
    one.on_changes(added(SPLIT), synced=True)
    waiting = asyncio.create_task(one.wait_settled(600))
    await asyncio.sleep(0)
    refuse(refusing)
    await asyncio.sleep(0)
    assert not waiting.done()
    one.commit_now()
    one.note_progress()
    await asyncio.sleep(0)
    assert not waiting.done(), "it refused what is not the newest"
    refusing.settle()
    assert await waiting == []


def test_only_the_newest_snapshot_counts_and_only_what_was_lacking_in_the_same_version() -> None:
    one, other = ((ResourceRef(CLUSTER, CART_CLUSTER), version) for version in "12")
    before = Stuck(1, frozenset({one}))
    assert lacks_nothing_new(Stuck(2, frozenset({one})), before, 2)
    assert lacks_nothing_new(Stuck(2, frozenset()), before, 2)
    assert not lacks_nothing_new(Stuck(1, frozenset({one})), before, 2)
    assert not lacks_nothing_new(Stuck(2, frozenset({other})), before, 2)
    assert not lacks_nothing_new(None, before, 2)
    assert not lacks_nothing_new(Stuck(2, frozenset({one})), None, 2)


async def test_a_change_of_mutual_tls_that_a_refusal_bars_is_not_waited_for() -> None:
    """Servers wait for their callers, and this one never follows: `apply --wait` waited for all of its time."""
    one = pilot(CART, pod(), mode("DISABLE"))
    proxy = Proxy(one)
    refuse(proxy)
    one.on_changes(added(mode("STRICT")), synced=True)
    waiting = asyncio.create_task(one.wait_settled(600))
    await asyncio.sleep(0)
    one.commit_now()
    one.note_progress()
    await asyncio.sleep(0)
    assert not waiting.done(), "it may take what was just offered"
    stuck(proxy, "2", refused=True)
    assert await waiting == [proxy.status]
    told = [finding.message for finding in one.findings() if finding.code == "ARG0503"]
    assert told
    assert all("cannot go on while shop/cart-1 refuses" in message for message in told)


async def test_what_follows_is_waited_for_beside_a_change_of_mutual_tls_that_was_barred_before() -> None:
    """Whoever changes something else has no part in it."""
    one = pilot(CART, pod(), mode("DISABLE"))
    proxy = Proxy(one)
    refuse(proxy)
    one.on_changes(added(mode("STRICT")), synced=True)
    one.commit_now()
    stuck(proxy, "2", refused=True)
    one.on_changes(added(SPLIT), synced=True)
    waiting = asyncio.create_task(one.wait_settled(600))
    await asyncio.sleep(0)
    one.commit_now()
    one.note_progress()
    await asyncio.sleep(0)
    assert not waiting.done()
    stuck(proxy, "2", refused=True)
    assert await waiting == []


async def test_a_change_of_mutual_tls_that_only_waits_is_waited_for() -> None:
    one = pilot(CART, pod(), mode("DISABLE"))
    proxy = Proxy(one)
    one.on_changes(added(mode("STRICT")), synced=True)
    waiting = asyncio.create_task(one.wait_settled(0.05))
    await asyncio.sleep(0)
    one.commit_now()
    stuck(proxy, "3")
    one.note_progress()
    assert await waiting == [proxy.status]
    told = [finding.message for finding in one.findings() if finding.code == "ARG0503"]
    assert told
    assert not any("refuses" in message for message in told)
