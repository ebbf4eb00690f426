"""Aspects: each field of the mesh configuration concerns one of them."""

from __future__ import annotations

import pytest

from argosy.api.mesh_config import MeshConfig, parse_mesh_config
from argosy.pilot.aspects import Aspect, aspect_of, narrowed

CHANGES = {
    "outboundTrafficPolicy: {mode: REGISTRY_ONLY}": Aspect.TRAFFIC,
    "defaultHttpRetryPolicy: {attempts: 3}": Aspect.ROUTES,
    "defaultServiceExportTo: ['.']": Aspect.EXPORTS,
    "connectTimeout: 3s": Aspect.CLUSTERS,
    "accessLogEncoding: JSON": Aspect.LISTENERS,
    "pathNormalization: {normalization: BASE}": Aspect.LISTENERS,
}


@pytest.mark.parametrize("text", CHANGES)
def test_a_field_is_seen_by_its_own_aspect_only(text: str) -> None:
    changed = parse_mesh_config(text)
    assert changed != MeshConfig()
    assert [one for one in Aspect if narrowed(changed, one) != MeshConfig()] == [CHANGES[text]]


def test_all_aspects_together_are_the_whole() -> None:
    changed = parse_mesh_config("\n".join(CHANGES))
    parts = {name: getattr(narrowed(changed, aspect_of(name)), name) for name in MeshConfig.__struct_fields__}
    assert MeshConfig(**parts) == changed


def test_those_who_share_a_cache_of_names_read_the_same() -> None:
    changed = parse_mesh_config("dnsRefreshRate: 30s")
    assert {one for one in Aspect if narrowed(changed, one) != MeshConfig()} == {Aspect.CLUSTERS, Aspect.LISTENERS}
