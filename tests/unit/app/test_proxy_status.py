"""Who waits for a change is not kept by what a proxy lacked before."""

from __future__ import annotations

import asyncio

from argosy.app.proxy_status import lacks_nothing_new
from argosy.pilot.build.resource import CLUSTER
from argosy.xds.messages import ResourceRef
from argosy.xds.server import Stuck

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


def test_only_the_newest_snapshot_counts_and_only_what_was_lacking_in_the_same_version() -> None:
    one, other = ((ResourceRef(CLUSTER, CART_CLUSTER), version) for version in "12")
    before = Stuck(1, frozenset({one}))
    assert lacks_nothing_new(Stuck(2, frozenset({one})), before, 2)
    assert lacks_nothing_new(Stuck(2, frozenset()), before, 2)
    assert not lacks_nothing_new(Stuck(1, frozenset({one})), before, 2)
    assert not lacks_nothing_new(Stuck(2, frozenset({other})), before, 2)
    assert not lacks_nothing_new(None, before, 2)
    assert not lacks_nothing_new(Stuck(2, frozenset({one})), None, 2)
