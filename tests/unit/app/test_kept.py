"""What is kept of proxies: only what they run as a whole, and a turn after they have said so."""

from pathlib import Path

from argosy.app.kept import Keeper
from argosy.app.pilot import Pilot
from argosy.core.names import ObjectKey
from argosy.edge.clock import SystemClock
from argosy.edge.kept_store import has_kept, read_kept
from argosy.pilot.build.resource import CLUSTER, LISTENER, ROUTE, VIRTUAL_HOST
from argosy.xds.messages import ErrorDetail
from argosy.xds.server import Acked, Nacked, Settled, Subscribed

from .shop import CART, SPLIT, added, pod, removed
from .test_pilot import Proxy, pilot

POD = ObjectKey("shop", "cart-1")


def keeper(one: Pilot, folder: Path) -> Keeper:
    return Keeper(one, folder / "kept.db", SystemClock())


def refuse(proxy: Proxy) -> None:
    detail = ErrorDetail(3, "listener: no")
    proxy.connection.on_event(Nacked(LISTENER, "1", ("listener",), {"listener": "v"}, detail))


async def test_what_a_proxy_runs_is_kept_a_turn_later(tmp_path: Path) -> None:
    one = pilot(CART, pod())
    proxy, keeping = Proxy(one), keeper(one, tmp_path)
    proxy.connection.on_event(Subscribed(LISTENER, ("*",), first=True))
    proxy.settle()
    await keeping.save()
    assert not has_kept(keeping.path, POD)
    await keeping.save()
    kept = read_kept(keeping.path, POD)
    assert kept is not None
    offered = proxy.connection.snapshot
    for type_url in (CLUSTER, LISTENER, ROUTE, VIRTUAL_HOST):
        assert dict(kept.snapshot.of(type_url)) == dict(offered.of(type_url))
    assert kept.snapshot.of(LISTENER)


def test_a_proxy_that_has_not_asked_for_listeners_runs_nothing() -> None:
    """It has acknowledged its clusters, and all that it asked for; its listeners it may still refuse."""
    one = pilot(CART, pod())
    proxy = Proxy(one)
    proxy.connection.on_event(Subscribed(CLUSTER, ("*",), first=True))
    proxy.settle()
    assert one.ran == {}


async def test_what_is_refused_is_not_kept_and_the_last_good_stays(tmp_path: Path) -> None:
    one = pilot(CART, pod())
    proxy, keeping = Proxy(one), keeper(one, tmp_path)
    proxy.connection.on_event(Subscribed(LISTENER, ("*",), first=True))
    proxy.settle()
    await keeping.save()
    await keeping.save()
    good = read_kept(keeping.path, POD)
    assert good is not None
    one.on_changes(added(SPLIT), synced=True)
    one.commit_now()
    proxy.settle()  # of the types that it had asked for until then
    await keeping.save()
    refuse(proxy)
    await keeping.save()
    await keeping.save()
    kept = read_kept(keeping.path, POD)
    assert kept is not None
    assert kept.at == good.at
    proxy.connection.on_event(Acked(LISTENER, "2", {}))
    proxy.settle()
    await keeping.save()
    await keeping.save()
    kept = read_kept(keeping.path, POD)
    assert kept is not None
    assert kept.at > good.at


def test_a_proxy_that_settled_on_what_is_not_the_newest_is_not_noted() -> None:
    one = pilot(CART, pod())
    proxy = Proxy(one)
    proxy.connection.on_event(Subscribed(LISTENER, ("*",), first=True))
    old = proxy.status.offered
    one.on_changes(added(SPLIT), synced=True)
    one.commit_now()
    proxy.connection.on_event(Settled(old))
    assert one.ran == {}
    proxy.settle()
    assert list(one.ran) == [POD]


async def test_a_pod_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    one = pilot(CART, pod(), pod("cart-2", "10.88.0.3"))
    keeping = keeper(one, tmp_path)
    first, second = Proxy(one), Proxy(one, "cart-2")
    for proxy in (first, second):
        proxy.connection.on_event(Subscribed(LISTENER, ("*",), first=True))
        proxy.settle()
    await keeping.save()
    await keeping.save()
    assert has_kept(keeping.path, POD)
    one.on_changes(removed(added(pod())), synced=True)
    one.commit_now()
    second.settle()
    await keeping.save()
    await keeping.save()
    assert not has_kept(keeping.path, POD)
    assert has_kept(keeping.path, ObjectKey("shop", "cart-2"))


async def test_a_file_that_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    one = pilot(CART, pod())
    proxy, keeping = Proxy(one), keeper(one, tmp_path / "not-there")
    proxy.connection.on_event(Subscribed(LISTENER, ("*",), first=True))
    proxy.settle()
    await keeping.save()
    await keeping.save()
    (tmp_path / "not-there").mkdir()
    await keeping.save()
    assert has_kept(keeping.path, POD)
