"""Galley as a running thing: who must have read a change."""

from types import SimpleNamespace

from argosy.api import parse_documents
from argosy.app.galley import GalleyService
from argosy.core.spiffe import workload_id
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley
from argosy.xds.server import Settled

CLOCK = SimpleNamespace(now=lambda: 0.0, monotonic=lambda: 0.0)
SERVICE = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n"


def reader(service: GalleyService, name: str) -> object:
    return service.connect(workload_id("cluster.local", "istio-system", name), b"", lambda snapshot, changes: None)


async def test_a_component_that_is_away_has_not_read_a_change() -> None:
    """After a restart of Galley nobody is connected yet: that is not the same as everybody being done."""
    service = GalleyService(Galley(MemoryStore()), CLOCK, expected=frozenset({"pilot", "mixer"}))
    service.apply(parse_documents(SERVICE), who="test")
    assert await service.wait_read(0) == ["mixer", "pilot"]
    pilot, mixer = reader(service, "pilot"), reader(service, "mixer")
    assert await service.wait_read(0) == ["mixer", "pilot"]
    pilot.on_event(Settled(service.galley.snapshot.number))
    assert await service.wait_read(0) == ["mixer"]
    mixer.on_event(Settled(service.galley.snapshot.number))
    assert await service.wait_read(0) == []
    mixer.close()
    assert await service.wait_read(0) == ["mixer"]


async def test_in_one_process_nobody_else_is_waited_for() -> None:
    service = GalleyService(Galley(MemoryStore()), CLOCK)
    service.apply(parse_documents(SERVICE), who="test")
    assert await service.wait_read(0) == []
