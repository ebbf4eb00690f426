"""A file that is replaced as a whole."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from argosy.edge.counts_file import read_counts, write_counts


def test_what_was_written_last_is_read(tmp_path: Path) -> None:
    file = tmp_path / "counts"
    assert read_counts(file) is None
    for data in (b"one, longer", b"two"):
        write_counts(file, data)
        assert read_counts(file) == data
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["counts"]


def test_a_writer_that_was_killed_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "counts"
    write_counts(file, b"whole")
    (tmp_path / ".counts.new").write_bytes(b"half")
    assert read_counts(file) == b"whole"
    write_counts(file, b"next")
    assert read_counts(file) == b"next"


def test_links_are_not_followed_and_errors_are_told(tmp_path: Path) -> None:
    file, other = tmp_path / "counts", tmp_path / "other"
    (tmp_path / ".counts.new").symlink_to(other)
    with pytest.raises(OSError):
        write_counts(file, b"data")
    assert not other.exists()
    file.mkdir()
    with pytest.raises(OSError):
        read_counts(file)
