"""Files and directories as sources of configuration.

Given a path, reads all documents in it (`*.yaml`, `*.yml`, `*.json`, recursively, in order of names), and watches it:
every settled change yields the *full* set, or the error. The caller applies the set with `prune=str(path)`.
An error leaves the last good configuration in force: that is the caller's, this only tells.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import Change, DefaultFilter, awatch

from argosy.api import Document, parse_documents
from argosy.core.errors import ArgosyError, Finding, Origin

SUFFIXES = frozenset({".yaml", ".yml", ".json"})
DEBOUNCE_MS = 200
LOOK_AGAIN_MS = 5000
FILES_MAX = 10_000


def read_source(path: Path) -> list[Document]:
    """All documents of a file or directory. Errors: `ArgosyError` with the first fault of every unreadable file."""
    documents: list[Document] = []
    findings: list[Finding] = []
    for file in source_files(path):
        try:
            documents.extend(parse_documents(file.read_text(encoding="utf-8"), str(file)))
        except ArgosyError as error:
            findings.extend(error.findings)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            findings.extend(_unreadable(file, reason or str(error)).findings)
    if findings:
        raise ArgosyError(findings)
    return documents


def source_files(path: Path) -> list[Path]:
    """The file itself, or the configuration files below a directory, sorted; hidden ones are skipped."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise _unreadable(path, "no such file or directory")
    found = sorted(f for f in path.rglob("*") if f.suffix in SUFFIXES and not _hidden(f, path) and f.is_file())
    if len(found) > FILES_MAX:
        raise _unreadable(path, f"more than {FILES_MAX} files")
    return found


async def watch_source(path: Path, *, debounce_ms: int = DEBOUNCE_MS) -> AsyncIterator[list[Document] | ArgosyError]:
    """The full set now, and again after every settled change; the error instead where it cannot be read.

    Ends when it is cancelled. A single file is watched through its directory, so that editors may replace it.
    """
    seen = _fingerprint(path)
    yield _read(path)
    # The watch starts after the first read, and some file systems tell nothing: look again at every time-out.
    changes = awatch(
        _watched(path),
        watch_filter=_SourceFilter(path),
        debounce=debounce_ms,
        step=debounce_ms,
        rust_timeout=LOOK_AGAIN_MS,
        yield_on_timeout=True,
    )
    async for _ in changes:
        now = _fingerprint(path)
        if now != seen:
            seen = now
            yield _read(path)


def _watched(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _fingerprint(path: Path) -> list[tuple[str, int, int]]:
    """What tells that something may have changed: names, times and sizes."""
    marks = []
    try:
        for file in source_files(path):
            status = file.stat()
            marks.append((str(file), status.st_mtime_ns, status.st_size))
    except (ArgosyError, OSError):
        return []
    return marks


def _read(path: Path) -> list[Document] | ArgosyError:
    try:
        return read_source(path)
    except ArgosyError as error:
        return error


class _SourceFilter(DefaultFilter):
    """Only what `read_source` would read; and directories, whose removal removes files."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = None if path.is_dir() else str(path.resolve())

    def __call__(self, change: Change, path: str) -> bool:
        if self._file is not None:
            return path == self._file
        return Path(path).suffix in SUFFIXES or change is Change.deleted


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def _unreadable(path: Path, reason: str) -> ArgosyError:
    return ArgosyError.of("ARG0020", f"cannot read {path}: {reason}", origin=Origin(str(path)))
