"""Lines of reports to the process's own output or to files, by a thread for each target, so that nobody waits.

Given lines; writes them in order. A target that takes none (a full disk, a pipe that nobody reads) makes its bounded
queue overflow; what is dropped is counted, what fails is told. Files turn over by size; old ones go by number and age.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path

LINES_MAX = 10_000
_DAY_S = 86_400.0
_MEGABYTE = 1 << 20
_STOP_S = 2.0
_BACKUP_TIME = "%Y-%m-%dT%H-%M-%S"


@dataclass(frozen=True, slots=True)
class Target:
    """Where lines go: a `descriptor`, or a file at `path`. Limits of 0 mean none."""

    descriptor: int = -1
    path: Path | None = None
    bytes_max: int = 0
    age_days_max: int = 0
    files_max: int = 0


class LineWriter:
    """Writes lines to one target from a thread of its own."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lines: queue.Queue[str | None] = queue.Queue(LINES_MAX)
        self._thread: threading.Thread | None = None
        self.dropped = 0
        self.failures = 0
        self.last_error = ""

    def write(self, line: str) -> None:
        """Have a line written, or dropped if too many wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="report lines", daemon=True)
            self._thread.start()
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1

    def __len__(self) -> int:
        return self._lines.qsize()

    def close(self) -> None:
        """Write what waits, for a moment at most."""
        if self._thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=_STOP_S)
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        while True:
            lines = [self._lines.get()]
            with contextlib.suppress(queue.Empty):
                while len(lines) < LINES_MAX:
                    lines.append(self._lines.get_nowait())
            text = "".join(line for line in lines if line is not None)
            if text:
                self._try(text.encode(), sum(line is not None for line in lines))
            if None in lines:
                return

    def _try(self, data: bytes, lines: int) -> None:
        try:
            self._write(data)
            self.last_error = ""
        except OSError as error:
            self.failures += 1
            self.dropped += lines
            self.last_error = error.strerror or str(error)

    def _write(self, data: bytes) -> None:
        if self._target.path is None:
            _write_all(self._target.descriptor, data)
            return
        path = self._target.path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._target.bytes_max:
            self._turn_over(path, len(data))
        # A link that somebody put there leads nowhere.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _write_all(descriptor, data)
        finally:
            os.close(descriptor)

    def _turn_over(self, path: Path, more: int) -> None:
        try:
            size = path.lstat().st_size
        except FileNotFoundError:
            return
        if not size or size + more <= self._target.bytes_max:
            return
        stamp = time.strftime(_BACKUP_TIME, time.gmtime())
        number = 0
        while (backup := path.with_name(f"{path.stem}-{stamp}.{number:03d}{path.suffix}")).exists():
            number += 1
        path.rename(backup)
        self._forget(path)

    def _forget(self, path: Path) -> None:
        """Backups beyond the number or the age that is kept."""
        backups = sorted(path.parent.glob(f"{path.stem}-*.[0-9][0-9][0-9]{path.suffix}"), reverse=True)
        oldest = time.time() - self._target.age_days_max * _DAY_S
        for index, backup in enumerate(backups):
            many = self._target.files_max and index >= self._target.files_max
            old = self._target.age_days_max and backup.lstat().st_mtime < oldest
            if many or old:
                backup.unlink(missing_ok=True)


def megabytes(number: int) -> int:
    """So many megabytes as bytes."""
    return number * _MEGABYTE


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
