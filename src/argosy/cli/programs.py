"""The mesh's own programs, and where each has its log."""

from __future__ import annotations

from pathlib import Path

from argosy.core.errors import ArgosyError

CONTROL_PLANE = ("mixer", "pilot", "galley", "citadel")
PROGRAMS = (*CONTROL_PLANE, "agent", "relay", "node")
_TOGETHER = "argosy"
"""The control plane where it is one program."""


def program_log(name: str, home: Path) -> Path:
    """The log of a program, with what Mixer's `stdio` handlers wrote there. Errors: `ArgosyError` if there is none yet.

    A mesh may have been run with and without `--split` in the same folder: the log that was written last is of now.
    """
    names = (name, _TOGETHER) if name in CONTROL_PLANE else (name,)
    files = [file for one in names if (file := home / "logs" / f"{one}.log").exists()]
    if not files:
        raise ArgosyError.of("ARG0707", f"{name} has no log", hint="start the mesh: argosy up")
    return max(files, key=lambda file: file.stat().st_mtime_ns)
