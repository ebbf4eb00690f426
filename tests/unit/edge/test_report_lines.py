"""Lines to descriptors and files by a thread: order, turning over, limits, and targets that take nothing."""

import os
import time
from pathlib import Path

import pytest

from argosy.edge import report_lines
from argosy.edge.report_lines import LineWriter, Target


def written(target: Target, *lines: str) -> LineWriter:
    writer = LineWriter(target)
    for line in lines:
        writer.write(line)
    writer.close()
    return writer


def test_lines_go_to_a_descriptor_in_order() -> None:
    ours, theirs = os.pipe()
    lines = [f"{number}\n" for number in range(1000)]
    written(Target(descriptor=theirs), *lines)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        assert pipe.read() == "".join(lines)


def test_a_file_is_appended_to_and_only_ours_to_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "mixer.log"
    for line in ("a\n", "b\n"):
        writer = written(Target(path=path), line)
        assert writer.last_error == ""
    assert path.read_text() == "a\nb\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mixer.log").symlink_to(tmp_path / "elsewhere")
    writer = written(Target(path=tmp_path / "mixer.log"), "a\n", "b\n")
    assert not (tmp_path / "elsewhere").exists()
    assert writer.dropped == 2
    assert writer.last_error == "Too many levels of symbolic links"


def test_a_file_turns_over_by_size_and_old_ones_go_by_number(tmp_path: Path) -> None:
    path = tmp_path / "mixer.log"
    for line in ("one\n", "two\n", "three\n", "four\n"):
        written(Target(path=path, bytes_max=6, files_max=2), line)
    assert path.read_text() == "four\n"
    backups = sorted(one for one in tmp_path.iterdir() if one != path)
    assert [one.read_text() for one in backups] == ["two\n", "three\n"]
    assert all(one.name.startswith("mixer-") and one.suffix == ".log" for one in backups)


def test_old_files_go_by_age(tmp_path: Path) -> None:
    path = tmp_path / "mixer.log"
    old = tmp_path / "mixer-2020-01-01T00-00-00.000.log"
    old.write_text("old")
    other = tmp_path / "other.log"
    other.write_text("not ours")
    os.utime(old, (time.time() - 2 * 86_400,) * 2)
    for line in ("one\n", "two\n"):
        written(Target(path=path, bytes_max=4, age_days_max=1), line)
    assert not old.exists()
    assert other.exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_whoever_writes_never_waits_for_a_pipe_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_lines, "LINES_MAX", 10)
    monkeypatch.setattr(report_lines, "_STOP_S", 0.05)
    ours, theirs = os.pipe()
    writer = LineWriter(Target(descriptor=theirs))
    line = "x" * 65_536 + "\n"
    for _ in range(40):
        writer.write(line)
    assert writer.dropped >= 20
    writer.close()
    os.close(ours)


def test_a_writer_that_wrote_nothing_has_nothing_to_stop() -> None:
    writer = LineWriter(Target(descriptor=-1))
    writer.close()
    assert len(writer) == 0
