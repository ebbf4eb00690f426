"""Files of volumes."""

from pathlib import Path

from argosy.edge.pod_volumes import write_volumes


def content(folder: Path) -> dict[str, str]:
    return {str(one.relative_to(folder)): one.read_text() for one in folder.rglob("*") if one.is_file()}


def test_a_volume_holds_just_its_files_and_equal_ones_stay(tmp_path: Path) -> None:
    write_volumes(tmp_path, [{"a": "1", "b/c": "2"}, {}])
    assert content(tmp_path / "volumes") == {"0/a": "1", "0/b/c": "2"}
    assert (tmp_path / "volumes" / "1").is_dir()
    before = (tmp_path / "volumes" / "0" / "a").stat().st_ino
    write_volumes(tmp_path, [{"a": "1", "d": "3"}, {"e": ""}])
    assert content(tmp_path / "volumes") == {"0/a": "1", "0/d": "3", "1/e": ""}
    assert (tmp_path / "volumes" / "0" / "a").stat().st_ino == before
