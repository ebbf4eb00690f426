"""Files that are small and named by users: keys, certificates, tokens."""

from __future__ import annotations

from pathlib import Path

BYTES_MAX = 1 << 20


def read_small_file(path: str) -> bytes:
    """What is in it. Errors: OSError, also for one that is too large."""
    file = Path(path)
    if file.stat().st_size > BYTES_MAX:
        raise OSError(f"{path} is larger than {BYTES_MAX} bytes")
    return file.read_bytes()
