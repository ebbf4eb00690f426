"""Istio's own samples of traffic management are accepted as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from argosy.api import decode_object, parse_documents
from argosy.core.errors import Level
from argosy.galley.validate import validate_object

SAMPLES = Path(__file__).parents[3] / "shared" / "corpus" / "istio-samples"
FILES = sorted(path for path in SAMPLES.rglob("*.y*ml") if "networking.istio.io" in path.read_text())
GROUP = "networking.istio.io/"


@pytest.mark.skipif(not FILES, reason="the folder ../shared/corpus with Istio's samples is not here")
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SAMPLES)))
def test_a_sample_is_accepted_unchanged(path: Path) -> None:
    ours = [
        one for one in parse_documents(path.read_text(), path.name) if str(one.data["apiVersion"]).startswith(GROUP)
    ]
    assert ours
    found = [finding for one in ours for finding in validate_object(decode_object(one))]
    assert [one for one in found if one.level is Level.ERROR] == []
