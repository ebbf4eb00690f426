"""Copies a log file to standard output: its end, and what is added to it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

POLL_S = 0.1
_CHUNK_BYTES = 1 << 16


def copy_log(path: str, *, lines: int | None, follow: bool) -> None:
    """Copy the last `lines` lines (None: all) as they are; with `follow` go on until Ctrl-C or the file is gone."""
    out = sys.stdout.buffer
    with open(path, "rb") as file:
        if lines is None:
            _copy(file, out)
        else:
            out.writelines(deque(file, maxlen=lines))
        out.flush()
        if follow:
            with contextlib.suppress(KeyboardInterrupt):
                _follow(file, Path(path), out)


def _follow(file: BinaryIO, path: Path, out: BinaryIO) -> None:
    while path.exists():
        if path.stat().st_size < file.tell():
            file.seek(0)  # it was emptied
        _copy(file, out)
        out.flush()
        time.sleep(POLL_S)
    _copy(file, out)
    out.flush()


def _copy(file: BinaryIO, out: BinaryIO) -> None:
    while chunk := file.read(_CHUNK_BYTES):
        out.write(chunk)
