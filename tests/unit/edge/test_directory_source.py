"""Files and directories as sources: the full set, at every change."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from argosy.api import Document
from argosy.core.errors import ArgosyError
from argosy.edge import directory_source
from argosy.edge.directory_source import read_source, watch_source


def _names(result: list[Document] | ArgosyError) -> list[str]:
    assert isinstance(result, list)
    return [document.data["name"] for document in result]


def test_a_directory_is_read_recursively_in_order_without_hidden_and_other_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / "b.yml").write_text("name: b1\n---\nname: b2\n")
    (tmp_path / "sub" / "c.json").write_text('{"name": "c"}')
    (tmp_path / "a.yaml").write_text("name: a\n")
    (tmp_path / "README.md").write_text("name: no")
    (tmp_path / ".hidden.yaml").write_text("name: no")
    (tmp_path / ".git" / "x.yaml").write_text("name: no")
    documents = read_source(tmp_path)
    assert _names(documents) == ["a", "b1", "b2", "c"]
    assert str(documents[2].origin) == f"{tmp_path}/b.yml:3"


def test_every_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\xfa")
    (tmp_path / "c.yaml").write_text("name: c")
    with pytest.raises(ArgosyError) as refused:
        read_source(tmp_path)
    assert [(f.code, f.origin.file) for f in refused.value.findings] == [
        ("ARG0001", str(tmp_path / "a.yaml")),
        ("ARG0020", str(tmp_path / "b.yaml")),
    ]


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgosyError, match="ARG0020"):
        read_source(tmp_path / "nothing")


async def _next(source: AsyncIterator[list[Document] | ArgosyError]) -> list[Document] | ArgosyError:
    return await asyncio.wait_for(anext(source), 60)


async def test_a_directory_yields_the_full_set_at_each_change_and_errors_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_source, "LOOK_AGAIN_MS", 300)
    (tmp_path / "a.yaml").write_text("name: a")
    source = watch_source(tmp_path, debounce_ms=50)
    assert _names(await _next(source)) == ["a"]
    (tmp_path / "b.yaml").write_text("name: b")
    assert _names(await _next(source)) == ["a", "b"]
    (tmp_path / "a.yaml").write_text("name: [")
    assert isinstance(await _next(source), ArgosyError)
    (tmp_path / "a.yaml").unlink()
    assert _names(await _next(source)) == ["b"]
    await source.aclose()


async def test_a_file_may_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_source, "LOOK_AGAIN_MS", 300)
    file = tmp_path / "a.yaml"
    file.write_text("name: old")
    source = watch_source(file, debounce_ms=50)
    assert _names(await _next(source)) == ["old"]
    (tmp_path / "a.yaml.new").write_text("name: newer")
    (tmp_path / "a.yaml.new").rename(file)
    assert _names(await _next(source)) == ["newer"]
    await source.aclose()
