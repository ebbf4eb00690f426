"""The tables of Istio's tasks and of what hurts name tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page, folder, least", [("tasks.md", "tests/e2e", 20), ("security.md", "tests", 30)])
def test_every_test_that_a_table_names_exists(page: str, folder: str, least: int) -> None:
    named = re.findall(r"`((?:\w+/)*test_\w+\.py)::(\w+)`", (ROOT / "docs/reference" / page).read_text())
    places = {file: ROOT / (file if file.startswith("tests/") else f"{folder}/{file}") for file, _name in named}
    texts = {file: place.read_text() for file, place in places.items()}
    assert [name for file, name in named if f"def {name}(" not in texts[file]] == []
    assert len(named) > least
