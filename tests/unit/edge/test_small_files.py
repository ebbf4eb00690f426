"""Files that are small and named by users."""

from pathlib import Path

import pytest

from argosy.edge.small_files import BYTES_MAX, read_small_file


def test_a_file_is_read_unless_it_is_too_large(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"k" * BYTES_MAX)
    assert len(read_small_file(str(file))) == BYTES_MAX
    file.write_bytes(b"k" * (BYTES_MAX + 1))
    with pytest.raises(OSError, match="is larger than"):
        read_small_file(str(file))
