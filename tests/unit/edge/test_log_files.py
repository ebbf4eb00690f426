"""Log files stay short while programs go on writing to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from argosy.edge import log_files
from argosy.edge.log_files import shorten


@pytest.fixture
def writer(tmp_path: Path):
    """A pod's log file and the descriptor by which its program appends."""
    path = tmp_path / "pods" / "shop" / "cart-1" / "app.log"
    path.parent.mkdir(parents=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    yield path, descriptor
    os.close(descriptor)


def test_a_long_file_is_cut_and_kept_once(tmp_path: Path, writer) -> None:
    path, descriptor = writer
    os.write(descriptor, b"first\n")
    assert shorten(tmp_path, 6) == []
    os.write(descriptor, b"second\n")
    assert shorten(tmp_path, 6) == [path]
    assert path.read_bytes() == b""
    os.write(descriptor, b"third\n")
    assert path.read_bytes() == b"third\n"
    kept = path.with_name("app.log.1")
    assert kept.read_bytes() == b"first\nsecond\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    os.write(descriptor, b"fourth\n")
    assert shorten(tmp_path, 6) == [path]
    assert kept.read_bytes() == b"third\nfourth\n"
    assert sorted(one.name for one in path.parent.iterdir()) == ["app.log", "app.log.1"]


def test_programs_logs_are_cut_and_what_an_application_keeps_is_left_alone(tmp_path: Path) -> None:
    own, kept, data = (tmp_path / name for name in ("logs/node.log", "logs/node.log.1", "pods/a/b/data/own.log"))
    for path in (own, kept, data):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"some text")
    assert shorten(tmp_path, 4) == [own]
    assert data.read_bytes() == b"some text"


def test_what_cannot_be_kept_is_not_cut(tmp_path: Path, writer, monkeypatch, caplog) -> None:
    path, descriptor = writer
    os.write(descriptor, b"important\n")

    def full(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_files, "_copy", full)
    assert shorten(tmp_path, 4) == []
    assert path.read_bytes() == b"important\n"
    assert "stays long" in caplog.text
    assert [one.name for one in path.parent.iterdir()] == ["app.log"]
