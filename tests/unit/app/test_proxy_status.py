"""Who waits for a change is not kept by what a proxy lacked before."""

from __future__ import annotations

import asyncio

from argosy.app.proxy_status import lacks_nothing_new
from argosy.pilot.build.resource import CLUSTER
from argosy.xds.messages import ErrorDetail, ResourceRef
from argosy.xds.server import Nacked, Stuck

from .shop import CART, SPLIT, added, pod
from .test_pilot import CART_CLUSTER, Proxy, pilot


def stuck(one: Proxy, *versions: str) -> None:
    """Tell that it lacks versions of a cluster, and nothing else of what it was offered."""
    blocked = frozenset({(ResourceRef(CLUSTER, CART_CLUSTER), version) for version in versions})
    one.connection.on_event(Stuck(one.status.offered, blocked))


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
    stuck(one, "2")


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
