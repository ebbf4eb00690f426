"""The table of Istio's tasks names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_table_of_tasks_names_exists() -> None:
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", (ROOT / "docs/reference/tasks.md").read_text())
    texts = {file: (ROOT / "tests/e2e" / file).read_text() for file, _name in named}
    assert [name for file, name in named if f"def {name}(" not in texts[file]] == []
    assert len(named) > 20
