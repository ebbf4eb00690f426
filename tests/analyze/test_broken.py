"""Broken documents: each is refused with its code and line, and nothing changes."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from argosy.api import parse_documents
from argosy.core.errors import ArgosyError
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley

FILES = sorted((Path(__file__).parent / "broken").glob("*.yaml"))
SETS = {file.stem: yaml.safe_load(file.read_text()) for file in FILES}
CASES = [(stem, case) for stem, content in SETS.items() for case in content["cases"]]

BEFORE = """
apiVersion: v1
kind: Service
metadata: {name: before}
spec: {ports: [{port: 80}]}
"""


def _break(base: str, old: str, new: str, further: int = 0) -> tuple[str, int]:
    assert old in base
    return base.replace(old, new, 1), base[: base.index(old)].count("\n") + 1 + further


def test_there_are_at_least_200_cases_of_20_kinds() -> None:
    assert len(CASES) >= 200
    assert len({case[0] for _, case in CASES}) >= 20


@pytest.mark.parametrize("stem", SETS)
def test_the_unbroken_document_is_accepted(stem: str) -> None:
    galley = Galley(MemoryStore())
    assert galley.apply(parse_documents(SETS[stem]["base"]), now=0, who="test").revision == 1


@pytest.mark.parametrize("stem, case", CASES, ids=[f"{s}-{c[0]}-{n}" for n, (s, c) in enumerate(CASES)])
def test_a_broken_document_is_refused_with_code_and_line(stem: str, case: list[Any]) -> None:
    code, *edit = case
    text, line = _break(SETS[stem]["base"], *edit)
    galley = Galley(MemoryStore())
    galley.apply(parse_documents(BEFORE, "before.yaml"), now=0, who="test")
    objects, snapshot = galley.objects(), galley.snapshot
    with pytest.raises(ArgosyError) as refused:
        galley.apply(parse_documents(text, "broken.yaml"), now=1, who="test")
    places = {(f.code, str(f.origin)) for f in refused.value.findings}
    assert (code, f"broken.yaml:{line}") in places
    assert (galley.revision, galley.objects()) == (1, objects)
    assert galley.snapshot is snapshot
