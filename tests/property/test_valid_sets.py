"""Whatever valid objects are put together: Envoy takes what comes of it, and it does not depend on their order."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.conformance.xds_envoy.acceptance import accepting
from tests.conformance.xds_envoy.conftest import runnable

from argosy.api import decode_object, parse_documents
from argosy.core.errors import Level
from argosy.envoy.api import decode
from argosy.galley.validate import validate_object
from argosy.pilot.build.resource import CLUSTER, VIRTUAL_HOST
from argosy.testing.strategies import PROXIES, WORLD, Document, object_sets
from argosy.testing.worlds import MeshWorld
from argosy.xds.messages import Snapshot

__all__ = ["runnable"]
SETS = 2000 if os.environ.get("CI") else 200
ENVOY_SETS = SETS // 5


def text(documents: list[Document]) -> str:
    """Documents as YAML; JSON is YAML, and written in a fraction of the time."""
    return "\n---\n".join(json.dumps(one, ensure_ascii=False) for one in documents)


BASE = text(list(WORLD))


def world(documents: list[Document]) -> MeshWorld:
    return MeshWorld(BASE, text(documents))


def snapshots(made: MeshWorld) -> list[Snapshot]:
    return [made.snapshot(pod, namespace) for pod, namespace in PROXIES]


@settings(
    max_examples=SETS, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink]
)
@given(object_sets, st.randoms(use_true_random=False))
@pytest.mark.timeout(1800)
def test_sets_of_valid_objects_fit_together(documents: list[Document], order: object) -> None:
    for document in parse_documents(text(documents)):
        problems = [one for one in validate_object(decode_object(document)) if one.level is Level.ERROR]
        assert problems == []
    made = world(documents)
    assert dict(made.world.engine.findings) == {}
    found = snapshots(made)
    for snapshot in found:
        _check(snapshot)
    shuffled = list(documents)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    one_by_one = MeshWorld(BASE)
    for document in shuffled:
        one_by_one.apply(text([document]))
    for first, second in zip(found, snapshots(one_by_one), strict=True):
        assert _versions(first) == _versions(second)


def _versions(snapshot: Snapshot) -> dict[str, dict[str, str]]:
    return {url: {name: one[name].version for name in one} for url, one in snapshot.resources.items()}


def _check(snapshot: Snapshot) -> None:
    """No domain stands twice in a route configuration; routes name clusters of their objects' own making only."""
    domains: set[tuple[str, str]] = set()
    for name in snapshot.of(VIRTUAL_HOST):
        host = decode("envoy.config.route.v3.VirtualHost", snapshot.of(VIRTUAL_HOST)[name].body or b"")
        configuration = name.partition("/")[0]
        for domain in host.domains:
            assert (configuration, domain) not in domains, f"{domain} twice in {configuration}"
            domains.add((configuration, domain))
    clusters = set(snapshot.of(CLUSTER))
    for resources in snapshot.resources.values():
        for name in resources:
            lost = {ref.name for ref in resources[name].requires} - clusters
            # A subset that no rule defines stays away until one does: its routes are held back.
            assert not {one for one in lost if "|v1|" not in one and "|v2|" not in one}, (name, lost)


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("runnable")
async def test_envoy_takes_what_comes_of_them(tmp_path: Path) -> None:
    drawn: list[list[Document]] = []

    @settings(
        max_examples=ENVOY_SETS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(object_sets)
    def draw(documents: list[Document]) -> None:
        drawn.append(documents)

    draw()
    refused = []
    async with accepting(tmp_path, ["pair", "pair-cacert"]) as envoy:
        for number, documents in enumerate(drawn):
            snapshot = snapshots(world(documents))[number % len(PROXIES)]
            known = set(snapshot.of(CLUSTER))
            resources = [one[name] for one in snapshot.resources.values() for name in one]
            # What is held back for want of a cluster is never sent, so there is nothing to refuse.
            said = await envoy.refusals(one for one in resources if {ref.name for ref in one.requires} <= known)
            if said:
                refused.append((documents, said))
    assert refused == []
