import io
from pathlib import Path

import pytest

from argosy.cli.sources import read_files
from argosy.core.errors import ArgosyError


def test_directories_are_read_in_the_order_of_names(tmp_path: Path):
    for name in ("b.yaml", "a.json", "c.txt", ".hidden.yaml"):
        (tmp_path / name).write_text(f"# {name}")
    assert read_files([str(tmp_path)]) == [
        {"file": str(tmp_path / "a.json"), "text": "# a.json"},
        {"file": str(tmp_path / "b.yaml"), "text": "# b.yaml"},
    ]


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("kind: x"))
    assert read_files(["-"]) == [{"file": "<stdin>", "text": "kind: x"}]


@pytest.mark.parametrize("content", ["", " \n"])
def test_nothing_to_read_is_an_error(tmp_path: Path, content: str):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(ArgosyError, match="ARG0706"):
        read_files([str(tmp_path)])
    with pytest.raises(ArgosyError, match="ARG0706"):
        read_files([])


def test_files_that_are_not_text_are_named(tmp_path: Path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ArgosyError, match="not UTF-8 text"):
        read_files([str(tmp_path / "a.yaml")])
