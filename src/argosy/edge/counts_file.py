"""A file that is replaced as a whole, some times a minute: what it held before or what it holds now, never a half.

Mode 0600. It must outlive its writer, not the machine, so nothing is flushed to the disk.
"""

from __future__ import annotations

import os
from pathlib import Path

COUNTS_FILE = "counts"
"""Its name in a mesh's folder `run`: what Mixer has counted since the mesh is up."""


def read_counts(path: Path) -> bytes | None:
    """What was written last; None if nothing was. Errors: OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write_counts(path: Path, data: bytes) -> None:
    """Replace what is there. Errors: OSError; then the old content stays."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    os.replace(temporary, path)


def put_aside(path: Path) -> Path:
    """Rename a damaged file, over what was put aside before. Errors: OSError."""
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    return aside
