"""Keeps the log files of a mesh small: each is cut when it is long, and what stood in it is kept once as `NAME.log.1`.

Programs and pods write to their files by descriptors of their own that append, so that nobody between them and the
file can lose a line, hold one up, or end and take them along. Therefore a file is copied and cut, not renamed: who
writes goes on at the new beginning. A line that is written in the moment between the last reading and the cut is lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import BinaryIO

SIZE_MAX = 64 << 20
"""Bytes of a file, beside what comes until the next look; with what is kept of it, twice as much."""
PERIOD_S = 10.0
_CHUNK = 1 << 20
_log = logging.getLogger(__name__)


# Below the state folder: of the mesh's programs, and of pods by namespace and name.
_PLACES = ("logs/*.log", "pods/*/*/*.log")


async def keep_short(home: Path) -> None:
    """Look at the log files below a state folder every `PERIOD_S`, until cancelled."""
    while True:
        await asyncio.to_thread(shorten, home, SIZE_MAX)
        await asyncio.sleep(PERIOD_S)


def shorten(home: Path, size_max: int) -> list[Path]:
    """Cut every log file of more than `size_max` bytes; gives those. What cannot be cut is told."""
    cut = []
    for path in sorted(path for place in _PLACES for path in home.glob(place)):
        try:
            if path.stat().st_size > size_max:
                _cut(path)
                cut.append(path)
        except FileNotFoundError:
            continue  # its pod has gone
        except OSError as error:
            _log.warning("%s stays long: %s", path, error)
    return cut


def _cut(path: Path) -> None:
    aside, kept = path.with_name(f"{path.name}.new"), path.with_name(f"{path.name}.1")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with path.open("r+b") as file, open(descriptor, "wb") as copy:
            for _turn in range(2):  # what comes while much is copied is little
                _copy(file, copy)
                copy.flush()
            file.truncate(0)
        aside.replace(kept)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def _copy(file: BinaryIO, copy: BinaryIO) -> None:
    while chunk := file.read(_CHUNK):
        copy.write(chunk)
