"""What one change costs: functions run, resources encoded, resources sent, at any size of the mesh (counts only)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from argosy.pilot.build import resource as resources
from argosy.pilot.build.resource import ENDPOINT
from argosy.pilot.xds_rules import ENVOY_RULES
from argosy.testing import meshes
from argosy.testing.fake_envoy import FakeEnvoy, Reading, node_bytes
from argosy.testing.lines import Line
from argosy.testing.meshes import Size
from argosy.testing.worlds import MeshWorld
from argosy.xds.messages import DeltaRequest
from argosy.xds.server import DeltaStream, Interner

CLASSES = 4
PROXIES = 8
HOST = "service-3.team-3.svc.cluster.local"


class Encoded:
    """Counts resources as they are encoded."""

    def __init__(self) -> None:
        self.names = 0


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Encoded]:
    counter = Encoded()
    version = resources.content_version

    def counting(body: bytes | None) -> str:
        counter.names += 1
        return version(body)

    monkeypatch.setattr(resources, "content_version", counting)
    return counter


class Rig:
    """A mesh with proxies of some classes connected and in sync."""

    def __init__(self, services: int) -> None:
        self.size = Size(services, namespaces=10, classes=CLASSES, proxies=PROXIES)
        self.world = MeshWorld()
        self.world.set(meshes.mesh_objects(self.size))
        reading, interner = Reading(), Interner()
        self.lines = []
        for pod in meshes.client_keys(self.size):
            found = self.world.world.class_of(pod)
            assert found is not None
            node = node_bytes(role="sidecar", address="127.0.0.1", pod=pod.name, namespace=pod.namespace)
            line = Line(self.world.world, found, FakeEnvoy(node, reading), ENVOY_RULES, interner)
            line.pump()
            self.lines.append(line)


@pytest.fixture(scope="module", params=[100, 3000])
def rig(request: pytest.FixtureRequest) -> Rig:
    return Rig(request.param)


@pytest.mark.timeout(300)
def test_one_endpoint_change_encodes_one_resource_and_sends_only_that(rig: Rig, encoded: Encoded) -> None:
    outcome = rig.world.set([meshes.endpoint(rig.size, 3, 2, ready=False)])
    assert dict(outcome.commit.ran) == {"endpoints": 1, "identities": 1, "ruled_endpoints": 1, "assignments": 1}
    assert encoded.names == 1
    for line in rig.lines:
        line.offer(outcome)
        assert line.pump().names == [f"outbound|9080||{HOST}"]


@pytest.mark.timeout(300)
def test_a_change_is_not_sent_to_those_who_do_not_ask_for_it(rig: Rig) -> None:
    stream = DeltaStream(ENVOY_RULES, Interner())
    stream.offer(rig.world.world.join(rig.lines[0].proxy_class), None)
    other = "outbound|9080||service-4.team-4.svc.cluster.local"
    stream.receive(DeltaRequest(ENDPOINT, (other,)), 0.0)
    (first,) = stream.outbox(0.0)
    stream.receive(DeltaRequest(ENDPOINT, response_nonce=first.nonce), 0.0)
    outcome = rig.world.set([meshes.endpoint(rig.size, 3, 1, ready=False)])
    (offer,) = [one for one in outcome.offers if one.proxy_class == rig.lines[0].proxy_class]
    stream.offer(offer.snapshot, offer.changes)
    assert stream.outbox(0.0) == []
    for line in rig.lines:
        line.offer(outcome)
        line.pump()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number,versions", [(3, 2), (8, 1)])
def test_one_route_change_costs_what_it_touches(rig: Rig, encoded: Encoded, number: int, versions: int) -> None:
    """A virtual host for all, and one for the clients beside it (there are some in team-3, none in team-8)."""
    outcome = rig.world.set([meshes.virtual_service(rig.size, number, first=50)])
    assert dict(outcome.commit.ran) == {"virtual_services": versions, "virtual_hosts": versions}
    assert encoded.names == versions
    name = f"9080/{meshes.service_name(number)}.team-{number}.svc.cluster.local"
    for line in rig.lines:
        line.offer(outcome)
        sent = line.pump()
        assert sent.names == [name]
        assert sent.total_bytes < 1500


@pytest.mark.timeout(300)
def test_a_change_that_changes_nothing_sends_nothing(rig: Rig, encoded: Encoded) -> None:
    outcome = rig.world.set([meshes.virtual_service(rig.size, 5, first=90), meshes.endpoint(rig.size, 5, 0)])
    assert (dict(outcome.commit.ran), outcome.offers, encoded.names) == ({}, (), 0)


@pytest.mark.timeout(300)
def test_a_new_service_costs_one_service(rig: Rig, encoded: Encoded) -> None:
    """Lists of all hosts are read again, but only the new one is built, for all and for those beside it."""
    number = rig.size.services + 3
    outcome = rig.world.set([meshes.service(rig.size, number)])
    ran = outcome.commit.ran
    assert {name: ran[name] for name in ("host", "ruled_clusters", "ruled_endpoints", "virtual_hosts")} == {
        "host": 1,
        "ruled_clusters": 0,
        "ruled_endpoints": 0,
        "virtual_hosts": 0,
    }
    assert encoded.names == 4  # cluster, endpoints, a virtual host for all and one for the clients beside it
    assert ran["inbound"] == 0
    for line in rig.lines:
        line.offer(outcome)
        assert sorted(line.pump().names) == sorted(
            [
                f"9080/{meshes.service_name(number)}.team-3.svc.cluster.local",
                *[f"outbound|9080||{meshes.service_name(number)}.team-3.svc.cluster.local"] * 2,
            ]
        )
    rig.world.delete("Service", "team-3", meshes.service_name(number))


def test_a_class_with_fifty_proxies_is_built_and_encoded_once(encoded: Encoded) -> None:
    size = Size(20, namespaces=4, classes=1, proxies=50)
    rig = MeshWorld()
    rig.set(meshes.mesh_objects(size))
    reading, interner = Reading(), Interner()
    counts = []
    snapshots = set()
    for pod in meshes.client_keys(size):
        found = rig.world.class_of(pod)
        assert found is not None
        line = Line(rig.world, found, FakeEnvoy(node_bytes_of(pod.name, pod.namespace), reading), ENVOY_RULES, interner)
        line.pump()
        counts.append(encoded.names)
        snapshots.add(id(rig.world.current(found)))
    assert counts[0] > 0
    assert set(counts) == {counts[0]}
    assert len(snapshots) == 1
    assert all(derived.runs <= len(derived.nodes) for derived in rig.model.members.values())


def node_bytes_of(pod: str, namespace: str) -> bytes:
    return node_bytes(role="sidecar", address="127.0.0.1", pod=pod, namespace=namespace)
