"""What `-f` names: files, directories, standard input -> texts with the names that findings tell."""

from __future__ import annotations

import sys
from pathlib import Path

from argosy.core.errors import ArgosyError, Finding, Origin

STDIN = "-"
UNREADABLE = "ARG0020"
NOTHING_GIVEN = "ARG0706"


def read_files(named: list[str]) -> list[dict[str, str]]:
    """`file` and `text` of everything named, in order.

    Errors: `ArgosyError` with a finding for each file that cannot be read, or if nothing was named.
    """
    if not named:
        hint = "-f FILE, -f DIR, or -f - for standard input"
        raise ArgosyError.of(NOTHING_GIVEN, "nothing was given to read", hint=hint)
    texts: list[dict[str, str]] = []
    findings: list[Finding] = []
    for name in named:
        try:
            texts += _read(name)
        except ArgosyError as error:
            findings += error.findings
    if findings:
        raise ArgosyError(findings)
    if not any(one["text"].strip() for one in texts):
        raise ArgosyError.of(NOTHING_GIVEN, f"there is no object in {', '.join(named)}")
    return texts


def _read(name: str) -> list[dict[str, str]]:
    if name == STDIN:
        return [{"file": "<stdin>", "text": sys.stdin.read()}]
    from argosy.edge.directory_source import source_files

    return [_read_file(file) for file in source_files(Path(name))]


def _read_file(file: Path) -> dict[str, str]:
    try:
        return {"file": str(file), "text": file.read_text(encoding="utf-8")}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ArgosyError.of(UNREADABLE, f"cannot read {file}: {reason}", origin=Origin(str(file))) from None
