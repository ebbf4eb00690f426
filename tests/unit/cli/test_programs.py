"""Where the mesh's own programs have their logs."""

import os
from pathlib import Path

import pytest

from argosy.cli.programs import CONTROL_PLANE, PROGRAMS, program_log
from argosy.core.errors import ArgosyError


def test_parts_of_one_control_plane_share_its_log(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    file = tmp_path / "logs" / "argosy.log"
    file.touch()
    assert {program_log(name, tmp_path) for name in CONTROL_PLANE} == {file}
    for name in set(PROGRAMS) - set(CONTROL_PLANE):
        with pytest.raises(ArgosyError) as told:
            program_log(name, tmp_path)
        assert f"{name} has no log" in str(told.value)


def test_what_was_written_last_is_of_now(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for age, name in enumerate(("mixer", "argosy", "pilot")):
        file = tmp_path / "logs" / f"{name}.log"
        file.touch()
        os.utime(file, (age, age))
    assert program_log("mixer", tmp_path).stem == "argosy"
    assert program_log("pilot", tmp_path).stem == "pilot"
