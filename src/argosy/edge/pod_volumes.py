"""Writes the files that a pod sees as mounted volumes.

Given the folder of the pod and, for each volume, path -> text. Files are replaced by rename, so that a program never
reads half of one, and one that watches its folder is told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from argosy.agent.pod import PodPlan

VOLUMES = "volumes"
VolumesPort = Callable[[PodPlan], Sequence[Mapping[str, str]]]
"""The files of a plan's volumes, as they are now. Errors: OSError when one of them is not there."""


def write_volumes(directory: Path, volumes: Sequence[Mapping[str, str]]) -> None:
    """Make the folders `volumes/0`, `volumes/1`, ... hold just these files. Errors: OSError."""
    for number, files in enumerate(volumes):
        _write_volume(directory / VOLUMES / str(number), files)


def _write_volume(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        _write(folder / path, text)
    kept = {folder / path for path in files}
    for file in [one for one in folder.rglob("*") if one.is_file() and one not in kept]:
        file.unlink()


def _write(file: Path, text: str) -> None:
    if file.exists() and file.read_text(encoding="utf-8") == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.new")
    temporary.write_text(text, encoding="utf-8")
    os.chmod(temporary, 0o644)
    temporary.rename(file)
