"""Lines of fields outlive the parsed tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from argosy.api import decode_document, encode_document, parse_documents
from argosy.api.lines import line_at, snake_case
from argosy.api.paths import FieldPath

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").rglob("*.yaml"))


def paths(data: Any, above: FieldPath = ()) -> Iterator[FieldPath]:
    members = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, value in members:
        yield (*above, step)
        yield from paths(value, (*above, step))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda one: str(one.name))
def test_what_is_kept_and_served_knows_every_line_that_the_tree_knows(file: Path) -> None:
    for document in parse_documents(file.read_text(), file.name):
        kept = decode_document(encode_document(document.without_node()))
        assert (kept.node, kept) == (None, document)
        told = {path: document.locate(path).line for path in paths(document.data)}
        assert {path: kept.locate(path).line for path in told} == told


def test_the_nearest_that_is_written_counts_and_either_spelling() -> None:
    (document,) = parse_documents("# one\na: {b_c: 1}\nd:\n- x\n- {y: null, z: 1}\n", "f.yaml")
    kept = document.without_node()
    assert [kept.locate(one).line for one in ("a.bC", "d[1].z", "d[1].y", "d[7]", "e")] == [2, 5, 5, 3, 2]
    assert (snake_case("maxAmount"), snake_case(3)) == ("max_amount", 3)


def test_lines_of_other_data_tell_nothing() -> None:
    (document,) = parse_documents("\na: 1\nb:\n  c: 2\n", "f.yaml")
    kept = document.without_node()
    added = replace(kept, data={**kept.data, "status": {"x": 1}})
    assert (kept.locate("b.c").line, added.locate("b.c")) == (4, document.origin)
    assert line_at({"a": 1}, (), ("a",)) is None
