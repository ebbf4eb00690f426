"""Objects that do not fit together are accepted with warnings that name them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from argosy.api import parse_documents
from argosy.core.errors import Level
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley

GRID = yaml.safe_load((Path(__file__).parent / "warnings.yaml").read_text())


def _galley() -> Galley:
    galley = Galley(MemoryStore())
    assert galley.apply(parse_documents(GRID["world"]), now=0, who="test").findings == ()
    return galley


def test_the_world_has_no_findings() -> None:
    assert _galley().analyze() == []


@pytest.mark.parametrize("case", GRID["cases"], ids=lambda c: c["name"])
def test_a_misfit_yields_its_warning(case: dict[str, Any]) -> None:
    galley = _galley()
    applied = galley.apply(parse_documents(case["text"], "new.yaml"), now=1, who="test")
    assert [f"{f.code} {f.object}" for f in applied.findings] == case["expect"]
    assert all(f.level is Level.WARNING and f.origin.file == "new.yaml" and f.origin.line for f in applied.findings)
    # What an apply tells about cross-object problems, analysis of the whole tells too.
    across = [f"{f.code} {f.object}" for f in galley.analyze()]
    assert [e for e in case["expect"] if e.startswith("ARG02")] == across
